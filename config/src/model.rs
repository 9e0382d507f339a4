//! The file's meaning: domain types that are valid by construction.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use blackhole_isolation::{
    Bandwidth, Capabilities, CpuList, DiskRates, Enforcement, IoPriority, Network, Part, Rlimit,
    Sandbox as Preset, Scheduler, Seccomp,
};
use blackhole_policy::{
    backoff::Backoff,
    budget::{Amount, Resource, Tier},
    scaling::ScalingSpec,
    supervision::{Restart, RestartLimit, Strategy},
};
use blackhole_protocol::Name;
use indexmap::IndexMap;

use crate::Template;

/// A whole file, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[supervisor]`.
    pub supervisor: Supervisor,
    /// `[groups.*]`, in the order of the file.
    pub groups: Vec<Group>,
    /// `[services.*]`, in the order of the file.
    pub services: IndexMap<Name, Service>,
    /// `[http]`, when present.
    pub http: Option<Http>,
    /// `[logs]`.
    pub logs: Logs,
    /// `[resources]`, when present.
    pub budget: Option<Budget>,
}

/// Who the node is and where it keeps things. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Node {
    /// Default: the host's name.
    pub name: String,
    /// Sockets and state. Default: `$XDG_RUNTIME_DIR/blackhole/<name>`, for root
    /// `/run/blackhole/<name>`.
    pub runtime_dir: PathBuf,
    /// Data of services. Default: `$XDG_DATA_HOME/blackhole/<name>`, for root
    /// `/var/lib/blackhole/<name>`.
    pub data_dir: PathBuf,
    /// The default of what happens when the host cannot enforce a limit.
    pub enforcement: Enforcement,
    /// Log files. Default: `$XDG_STATE_HOME/blackhole/<name>/log`, for root
    /// `/var/log/blackhole/<name>`.
    pub log_dir: PathBuf,
}

/// The root supervisor.
#[derive(Debug, Clone)]
pub struct Supervisor {
    /// How siblings at the root are treated when one fails.
    pub strategy: Strategy,
    /// The default of every service's own limit.
    pub limit: RestartLimit,
    /// Services and groups that are in no group, in start order: as in the file, but never before
    /// what they depend on.
    pub members: Vec<Name>,
}

/// A nested supervisor.
#[derive(Debug, Clone)]
pub struct Group {
    /// Unique among groups and services.
    pub name: Name,
    /// The group that it is a member of; `None` at the root.
    pub parent: Option<Name>,
    /// How siblings are treated when one fails.
    pub strategy: Strategy,
    /// Shared by all members.
    pub limit: RestartLimit,
    /// Services and groups, in start order. Not empty.
    pub members: Vec<Name>,
    /// Siblings at the parent that must be up first, as for a service; members' `depends_on` that
    /// lead out of the group are lifted to it.
    pub after: Vec<Name>,
    /// What follows when the group exceeded its limit and then its parent's.
    pub on_failed: OnFailed,
}

/// One unit of the file.
#[derive(Debug, Clone)]
pub struct Service {
    /// Unique among groups and services.
    pub name: Name,
    /// The group that it is a member of; `None` at the root.
    pub group: Option<Name>,
    /// What is run.
    pub kind: Kind,
    /// `false`: listed, never started.
    pub enabled: bool,
    /// How many processes.
    pub instances: NonZeroU32,
    /// As written.
    pub depends_on: Vec<Name>,
    /// Siblings (services or groups under the same supervisor) that must be up first: the part of
    /// `depends_on` that concerns this level, and under `rest_for_one` and `one_for_all` the enabled
    /// member before it.
    pub after: Vec<Name>,
    /// Which exits are followed by a restart.
    pub restart: Restart,
    /// The service's own limit; without effect inside a group.
    pub limit: RestartLimit,
    /// What follows when the limit is exceeded.
    pub on_failed: OnFailed,
    /// Delays between restarts.
    pub backoff: Backoff,
    /// Must succeed once before `ready` and `live` are asked.
    pub startup: Option<Probe>,
    /// When it may be depended on and called.
    pub ready: Ready,
    /// When it counts as stuck.
    pub live: Option<Live>,
    /// From spawn to ready, at most.
    pub start_deadline: Duration,
    /// How it is asked to stop.
    pub stop: Stop,
    /// Listening sockets that the node holds and passes down, in the order of the file.
    pub listen: Vec<Listen>,
    /// Where it starts. Default: the node's working directory.
    pub working_directory: Option<Template>,
    /// As whom it runs. Default: as the node.
    pub user: Option<User>,
    /// What it finds in its environment.
    pub environment: Environment,
    /// What each of its processes may use.
    pub resources: Resources,
    /// What happens when the host cannot enforce one of `resources`.
    pub enforcement: Enforcement,
    /// What it is kept from.
    pub sandbox: Sandbox,
    /// Who is squeezed first when the budget is short.
    pub tier: Tier,
    /// What is kept in the budget for each of its processes.
    pub guarantee: Amount,
    /// How the number of its processes follows what they use.
    pub scale: Option<ScalingSpec>,
    /// What it finds as files in its secrets' directory.
    pub secrets: Vec<Secret>,
}

/// Something that only the service and the node may know. Its value is read when the service is
/// started, never before, and is no part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The file's name.
    pub name: String,
    /// Where it comes from.
    pub source: SecretSource,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// A file; absolute.
    File(PathBuf),
    /// A variable of the node's environment.
    Environment(String),
    /// A file of this name in the node's `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// What a service is made of.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Any program: the program and its arguments. Not empty.
    Command(Vec<Template>),
    /// A service of this binary.
    Native {
        /// Where it runs.
        mode: Mode,
        /// `[services.X.settings]`, as JSON text of an object.
        settings: String,
    },
}

/// Where a native service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In a child process.
    Subprocess,
    /// Inside the node.
    Embedded,
}

/// What follows when a service or group exceeded its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailed {
    /// It is `failed`, and the others run on.
    Rest,
    /// Its supervisor gives up as well.
    Escalate,
}

/// When a service may be depended on and called.
#[derive(Debug, Clone)]
pub enum Ready {
    /// Once it has exec'd (commands without a `ready` key).
    Spawned,
    /// The child says so on the link (native services).
    Native,
    /// The child says so by sd_notify.
    Notify,
    /// A line of its output matches.
    Log(regex::Regex),
    /// It has stayed up for so long.
    UpFor(Duration),
    /// A check from outside succeeds; afterwards it is repeated.
    Probe(Probe),
}

/// How a stuck process is found.
#[derive(Debug, Clone)]
pub enum Live {
    /// `WATCHDOG=1` must come by sd_notify at least this often.
    Notify {
        /// Told to the child as `WATCHDOG_USEC`.
        timeout: Duration,
    },
    /// The native child answers pings on the link.
    Native {
        /// Silence longer than this is a failure.
        timeout: Duration,
    },
    /// A check from outside.
    Probe(Probe),
}

/// A check from outside, repeated.
#[derive(Debug, Clone)]
pub struct Probe {
    /// What is tried.
    pub check: Check,
    /// From the end of one try to the start of the next.
    pub every: Duration,
    /// The same while it is not healthy, so that nobody waits ten seconds for a start of one.
    pub every_starting: Duration,
    /// Of one try.
    pub timeout: Duration,
    /// So many failures in a row are a failure.
    pub failures_max: NonZeroU32,
    /// So many successes in a row are a success.
    pub successes_min: NonZeroU32,
}

/// One try of a probe.
#[derive(Debug, Clone)]
pub enum Check {
    /// gRPC health v1: by `Watch` where it is served, else by `Check`.
    Grpc(GrpcCheck),
    /// An HTTP GET that must answer 200 to 399.
    Http(HttpCheck),
    /// A TCP connection to `host:port`.
    Tcp(Template),
    /// A connection to a Unix socket.
    Unix(Template),
    /// A program that must exit with 0. Not empty.
    Exec(Vec<Template>),
}

/// Where gRPC health v1 is asked.
#[derive(Debug, Clone)]
pub struct GrpcCheck {
    /// `unix:/path`, `host:port`.
    pub target: Template,
    /// The `service` field of the request; empty asks for the whole server.
    pub service: String,
    /// TLS when present; mutual when it has a certificate.
    pub tls: Option<Tls>,
}

/// Where HTTP is asked.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// `http://…` or `https://…`.
    pub url: Template,
    /// For `https`; without it the host's certificate authorities are trusted.
    pub tls: Option<Tls>,
}

/// Certificates of a client.
#[derive(Debug, Clone)]
pub struct Tls {
    /// PEM file with the authorities to trust; `None`: the host's own.
    pub ca: Option<Template>,
    /// PEM files with our certificate chain and its key.
    pub identity: Option<(Template, Template)>,
    /// The name that the certificate must carry. Default: the target's host.
    pub server_name: Option<String>,
}

/// How a service is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// The number of the signal that asks. Default: SIGTERM.
    pub signal: i32,
    /// Between asking and killing; `None` waits for ever.
    pub grace: Option<Duration>,
}

/// A listening socket that the node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `tcp://host:port`.
    Tcp(SocketAddr),
    /// `unix:///path`.
    Unix(Template),
}

/// As whom a service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name or number, as written.
    pub user: String,
    /// The name or number, as written; default: the user's primary group.
    pub group: Option<String>,
    /// Names or numbers; `None`: those that the host lists for the user.
    pub supplementary: Option<Vec<String>>,
}

/// What a child finds in its environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Do not inherit the node's environment.
    pub clear: bool,
    /// From `environment_files`, in order, later ones win; already read.
    pub from_files: Vec<(String, String)>,
    /// Inline values; they win over files.
    pub inline: BTreeMap<String, Template>,
}

/// What a process may use; `None` is without limit, or as the node's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// CPUs' time: 1.5 is one and a half CPUs.
    pub cpu: Option<f64>,
    /// CPU time relative to others, 1 to 10000, 100 being normal.
    pub cpu_weight: Option<u32>,
    /// Bytes of memory that are never exceeded: beyond them the kernel kills.
    pub memory: Option<u64>,
    /// Bytes of memory beyond which it is slowed down; at most `memory`.
    pub memory_high: Option<u64>,
    /// Bytes of swap that are never exceeded.
    pub swap: Option<u64>,
    /// I/O relative to others, 1 to 10000, 100 being normal.
    pub io_weight: Option<u32>,
    /// On which CPUs all its processes run together.
    pub cpus: Option<CpuList>,
    /// What may pass to and from disks.
    pub io: Vec<DiskRates>,
    /// What its own sockets may send and receive.
    pub network: Bandwidth,
    /// Bytes in the service's own directory.
    pub disk: Option<u64>,
    /// Open files.
    pub files_max: Option<u32>,
    /// Processes and threads.
    pub tasks_max: Option<u32>,
    /// Scheduling priority, -20 to 19; lower is more.
    pub nice: Option<i32>,
    /// Permission bits that new files do not get.
    pub umask: Option<u32>,
    /// -1000 to 1000: how gladly the kernel kills it when memory is short.
    pub oom_score_adj: Option<i32>,
    /// How the kernel shares CPU time.
    pub scheduler: Option<Scheduler>,
    /// Which I/O goes first.
    pub io_priority: Option<IoPriority>,
    /// On which CPUs each process begins.
    pub affinity: Option<CpuList>,
    /// Per-process limits, core dumps included; none twice, and none for open files.
    pub rlimits: Vec<Rlimit>,
}

/// What a service is kept from; the default is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sandbox {
    /// What the keys stand over.
    pub preset: Option<Preset>,
    /// Exactly these.
    pub capabilities: Option<Capabilities>,
    /// Executing a program never gives more rights.
    pub no_new_privileges: Option<bool>,
    /// Which system calls; `Some(None)`: all, whatever the preset says.
    pub seccomp: Option<Option<Seccomp>>,
    /// Which files it may touch.
    pub paths: Option<Paths>,
    /// A /tmp of its own.
    pub private_tmp: Option<bool>,
    /// Seen, but not to be changed.
    pub read_only: Vec<Template>,
    /// Seen as empty.
    pub hidden: Vec<Template>,
    /// What it can reach.
    pub network: Option<Network>,
    /// It sees only its own processes.
    pub private_pids: Option<bool>,
    /// Parts without which it may run.
    pub optional: BTreeSet<Part>,
}

/// Files that may be touched, with all below them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Paths {
    /// May be read.
    pub read: Vec<Template>,
    /// May be written, beside its own directories.
    pub write: Vec<Template>,
    /// May be executed; `None`: everything.
    pub execute: Option<Vec<Template>>,
}

/// `[resources]`: what all services may have together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Thousandths of a CPU's time; `None`: what there is, less the reserve.
    pub cpu_millis: Option<u64>,
    /// Bytes; `None`: what there is, less the reserve.
    pub memory_bytes: Option<u64>,
    /// The share that a default leaves to the host and the node; less than 1.
    pub reserve: f64,
    /// How often use is looked at.
    pub every: Duration,
    /// How far back rolling use remembers.
    pub window: Duration,
}

impl Budget {
    /// What the file says that there is of a resource.
    pub fn stated(&self, resource: Resource) -> Option<u64> {
        match resource {
            Resource::Cpu => self.cpu_millis,
            Resource::Memory => self.memory_bytes,
        }
    }
}

/// `[http]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http {
    /// Where `/health`, `/ready` and `/metrics` are served.
    pub listen: SocketAddr,
}

/// `[logs]`: how much of the services' output is kept, for each instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logs {
    /// A file larger than this is closed and a new one begun, in bytes.
    pub file_size_max: u64,
    /// A file older than this is closed and a new one begun.
    pub file_age_max: Duration,
    /// Closed files kept per instance.
    pub files_max: u32,
    /// Closed files older than this are removed.
    pub retention: Duration,
    /// A line longer than this is split, in bytes.
    pub line_length_max: usize,
}
