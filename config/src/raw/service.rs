//! `[services.*]` as written.

use std::time::Duration;

use blackhole_isolation::{CpuList, Enforcement, IoPriority, Scheduler};
use blackhole_policy::{budget::Tier, supervision::Restart};
use serde_json::{Value as Json, json};

use super::{
    AtLeastOne, Command, Cores, Count, Grace, ListenAddress, Nice, OomScore, RawBandwidth,
    RawDiskRates, RawGuarantee, RawLive, RawProbe, RawReady, RawRlimits, RawSandbox, RawScale,
    RawSecret, Share, Signal, Size, SizeOrUnlimited, Umask, Weight,
};
use crate::{
    Mode, OnFailed, Template,
    problem::Problems,
    read::{Entries, Located, Read, keys, table},
    tree::Node,
};

keys! {
    /// One unit that is run: a command, or without one a service of this binary.
    RawService {
        /// The program and its arguments; absent for a native service.
        command: Command,
        /// Native services: in a child process or inside the node. Default: subprocess.
        mode: Mode,
        /// Native services: free-form settings.
        settings: Settings,
        /// false: listed, never started. Default: true.
        enabled: bool,
        /// How many processes. Default: 1.
        instances: Count<1, 1000>,
        /// Services or groups that must be ready first.
        depends_on: Vec<Located<String>>,
        /// Which exits are followed by a restart. Default: permanent.
        restart: Restart,
        /// More restarts than this within the window are too many. Default: the root's.
        restarts_max: Count<0, 1_000_000>,
        /// How far back restarts count. Default: the root's.
        restarts_window: Duration,
        /// What follows when the limit is exceeded. Default: rest.
        on_failed: OnFailed,
        /// Delays between restarts.
        backoff: RawBackoff,
        /// Must succeed once before `ready` and `live` are asked.
        startup: RawProbe,
        /// When it may be depended on and called. Default: spawned; for native services native.
        ready: RawReady,
        /// When it counts as stuck. Default: never; for native subprocesses native.
        live: RawLive,
        /// From spawn to ready, at most. Default: 30s.
        start_deadline: Duration,
        /// How it is asked to stop.
        stop: RawStop,
        /// Listening sockets that the node holds and passes down: `tcp://ip:port`, `unix:///path`.
        listen: Vec<Located<ListenAddress>>,
        /// Where it starts; relative to the file's folder. Default: where the node was started.
        working_directory: Template,
        /// As whom it runs: `name` or `name:group`. Default: as the node.
        user: String,
        /// The group it runs as. Default: the user's.
        group: String,
        /// The groups it is in besides. Default: those that the host lists for the user.
        supplementary_groups: Vec<Located<String>>,
        /// Variables.
        environment: Entries<Template>,
        /// Files of KEY=VALUE lines, relative to the file's folder; a leading `-` makes one optional.
        environment_files: Vec<Located<String>>,
        /// Do not inherit the node's environment. Default: false.
        clear_environment: bool,
        /// What it may use.
        resources: RawResources,
        /// What happens when this host cannot enforce a limit of `resources`. Default: the node's.
        enforce: Enforcement,
        /// Secrets, by the names of the files that it finds in `{secrets_dir}` and `$CREDENTIALS_DIRECTORY`.
        secrets: Entries<RawSecret>,
        /// What it is kept from: "standard", "strict", or a table. Default: nothing.
        sandbox: RawSandbox,
        /// Who is squeezed first when the node's budget is short: standard, then core, then critical. Default: standard.
        tier: Tier,
        /// What is kept in the node's budget for each process.
        guarantee: RawGuarantee,
        /// Changes the number of instances by what they use. Default: never.
        scale: RawScale,
    }
}

keys! {
    /// Delays between restarts.
    RawBackoff {
        /// The wait before the second restart in a row; the first is immediate. Default: 200ms.
        initial: Duration,
        /// How much longer each further wait is. Default: 2.0.
        factor: AtLeastOne,
        /// No wait is longer. Default: 30s.
        max: Duration,
        /// The share by which a wait may be shortened or lengthened. Default: 0.1.
        jitter: Share,
        /// A run at least this long was healthy. Default: 60s.
        reset_after: Duration,
    }
}

keys! {
    /// How it is asked to stop.
    RawStop {
        /// The signal that asks. Default: SIGTERM.
        signal: Signal,
        /// Between asking and killing; "infinity" waits for ever. Default: 10s.
        grace: Grace,
    }
}

keys! {
    /// What each process of the service may use.
    RawResources {
        /// CPUs' time: 1.5, or "150%", is one and a half CPUs.
        cpu: Cores,
        /// CPU time relative to others, 100 being normal.
        cpu_weight: Weight,
        /// On which CPUs all its processes run together, as in "0-3,6".
        cpus: CpuList,
        /// Memory that is never exceeded: beyond it the kernel kills.
        memory: Size,
        /// Memory beyond which it is slowed down.
        memory_high: Size,
        /// Swap that is never exceeded.
        swap: Size,
        /// I/O relative to others, 100 being normal.
        io_weight: Weight,
        /// What may pass to and from disks in a second, by a path on each.
        io: Entries<RawDiskRates>,
        /// What its own sockets may send and receive in a second, over TCP, UDP and the like, loopback included.
        network: RawBandwidth,
        /// What the service's own directory, `{data_dir}/{service}`, may hold: near it is warned of, beyond it the service is stopped.
        disk: Size,
        /// Open files.
        files_max: Count<4, 1_073_741_816>,
        /// Processes and threads.
        tasks_max: Count<1, 4_194_304>,
        /// Scheduling priority; lower is more.
        nice: Nice,
        /// How the kernel shares CPU time: "normal", "batch", "idle", "fifo:1" to "fifo:99", "round_robin:1" to "round_robin:99".
        scheduler: Scheduler,
        /// Which I/O goes first: "realtime:0" (first) to "realtime:7", "best_effort:0" to "best_effort:7", "idle".
        io_priority: IoPriority,
        /// On which CPUs each process begins; unlike `cpus` it may change that.
        affinity: CpuList,
        /// Bytes of a core dump; 0 for none.
        core_dump_max: SizeOrUnlimited,
        /// The kernel's per-process limits, by the names of limits.conf: a number for both bounds, or { soft, hard }.
        rlimits: RawRlimits,
        /// Permission bits that new files do not get, as in "0027".
        umask: Umask,
        /// How gladly the kernel kills it when memory is short.
        oom_score_adj: OomScore,
    }
}

/// A free table, as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Settings(pub(crate) Json);

impl Read for Settings {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        table(node, problems)?;
        Some(Self(node.to_json()))
    }

    fn schema() -> Json {
        json!({ "type": "object" })
    }
}
