//! A service on a thread of the node's process, with a runtime of its own, over the same link and
//! socket as in a child.
//!
//! A panic of the service ends the service and nothing else. A thread that never yields cannot be
//! ended from outside: that is what processes are for.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

use blackhole_process::sockets::{EmbeddedEnds, NativeListeners};
use blackhole_protocol::InstanceId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::dispatcher;

use crate::{LifeError, Service, life, log, serve::builder};

/// How long work on blocking threads may take to finish after the service has ended.
const BLOCKING_TIMEOUT: Duration = Duration::from_secs(5);

/// How an embedded service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to stop, and did.
    Stopped,
    /// It was [aborted](Embedded::abort).
    Aborted,
    /// It ended badly: the error with its causes.
    Failed(String),
    /// It panicked: the message.
    Panicked(String),
}

/// An embedded service. Dropping it does not end the service; the end of its link does.
#[derive(Debug)]
pub struct Embedded {
    ending: watch::Receiver<Option<Ending>>,
    abort: CancellationToken,
}

impl Embedded {
    /// Resolves when it has ended and its thread holds nothing any more. May be awaited by many.
    pub fn ended(&self) -> impl Future<Output = Ending> + Send + 'static {
        let mut ending = self.ending.clone();
        async move {
            match ending.wait_for(Option::is_some).await {
                Ok(ending) => ending.clone().expect("it was waited for"),
                Err(_gone) => Ending::Panicked("its thread ended without a word".to_owned()),
            }
        }
    }

    /// Ends it without waiting for what is in flight.
    pub fn abort(&self) {
        self.abort.cancel();
    }
}

/// Runs `S` on a new thread, which `instance` names. Over its link it hears its assignment as a child does;
/// what it says by `tracing` goes where its records go, and not to the node's own.
pub fn embed<S: Service>(
    instance: &InstanceId,
    listeners: NativeListeners,
    ends: EmbeddedEnds,
) -> io::Result<Embedded> {
    ends.link.set_nonblocking(true)?;
    let abort = CancellationToken::new();
    let (ended, ending) = watch::channel(None);
    let aborted = abort.clone();
    thread::Builder::new().name(instance.to_string()).spawn(move || {
        let life = AssertUnwindSafe(|| live::<S>(listeners, ends, aborted));
        let ending = catch_unwind(life).unwrap_or_else(|panic| Ending::Panicked(message(&*panic)));
        ended.send_replace(Some(ending));
    })?;
    Ok(Embedded { ending, abort })
}

fn live<S: Service>(
    listeners: NativeListeners,
    ends: EmbeddedEnds,
    aborted: CancellationToken,
) -> Ending {
    let EmbeddedEnds { link, records } = ends;
    let records = log::to_file(records.into());
    let _said_there = dispatcher::set_default(&records);
    let runtime = match builder().on_thread_start(move || log::keep_to(&records)).build() {
        Ok(runtime) => runtime,
        Err(error) => return Ending::Failed(format!("could not begin: {error}")),
    };
    let ending = runtime.block_on(async {
        let life = async {
            let link = tokio::net::UnixStream::from_std(link)
                .map_err(|error| LifeError::Link(error.into()))?;
            life::live::<S>(link, Box::new(|_| Ok(listeners)), std::future::pending()).await
        };
        tokio::select! {
            outcome = life => outcome.map_or_else(|error| Ending::Failed(chain(&error)), |()| Ending::Stopped),
            () = aborted.cancelled() => Ending::Aborted,
        }
    });
    runtime.shutdown_timeout(BLOCKING_TIMEOUT);
    ending
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
