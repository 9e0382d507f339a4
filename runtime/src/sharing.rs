//! What services have together, and how many processes of each there are, said in code.

use std::time::Duration;

use blackhole_config::{Table, Value};

use crate::Size;

/// What all services may have together: `[resources]`. Guarantees are kept within it, and services of a low
/// tier are squeezed first when it is short.
///
/// ```
/// use blackhole::{Budget, Node, ServiceSpec, Size, Tier};
///
/// let database = ServiceSpec::command(["sleep", "1000"])
///     .tier(Tier::Critical)
///     .guarantee_cpu(0.5)
///     .guarantee_memory(Size::mib(256));
/// let node = Node::builder()
///     .budget(Budget::new().cpu(2.0).memory(Size::gib(1)))
///     .service("database", database);
/// # assert!(node.in_temporary_directory().check().is_ok());
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Budget(Table);

impl Budget {
    /// What the host or the node's control group has, less the reserve.
    pub fn new() -> Self {
        Self::default()
    }

    /// CPUs' time: 1.5 is one and a half CPUs.
    #[track_caller]
    pub fn cpu(self, cpus: f64) -> Self {
        self.set("cpu", cpus)
    }

    /// Memory.
    #[track_caller]
    pub fn memory(self, memory: Size) -> Self {
        self.set("memory", memory)
    }

    /// The share that a default leaves to the host and the node. Default: 0.1.
    #[track_caller]
    pub fn reserve(self, share: f64) -> Self {
        self.set("reserve", share)
    }

    /// How often use is looked at. Default: 10 s.
    #[track_caller]
    pub fn every(self, every: Duration) -> Self {
        self.set("every", every)
    }

    /// How far back rolling use remembers. Default: 5 min.
    #[track_caller]
    pub fn window(self, window: Duration) -> Self {
        self.set("window", window)
    }

    #[track_caller]
    fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.set(key, value);
        self
    }

    pub(crate) fn into_table(self) -> Table {
        self.0
    }
}

/// More processes while they are busy, fewer while they are idle: `[services.X.scale]`.
///
/// They are busy by either resource and idle by both, on average over those that are ready.
///
/// ```
/// use blackhole::{Scale, ServiceSpec};
///
/// let api = ServiceSpec::command(["python3", "api.py"]).scale(Scale::up_to(4).cpu_above(0.8));
/// # drop(api);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Scale(Table);

impl Scale {
    /// Never more than this many. Needs [`cpu_above`](Self::cpu_above) or
    /// [`memory_above`](Self::memory_above).
    #[track_caller]
    pub fn up_to(instances_max: u32) -> Self {
        Self(Table::new()).set("max", instances_max)
    }

    /// Never fewer than this many. Default: 1.
    #[track_caller]
    pub fn down_to(self, instances_min: u32) -> Self {
        self.set("min", instances_min)
    }

    /// Busy above this average per process, in CPUs: 0.8 is four fifths of one.
    #[track_caller]
    pub fn cpu_above(self, cpus: f64) -> Self {
        self.set("cpu_above", cpus)
    }

    /// Idle below this average per process, in CPUs. Default: half of [`cpu_above`](Self::cpu_above).
    #[track_caller]
    pub fn cpu_below(self, cpus: f64) -> Self {
        self.set("cpu_below", cpus)
    }

    /// Busy above this average per process.
    #[track_caller]
    pub fn memory_above(self, memory: Size) -> Self {
        self.set("memory_above", memory)
    }

    /// Idle below this average per process. Default: half of [`memory_above`](Self::memory_above).
    #[track_caller]
    pub fn memory_below(self, memory: Size) -> Self {
        self.set("memory_below", memory)
    }

    /// How often use is looked at. Default: 10 s.
    #[track_caller]
    pub fn every(self, every: Duration) -> Self {
        self.set("every", every)
    }

    /// How long they must have been busy or idle. Default: 30 s.
    #[track_caller]
    pub fn window(self, window: Duration) -> Self {
        self.set("window", window)
    }

    /// After a change none is added for this long. Default: 1 min.
    #[track_caller]
    pub fn up_cooldown(self, cooldown: Duration) -> Self {
        self.set("up_cooldown", cooldown)
    }

    /// After a change none is removed for this long. Default: 5 min.
    #[track_caller]
    pub fn down_cooldown(self, cooldown: Duration) -> Self {
        self.set("down_cooldown", cooldown)
    }

    #[track_caller]
    fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.set(key, value);
        self
    }

    pub(crate) fn into_table(self) -> Table {
        self.0
    }
}
