//! How an instance is squeezed and sheltered: settings of its control group, which hold nobody back
//! where there is enough and kill nobody where there is not.

use std::sync::Arc;

use blackhole_config::{Kind, Mode, Service};
use blackhole_isolation::{Controller, Enforcement, Groups, Limits, Plan, Weight};
use blackhole_policy::budget::{GuaranteeChange, Release, Resource, Squeeze, Tier};

/// What who says nothing has.
const WEIGHT: u16 = 100;
/// The kernel gives a quarter more for each step of `nice`.
const WEIGHT_STEP: f64 = 1.25;
/// The kernel's word for no limit, in v1 and v2 alike.
const MEMORY_UNBOUNDED: u64 = u64::MAX;
/// With less, a process could not even give memory back.
const MEMORY_HIGH_MIN: u64 = 1 << 20;

/// Whether a rule has to look at a service's processes, or may squeeze them.
pub(crate) fn is_governed(service: &Service, has_budget: bool) -> bool {
    let is_embedded = matches!(service.kind, Kind::Native { mode: Mode::Embedded, .. });
    !is_embedded && (has_budget || service.scale.is_some())
}

/// The weight of who says nothing: that of its tier, where a budget gives tiers a meaning.
fn default_weight(tier: Option<Tier>) -> u16 {
    let boost = tier.map_or(0, Tier::cpu_priority_boost);
    (f64::from(WEIGHT) * WEIGHT_STEP.powi(boost.into())).round() as u16
}

/// The limits with something that limits nothing, as far as this host has it, so that there is a
/// control group: to pull the levers, and to count by. With a budget also what its tier and its
/// guarantee mean to the kernel.
pub(crate) fn ready_to_pull(limits: Limits, groups: &Groups, budgeted: Option<&Service>) -> Limits {
    let offers = |controller| groups.offers(controller).is_ok();
    let default = default_weight(budgeted.map(|service| service.tier));
    let cpu_weight = offers(Controller::Cpu).then(|| weight(default));
    let kept = budgeted.map(|service| service.guarantee.memory_bytes).filter(|bytes| *bytes > 0);
    // Swap without memory is the file's mistake, and is told as such.
    let may_have_memory = limits.swap_max.is_none() && offers(Controller::Memory);
    let memory_max = may_have_memory.then_some(MEMORY_UNBOUNDED);
    Limits {
        cpu_weight: limits.cpu_weight.or(cpu_weight),
        memory_max: limits.memory_max.or(memory_max),
        memory_low: kept.filter(|_| offers(Controller::Memory)),
        ..limits
    }
}

/// What is written, and how it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    limits: Limits,
    text: String,
}

impl Setting {
    fn is_memory_bounded(&self) -> bool {
        self.limits.memory_high.is_some_and(|bytes| bytes != MEMORY_UNBOUNDED)
    }
}

/// What an instance has while nobody holds it back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    memory_high: u64,
    cpu_weight: u16,
}

impl Own {
    pub(super) fn of(service: &Service) -> Self {
        let written = service.resources.cpu_weight.and_then(|weight| u16::try_from(weight).ok());
        Self {
            memory_high: service.resources.memory_high.unwrap_or(MEMORY_UNBOUNDED),
            cpu_weight: written.unwrap_or_else(|| default_weight(Some(service.tier))),
        }
    }
}

/// Less memory before the kernel slows it down, or a smaller share of a busy CPU.
pub(super) fn squeezed(own: Own, squeeze: &Squeeze) -> Setting {
    match squeeze.resource {
        Resource::Memory => memory_high(squeeze.to.max(MEMORY_HIGH_MIN).min(own.memory_high)),
        Resource::Cpu => {
            let share = u64::from(own.cpu_weight) * squeeze.to / squeeze.demand.max(1);
            cpu_weight(u16::try_from(share).unwrap_or(own.cpu_weight))
        }
    }
}

/// As the file says.
pub(super) fn released(own: Own, release: &Release) -> Setting {
    match release.resource {
        Resource::Memory => memory_high(own.memory_high),
        Resource::Cpu => cpu_weight(own.cpu_weight),
    }
}

/// What the kernel takes back last; `None` where it has no such lever.
pub(super) fn guaranteed(plan: Option<&Plan>, change: &GuaranteeChange) -> Option<Setting> {
    let has_lever = plan.and_then(Plan::group).is_some_and(|group| group.heeds_memory_low());
    let is_memory = change.resource == Resource::Memory;
    (has_lever && is_memory).then(|| Setting {
        limits: Limits { memory_low: Some(change.to), ..Limits::default() },
        text: format!("memory_low is {}", Resource::Memory.written(change.to)),
    })
}

fn memory_high(bytes: u64) -> Setting {
    let text = match bytes {
        MEMORY_UNBOUNDED => "no memory_high".to_owned(),
        bytes => format!("memory_high is {}", Resource::Memory.written(bytes)),
    };
    Setting { limits: Limits { memory_high: Some(bytes), ..Limits::default() }, text }
}

fn cpu_weight(number: u16) -> Setting {
    let number = number.clamp(1, 10_000);
    let limits = Limits { cpu_weight: Some(weight(number)), ..Limits::default() };
    Setting { limits, text: format!("cpu_weight is {number}") }
}

fn weight(number: u16) -> Weight {
    Weight::new(number).expect("a number from 1 to 10000 is a weight")
}

/// Writes a setting to the instance's group, and says what holds now. Blocks: the kernel may take
/// memory back before it answers.
pub(super) fn pull(plan: Option<Arc<Plan>>, setting: Setting) -> String {
    let Some(group) = plan.as_ref().and_then(|plan| plan.group()) else {
        return "nothing enforces it: it has no control group".to_owned();
    };
    let mut downgraded = Vec::new();
    match group.limit(&setting.limits, Enforcement::BestEffort, &mut downgraded) {
        Ok(()) => match downgraded.first() {
            Some(lack) => format!("nothing enforces it: {}", lack.reason),
            None if setting.is_memory_bounded() && !group.heeds_memory_high() => {
                format!("{}, heeded when the host is short", setting.text)
            }
            None => setting.text,
        },
        Err(error) => format!("nothing enforces it: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn squeeze(resource: Resource, to: u64, demand: u64) -> Squeeze {
        let tier = Tier::Standard;
        Squeeze { resource, to, demand, guarantee: 0, tier, wanted: 0, budget: 0 }
    }

    #[test]
    fn a_squeeze_never_gives_more_than_the_file_and_its_end_gives_that_back() {
        let own = Own { cpu_weight: 400, memory_high: 8 << 20 };
        let memory = |to| squeezed(own, &squeeze(Resource::Memory, to, 100 << 20)).text;
        assert_eq!(memory(4 << 20), "memory_high is 4 MiB");
        assert_eq!(memory(40 << 20), "memory_high is 8 MiB");
        assert_eq!(memory(0), "memory_high is 1 MiB");
        let cpu = |to| squeezed(own, &squeeze(Resource::Cpu, to, 1000)).text;
        assert_eq!([cpu(500), cpu(0)], ["cpu_weight is 200", "cpu_weight is 1"]);
        let back = |own, resource| released(own, &Release { resource, wanted: 0, budget: 0 }).text;
        assert_eq!(back(own, Resource::Cpu), "cpu_weight is 400");
        assert_eq!(back(own, Resource::Memory), "memory_high is 8 MiB");
        let unbounded = Own { memory_high: MEMORY_UNBOUNDED, ..own };
        assert_eq!(back(unbounded, Resource::Memory), "no memory_high");
    }

    #[test]
    fn a_tier_goes_before_the_others_by_as_much_as_steps_of_nice_would_give_it() {
        let weights = Tier::FROM_THE_TOP.map(|tier| default_weight(Some(tier)));
        assert_eq!((weights, default_weight(None)), ([931, 305, 100], 100));
    }
}
