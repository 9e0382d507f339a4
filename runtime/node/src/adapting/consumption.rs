//! What instances use, for the rules of this folder: read off the node's thread, at each look.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use blackhole_isolation::{Plan, usage_of};
use blackhole_policy::budget::Amount;
use blackhole_protocol::InstanceId;

/// An instance with a process, and its control group where it has one.
pub(super) struct Target {
    pub(super) instance: InstanceId,
    pub(super) pid: u32,
    pub(super) plan: Option<Arc<Plan>>,
}

/// A quota is handed out each 100 ms: over less than some of these it is chance how much of it was used. A look that was
/// held up is followed by the next one as soon as this.
const SPAN_MIN: Duration = Duration::from_millis(500);

/// Remembers the last look: CPU time per time needs two.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<InstanceId, Look>);

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    cpu: Duration,
    /// What it used from the look before to this one, in thousandths of a CPU.
    cpu_millis: u64,
}

impl Looks {
    /// What the targets use; one that is seen for the first time uses no CPU yet, one that has just
    /// ended is not told. Blocks for the kernel's files.
    pub(super) fn look(&mut self, targets: &[Target]) -> Vec<(InstanceId, Amount)> {
        let present: BTreeSet<&InstanceId> =
            targets.iter().map(|target| &target.instance).collect();
        self.0.retain(|instance, _| present.contains(instance));
        targets
            .iter()
            .filter_map(|target| Some((target.instance.clone(), self.look_at(target)?)))
            .collect()
    }

    fn look_at(&mut self, target: &Target) -> Option<Amount> {
        let (memory_bytes, cpu) = consumption(target)?;
        let at = Instant::now();
        let look = match self.0.get(&target.instance) {
            None => Look { at, cpu, cpu_millis: 0 },
            Some(before) => before.followed_by(at, cpu),
        };
        self.0.insert(target.instance.clone(), look);
        Some(Amount { cpu_millis: look.cpu_millis, memory_bytes })
    }
}

impl Look {
    /// The same while it is too soon for another.
    fn followed_by(self, at: Instant, cpu: Duration) -> Self {
        let elapsed = at - self.at;
        if elapsed < SPAN_MIN {
            return self;
        }
        // The time of a process without a group begins anew with each generation.
        let busy = cpu.saturating_sub(self.cpu);
        let cpu_millis = (busy.as_secs_f64() / elapsed.as_secs_f64() * 1000.0).round() as u64;
        Self { at, cpu, cpu_millis }
    }
}

/// Memory and CPU time: of the group, else of the process alone.
fn consumption(target: &Target) -> Option<(u64, Duration)> {
    let group = target.plan.as_ref().and_then(|plan| plan.group());
    let counted = match group.map(|group| group.consumption()) {
        Some(Ok(counted)) => counted,
        Some(Err(error)) => {
            tracing::debug!(instance = %target.instance, %error, "its control group is not read");
            return None;
        }
        None => blackhole_isolation::Consumption::default(),
    };
    if let (Some(memory), Some(cpu)) = (counted.memory_bytes, counted.cpu) {
        return Some((memory, cpu));
    }
    let alone = usage_of(target.pid).ok()?;
    Some((counted.memory_bytes.unwrap_or(alone.memory_bytes), counted.cpu.unwrap_or(alone.cpu)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_close_together_do_not_tell_chance() {
        let begin = Instant::now();
        let look = Look { at: begin, cpu: Duration::ZERO, cpu_millis: 60 };
        let (at, cpu) = (begin + Duration::from_millis(100), Duration::from_millis(16));
        let look = look.followed_by(at, cpu);
        assert_eq!(look.cpu_millis, 60, "two shares of a quota, in the time of one");
        let (at, cpu) = (begin + Duration::from_secs(1), Duration::from_millis(70));
        assert_eq!(look.followed_by(at, cpu).cpu_millis, 70, "nothing was forgotten");
    }
}
