//! The gateway: where the actors of one process are reached from other processes.
//!
//! There is one in each process that hosts actors. It maps names to actors, of any number of types;
//! nobody outside the process knows them before asking. It is a ractor actor, the supervisor of those
//! it hosts, and so it knows why each of them ended.
//!
//! **What bounds a sender.** ractor's mailboxes are unbounded and say nothing about what is in them.
//! So messages from other processes do not go through the hosted actor's mailbox but through that of
//! a companion, which runs the same handler on the same state, one message at a time with the
//! actor itself, and hands a credit back after each. What comes from inside the process is
//! not counted, and not delayed by what waits from outside.

mod hosted;
mod names;
mod session;
mod sessions;

use std::{sync::Arc, time::Duration};

use blackhole_policy::supervision;
use blackhole_protocol::{
    InstanceId,
    link::gateway::{ExitReason, NAME_LENGTH_MAX},
};
use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SpawnErr, SupervisionEvent,
};
use tokio::net::UnixListener;

use crate::{ActorSpec, Message, Tree, TreeError};

pub(crate) use session::Ticket;

use self::{
    hosted::{Hosted, Inside},
    names::{Entry, Names},
    session::FAREWELL_TIMEOUT,
    sessions::Sessions,
};

/// What becomes of a process in which a hosted actor failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The actor must be there: its failure, but not its stop, is the failure of the gateway, and so of
    /// whoever supervises that.
    Transient,
    /// The actor may fail like any other event: only those who monitor it are told.
    Temporary,
}

/// Whether everything has been done that peers had asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a drain may have been cut short"]
pub enum Drained {
    /// It has.
    Whole,
    /// Some peers still waited when the time was up.
    Cut {
        /// How many.
        peers: u32,
    },
}

/// Why an actor is not hosted.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Another actor has that name.
    #[error("there is an actor `{0}` already")]
    NameTaken(String),
    /// Nobody could bind it.
    #[error("an actor's name of {length} bytes is too long, and {NAME_LENGTH_MAX} is the most")]
    NameTooLong {
        /// Its length, in bytes.
        length: usize,
    },
    /// The actor ended as soon as it had started.
    #[error("the actor `{name}` ended as soon as it had started")]
    Ended {
        /// Its name.
        name: String,
    },
    /// The actor did not start.
    #[error("could not start the actor `{name}`")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        source: SpawnErr,
    },
}

/// The actors of this process that other processes may speak to. Clones are the same gateway.
///
/// ```
/// use blackhole_actors::{Gateway, Message, Patience, Peers, Reply, Restart};
/// use ractor::{Actor, ActorProcessingErr, ActorRef};
/// use std::time::Duration;
///
/// #[derive(Message)]
/// #[blackhole(crate = "blackhole_actors")]
/// enum CounterMessage {
///     Add(u64),
///     Get(Reply<u64>),
/// }
///
/// struct Counter;
///
/// impl Actor for Counter {
///     type Msg = CounterMessage;
///     type State = u64;
///     type Arguments = ();
///
///     async fn pre_start(
///         &self,
///         _: ActorRef<CounterMessage>,
///         _: (),
///     ) -> Result<u64, ActorProcessingErr> {
///         Ok(0)
///     }
///
///     async fn handle(
///         &self,
///         _: ActorRef<CounterMessage>,
///         message: CounterMessage,
///         count: &mut u64,
///     ) -> Result<(), ActorProcessingErr> {
///         match message {
///             CounterMessage::Add(more) => *count += more,
///             CounterMessage::Get(reply) => reply.send(*count),
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let instance: blackhole_protocol::InstanceId = "counting".parse().map(|service| blackhole_protocol::InstanceId { service, index: std::num::NonZeroU32::MIN })?;
/// // In one process:
/// let gateway = Gateway::start(instance.clone(), 1).await?;
/// gateway.host("counter", Counter, (), Restart::Transient).await?;
/// let socket = tokio::net::UnixListener::bind(folder.path().join(instance.link_file_name()))?;
/// tokio::spawn(gateway.serve(socket));
///
/// // In another:
/// let peers = Peers::new("somebody", folder.path(), None);
/// let counter = peers.remote::<CounterMessage>(&instance, "counter");
/// counter.cast(CounterMessage::Add(2)).await?;
/// let count = counter.call(CounterMessage::Get, Duration::from_secs(1)).await?;
/// assert_eq!(count, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Gateway {
    actor: ActorRef<Wish>,
    shared: Arc<Shared>,
}

/// What the sessions with peers have in common.
#[derive(Debug)]
struct Shared {
    instance: InstanceId,
    generation: u64,
    names: Names,
    sessions: Sessions,
}

impl Shared {
    fn of(instance: InstanceId, generation: u64) -> Arc<Self> {
        let (names, sessions) = (Names::default(), Sessions::default());
        Arc::new(Self { instance, generation, names, sessions })
    }
}

impl Gateway {
    /// Begins with no actors: for which process, and for which incarnation of it.
    ///
    /// # Errors
    /// When there is no async runtime to run in.
    pub async fn start(instance: InstanceId, generation: u64) -> Result<Self, SpawnErr> {
        let shared = Shared::of(instance, generation);
        let (actor, _) = Actor::spawn(None, Warden, shared.clone()).await?;
        Ok(Self { actor, shared })
    }

    /// As [`start`](Self::start), as a child of a tree, which is told when an actor that must be there fails.
    ///
    /// # Errors
    /// When the tree has a child of that id, or is about to end.
    pub async fn start_below(
        tree: &Tree,
        id: &str,
        instance: InstanceId,
        generation: u64,
    ) -> Result<Self, TreeError> {
        let shared = Shared::of(instance, generation);
        let warden = ActorSpec::once(id, Warden, shared.clone());
        tree.add(warden.restart(supervision::Restart::Transient)).await?;
        Ok(Self { actor: tree.actor_that_is_up(id)?, shared })
    }

    /// Starts an actor that other processes reach by `name`, for as long as it lives.
    ///
    /// What is returned is an ordinary reference for this process. The actor's handlers run one at a
    /// time, as always, whoever sent the message; but between a sender inside the process and one
    /// outside there is no order.
    ///
    /// # Errors
    /// When the name is taken or the actor does not start.
    pub async fn host<A>(
        &self,
        name: &str,
        actor: A,
        arguments: A::Arguments,
        restart: Restart,
    ) -> Result<ActorRef<A::Msg>, HostError>
    where
        A: Actor,
        A::Msg: Message,
    {
        let place = self.shared.names.reserve(name)?;
        let inside = Inside::around(actor);
        let hosted = Hosted(inside.clone());
        let started = Actor::spawn_linked(None, hosted, arguments, self.actor.get_cell()).await;
        let (actor, _) =
            started.map_err(|source| HostError::Start { name: name.to_owned(), source })?;
        place.fill(Entry::new(actor.get_id(), restart, inside.door()));
        if matches!(actor.get_status(), ActorStatus::Stopping | ActorStatus::Stopped) {
            // Perhaps before it had its name: then nobody else frees the name.
            self.shared.names.ended(actor.get_id(), &ExitReason::Unknown);
            return Err(HostError::Ended { name: name.to_owned() });
        }
        Ok(actor)
    }

    /// Speaks to peers until the listener fails: programs of the same user, or of the superuser.
    /// Everybody else is refused.
    pub fn serve(&self, listener: UnixListener) -> impl Future<Output = ()> + Send + 'static {
        sessions::accept(listener, self.shared.clone())
    }

    /// Sends peers to the successor, accepts nobody new, and waits up to `grace` until everything received so far
    /// is handled and answered. Whoever connects meanwhile waits for the successor.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.shared.sessions.close();
        self.shared.names.begin_leaving();
        self.shared.sessions.ended(grace).await
    }

    /// Ends the actors, and takes leave of all peers. What the actors had not done is lost, and those
    /// who wait for answers are told so.
    pub async fn end(&self, reason: &str) {
        self.shared.sessions.close();
        self.actor.stop_children_and_wait(Some(reason.to_owned()), None).await;
        self.shared.names.end(reason);
        // Peers that do not listen are closed with the process.
        let _ = self.shared.sessions.ended(FAREWELL_TIMEOUT).await;
        self.actor.stop(Some(reason.to_owned()));
    }

    /// The supervisor of those that are hosted.
    pub fn actor(&self) -> ActorCell {
        self.actor.get_cell()
    }

    /// The names of those that are hosted.
    pub fn names(&self) -> Vec<String> {
        self.shared.names.known(usize::MAX)
    }
}

/// Nothing is asked of the actor.
#[derive(Debug)]
enum Wish {}

struct Warden;

impl Actor for Warden {
    type Msg = Wish;
    type State = Arc<Shared>;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        _: ActorRef<Wish>,
        shared: Arc<Shared>,
    ) -> Result<Arc<Shared>, ActorProcessingErr> {
        Ok(shared)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Wish>,
        event: SupervisionEvent,
        shared: &mut Arc<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, reason) = match event {
            SupervisionEvent::ActorTerminated(actor, _, Some(reason)) if reason == "killed" => {
                (actor, ExitReason::Killed)
            }
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                (actor, ExitReason::Stopped(reason))
            }
            SupervisionEvent::ActorFailed(actor, error) => {
                (actor, ExitReason::Failed(error.to_string()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let Some((name, restart)) = shared.names.ended(actor.get_id(), &reason) else {
            return Ok(());
        };
        match (restart, &reason) {
            (Restart::Transient, ExitReason::Failed(_) | ExitReason::Killed) => {
                Err(format!("its actor `{name}` {reason}").into())
            }
            _ => Ok(()),
        }
    }
}
