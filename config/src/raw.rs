//! The file as written: which keys there are and what a value of each must look like.
//!
//! What keys mean together is checked in `validate`.

mod adapting;
mod choices;
mod durations;
mod limits;
mod numbers;
mod probe;
mod sandbox;
mod secrets;
mod service;
mod sizes;
mod texts;

pub(crate) use adapting::{RawBudget, RawGuarantee, RawScale};
pub(crate) use durations::{Grace, written};
pub(crate) use limits::{Cores, RawBandwidth, RawDiskRates, RawRlimits, SizeOrUnlimited};
pub(crate) use numbers::{AtLeastOne, Count, Nice, OomScore, Share, Umask, Weight};
pub(crate) use probe::{GrpcTarget, RawLive, RawProbe, RawReady, RawTls, Said};
pub(crate) use sandbox::{Capability, Filter, RawPaths, RawSandbox, RawSandboxKeys};
pub(crate) use secrets::RawSecret;
pub(crate) use service::{RawBackoff, RawResources, RawService};
pub(crate) use sizes::Size;
pub(crate) use texts::{
    Address, Command, ListenAddress, NodeName, PathTemplate, Signal, variable_name_rule,
};

use std::time::Duration;

use blackhole_isolation::Enforcement;
use blackhole_policy::supervision::Strategy;

use crate::{
    OnFailed,
    read::{Entries, Located, keys},
};

keys! {
    /// A file of services for `bh run`.
    RawFile {
        /// Who the node is and where it keeps things.
        node: RawNode,
        /// The root supervisor.
        supervisor: RawSupervisor,
        /// Nested supervisors, by name.
        groups: Entries<RawGroup>,
        /// What is run, by name.
        services: Entries<RawService>,
        /// The HTTP endpoint for health and metrics; off when absent.
        http: RawHttp,
        /// How much of the services' output is kept, for each instance.
        logs: RawLogs,
        /// What all services may have together; without it nothing is shared out.
        resources: RawBudget,
    }
}

keys! {
    /// Who the node is and where it keeps things.
    RawNode {
        /// The node's name. Default: the host's name.
        name: NodeName,
        /// Sockets and state. Default: `$XDG_RUNTIME_DIR/blackhole/<name>`, as root `/run/blackhole/<name>`.
        runtime_dir: String,
        /// Data of services. Default: `$XDG_DATA_HOME/blackhole/<name>`, as root `/var/lib/blackhole/<name>`.
        data_dir: String,
        /// What happens when this host cannot enforce a limit of `resources`: best_effort starts the service and says so, strict does not start it. Default: best_effort.
        enforce: Enforcement,
        /// Log files. Default: `$XDG_STATE_HOME/blackhole/<name>/log`, as root `/var/log/blackhole/<name>`.
        log_dir: String,
    }
}

keys! {
    /// The root supervisor.
    RawSupervisor {
        /// How siblings at the root are treated when one fails. Default: one_for_one.
        strategy: Strategy,
        /// The default of every service's own limit. Default: 5.
        restarts_max: Count<0, 1_000_000>,
        /// How far back restarts count. Default: 5m.
        restarts_window: Duration,
    }
}

keys! {
    /// A nested supervisor.
    RawGroup {
        /// How siblings are treated when one fails. Default: one_for_one.
        strategy: Strategy,
        /// Services and groups, in start order.
        services: Vec<Located<String>>,
        /// More restarts of all members together than this within the window are too many. Default: the root's.
        restarts_max: Count<0, 1_000_000>,
        /// How far back restarts count. Default: the root's.
        restarts_window: Duration,
        /// What follows when the limit is exceeded. Default: rest.
        on_failed: OnFailed,
    }
}

keys! {
    /// The HTTP endpoint: `/health`, `/ready`, `/metrics`.
    RawHttp {
        /// `host:port` to listen on, as in "127.0.0.1:9091".
        listen: Address,
    }
}

keys! {
    /// How much of the services' output is kept, for each instance.
    RawLogs {
        /// A file larger than this is closed and a new one begun. Default: 16MiB.
        file_size_max: Size,
        /// A file older than this is closed and a new one begun. Default: 24h.
        file_age_max: Duration,
        /// Closed files kept per instance. Default: 5.
        files_max: Count<0, 10_000>,
        /// Closed files older than this are removed. Default: 7d.
        retention: Duration,
        /// A line longer than this is split. Default: 64KiB.
        line_length_max: Size,
    }
}
