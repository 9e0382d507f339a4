//! One process that is spoken to, across its incarnations.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use blackhole_protocol::{InstanceId, link::gateway::ExitReason};
use tokio::{net::UnixStream, sync::watch};

use super::{
    Directory, Patience, Standing, Unreachable,
    connection::{self, Connection},
    parting::Retired,
};
use crate::link::{LinkError, Program};

/// The pause before connecting again where a backlog was full.
const BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// How long the node may take to say why a process that was lost has ended.
const EXIT_WAIT: Duration = Duration::from_secs(60);

pub(super) struct Peer {
    pub(super) instance: InstanceId,
    address: Arc<Address>,
    directory: Option<Arc<dyn Directory>>,
    state: Mutex<State>,
    retired: Retired,
    /// Of the incarnation that somebody asked about last, however many ask.
    exit: Mutex<Option<(u64, watch::Receiver<Option<ExitReason>>)>>,
}

/// What an attempt to connect needs, which must not keep the peer alive.
struct Address {
    instance: InstanceId,
    path: PathBuf,
    from: String,
    /// Of the last connection that was made; 0 before.
    generation: AtomicU64,
}

enum State {
    /// Nobody has asked since the last connection was lost.
    Idle,
    /// Somebody has connected, or tries to.
    Asked(watch::Receiver<Option<Outcome>>),
}

type Outcome = Result<Arc<Connection>, Unreachable>;

impl Peer {
    pub(super) fn new(
        instance: InstanceId,
        path: PathBuf,
        from: String,
        directory: Option<Arc<dyn Directory>>,
    ) -> Self {
        let generation = AtomicU64::new(0);
        let address = Address { instance: instance.clone(), path, from, generation };
        let state = Mutex::new(State::Idle);
        let (address, retired, exit) = (Arc::new(address), Retired::default(), Mutex::default());
        Self { instance, address, directory, state, retired, exit }
    }

    pub(super) fn generation(&self) -> Option<u64> {
        Some(self.address.generation.load(Ordering::Relaxed)).filter(|latest| *latest > 0)
    }

    /// The connection; made, if there is none, by one attempt on behalf of all that wait.
    pub(super) async fn connection(&self, patience: Patience) -> Outcome {
        let mut attempt = self.attempt();
        let made = async {
            match attempt.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().expect("it was waited for"),
                // The runtime that made the attempt has ended.
                Err(_gone) => Err(self.not_there(Duration::ZERO)),
            }
        };
        let wait = patience.wait_max();
        tokio::select! {
            biased;
            outcome = made => outcome,
            state = self.away(), if patience == Patience::FailFast => {
                Err(Unreachable::NotRunning { instance: self.instance.clone(), state })
            }
            () = tokio::time::sleep(wait) => Err(self.not_there(wait)),
        }
    }

    /// Why an incarnation ended, if anybody knows.
    pub(super) async fn exit(&self, generation: u64) -> ExitReason {
        let mut answer = self.asked(generation);
        match answer.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(ExitReason::Unknown),
            // The runtime that asked has ended.
            Err(_gone) => ExitReason::Unknown,
        }
    }

    fn asked(&self, generation: u64) -> watch::Receiver<Option<ExitReason>> {
        let mut exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, answer)) = &*exit
            && *asked == generation
        {
            return answer.clone();
        }
        let (told, answer) = watch::channel(None);
        let asking =
            self.directory.as_ref().map(|directory| directory.exit(&self.instance, generation));
        tokio::spawn(async move {
            let reason = match asking {
                Some(asking) => tokio::time::timeout(EXIT_WAIT, asking).await.ok(),
                None => None,
            };
            told.send_replace(Some(reason.unwrap_or(ExitReason::Unknown)));
        });
        *exit = Some((generation, answer.clone()));
        answer
    }

    pub(super) fn not_there(&self, waited: Duration) -> Unreachable {
        Unreachable::NotThere { instance: self.instance.clone(), waited }
    }

    /// Resolves when the directory says that the process is not there.
    async fn away(&self) -> String {
        let standing = match &self.directory {
            Some(directory) => directory.standing(&self.instance).await,
            None => Standing::Running,
        };
        match standing {
            Standing::Running => std::future::pending().await,
            Standing::Away(state) => state,
            Standing::Unknown => "unknown to the node".to_owned(),
        }
    }

    fn attempt(&self) -> watch::Receiver<Option<Outcome>> {
        let mut state = self.state();
        if let State::Asked(attempt) = &*state {
            let usable = match &*attempt.borrow() {
                None => attempt.has_changed().is_ok(),
                Some(Ok(connection)) => connection.is_open(),
                Some(Err(_)) => false,
            };
            if usable {
                return attempt.clone();
            }
            if let Some(Ok(connection)) = &*attempt.borrow() {
                self.retired.keep(Arc::downgrade(connection));
            }
        }
        let (made, attempt) = watch::channel(None);
        *state = State::Asked(attempt.clone());
        let address = self.address.clone();
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = address.connect() => outcome,
                // The last reference is gone.
                () = made.closed() => return,
            };
            let connection = outcome.as_ref().ok().cloned();
            made.send_replace(Some(outcome));
            made.closed().await;
            if let Some(connection) = connection {
                connection.leave();
            }
        });
        attempt
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Address {
    async fn connect(&self) -> Outcome {
        let mut stream = self.open().await?;
        let refused =
            |error| Unreachable::Link { instance: self.instance.clone(), source: Arc::new(error) };
        Program::at(&stream).and_then(Program::check).map_err(refused)?;
        let opened = connection::greet(&mut stream, &self.from).await.map_err(refused)?;
        if opened.instance != self.instance {
            return Err(refused(LinkError::Misuse("is another instance")));
        }
        self.generation.store(opened.generation, Ordering::Relaxed);
        Ok(Connection::drive(stream, opened))
    }

    async fn open(&self) -> Result<UnixStream, Unreachable> {
        loop {
            match UnixStream::connect(&self.path).await {
                Ok(stream) => return Ok(stream),
                Err(full) if full.kind() == std::io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(BACKLOG_PAUSE).await;
                }
                Err(error) => {
                    return Err(Unreachable::NoGateway {
                        instance: self.instance.clone(),
                        path: self.path.clone(),
                        source: Arc::new(error),
                    });
                }
            }
        }
    }
}
