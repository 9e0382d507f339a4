//! References to actors of other processes.
//!
//! [`Peers`] holds one connection to each process that is spoken to; a [`Remote`] is a name on it, with a
//! type. Connections are made when they are first needed, and again when they were lost: the
//! listening socket belongs to the node, so that connecting succeeds while the process is being
//! replaced, and waits for the successor's greeting. Nothing that was sent is sent again by itself:
//! a call that was in flight when its process went is [`CallError::Lost`].

mod connection;
mod directory;
mod monitor;
mod parting;
mod peer;
mod pending;
mod tries;

use std::{
    collections::HashMap,
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use blackhole_protocol::{
    InstanceId,
    link::{
        EncodeError,
        gateway::{NAME_LENGTH_MAX, Refusal},
    },
};
use tokio::time::Instant;

pub use directory::{Boxed, Directory, Standing};
pub use monitor::{Down, Monitor};

use self::{
    connection::{Binding, Room},
    peer::Peer,
    tries::Tries,
};
use crate::{CallError, Message, Reply, link::LinkError, reply::WITHIN_MAX};

/// What happens to a message for a process that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It is refused at once: unless the process answers within [`GREETING_WAIT`], it is not there.
    FailFast,
    /// It waits this long for the process to be started or restarted. A call waits no longer than it may take as a
    /// whole.
    WaitFor(Duration),
}

impl Patience {
    fn wait_max(self) -> Duration {
        match self {
            Self::FailFast => GREETING_WAIT,
            Self::WaitFor(duration) => duration,
        }
    }
}

/// How long a reference without patience waits for the greeting of a process that lives.
pub const GREETING_WAIT: Duration = Duration::from_millis(100);

/// What a reference has unless it was given another.
pub const PATIENCE: Patience = Patience::WaitFor(Duration::from_secs(10));

/// Why a process or an actor in it cannot be spoken to. Nothing was sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unreachable {
    /// No such socket, or nobody listens.
    #[error(
        "could not connect to `{instance}` on `{}`\n\
         hint: is it a native service of this node, and has the node begun to start it?",
        path.display()
    )]
    NoGateway {
        /// The process.
        instance: InstanceId,
        /// Where its socket should be.
        path: PathBuf,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// It did not answer in time.
    #[error("`{instance}` is not there: waited {waited:?} for it")]
    NotThere {
        /// The process.
        instance: InstanceId,
        /// How long the wait was.
        waited: Duration,
    },
    /// The node says that it is not there.
    #[error("`{instance}` is not there: it is {state}")]
    NotRunning {
        /// The process.
        instance: InstanceId,
        /// The node's word.
        state: String,
    },
    /// It was reached and could not be understood.
    #[error("could not open a link to `{instance}`")]
    Link {
        /// The process.
        instance: InstanceId,
        /// Why not.
        source: Arc<LinkError>,
    },
    /// It has no such actor, or one of another type.
    #[error("could not reach an actor of `{instance}`")]
    Refused {
        /// The process.
        instance: InstanceId,
        /// Why not.
        source: Refusal,
    },
    /// It went away meanwhile.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// A process was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{instance}` (generation {generation}) was lost: {why}")]
pub struct Lost {
    /// The process.
    pub instance: InstanceId,
    /// Which incarnation.
    pub generation: u64,
    /// What happened to the connection. Why the process ended is what a [`Monitor`] tells.
    pub why: String,
}

/// Why a statement was not sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CastError {
    /// The actor cannot be spoken to.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The other process has not done enough of what it was sent before.
    #[error("the message was refused: `{instance}` has {messages} messages undone")]
    Full {
        /// The process.
        instance: InstanceId,
        /// How many were sent, and not granted again.
        messages: u32,
    },
    /// There is no connection, and to make one takes time.
    #[error("the message was refused: there is no connection to `{instance}` yet")]
    NotConnected {
        /// The process.
        instance: InstanceId,
    },
    /// The message cannot be sent to anybody.
    #[error("could not send the message")]
    Encode(#[source] Arc<EncodeError>),
}

/// The processes of a node that this program speaks to. Clones share their connections.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    from: String,
    runtime_dir: PathBuf,
    directory: Option<Arc<dyn Directory>>,
    peers: Mutex<HashMap<InstanceId, Weak<Peer>>>,
}

impl Peers {
    /// The processes whose sockets are in `runtime_dir`; `from` tells them who speaks. The directory
    /// knows how they are and why they ended: without it, nobody does.
    pub fn new(
        from: impl Into<String>,
        runtime_dir: impl Into<PathBuf>,
        directory: Option<Arc<dyn Directory>>,
    ) -> Self {
        let (from, runtime_dir) = (from.into(), runtime_dir.into());
        Self(Arc::new(Shared { from, runtime_dir, directory, peers: Mutex::default() }))
    }

    /// A reference to an actor of one process, by the name under which it is hosted there. Nothing is
    /// sent yet.
    pub fn remote<M: Message>(&self, instance: &InstanceId, actor: &str) -> Remote<M> {
        const { assert!(M::NAME.len() <= NAME_LENGTH_MAX, "the name of the message is too long") };
        Remote {
            inner: Arc::new(Inner {
                peer: self.peer(instance),
                actor: actor.into(),
                binding: Mutex::default(),
            }),
            patience: PATIENCE,
            message: PhantomData,
        }
    }

    fn peer(&self, instance: &InstanceId) -> Arc<Peer> {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(instance).and_then(Weak::upgrade) {
            return peer;
        }
        peers.retain(|_, peer| peer.strong_count() > 0);
        let path = self.0.runtime_dir.join(instance.link_file_name());
        let directory = self.0.directory.clone();
        let peer = Arc::new(Peer::new(instance.clone(), path, self.0.from.clone(), directory));
        peers.insert(instance.clone(), Arc::downgrade(&peer));
        peer
    }

    /// Where the sockets are.
    pub fn runtime_dir(&self) -> &Path {
        &self.0.runtime_dir
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Peers").field("runtime_dir", &self.0.runtime_dir).finish()
    }
}

/// A reference to an actor of another process, which takes messages of the type `M`.
///
/// It outlives the actor: when the process was restarted, the next message goes to the successor, and
/// [`generation`](Self::generation) says so. Clones are cheap and share everything.
pub struct Remote<M> {
    inner: Arc<Inner>,
    patience: Patience,
    message: PhantomData<fn(M)>,
}

struct Inner {
    /// Given back before the last reference takes leave of the peer: nothing is said after that.
    binding: Mutex<Option<Arc<Binding>>>,
    peer: Arc<Peer>,
    actor: Arc<str>,
}

impl<M> Clone for Remote<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), patience: self.patience, message: PhantomData }
    }
}

impl<M> fmt::Debug for Remote<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Remote({} of {})", self.inner.actor, self.inner.peer.instance)
    }
}

impl<M: Message> Remote<M> {
    /// The same reference with another patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Which process the actor is in.
    pub fn instance(&self) -> &InstanceId {
        &self.inner.peer.instance
    }

    /// The actor's name.
    pub fn actor(&self) -> &str {
        &self.inner.actor
    }

    /// Which incarnation of the process was spoken to last; absent before the first message.
    pub fn generation(&self) -> Option<u64> {
        self.inner.peer.generation()
    }

    /// Asks, and waits for the answer: at most `within`, which the actor's process is told, so that it
    /// does not work for callers that have given up.
    ///
    /// # Errors
    /// After `within` at the latest; at once when the process or the actor goes, and when the
    /// actor drops the question. [`CallError`] says whether the question may have been acted upon.
    pub async fn call<T>(
        &self,
        question: impl FnOnce(Reply<T>) -> M,
        within: Duration,
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + within.min(WITHIN_MAX);
        let asking = async {
            let (reply, answer) = Reply::new();
            let message = question(reply);
            let mut tries = Tries::new(self.patience);
            loop {
                let binding = self.binding(&mut tries).await?;
                let lost = match binding.connection.room().await {
                    Ok(room) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        room.ask(binding.target(), message, left)?;
                        break;
                    }
                    Err(lost) => lost,
                };
                tries.again(lost.into()).await?;
            }
            answer.await
        };
        match tokio::time::timeout_at(deadline, asking).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(CallError::DeadlineExceeded { within }),
        }
    }

    /// Sends a message that wants no answer, and waits until it may be sent, for as long as the patience says:
    /// while the process is away, and while it has too much undone.
    ///
    /// `Ok` means that the message is on its way, not that it was acted upon: a process that is killed takes
    /// everything it had not handled with it, at most [`WINDOW`](blackhole_protocol::link::gateway::WINDOW). Use
    /// [`call`](Self::call) if you need to know.
    ///
    /// # Errors
    /// When it was not sent: [`CastError::Full`] when the process is there but makes no progress.
    pub async fn cast(&self, message: M) -> Result<(), CastError> {
        let mut tries = Tries::new(self.patience);
        loop {
            let binding = self.binding(&mut tries).await?;
            let lost = match self.room(&binding, &mut tries).await {
                Ok(Some(room)) => return room.tell(binding.target(), message),
                Ok(None) => return Err(binding.connection.full()),
                Err(lost) => lost,
            };
            tries.again(lost.into()).await?;
        }
    }

    /// Credit for a message, unless the patience ends before there is any.
    async fn room<'a>(
        &self,
        binding: &'a Binding,
        tries: &mut Tries,
    ) -> Result<Option<Room<'a>>, Lost> {
        if let Some(room) = binding.connection.credited()? {
            return Ok(Some(room));
        }
        let wait = tries.patience_left().wait_max();
        let room = tokio::time::timeout(wait, binding.connection.room()).await;
        room.map_or(Ok(None), |room| room.map(Some))
    }

    /// Sends a message that wants no answer, now or not at all. What `Ok` means is what it means for
    /// [`cast`](Self::cast).
    ///
    /// # Errors
    /// [`CastError::Full`] when the other process has too much undone, [`CastError::NotConnected`]
    /// when no message has been sent with this reference since the process was last away: see
    /// [`connect`](Self::connect).
    pub fn try_cast(&self, message: M) -> Result<(), CastError> {
        let Some(binding) = self.usable() else {
            let instance = self.instance().clone();
            return Err(CastError::NotConnected { instance });
        };
        binding.connection.room_now()?.tell(binding.target(), message)
    }

    /// Makes sure that the actor is there, and gives the generation of its process.
    ///
    /// # Errors
    /// When it is not there within the patience.
    pub async fn connect(&self) -> Result<u64, Unreachable> {
        Ok(self.binding(&mut Tries::new(self.patience)).await?.connection.generation)
    }

    /// Watches the actor: tells each time that it, or its process, is gone, and why.
    pub fn monitor(&self) -> Monitor<M> {
        Monitor::new(self.clone())
    }

    fn usable(&self) -> Option<Arc<Binding>> {
        let binding = self.inner.binding.lock().unwrap_or_else(PoisonError::into_inner);
        binding.clone().filter(|binding| binding.is_usable())
    }

    /// The actor's number on a connection; if there is none, gets one in as many tries as it takes.
    async fn binding(&self, tries: &mut Tries) -> Result<Arc<Binding>, Unreachable> {
        if let Some(binding) = self.usable() {
            return Ok(binding);
        }
        loop {
            match self.bind(tries).await {
                Ok(binding) => return Ok(binding),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn bind(&self, tries: &mut Tries) -> Result<Arc<Binding>, Unreachable> {
        let peer = &self.inner.peer;
        let connection = peer.connection(tries.patience_left()).await?;
        let binding = async {
            // When several bind at once, all use the binding of the first.
            let _turn = connection.binding_turn().await;
            if let Some(binding) = self.usable() {
                return Ok(binding);
            }
            let binding = connection.bind(&self.inner.actor, M::NAME, M::SCHEMA).await?;
            let binding = Arc::new(binding);
            let mut current = self.inner.binding.lock().unwrap_or_else(PoisonError::into_inner);
            *current = Some(binding.clone());
            Ok(binding)
        };
        let wait = tries.patience_left().wait_max();
        let bound = tokio::time::timeout(wait, binding).await;
        bound.unwrap_or_else(|_elapsed| Err(peer.not_there(wait)))
    }
}
