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

/// Remembers the last look: CPU time per time needs two.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<InstanceId, Look>);

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    cpu: Duration,
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
        let now = Look { at: Instant::now(), cpu };
        let before = self.0.insert(target.instance.clone(), now);
        // The time of a process without a group begins anew with each generation.
        let cpu_millis = before.map_or(0, |before| {
            let busy = cpu.saturating_sub(before.cpu).as_secs_f64();
            let elapsed = (now.at - before.at).as_secs_f64();
            if elapsed > 0.0 { (busy / elapsed * 1000.0).round() as u64 } else { 0 }
        });
        Some(Amount { cpu_millis, memory_bytes })
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
