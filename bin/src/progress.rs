//! Tells the person at the terminal what a slow operation is waiting for.
//!
//! What happens is heard as events; nothing asks again and again.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use blackhole_protocol::control::v1::{Event, StreamEventsRequest};
use jiff::Timestamp;

use crate::{
    client::{Client, ClientError, Records},
    command::events::phrase,
    text,
};

/// An operation that is over by then needs no words.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Awaited<'a> {
    /// Services or groups; all when empty.
    pub(crate) names: &'a [String],
    /// Completes "waiting for …".
    pub(crate) what: String,
}

/// Waits for `operation`. After [`PATIENCE`], and only on a terminal, says on the standard error
/// what is waited for and what has happened since the beginning.
pub(crate) async fn show<T>(
    client: &Client,
    awaited: Awaited<'_>,
    operation: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    if !io::stderr().is_terminal() {
        return operation.await;
    }
    tokio::pin!(operation);
    let began = Timestamp::now();
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut operation).await {
        return done;
    }
    say(&format!("waiting for {} (Ctrl-C ends the waiting, not the work)", awaited.what));
    tokio::select! {
        done = &mut operation => done,
        never = tell(client.clone(), awaited.names, began) => match never {},
    }
}

/// Prints events for as long as it is polled. An operation does not fail because its news do:
/// without a stream of events the waiting is merely silent.
async fn tell(mut client: Client, names: &[String], began: Timestamp) -> std::convert::Infallible {
    let request = StreamEventsRequest { names: names.to_vec(), no_follow: false };
    if let Ok(mut events) = client.events(request).await {
        while let Some(event) = next(&mut events).await {
            if text::moment(event.at.as_ref()).is_some_and(|at| at >= began) {
                say(&phrase(&event));
            }
        }
    }
    std::future::pending().await
}

async fn next(events: &mut Records<Event>) -> Option<Event> {
    events.next().await.ok().flatten()
}

fn say(line: &str) {
    // Nobody is left to be told when the standard error is gone.
    let _ = writeln!(anstream::stderr().lock(), "  {line}");
}
