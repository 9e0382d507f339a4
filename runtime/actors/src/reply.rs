//! The answer to a question, from wherever the question came.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use blackhole_protocol::link::{
    DecodeError, EncodeError, Room, append_value, decode_within, gateway::Failure,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    gateway::Ticket,
    remote::{Lost, Unreachable},
};

/// No call takes longer than a year, whatever it was given: a moment too far away cannot be computed.
pub(crate) const WITHIN_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where an actor sends its answer. A reply that is dropped tells the caller so at once.
///
/// ```
/// use blackhole_actors::Reply;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (reply, answer) = Reply::new();
/// reply.send(42);
/// assert_eq!(answer.await.ok(), Some(42));
///
/// let (dropped, answer) = Reply::<u64>::new();
/// drop(dropped);
/// let told = answer.await.map_err(|error| error.to_string());
/// assert_eq!(told, Err("the actor dropped the question without an answer".to_owned()));
/// # }
/// ```
pub struct Reply<T>(Option<Way<T>>);

enum Way<T> {
    Near(oneshot::Sender<Result<T, CallError>>),
    Far { asked: Asked, encode: fn(&T, &mut Vec<u8>) -> Result<(), EncodeError> },
}

/// An answer to come.
#[derive(Debug)]
#[must_use = "an answer is only heard by whoever waits for it"]
pub struct Answer<T>(oneshot::Receiver<Result<T, CallError>>);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The question was not sent.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The process was lost with the question in it: it may have been acted upon.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The time for the call is over: the question may have been acted upon, or still be.
    #[error("there was no answer within {within:?}")]
    DeadlineExceeded {
        /// How long the caller was willing to wait.
        within: Duration,
    },
    /// The other side says that there will be none.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The question cannot be sent.
    #[error("could not send the question")]
    Encode(#[source] std::sync::Arc<EncodeError>),
    /// The answer is not what was expected.
    #[error("could not understand the answer")]
    Decode(#[source] std::sync::Arc<DecodeError>),
}

impl<T> Reply<T> {
    /// A reply for a question inside this process, and the answer that it leads to.
    pub fn new() -> (Self, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(Way::Near(sender))), Answer(receiver))
    }

    /// Gives the answer. Whether the caller still waits for it is not known.
    pub fn send(mut self, answer: T) {
        match self.0.take() {
            // A caller that is gone is past caring.
            Some(Way::Near(sender)) => drop(sender.send(Ok(answer))),
            Some(Way::Far { asked, encode }) => asked.answer(|bytes| encode(&answer, bytes)),
            None => {}
        }
    }

    /// Does the caller still wait? An actor may ask before it does costly work.
    pub fn is_awaited(&self) -> bool {
        match &self.0 {
            Some(Way::Near(sender)) => !sender.is_closed(),
            Some(Way::Far { asked, .. }) => asked.is_awaited(),
            None => false,
        }
    }

    fn fail(mut self, error: CallError) {
        match self.0.take() {
            Some(Way::Near(sender)) => drop(sender.send(Err(error))),
            Some(Way::Far { asked, .. }) => asked.fail(match error {
                CallError::Failed(failure) => failure,
                other => Failure::Unsendable(other.to_string()),
            }),
            None => {}
        }
    }
}

impl<T: Serialize> Reply<T> {
    pub(crate) fn far(asked: Asked) -> Self {
        Self(Some(Way::Far { asked, encode: |value, bytes| append_value(value, bytes) }))
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let failure = if thread::panicking() { Failure::Panicked } else { Failure::Unanswered };
        match self.0.take() {
            Some(Way::Near(sender)) => drop(sender.send(Err(failure.into()))),
            Some(Way::Far { asked, .. }) => asked.fail(failure),
            None => {}
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &self.0 {
            Some(Way::Near(_)) => "Reply(near)",
            Some(Way::Far { .. }) => "Reply(far)",
            None => "Reply(given)",
        })
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_gone| Err(Failure::Unanswered.into())))
    }
}

/// A caller that waits for an answer from another process.
pub(crate) trait Awaited: Send {
    fn is_awaited(&self) -> bool;
    /// Hands over the answer, or why there is none. Returns how much memory it takes, in bytes.
    fn resolve(self: Box<Self>, outcome: Result<&[u8], CallError>) -> usize;
}

/// So a question from another process may be handed on to a third.
impl<T: DeserializeOwned + Send + 'static> Awaited for Reply<T> {
    fn is_awaited(&self) -> bool {
        Reply::is_awaited(self)
    }

    fn resolve(self: Box<Self>, outcome: Result<&[u8], CallError>) -> usize {
        let room = Room::default();
        let answer = outcome.and_then(|bytes| {
            // The answer's own code, which may panic, concerns nobody else on the connection.
            let read = catch_unwind(AssertUnwindSafe(|| decode_within(bytes, &room)));
            let read = read.unwrap_or(Err(DecodeError::Panicked));
            read.map_err(|error| CallError::Decode(error.into()))
        });
        let told = AssertUnwindSafe(|| match answer {
            Ok(answer) => self.send(answer),
            Err(error) => self.fail(error),
        });
        // An answer that nobody waits for any more: its drop.
        if catch_unwind(told).is_err() {
            tracing::error!("to drop an answer that nobody waits for panicked");
        }
        room.taken()
    }
}

/// A question from another process, undone until it is answered.
pub(crate) struct Asked {
    pub(crate) ticket: Ticket,
    pub(crate) call: u64,
    pub(crate) deadline: Instant,
}

impl Asked {
    fn is_awaited(&self) -> bool {
        self.ticket.is_connected() && Instant::now() < self.deadline
    }

    fn answer(self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) {
        self.ticket.answer(self.call, encode);
    }

    pub(crate) fn fail(self, failure: Failure) {
        self.ticket.fail(self.call, failure);
    }
}
