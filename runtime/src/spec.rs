//! What a node runs, said in code: [`ServiceSpec`] and [`GroupSpec`].
//!
//! Each call writes a key of the file: the same reader and the same rules judge both, and a problem
//! names the key and the line of Rust that wrote it. What has no call of its own is written with
//! [`ServiceSpec::set`].

use std::{path::Path, time::Duration};

use blackhole_config::{OnFailed, Table, Value};
use blackhole_isolation::Enforcement;
use blackhole_policy::{
    backoff::Backoff,
    budget::Tier,
    supervision::{Restart, Strategy},
};
use blackhole_sdk::Service;
use serde::Serialize;

use crate::{
    HostedActor, Live, Probe, Ready, Sandbox, Scale, Secret, Size, Work, hosted::Hosting,
    native::Contained, pool::Working,
};

/// The largest limit that a file can say.
const RESTARTS_UNBOUNDED: u32 = 1_000_000;

/// One service: what is run, and how it is supervised.
///
/// ```
/// use std::time::Duration;
/// use blackhole::{Probe, ServiceSpec};
///
/// let api = ServiceSpec::command(["python3", "api.py"])
///     .listen("tcp://127.0.0.1:8000")
///     .ready(Probe::http("http://127.0.0.1:8000/health"))
///     .grace(Duration::from_secs(5));
/// # drop(api);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a service runs when it is given to a node"]
pub struct ServiceSpec {
    pub(crate) table: Table,
    pub(crate) contained: Option<Contained>,
}

impl ServiceSpec {
    /// Any program with its arguments. No shell takes them apart.
    #[track_caller]
    pub fn command<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        Self { table: Table::new(), contained: None }.set("command", words)
    }

    /// A service of this program, in child processes.
    pub fn native<S: Service>() -> Self {
        Self { table: Table::new(), contained: Some(Contained::of::<S>()) }
    }

    /// An actor of this program, in child processes.
    pub fn actor<A: HostedActor>() -> Self {
        Self::native::<Hosting<A>>()
    }

    /// A pool of workers of this program. A worker that dies is replaced at once, however often:
    /// [`restarts`](Self::restarts) and [`backoff`](Self::backoff) say otherwise.
    #[track_caller]
    pub fn pool<W: Work>(workers: u32) -> Self {
        Self::native::<Working<W>>()
            .instances(workers)
            .restarts(RESTARTS_UNBOUNDED, Duration::from_secs(1))
            .set("backoff", {
                let mut never = Table::new();
                never.set("initial", Duration::ZERO);
                never
            })
    }

    /// A native service's settings: what its [`Service::Settings`] reads.
    #[track_caller]
    pub fn settings(self, settings: &impl Serialize) -> Self {
        match serde_json::to_value(settings) {
            Ok(settings) => self.set("settings", settings),
            // What cannot be said is refused where everything else is.
            Err(error) => self.set("settings", format!("unsayable: {error}")),
        }
    }

    /// Runs a native service on a thread of the node: for development and tests. A thread that never
    /// yields cannot be ended from outside; that is what processes are for.
    #[track_caller]
    pub fn embedded(self) -> Self {
        self.set("mode", "embedded")
    }

    /// Listed, and not started: neither with the node nor by hand.
    #[track_caller]
    pub fn disabled(self) -> Self {
        self.set("enabled", false)
    }

    /// How many processes. Default: 1.
    #[track_caller]
    pub fn instances(self, instances: u32) -> Self {
        self.set("instances", instances)
    }

    /// A service or group that must be ready first; may be called several times.
    #[track_caller]
    pub fn depends_on(mut self, name: impl Into<String>) -> Self {
        self.table.push("depends_on", name.into());
        self
    }

    /// Which exits are followed by a restart. Default: [`Restart::Permanent`].
    #[track_caller]
    pub fn restart(self, restart: Restart) -> Self {
        self.set(
            "restart",
            match restart {
                Restart::Permanent => "permanent",
                Restart::Transient => "transient",
                Restart::Temporary => "temporary",
            },
        )
    }

    /// More than `restarts_max` restarts within `window` are too many. Default: 5 in 5 minutes. In a
    /// group the group's limit counts.
    #[track_caller]
    pub fn restarts(self, restarts_max: u32, window: Duration) -> Self {
        self.set("restarts_max", restarts_max).set("restarts_window", window)
    }

    /// What follows when the limit is exceeded. Default: [`OnFailed::Rest`].
    #[track_caller]
    pub fn on_failed(self, on_failed: OnFailed) -> Self {
        self.set("on_failed", on_failed_written(on_failed))
    }

    /// Delays between restarts.
    #[track_caller]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        let Backoff { initial, factor, max, jitter, reset_after } = backoff;
        let table = self.table.table("backoff");
        table.set("initial", initial).set("factor", factor).set("max", max);
        table.set("jitter", jitter).set("reset_after", reset_after);
        self
    }

    /// Must succeed once before `ready` and `live` are asked.
    #[track_caller]
    pub fn startup(self, probe: Probe) -> Self {
        self.set("startup", probe.into_value())
    }

    /// When it may be depended on and called.
    #[track_caller]
    pub fn ready(self, ready: impl Into<Ready>) -> Self {
        self.set("ready", ready.into().into_value())
    }

    /// When it counts as stuck, and is killed and restarted.
    #[track_caller]
    pub fn live(self, live: impl Into<Live>) -> Self {
        self.set("live", live.into().into_value())
    }

    /// From spawn to ready, at most. Default: 30 s.
    #[track_caller]
    pub fn start_deadline(self, deadline: Duration) -> Self {
        self.set("start_deadline", deadline)
    }

    /// The signal that asks it to stop, such as `SIGQUIT`. Default: `SIGTERM`.
    #[track_caller]
    pub fn stop_signal(mut self, signal: impl Into<String>) -> Self {
        self.table.table("stop").set("signal", signal.into());
        self
    }

    /// Between asking it to stop and killing it. Default: 10 s.
    #[track_caller]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.table.table("stop").set("grace", grace);
        self
    }

    /// Never kills it for being slow to stop.
    #[track_caller]
    pub fn grace_unbounded(mut self) -> Self {
        self.table.table("stop").set("grace", "infinity");
        self
    }

    /// A listening socket that the node holds and passes down, open across restarts:
    /// `tcp://127.0.0.1:8000`, `unix:///path`; may be called several times.
    #[track_caller]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.table.push("listen", address.into());
        self
    }

    /// Where it starts. Default: where this program was started.
    #[track_caller]
    pub fn working_directory(self, path: impl AsRef<Path>) -> Self {
        self.set("working_directory", path.as_ref())
    }

    /// As whom it runs. Default: as the node.
    #[track_caller]
    pub fn user(self, user: impl Into<String>) -> Self {
        self.set("user", user.into())
    }

    /// The group it runs as. Default: the user's.
    #[track_caller]
    pub fn group(self, group: impl Into<String>) -> Self {
        self.set("group", group.into())
    }

    /// The groups it is in besides. Default: those that the host lists for the user.
    #[track_caller]
    pub fn supplementary_groups<T: Into<String>>(
        self,
        groups: impl IntoIterator<Item = T>,
    ) -> Self {
        let groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        self.set("supplementary_groups", groups)
    }

    /// A variable of its environment.
    #[track_caller]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.table.table("environment").set(name, value.into());
        self
    }

    /// A file of `KEY=VALUE` lines for its environment; a leading `-` makes it optional; may be called
    /// several times.
    #[track_caller]
    pub fn environment_file(mut self, path: impl AsRef<Path>) -> Self {
        self.table.push("environment_files", path.as_ref());
        self
    }

    /// Lets it inherit nothing of the node's environment.
    #[track_caller]
    pub fn clear_environment(self) -> Self {
        self.set("clear_environment", true)
    }

    /// A secret, by the name of the file that it finds in `{secrets_dir}` and `$CREDENTIALS_DIRECTORY`.
    #[track_caller]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.table.table("secrets").set(name, secret.into_table());
        self
    }

    /// What it is kept from. Default: nothing.
    #[track_caller]
    pub fn sandbox(self, sandbox: Sandbox) -> Self {
        self.set("sandbox", sandbox.into_table())
    }

    /// What happens when this host cannot enforce one of its limits. Default: the node's.
    #[track_caller]
    pub fn enforce(self, enforcement: Enforcement) -> Self {
        self.set("enforce", enforcement_written(enforcement))
    }

    /// Who is squeezed first when the node's [`Budget`](crate::Budget) is short. Default:
    /// [`Tier::Standard`], which is.
    #[track_caller]
    pub fn tier(self, tier: Tier) -> Self {
        self.set(
            "tier",
            match tier {
                Tier::Critical => "critical",
                Tier::Core => "core",
                Tier::Standard => "standard",
            },
        )
    }

    /// CPUs' time that the node's [`Budget`](crate::Budget) keeps for each of its processes.
    #[track_caller]
    pub fn guarantee_cpu(mut self, cpus: f64) -> Self {
        self.table.table("guarantee").set("cpu", cpus);
        self
    }

    /// Memory that the node's [`Budget`](crate::Budget) keeps for each of its processes.
    #[track_caller]
    pub fn guarantee_memory(mut self, memory: Size) -> Self {
        self.table.table("guarantee").set("memory", memory);
        self
    }

    /// Changes the number of its processes by what they use. Default: never.
    #[track_caller]
    pub fn scale(self, scale: Scale) -> Self {
        self.set("scale", scale.into_table())
    }

    /// What each of its processes may use, by the keys of `[services.X.resources]`: those that have no
    /// call of their own, as in `("io_priority", "idle")`.
    #[track_caller]
    pub fn resource(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.table.table("resources").set(key, value);
        self
    }

    /// Any key of `[services.X]`, as the file would say it.
    ///
    /// ```
    /// use blackhole::ServiceSpec;
    ///
    /// ServiceSpec::command(["sleep", "infinity"]).set("start_deadline", "1m");
    /// ```
    #[track_caller]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.table.set(key, value);
        self
    }
}

/// A nested supervisor: services and groups with a strategy and a restart limit of their own.
///
/// ```
/// use blackhole::{GroupSpec, ServiceSpec, Strategy};
///
/// let web = GroupSpec::new(Strategy::RestForOne)
///     .service("cache", ServiceSpec::command(["redis-server"]))
///     .service("api", ServiceSpec::command(["python3", "api.py"]));
/// # drop(web);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a group runs when it is given to a node"]
pub struct GroupSpec {
    /// `[groups.X]` itself.
    table: Table,
    members: Members,
}

impl GroupSpec {
    /// A group without members.
    #[track_caller]
    pub fn new(strategy: Strategy) -> Self {
        let mut table = Table::new();
        table.set("strategy", strategy_written(strategy));
        Self { table, members: Members::default() }
    }

    /// Adds a service, at the end of the start order.
    #[track_caller]
    pub fn service(mut self, name: impl Into<String>, service: ServiceSpec) -> Self {
        let name = name.into();
        self.table.push("services", name.as_str());
        self.members.service(name, service);
        self
    }

    /// Adds a group, at the end of the start order.
    #[track_caller]
    pub fn group(mut self, name: impl Into<String>, group: Self) -> Self {
        let name = name.into();
        self.table.push("services", name.as_str());
        self.members.group(name, group);
        self
    }

    /// More than `restarts_max` restarts of all members together within `window` are too many.
    #[track_caller]
    pub fn restarts(self, restarts_max: u32, window: Duration) -> Self {
        self.set("restarts_max", restarts_max).set("restarts_window", window)
    }

    /// What follows when the limit is exceeded. Default: [`OnFailed::Rest`].
    #[track_caller]
    pub fn on_failed(self, on_failed: OnFailed) -> Self {
        self.set("on_failed", on_failed_written(on_failed))
    }

    /// Any key of `[groups.X]`, as the file would say it.
    #[track_caller]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.table.set(key, value);
        self
    }
}

/// Services and groups by name: what the root and every group have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    /// `[services]` and `[groups]`.
    pub(crate) table: Table,
    pub(crate) contained: Vec<(String, Contained)>,
}

impl Members {
    #[track_caller]
    pub(crate) fn service(&mut self, name: String, service: ServiceSpec) {
        self.contained.extend(service.contained.map(|contained| (name.clone(), contained)));
        self.table.table("services").define(name, service.table);
    }

    #[track_caller]
    pub(crate) fn group(&mut self, name: String, group: GroupSpec) {
        self.table.table("groups").define(name, group.table);
        self.table.absorb(group.members.table);
        self.contained.extend(group.members.contained);
    }
}

/// As the file says it. `simple_one_for_one` is none of a file's: instances are.
pub(crate) fn strategy_written(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::OneForOne => "one_for_one",
        Strategy::OneForAll => "one_for_all",
        Strategy::RestForOne => "rest_for_one",
        Strategy::SimpleOneForOne => "simple_one_for_one",
    }
}

pub(crate) fn enforcement_written(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Strict => "strict",
        Enforcement::BestEffort => "best_effort",
    }
}

fn on_failed_written(on_failed: OnFailed) -> &'static str {
    match on_failed {
        OnFailed::Rest => "rest",
        OnFailed::Escalate => "escalate",
    }
}
