//! The gRPC server as an actor: it owns the accept loop and, through it, every connection.

mod connections;
mod in_flight;

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::{net::UnixListener, sync::oneshot, task::JoinHandle, time::Instant};
use tonic::service::Routes;

/// What the server is asked.
pub(crate) enum Message {
    /// Accept nobody any more, finish what is in flight until the budget is spent, and answer.
    Drain { budget: Duration, drained: RpcReplyPort<Drained> },
    /// The accept loop is over.
    Ended(Drained),
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Everything that was in flight was answered.
    Whole,
    /// This many connections still had requests when the time was up, and were cut.
    Cut(usize),
}

/// What the server begins with.
pub(crate) struct Arguments {
    /// Bound and listening: it belongs to the node.
    pub(crate) listener: UnixListener,
    pub(crate) routes: Routes,
}

/// What the server knows while it runs.
pub(crate) struct State {
    serving: JoinHandle<()>,
    drain: Option<oneshot::Sender<Instant>>,
    asked: Option<RpcReplyPort<Drained>>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The actor.
pub(crate) struct Server;

impl Actor for Server {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let (drain, draining) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let drained = connections::serve(arguments.listener, arguments.routes, draining).await;
            // An actor that is gone has ended the loop by its drop.
            let _ = myself.cast(Message::Ended(drained));
        });
        Ok(State { serving, drain: Some(drain), asked: None })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Drain { budget, drained } => {
                state.asked = Some(drained);
                if let Some(drain) = state.drain.take() {
                    // A loop that has ended says so itself.
                    let _ = drain.send(Instant::now() + budget);
                }
            }
            Message::Ended(drained) => {
                let asked = state.asked.take().ok_or("the accept loop ended unasked")?;
                // Whoever asked has given up waiting.
                let _ = asked.send(drained);
            }
        }
        Ok(())
    }
}
