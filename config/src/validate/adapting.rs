//! The node's budget, what services are guaranteed of it, and how they scale.

use std::{num::NonZeroU32, time::Duration};

use blackhole_policy::{
    budget::{Amount, Resource},
    scaling::{ScalingSpec, Thresholds},
};

use super::{Unit, longer_than_zero};
use crate::{
    Budget, Config, Resources, Service,
    problem::{Draft, Problems},
    raw::{Cores, RawBudget, RawFile, RawService, Size, written},
    read::{Field, Located},
    tree::Place,
};

const EVERY: Duration = Duration::from_secs(10);
/// To look more often would itself be work.
const EVERY_MIN: Duration = Duration::from_millis(100);
const RESERVE: f64 = 0.1;
const BUDGET_WINDOW: Duration = Duration::from_secs(5 * 60);
const SCALE_WINDOW: Duration = Duration::from_secs(30);
const UP_COOLDOWN: Duration = Duration::from_secs(60);
const DOWN_COOLDOWN: Duration = Duration::from_secs(5 * 60);

/// `[resources]`.
pub(super) fn budget(raw: &RawBudget, problems: &mut Problems) -> Budget {
    if let Some(reserve) = raw.reserve.given().filter(|reserve| reserve.value.0 >= 1.0) {
        problems.push(Draft::new(&reserve.place, "leaves nothing to services").found("1"));
    }
    Budget {
        cpu_millis: raw.cpu.value().map(|cores| millis(*cores)),
        memory_bytes: raw.memory.given().map(|size| budgeted(size, problems)),
        reserve: raw.reserve.value().map_or(RESERVE, |share| share.0),
        every: every(&raw.every, problems),
        window: longer_than_zero(&raw.window, problems).unwrap_or(BUDGET_WINDOW),
    }
}

fn budgeted(memory: &Located<Size>, problems: &mut Problems) -> u64 {
    if memory.value.0 == 0 {
        problems.push(Draft::new(&memory.place, "leaves nothing to services").found(0));
    }
    memory.value.0
}

/// `guarantee`.
pub(super) fn guarantee(
    raw: &RawService,
    resources: &Resources,
    problems: &mut Problems,
) -> Amount {
    let Some(raw) = raw.guarantee.value() else { return Amount::ZERO };
    let guarantee = Amount {
        cpu_millis: raw.cpu.value().map_or(0, |cores| millis(*cores)),
        memory_bytes: raw.memory.value().map_or(0, |size| size.0),
    };
    let limit = |resource| match resource {
        Resource::Cpu => resources.cpu.map(|cpu| millis(Cores(cpu))),
        Resource::Memory => resources.memory,
    };
    for (resource, place) in
        [(Resource::Cpu, place(&raw.cpu)), (Resource::Memory, place(&raw.memory))]
    {
        if let (Some(place), Some(limit)) = (place, limit(resource))
            && guarantee.of(resource) > limit
        {
            let rule = format!("is more than `resources.{resource}`, which it can never exceed");
            let found = resource.written(guarantee.of(resource));
            problems.push(Draft::new(place, rule).found(found));
        }
    }
    guarantee
}

/// `scale`.
pub(super) fn scale(raw: &RawService, problems: &mut Problems) -> Option<ScalingSpec> {
    let located = raw.scale.given()?;
    let raw = &located.value;
    let instances_min = raw.min.value().map_or(1, |count| count.u32());
    let instances_max = raw.max.value().map_or(instances_min, |count| count.u32());
    if raw.max.is_absent() {
        let draft = Draft::new(&located.key, "has no `max`");
        problems.push(draft.hint("say how many instances there may be, as in `max = 4`"));
    }
    if let Some(max) = raw.max.given().filter(|_| instances_max < instances_min) {
        let rule = format!("is less than `min` ({instances_min})");
        problems.push(Draft::new(&max.place, rule).found(instances_max));
    }
    if raw.cpu_above.is_absent() && raw.memory_above.is_absent() {
        let draft = Draft::new(&located.key, "does not say when instances are busy");
        problems.push(draft.hint("add `cpu_above = 0.8` or `memory_above = \"500MiB\"`"));
    }
    let cpu = numbers(&raw.cpu_above, &raw.cpu_below, |cores| millis(*cores));
    let memory = numbers(&raw.memory_above, &raw.memory_below, |size| size.0);
    Some(ScalingSpec {
        instances_min,
        instances_max,
        cpu: thresholds(Resource::Cpu, cpu, problems),
        memory: thresholds(Resource::Memory, memory, problems),
        every: every(&raw.every, problems),
        window: raw.window.value().copied().unwrap_or(SCALE_WINDOW),
        up_cooldown: raw.up_cooldown.value().copied().unwrap_or(UP_COOLDOWN),
        down_cooldown: raw.down_cooldown.value().copied().unwrap_or(DOWN_COOLDOWN),
    })
}

/// `instances`, which a rule that scales bounds.
pub(super) fn instances(
    raw: &RawService,
    scale: Option<&ScalingSpec>,
    problems: &mut Problems,
) -> NonZeroU32 {
    let Some(scale) = scale else {
        return raw.instances.value().map_or(NonZeroU32::MIN, |count| count.non_zero());
    };
    let bounds = scale.instances_min..=scale.instances_max;
    if let Some(instances) = raw.instances.given()
        && !bounds.is_empty()
        && !bounds.contains(&instances.value.u32())
    {
        let rule = format!("is not within `scale`: {} to {}", bounds.start(), bounds.end());
        problems.push(Draft::new(&instances.place, rule).found(instances.value.u32()));
    }
    let default = NonZeroU32::new(scale.instances_min).unwrap_or(NonZeroU32::MIN);
    raw.instances.value().map_or(default, |count| count.non_zero())
}

/// A threshold's two numbers and where they stand.
type Numbers<'a> = [Option<(u64, &'a Place)>; 2];

fn numbers<'a, T>(
    above: &'a Field<T>,
    below: &'a Field<T>,
    number: impl Fn(&T) -> u64,
) -> Numbers<'a> {
    [above, below].map(|field| field.given().map(|it| (number(&it.value), &it.place)))
}

fn thresholds(
    resource: Resource,
    [above, below]: Numbers<'_>,
    problems: &mut Problems,
) -> Option<Thresholds> {
    match (above, below) {
        (None, None) => None,
        (None, Some((_, place))) => {
            problems.push(Draft::new(place, format!("needs `{resource}_above` beside it")));
            None
        }
        (Some((above, _)), None) => Some(Thresholds { above, below: above / 2 }),
        (Some((above, _)), Some((below, place))) => {
            if below >= above {
                let rule = format!(
                    "is not less than `{resource}_above` ({}): instances would come and go",
                    resource.written(above)
                );
                problems.push(Draft::new(place, rule).found(resource.written(below)));
            }
            Some(Thresholds { above, below })
        }
    }
}

fn every(field: &Field<Duration>, problems: &mut Problems) -> Duration {
    let Some(located) = field.given() else { return EVERY };
    if located.value < EVERY_MIN {
        let rule = format!("is too often: at least {}", written(EVERY_MIN));
        problems.push(Draft::new(&located.place, rule).found(written(located.value)));
    }
    located.value.max(EVERY_MIN)
}

fn millis(cores: Cores) -> u64 {
    (cores.0 * 1000.0).round() as u64
}

fn place<T>(field: &Field<T>) -> Option<&Place> {
    field.given().map(|located| &located.place)
}

/// What concerns the budget and all services together.
pub(super) fn check(
    raw: &RawFile,
    units: &[Unit<'_, RawService>],
    config: &Config,
    problems: &mut Problems,
) {
    let Some(located) = raw.resources.given() else {
        if raw.resources.is_absent() {
            units.iter().for_each(|unit| warn_without_budget(unit.raw, problems));
        }
        return;
    };
    let stated = [
        (Resource::Cpu, place(&located.value.cpu)),
        (Resource::Memory, place(&located.value.memory)),
    ];
    for (resource, place) in stated {
        if let Some(place) = place {
            check_sum(resource, place, config, problems);
        }
    }
}

fn warn_without_budget(raw: &RawService, problems: &mut Problems) {
    let tier = raw.tier.given().map(|located: &Located<_>| &located.key);
    let guarantee = raw.guarantee.given().map(|located| &located.key);
    for place in [tier, guarantee].into_iter().flatten() {
        let rule = "has no effect: the node has no budget";
        problems.push(Draft::new(place, rule).hint("add a table `[resources]`").warning());
    }
}

/// What is guaranteed from the start must fit; what scaling may add is said not to.
fn check_sum(resource: Resource, place: &Place, config: &Config, problems: &mut Problems) {
    let Some(budget) = config.budget.as_ref().and_then(|budget| budget.stated(resource)) else {
        return;
    };
    let services = || config.services.values().filter(|service| service.enabled);
    let at_first = Sum::of(resource, services().map(|it| (it, it.instances.get())));
    let most = |service: &Service| match &service.scale {
        Some(scale) => scale.instances_max.max(service.instances.get()),
        None => service.instances.get(),
    };
    let at_most = Sum::of(resource, services().map(|it| (it, most(it))));
    if at_first.total > budget {
        let rule = format!("is less than what services are guaranteed: {}", at_first.text());
        let draft = Draft::new(place, rule).found(resource.written(budget));
        problems.push(draft.hint("raise it, lower a `guarantee`, or start fewer `instances`"));
    } else if at_most.total > budget {
        let rule = format!(
            "is less than what services would be guaranteed at the `max` of their `scale`: {}; \
             they will not get there",
            at_most.text()
        );
        problems.push(Draft::new(place, rule).found(resource.written(budget)).warning());
    }
}

/// What services are guaranteed together, and how that adds up.
struct Sum {
    resource: Resource,
    total: u64,
    parts: Vec<String>,
}

impl Sum {
    fn of<'a>(resource: Resource, services: impl Iterator<Item = (&'a Service, u32)>) -> Self {
        let mut sum = Self { resource, total: 0, parts: Vec::new() };
        for (service, instances) in services {
            let each = service.guarantee.of(resource);
            let all = each.saturating_mul(instances.into());
            sum.total = sum.total.saturating_add(all);
            match instances {
                _ if each == 0 => {}
                1 => sum.parts.push(format!("{} {}", service.name, resource.written(each))),
                _ => {
                    let each = resource.written(each);
                    sum.parts.push(format!("{} {instances} × {each}", service.name));
                }
            }
        }
        sum
    }

    /// `1.5 GiB = db 1 GiB + api 2 × 256 MiB`.
    fn text(&self) -> String {
        format!("{} = {}", self.resource.written(self.total), self.parts.join(" + "))
    }
}

/// What a key of `[resources]` is when nobody wrote it, as TOML; what the host has is not known here.
pub(crate) fn default_of_budget(budget: &Budget, key: &str) -> Option<String> {
    match key {
        "reserve" => Some(budget.reserve.to_string()),
        "every" => Some(quoted(budget.every)),
        "window" => Some(quoted(budget.window)),
        _ => None,
    }
}

/// The same for `scale`.
pub(crate) fn default_of_scale(scale: &ScalingSpec, key: &str) -> Option<String> {
    let cores = |thresholds: Thresholds| (thresholds.below as f64 / 1000.0).to_string();
    match key {
        "min" => Some(scale.instances_min.to_string()),
        "cpu_below" => scale.cpu.map(cores),
        "memory_below" => scale.memory.map(|thresholds| thresholds.below.to_string()),
        "every" => Some(quoted(scale.every)),
        "window" => Some(quoted(scale.window)),
        "up_cooldown" => Some(quoted(scale.up_cooldown)),
        "down_cooldown" => Some(quoted(scale.down_cooldown)),
        _ => None,
    }
}

fn quoted(duration: Duration) -> String {
    format!("{:?}", written(duration))
}
