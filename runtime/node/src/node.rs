//! The node: everything put together, from the first directory to the exit code.

use std::{
    fs,
    future::Future,
    hash::{Hash, Hasher},
    io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use blackhole_actors::{
    Clock,
    supervisor::{Arguments, Message, Supervisor},
};
use blackhole_config::Config;
use blackhole_policy::supervision::{Event, SupervisorExit};
use blackhole_process::{Lifeline, sockets};
use blackhole_protocol::InstanceId;
use futures::FutureExt as _;
use ractor::Actor;
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use crate::{
    adapting::Adapting,
    child::{self, Plans, Sockets},
    control::{self, Control, Identity},
    directories::{self, DirectoryError},
    heartbeat::Heartbeat,
    http,
    incident::Recorder,
    limit_watch::LimitWatch,
    logs::{LogSettings, Logs, LogsError},
    native::NativeServices,
    nursery::{Instances, Member, NodeContext, Roster, SupervisorRef, policy},
    operator::Operator,
    registry::{self, Kind, NodeState, Registry, State},
    secrets::{self, Secrets},
    usage::Sampler,
};

/// The control socket, below the runtime directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Held by the node that runs in a runtime directory, and names its process.
const LOCK: &str = "node.lock";
/// After everything has stopped, what is still being told to clients may take so long.
const FAREWELL: Duration = Duration::from_millis(200);
/// A signal so soon after another is the same one, by another way: whoever signals a whole control group,
/// as systemd does, reaches the node directly and through its guardian.
const ECHO_MAX: Duration = Duration::from_millis(250);
/// What services printed last may take so long to reach the disk.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a node needs beside its file.
pub struct Options {
    /// The services that this program contains.
    pub native: Arc<dyn NativeServices>,
    /// The guardian's end, where there is one.
    pub lifeline: Option<Lifeline>,
    /// What SIGTERM, SIGINT and SIGHUP mean.
    pub signals: Signals,
}

/// Whether a node ends by the signals that ask its process to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// It does, and the process goes on.
    Heeded,
    /// They are the rest of the program's to handle.
    Left,
}

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Somebody wanted that.
    Stopped,
    /// A service or group that escalates was restarted too often.
    GaveUp {
        /// Its name.
        name: String,
    },
}

/// Why a node could not begin.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A directory that the node needs.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Somebody is there already.
    #[error(
        "a node already runs in `{}` (process {holder})\n\
         hint: stop it with `bh stop --all`, or give this one another place with `--runtime-dir`",
        path.display()
    )]
    AlreadyRunning {
        /// The runtime directory.
        path: PathBuf,
        /// The process that holds it.
        holder: String,
    },
    /// The lock that keeps a second node away.
    #[error("could not lock `{}`", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The control socket.
    #[error("could not open the control socket")]
    ControlSocket(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// `[http] listen`.
    #[error("could not listen on {address} for HTTP\nhint: choose another address under [http]")]
    Http {
        /// As the file says.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The log files.
    #[error("could not open the logs")]
    Logs(#[from] LogsError),
    /// The file passed every check and still makes no tree.
    #[error("the supervisors cannot be built: {0}")]
    Tree(String),
    /// The supervisor of everything ended without having stopped everything.
    #[error(
        "the root supervisor failed, which is a bug of blackhole: what it supervised was killed\n\
         hint: the line above that says `panicked` is what to report"
    )]
    RootFailed,
    /// A part of the node did not start.
    #[error("could not start {0}")]
    Part(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A node that has begun; [`Node::run`] it.
pub struct Node {
    registry: Registry,
    logs: Logs,
    operator: Operator,
    root: SupervisorRef,
    /// Ends after the outcome is known, or without one.
    root_task: JoinHandle<()>,
    outcome: watch::Receiver<Option<SupervisorExit<Member>>>,
    lifeline: Option<Lifeline>,
    signals: Signals,
    _lock: fs::File,
    control: Served,
    control_path: PathBuf,
    context: Arc<NodeContext>,
}

/// What is served until the node has ended.
struct Served {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    /// Everybody who has asked for something gets an answer, within [`FAREWELL`].
    async fn finish(self) {
        // A server that is gone has said why.
        let _ = self.end.send(());
        let _ = tokio::time::timeout(FAREWELL, self.task).await;
    }
}

impl Node {
    /// Takes possession of its directories, opens what it listens on, and begins to start services.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn begin(config: Config, options: Options) -> Result<Self, NodeError> {
        let config = Arc::new(config);
        let lock = take_possession(&config)?;
        let logs = Logs::open(LogSettings {
            directory: config.node.log_dir.clone(),
            node: config.node.name.as_str().into(),
            limits: config.logs,
        })?;
        let registry = Registry::new();
        let roster = Roster::default();
        let guardian_pid =
            options.lifeline.as_ref().map_or(0, |lifeline| lifeline.guardian_pid().unsigned_abs());
        let (outcome_sender, outcome) = watch::channel(None);
        let clock = Clock::start();
        let adapting = Adapting::new(&config, &registry, clock);
        let plans = Arc::new(open_plans(&config, guardian_pid));
        let secrets = Arc::new(Secrets::of(&config));
        entrust(options.lifeline.as_ref(), &plans, &secrets);
        take_variables(&secrets, options.lifeline.as_ref());
        let context = Arc::new(NodeContext {
            config: config.clone(),
            clock,
            registry: registry.clone(),
            roster: roster.clone(),
            resources: child::Resources {
                logs: logs.clone(),
                native: options.native,
                heartbeat: Heartbeat::start(),
                sockets: Sockets::default(),
                plans: plans.clone(),
                limit_watch: LimitWatch::new(registry.clone(), clock),
                secrets,
            },
            adapting: adapting.clone(),
            recorder: Recorder::default(),
            token: token(),
            outcome: outcome_sender,
        });
        enter_all(&context);
        registry.record_node(NodeState::Starting, format!("node {} starts", config.node.name));
        let operator =
            Operator::new(config.clone(), registry.clone(), roster.clone(), adapting.clone());
        adapting.begin(&context, operator.clone());
        let control_path = config.node.runtime_dir.join(CONTROL_SOCKET);
        let control = Control {
            registry: registry.clone(),
            operator: operator.clone(),
            logs: logs.clone(),
            sampler: Arc::new(Sampler::new(&plans)),
            adapting,
            recorder: context.recorder.clone(),
            identity: Identity { name: config.node.name.clone(), guardian_pid },
        };
        let control = serve(&config, &control_path, control)?;
        let (root, root_task) = begin_root(&context).await?;
        Ok(Self {
            registry,
            logs,
            operator,
            root,
            root_task,
            outcome,
            lifeline: options.lifeline,
            signals: options.signals,
            _lock: lock,
            control,
            control_path,
            context,
        })
    }

    /// What is known about every instance.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the services print.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// For whoever wants to record what supervisors decide.
    pub fn recorder(&self) -> &Recorder {
        &self.context.recorder
    }

    /// For wishes from inside the program.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Goes on until everything has stopped: by a signal, a request, the loss of the guardian, or
    /// because the root supervisor gave up. A second signal or request skips the graces.
    ///
    /// # Errors
    /// [`NodeError::RootFailed`] when the root supervisor ended without a decision.
    pub async fn run(mut self) -> Result<Ending, NodeError> {
        let mut asked = Asked::by(self.signals)?;
        let mut requests = self.operator.shutdown_requests();
        let owns_process = self.lifeline.is_some();
        let guardian_lost = guardian_lost(self.lifeline.take());
        tokio::pin!(guardian_lost);
        let reaper = tokio::spawn(blackhole_process::reap_orphans());
        let mut orphaned = false;
        let mut outcome = self.outcome.clone();
        let exit = loop {
            tokio::select! {
                biased;
                exit = outcome.wait_for(Option::is_some) => {
                    break exit.ok().and_then(|exit| exit.clone());
                }
                _ = &mut self.root_task => break self.outcome.borrow().clone(),
                name = asked.next() => self.stop(name),
                _ = requests.changed() => self.stop("a request"),
                () = &mut guardian_lost, if !orphaned => {
                    orphaned = true;
                    self.stop("the loss of the guardian");
                }
            }
        };
        reaper.abort();
        self.context.recorder.end();
        // Without a guardian the process may have other children than this node's.
        if owns_process && let Err(error) = blackhole_process::kill_everything().await {
            tracing::error!(%error, "could not look for what services left behind");
        }
        self.control.finish().await;
        if let Err(error) = self.logs.flush(FLUSH_WAIT_MAX).await {
            tracing::error!(%error, "the last log lines may be lost");
        }
        // The next node replaces a name that is left over.
        let _ = fs::remove_file(&self.control_path);
        drop(self.context);
        match exit {
            None => Err(NodeError::RootFailed),
            Some(SupervisorExit::Stopped) => Ok(Ending::Stopped),
            Some(
                SupervisorExit::RestartedTooOften(member)
                | SupervisorExit::AutoShutdown(member)
                | SupervisorExit::StartFailed(member),
            ) => Ok(Ending::GaveUp { name: member.to_string() }),
        }
    }

    fn stop(&self, why: &str) {
        let again = self.registry.node_state() == NodeState::Stopping;
        let how = if again { "again: graces are skipped" } else { "everything stops" };
        self.registry.record_node(NodeState::Stopping, format!("{why}: {how}"));
        // A root that is gone has told its outcome.
        let _ = self.root.cast(Message::Event(Event::StopRequested));
    }
}

/// The signals that ask a node to end.
struct Asked {
    signals: Option<[Signal; 3]>,
    last_at: Option<Instant>,
}

impl Asked {
    fn by(signals: Signals) -> Result<Self, NodeError> {
        let listen =
            |kind| signal(kind).map_err(|error| NodeError::Part("signal handling", error.into()));
        let signals = match signals {
            Signals::Left => None,
            Signals::Heeded => Some([
                listen(SignalKind::terminate())?,
                listen(SignalKind::interrupt())?,
                listen(SignalKind::hangup())?,
            ]),
        };
        Ok(Self { signals, last_at: None })
    }

    /// The name of the next one that is not the echo of another.
    async fn next(&mut self) -> &'static str {
        loop {
            let name = self.any().await;
            if self.last_at.is_none_or(|last_at| last_at.elapsed() > ECHO_MAX) {
                // What has come by now is an echo, however long ago that was.
                while self.any().now_or_never().is_some() {}
                self.last_at = Some(Instant::now());
                return name;
            }
        }
    }

    async fn any(&mut self) -> &'static str {
        let Some([terminate, interrupt, hangup]) = &mut self.signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => "SIGHUP",
        }
    }
}

/// The supervisor of everything, which starts it.
async fn begin_root(
    context: &Arc<NodeContext>,
) -> Result<(SupervisorRef, JoinHandle<()>), NodeError> {
    let policy = policy(&context.config, &context.registry, None)
        .map_err(|error| NodeError::Tree(error.to_string()))?;
    let nursery = Arc::new(Instances::root(context.clone()));
    let arguments = Arguments { policy, nursery, clock: context.clock };
    let (root, task) = Actor::spawn(None, Supervisor::<Instances>::default(), arguments)
        .await
        .map_err(|error| NodeError::Part("the root supervisor", error.into()))?;
    context.roster.enter(None, root.clone());
    Ok((root, task))
}

/// Resolves when the guardian is gone; never, when there is none.
async fn guardian_lost(lifeline: Option<Lifeline>) {
    match lifeline {
        Some(lifeline) => {
            if let Err(error) = lifeline.lost().await {
                tracing::error!(%error, "the guardian can no longer be watched");
            }
        }
        None => std::future::pending().await,
    }
}

/// Every instance that the file names, before anything has started.
fn enter_all(context: &NodeContext) {
    let NodeContext { registry, config, .. } = context;
    for service in config.services.values() {
        let state = if service.enabled { State::Pending } else { State::Disabled };
        for index in (1..=service.instances.get()).filter_map(NonZeroU32::new) {
            let instance = InstanceId { service: service.name.clone(), index };
            registry.add(instance, service.group.clone(), Kind::of(service), state);
        }
    }
    open_native_sockets(context);
}

/// Before anything has started, so that whoever speaks to a native service at once waits in its backlog.
fn open_native_sockets(context: &NodeContext) {
    let wanted =
        |entry: &registry::Entry| entry.kind == Kind::Native || entry.kind == Kind::Embedded;
    for entry in context.registry.entries(|entry| wanted(entry) && entry.state != State::Disabled) {
        let runtime_dir = &context.config.node.runtime_dir;
        if let Err(error) = context.resources.sockets.native(&entry.instance, runtime_dir) {
            // Its start tries again, and is what fails.
            tracing::debug!(instance = %entry.instance, %error, "could not open its sockets yet");
        }
    }
}

/// Opens the control socket and the HTTP port, and serves them as long as the node lives.
fn serve(config: &Arc<Config>, control_path: &Path, control: Control) -> Result<Served, NodeError> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| NodeError::ControlSocket(error);
    let socket = sockets::listen_unix_with(control_path, 0o600).map_err(|e| refused(e.into()))?;
    let socket = std::os::unix::net::UnixListener::from(socket);
    socket.set_nonblocking(true).map_err(|e| refused(e.into()))?;
    let listener = UnixListener::from_std(socket).map_err(|e| refused(e.into()))?;
    if let Some(settings) = config.http {
        let address = settings.listen;
        let listener = http::bind(address).map_err(|source| NodeError::Http { address, source })?;
        let sources = http::Sources {
            config: config.clone(),
            registry: control.registry.clone(),
            sampler: control.sampler.clone(),
            adapting: control.adapting.clone(),
            turn: Arc::default(),
        };
        tokio::spawn(report("HTTP", http::serve(listener, sources)));
    }
    let (end, ended) = oneshot::channel();
    let serving = control::serve(listener, control, async {
        // That the node is dropped ends it as well.
        let _ = ended.await;
    });
    Ok(Served { end, task: tokio::spawn(report("the control API", serving)) })
}

async fn report<E: std::fmt::Display>(
    part: &'static str,
    serving: impl Future<Output = Result<(), E>>,
) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "{part} is no longer served");
    }
}

/// Makes the node's directories and locks the runtime directory against a second node.
fn take_possession(config: &Config) -> Result<fs::File, NodeError> {
    directories::prepare(config)?;
    let lock = lock(&config.node.runtime_dir)?;
    directories::remove_stale_notify_sockets(&config.node.runtime_dir)?;
    Ok(lock)
}

fn lock(runtime_dir: &Path) -> Result<fs::File, NodeError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let path = runtime_dir.join(LOCK);
    let failed = |source| NodeError::Lock { path: path.clone(), source };
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Who may open it could hold the lock.
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).map_err(failed)?.trim().to_owned();
            return Err(NodeError::AlreadyRunning { path: runtime_dir.to_path_buf(), holder });
        }
        Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Not for nothing: to cut even an empty file may take a file system half a millisecond.
    if file.metadata().is_ok_and(|it| it.len() > 0) {
        file.set_len(0).map_err(failed)?;
    }
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// The node's own directory among control groups: one for each runtime directory, so that a node
/// finds what a predecessor that crashed in the same place has left.
fn group_name(config: &Config) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    config.node.runtime_dir.hash(&mut hasher);
    format!("blackhole-{:016x}", hasher.finish())
}

/// The node and its guardian, where it has one, may be moved out of the way of its groups.
fn open_plans(config: &Config, guardian_pid: u32) -> Plans {
    let own_processes = [std::process::id(), guardian_pid];
    let own_processes: Vec<u32> = own_processes.into_iter().filter(|pid| *pid != 0).collect();
    Plans::open(config, &group_name(config), &own_processes)
}

/// A node that is killed cannot remove its groups and its services' secrets itself.
fn entrust(lifeline: Option<&Lifeline>, plans: &Plans, secrets: &Secrets) {
    let Some(lifeline) = lifeline else { return };
    let groups = plans.roots().map(|root| lifeline.entrust_cgroup(root));
    let secrets = secrets.entrusted().map(|root| lifeline.entrust_directory(root));
    for error in groups.chain(secrets).filter_map(Result::err) {
        tracing::warn!(%error, "a crash would leave control groups or secrets behind");
    }
}

/// What holds a secret is not to be read in `/proc`, of the node and of its guardian, as long as they live.
fn take_variables(secrets: &Secrets, lifeline: Option<&Lifeline>) {
    for name in &**secrets.withheld() {
        secrets::take_variable(name);
        let withheld = lifeline.map(|lifeline| lifeline.withhold_variable(name.as_ref()));
        if let Some(Err(error)) = withheld {
            tracing::warn!(variable = name, %error, "`/proc` still shows it of the guardian");
        }
    }
}

/// Different for each node that ever ran on this machine.
fn token() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", since.as_nanos())
}

#[cfg(test)]
mod tests;
