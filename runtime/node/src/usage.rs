//! What instances use, read only while somebody looks.
//!
//! A look blocks on many small reads, so whoever takes one does so off the node's thread. It counts
//! an instance's control group where it has one, else the tree of its processes; what a group does
//! not count is taken from the processes in it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use blackhole_isolation::{GroupUsage, Pressure, ProcessTable, TreeUsage, usage_of};
use blackhole_protocol::InstanceId;

use crate::{
    child::Plans,
    registry::{Entry, Kind},
};

/// What an instance, or the node, uses. `None` is what is not counted here.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) scope: Scope,
    /// What cannot be had back for nothing: of a group without page cache that was not used lately.
    pub(crate) memory_bytes: u64,
    pub(crate) memory_peak_bytes: Option<u64>,
    pub(crate) memory_max_bytes: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
    pub(crate) swap_bytes: Option<u64>,
    /// Processor time since the process began or its group was made.
    pub(crate) cpu: Duration,
    /// Of one core, since the previous look; 100 is one core busy. At the first look: since the
    /// process began, as far as that can be told, else zero.
    pub(crate) cpu_percent: f64,
    pub(crate) throttled: Option<Duration>,
    pub(crate) throttled_periods: Option<u64>,
    pub(crate) io_read_bytes: Option<u64>,
    pub(crate) io_written_bytes: Option<u64>,
    pub(crate) processes: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: Option<u64>,
    pub(crate) connections: Option<u64>,
    pub(crate) cpu_pressure: Option<Pressure>,
    pub(crate) memory_pressure: Option<Pressure>,
    pub(crate) io_pressure: Option<Pressure>,
}

/// Whom the numbers are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything in its control group.
    Group,
    /// Its process with descendants and session.
    #[default]
    Processes,
    /// The node's own process alone.
    Node,
}

/// Samples older than this are forgotten: their processes are gone, or nobody looks any more.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(600);
/// Two looks closer together than this give the same percentage.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// Remembers the previous look to tell what instances do now.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    /// Gone with the node, which a page may outlive.
    plans: Weak<Plans>,
    samples: Mutex<HashMap<Subject, Sample>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Node,
    Instance(InstanceId),
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    scope: Scope,
    /// Between boot and the process's start: a later one has counters of its own.
    started: Duration,
    cpu: Duration,
    percent: f64,
}

/// One look at everything: the table of processes is read once.
pub(crate) struct Look<'a> {
    sampler: &'a Sampler,
    table: Option<ProcessTable>,
}

impl Sampler {
    /// Finds control groups by these plans.
    pub(crate) fn new(plans: &Arc<Plans>) -> Self {
        Self { plans: Arc::downgrade(plans), samples: Mutex::default() }
    }

    /// Begins a look; blocks.
    pub(crate) fn look(&self) -> Look<'_> {
        let table = ProcessTable::read();
        let table = table.inspect_err(|error| tracing::warn!(%error, "nothing can be looked at"));
        Look { sampler: self, table: table.ok() }
    }

    /// What the node itself uses.
    pub(crate) fn own(&self) -> Usage {
        let Ok(own) = usage_of(std::process::id()) else { return Usage::default() };
        let usage = Usage {
            scope: Scope::Node,
            memory_bytes: own.memory_bytes,
            cpu: own.cpu,
            processes: 1,
            threads: own.threads,
            descriptors: own.descriptors,
            ..Usage::default()
        };
        Usage { cpu_percent: self.percent(Subject::Node, own.started, own.cpu, &usage), ..usage }
    }

    /// `tree_cpu` is the processor time since `started`, which the usage's own need not be.
    fn percent(
        &self,
        subject: Subject,
        started: Duration,
        tree_cpu: Duration,
        usage: &Usage,
    ) -> f64 {
        let now = Instant::now();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let comparable = |sample: &&Sample| {
            sample.scope == usage.scope
                && (sample.started == started || usage.scope == Scope::Group)
        };
        let percent = match samples.get(&subject).filter(comparable).copied() {
            Some(sample) if now - sample.at < INTERVAL_MIN => return sample.percent,
            Some(sample) => share(usage.cpu.saturating_sub(sample.cpu), now - sample.at),
            None => since_boot().map_or(0.0, |up| share(tree_cpu, up.saturating_sub(started))),
        };
        samples.retain(|_, sample| now - sample.at < SAMPLE_AGE_MAX);
        let sample = Sample { at: now, scope: usage.scope, started, cpu: usage.cpu, percent };
        samples.insert(subject, sample);
        percent
    }
}

impl Look<'_> {
    /// What an instance uses; `None` when no process of it lives.
    pub(crate) fn of(&mut self, entry: &Entry) -> Option<Usage> {
        let pid = entry.pid?;
        if entry.kind == Kind::Embedded {
            return Some(self.sampler.own());
        }
        let table = self.table.as_mut()?;
        let started = table.started(pid)?;
        let (group, grouped) = group_usage(&self.sampler.plans, &entry.instance).unzip();
        let mut pids = table.tree(pid);
        pids.extend(grouped.into_iter().flatten());
        let tree = table.usage(&pids);
        let usage = Usage::combined(tree, group);
        let subject = Subject::Instance(entry.instance.clone());
        Some(Usage {
            cpu_percent: self.sampler.percent(subject, started, tree.cpu, &usage),
            ..usage
        })
    }
}

/// What an instance's group counts, and the processes in it.
fn group_usage(plans: &Weak<Plans>, instance: &InstanceId) -> Option<(GroupUsage, BTreeSet<u32>)> {
    let plan = plans.upgrade()?.known_plan(instance)?;
    let group = plan.group()?;
    let read = group.usage().and_then(|usage| Ok((usage, group.processes()?)));
    read.inspect_err(|error| tracing::debug!(%error, "a control group could not be read")).ok()
}

impl Usage {
    /// The group counts what has ended, too, so it comes first.
    fn combined(tree: TreeUsage, group: Option<GroupUsage>) -> Self {
        let scope = if group.is_some() { Scope::Group } else { Scope::Processes };
        let group = group.unwrap_or_default();
        Self {
            scope,
            memory_bytes: group.memory_in_use_bytes.unwrap_or(tree.memory_bytes),
            memory_peak_bytes: group.memory_peak_bytes.or(tree.memory_peak_bytes),
            memory_max_bytes: group.memory_max_bytes,
            oom_kills: group.oom_kills,
            swap_bytes: group.swap_bytes,
            cpu: group.cpu.unwrap_or(tree.cpu),
            cpu_percent: 0.0,
            throttled: group.throttled,
            throttled_periods: group.throttled_periods,
            io_read_bytes: group.io_read_bytes.or(tree.io_read_bytes),
            io_written_bytes: group.io_written_bytes.or(tree.io_written_bytes),
            processes: tree.processes,
            threads: tree.threads,
            descriptors: tree.descriptors,
            connections: tree.connections,
            cpu_pressure: group.cpu_pressure,
            memory_pressure: group.memory_pressure,
            io_pressure: group.io_pressure,
        }
    }
}

fn share(cpu: Duration, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0 }
}

/// How long the machine has been up, on the clock that dates the starts of processes.
fn since_boot() -> Option<Duration> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::new(u64::try_from(now.tv_sec).ok()?, u32::try_from(now.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::registry::{Change, Registry, State};

    fn entry(pid: u32) -> Entry {
        let registry = Registry::new();
        let service = "a".parse().expect("a name");
        let instance = InstanceId { service, index: NonZeroU32::MIN };
        registry.add(instance.clone(), None, Kind::Command, State::Pending);
        let generation = blackhole_policy::supervision::Generation(1);
        registry.record(&instance, generation, Change::Spawned { pid });
        registry.entries(|_| true).remove(0)
    }

    #[test]
    fn the_test_itself_uses_memory_and_a_process_that_is_gone_uses_nothing() {
        let sampler = Sampler::default();
        let own = sampler.look().of(&entry(std::process::id())).expect("it lives");
        assert!(own.memory_bytes > 100_000 && own.threads > 0, "{own:?}");
        assert!(own.descriptors > Some(0) && own.connections.is_some(), "{own:?}");
        assert_eq!(own.scope, Scope::Processes);
        assert_eq!(sampler.look().of(&entry(u32::MAX / 2)), None);
    }

    #[test]
    fn what_the_group_counts_wins_and_the_rest_is_of_its_processes() {
        let mut group = GroupUsage::default();
        group.memory_in_use_bytes = Some(5);
        group.throttled_periods = Some(3);
        let mut tree = TreeUsage::default();
        (tree.memory_bytes, tree.threads, tree.io_read_bytes) = (100, 7, Some(9));
        let both = Usage::combined(tree, Some(group));
        assert_eq!((both.scope, both.memory_bytes), (Scope::Group, 5));
        assert_eq!((both.threads, both.io_read_bytes), (7, Some(9)));
        assert_eq!(both.throttled_periods, Some(3));
        let alone = Usage::combined(tree, None);
        assert_eq!((alone.scope, alone.memory_bytes), (Scope::Processes, 100));
        assert_eq!(alone.throttled_periods, None);
    }
}
