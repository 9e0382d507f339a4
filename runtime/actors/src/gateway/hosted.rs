//! A hosted actor: the actor itself, and the companion that does what comes from other processes.
//!
//! Both run the handlers of one implementation on one state, under a lock that is held for one message
//! at a time. The companion is the actor's child: its failure is the actor's, and it ends with it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use blackhole_protocol::link::gateway::Failure;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, MessagingErr, SupervisionEvent};
use tokio::{sync::Mutex, time::Instant};

use super::{session::Ticket, sessions::Seat};
use crate::{
    Message,
    message::{DecodeError, Decoder},
    reply::Asked,
};

/// How many messages are handled between two readings of the clock.
const BETWEEN_LOOKS: usize = 8;
/// Answers are flushed after this many questions, so that the caller can go on while the rest are handled. Flushing
/// more often costs more than it gains.
const FLUSH_AFTER_QUESTIONS: usize = 16;

/// The type of an actor's messages, which must be the same on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageType<'a> {
    pub(super) name: &'a str,
    pub(super) schema: u64,
}

/// Where a session finds an actor, whatever its messages are.
pub(super) trait Door: fmt::Debug + Send + Sync {
    /// What its messages are.
    fn message_type(&self) -> MessageType<'static>;
    /// A way in for one session.
    fn way_in(&self, seat: &Arc<Seat>) -> Box<dyn WayIn>;
}

/// One session's way to one actor. Collects what one read has brought.
pub(super) trait WayIn: Send {
    /// Takes a statement; what it is worth is handed back when it has been done. Returns how much memory it takes, in
    /// bytes.
    fn cast(&mut self, payload: &[u8], ticket: Ticket) -> Result<usize, DecodeError>;
    /// Takes a question. Returns how much memory it takes, in bytes; if it is refused, what was read of it.
    fn call(&mut self, payload: &[u8], asked: Asked) -> usize;
    /// Gives the actor what was collected.
    fn settle(&mut self);
}

/// What the actor and its companion share.
pub(super) struct Inside<A: Actor> {
    actor: A,
    /// Absent before the start and after the stop.
    state: Mutex<Option<A::State>>,
    companion: OnceLock<ActorRef<Batch<A::Msg>>>,
}

impl<A: Actor<Msg: Message>> Inside<A> {
    pub(super) fn around(actor: A) -> Arc<Self> {
        Arc::new(Self { actor, state: Mutex::new(None), companion: OnceLock::new() })
    }

    /// Of an actor that has started.
    pub(super) fn door(&self) -> Arc<dyn Door> {
        let companion = self.companion.get().expect("a started actor has its companion");
        Arc::new(TypedDoor(companion.clone()))
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
    ) -> Result<(), ActorProcessingErr> {
        match &mut *self.state.lock().await {
            Some(state) => self.actor.handle(myself, message, state).await,
            None => Ok(()),
        }
    }
}

/// The actor itself.
pub(super) struct Hosted<A: Actor>(pub(super) Arc<Inside<A>>);

impl<A: Actor<Msg: Message>> Actor for Hosted<A> {
    type Msg = A::Msg;
    type State = ActorId;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<ActorId, ActorProcessingErr> {
        let state = self.0.actor.pre_start(myself.clone(), arguments).await?;
        *self.0.state.lock().await = Some(state);
        let companion = Companion { inside: self.0.clone(), actor: myself.clone() };
        let (companion, _) = Actor::spawn_linked(None, companion, (), myself.get_cell()).await?;
        let id = companion.get_id();
        let _ = self.0.companion.set(companion);
        Ok(id)
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        _: &mut ActorId,
    ) -> Result<(), ActorProcessingErr> {
        match &mut *self.0.state.lock().await {
            Some(state) => self.0.actor.post_start(myself, state).await,
            None => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        _: &mut ActorId,
    ) -> Result<(), ActorProcessingErr> {
        match self.0.state.lock().await.take() {
            Some(mut state) => self.0.actor.post_stop(myself, &mut state).await,
            None => Ok(()),
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        _: &mut ActorId,
    ) -> Result<(), ActorProcessingErr> {
        self.0.handle(myself, message).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        companion: &mut ActorId,
    ) -> Result<(), ActorProcessingErr> {
        let concerns_companion = match &event {
            SupervisionEvent::ActorStarted(actor)
            | SupervisionEvent::ActorTerminated(actor, _, _)
            | SupervisionEvent::ActorFailed(actor, _) => actor.get_id() == *companion,
            SupervisionEvent::ProcessGroupChanged(_) => false,
        };
        match event {
            SupervisionEvent::ActorFailed(_, error) if concerns_companion => Err(error),
            SupervisionEvent::ActorTerminated(..) if concerns_companion => {
                myself.stop(None);
                Ok(())
            }
            SupervisionEvent::ActorStarted(_) if concerns_companion => Ok(()),
            event => match &mut *self.0.state.lock().await {
                Some(state) => self.0.actor.handle_supervisor_evt(myself, event, state).await,
                None => Ok(()),
            },
        }
    }
}

/// Messages from other processes, in the order in which they came.
struct Batch<M> {
    envelopes: Vec<Envelope<M>>,
    seat: Arc<Seat>,
}

struct Envelope<M> {
    message: M,
    worth: Worth,
}

enum Worth {
    /// Done when it has been handled.
    Statement { _ticket: Ticket },
    /// Done when it is answered: its ticket is in its reply.
    Question { deadline: Instant },
}

impl Worth {
    /// Nobody waits for the answer any more.
    fn is_late(&self, now: Instant, seat: &Seat) -> bool {
        match self {
            Self::Statement { .. } => false,
            Self::Question { deadline } => now >= *deadline || seat.is_left(),
        }
    }
}

struct Companion<A: Actor> {
    inside: Arc<Inside<A>>,
    actor: ActorRef<A::Msg>,
}

impl<A: Actor<Msg: Message>> Actor for Companion<A> {
    type Msg = Batch<A::Msg>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        batch: Batch<A::Msg>,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let Batch { envelopes, seat } = batch;
        let last = envelopes.len().saturating_sub(1);
        let mut questions = 0;
        let mut now = Instant::now();
        for (position, envelope) in envelopes.into_iter().enumerate() {
            // Reading the clock takes as long as handling a small message.
            if position % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 {
                now = Instant::now();
            }
            if envelope.worth.is_late(now, &seat) {
                continue;
            }
            self.inside.handle(self.actor.clone(), envelope.message).await?;
            questions += usize::from(matches!(envelope.worth, Worth::Question { .. }));
            if questions == FLUSH_AFTER_QUESTIONS && position < last {
                questions = 0;
                tokio::task::yield_now().await;
                now = Instant::now();
            }
            // Many messages of a batch must not keep the actor's own mailbox waiting.
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }
}

struct TypedDoor<M>(ActorRef<Batch<M>>);

impl<M> fmt::Debug for TypedDoor<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Door")
    }
}

impl<M: Message> Door for TypedDoor<M> {
    fn message_type(&self) -> MessageType<'static> {
        MessageType { name: M::NAME, schema: M::SCHEMA }
    }

    fn way_in(&self, seat: &Arc<Seat>) -> Box<dyn WayIn> {
        let (companion, seat) = (self.0.clone(), seat.clone());
        Box::new(TypedWayIn { companion, seat, collected: Vec::new() })
    }
}

struct TypedWayIn<M> {
    companion: ActorRef<Batch<M>>,
    seat: Arc<Seat>,
    collected: Vec<Envelope<M>>,
}

impl<M: Message> WayIn for TypedWayIn<M> {
    fn cast(&mut self, payload: &[u8], mut ticket: Ticket) -> Result<usize, DecodeError> {
        let (decoded, size) = Decoder::message(payload, None);
        let message = decoded.map_err(|(error, _)| error)?;
        ticket.weigh(size);
        self.collected.push(Envelope { message, worth: Worth::Statement { _ticket: ticket } });
        Ok(size)
    }

    fn call(&mut self, payload: &[u8], asked: Asked) -> usize {
        let worth = Worth::Question { deadline: asked.deadline };
        let (decoded, size) = Decoder::message(payload, Some(asked));
        match decoded {
            Ok(message) => self.collected.push(Envelope { message, worth }),
            Err((error, Some(asked))) => asked.fail(Failure::Malformed(error.to_string())),
            // The reply had been made, and said so when it was dropped.
            Err((_, None)) => {}
        }
        size
    }

    fn settle(&mut self) {
        let envelopes = std::mem::take(&mut self.collected);
        let batch = Batch { envelopes, seat: self.seat.clone() };
        match self.companion.send_message(batch) {
            // The replies in it are dropped, and say so; statements are lost with their actor.
            Ok(()) | Err(MessagingErr::SendErr(_)) => {}
            Err(error) => tracing::error!(%error, "could not reach a hosted actor: this is a bug"),
        }
    }
}
