//! Random lives of a budget's members, and random loads on a rule that scales, against what must
//! hold whatever happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use blackhole_policy::{
    budget::{self, Amount, Budget, BudgetSpec, Claim, Resource, Tier},
    moment::Moment,
    scaling::{self, Change, Scaling, ScalingSpec, Thresholds},
};
use proptest::prelude::*;

const MEMBERS_MAX: usize = 6;
const TOTAL: Amount = Amount { cpu_millis: 2000, memory_bytes: 1000 };
const EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
enum Step {
    Ask(usize, Claim),
    Leave(usize),
    Look(Vec<Amount>),
}

fn amount(cpu_millis: u64, memory_bytes: u64) -> impl Strategy<Value = Amount> {
    (0..=cpu_millis, 0..=memory_bytes)
        .prop_map(|(cpu_millis, memory_bytes)| Amount { cpu_millis, memory_bytes })
}

fn step() -> impl Strategy<Value = Step> {
    let tier = proptest::sample::select(Tier::FROM_THE_TOP.to_vec());
    let claim = (tier, amount(900, 500)).prop_map(|(tier, guarantee)| Claim { tier, guarantee });
    prop_oneof![
        3 => (0..MEMBERS_MAX, claim).prop_map(|(id, claim)| Step::Ask(id, claim)),
        1 => (0..MEMBERS_MAX).prop_map(Step::Leave),
        6 => proptest::collection::vec(amount(1500, 800), MEMBERS_MAX).prop_map(Step::Look),
    ]
}

/// What a shell would know.
#[derive(Default)]
struct World {
    claims: BTreeMap<usize, Claim>,
    held: BTreeMap<(usize, Resource), u64>,
    squeezed_now: BTreeSet<(usize, Resource)>,
}

impl World {
    fn hear(&mut self, claim: Option<Claim>, commands: &[budget::Command<usize>]) {
        self.squeezed_now.clear();
        for command in commands {
            match command {
                budget::Command::Admit { id } => {
                    let claim = claim.expect("only who asks is admitted");
                    self.claims.entry(*id).or_insert(claim);
                }
                budget::Command::Refuse { id, shortfall } => {
                    assert!(!self.claims.contains_key(id), "a member was refused");
                    assert!(shortfall.needed() > shortfall.free(), "{shortfall:?}");
                }
                budget::Command::Sample => panic!("nobody's deadline has come"),
                budget::Command::Squeeze { id, squeeze } => {
                    assert!(squeeze.to >= squeeze.guarantee, "{squeeze}");
                    self.held.insert((*id, squeeze.resource), squeeze.to);
                    if squeeze.to < squeeze.demand {
                        self.squeezed_now.insert((*id, squeeze.resource));
                    }
                }
                budget::Command::Release { id, release } => {
                    let held = self.held.remove(&(*id, release.resource));
                    assert!(held.is_some(), "{id} was not held back");
                }
                budget::Command::Announce { change, .. } => assert_ne!(change.from, change.to),
            }
        }
    }

    fn check(&self, budget: &Budget<usize>) {
        let guarantees = guarantees(budget);
        assert_eq!(guarantees.keys().collect::<Vec<_>>(), self.claims.keys().collect::<Vec<_>>());
        for resource in Resource::ALL {
            let promised: u64 = guarantees.values().map(|amount| amount.of(resource)).sum();
            assert!(promised <= TOTAL.of(resource), "{promised} of {resource} are promised");
            for (id, claim) in &self.claims {
                let now = guarantees[id].of(resource);
                assert!(now >= claim.guarantee.of(resource), "{id} was promised more");
                self.check_member(*id, claim.tier, resource, &guarantees);
            }
        }
    }

    /// Nobody is squeezed below its guarantee, nor while somebody of a lower tier has more than
    /// that one's.
    fn check_member(
        &self,
        id: usize,
        tier: Tier,
        resource: Resource,
        guarantees: &BTreeMap<usize, Amount>,
    ) {
        if !self.squeezed_now.contains(&(id, resource)) {
            return;
        }
        assert!(self.held[&(id, resource)] >= guarantees[&id].of(resource));
        let below = self
            .held
            .iter()
            .filter(|((other, what), _)| *what == resource && self.claims[other].tier > tier);
        for ((other, _), told) in below {
            assert!(*told <= guarantees[other].of(resource), "{other} has more than {id}");
        }
    }
}

fn spec() -> BudgetSpec {
    BudgetSpec { total: TOTAL, every: EVERY, window: Duration::from_secs(60) }
}

fn event(step: &Step, members: &BTreeMap<usize, Claim>) -> budget::Event<usize> {
    match step {
        Step::Ask(id, claim) => budget::Event::Asked { id: *id, claim: *claim },
        Step::Leave(id) => budget::Event::Left { id: *id },
        Step::Look(uses) => {
            budget::Event::Sampled(members.keys().map(|id| (*id, uses[*id])).collect())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_budget_keeps_its_promises(steps in proptest::collection::vec(step(), 0..60)) {
        let mut budget = Budget::new(spec());
        let mut again = Budget::new(spec());
        let mut world = World::default();
        let mut now = Moment::ORIGIN;
        for step in steps {
            now = now + EVERY;
            let event = event(&step, &world.claims);
            let commands = budget.on_event(now, event.clone());
            prop_assert_eq!(&commands, &again.on_event(now, event));
            let claim = match &step {
                Step::Ask(_, claim) => Some(*claim),
                Step::Leave(_) | Step::Look(_) => None,
            };
            world.hear(claim, &commands);
            if let Step::Leave(id) = step {
                world.claims.remove(&id);
                prop_assert!(!world.held.keys().any(|(held, _)| *held == id), "{} is held", id);
            }
            world.check(&budget);
            prop_assert_eq!(budget.next_deadline().is_some(), !world.claims.is_empty());
        }
    }

    /// Whoever uses more than its share, of a lower tier than somebody who is short, is held back.
    #[test]
    fn a_standard_one_that_has_more_than_its_guarantee_is_held_back_before_a_critical_one(
        looks in proptest::collection::vec((amount(2500, 1200), amount(2500, 1200)), 1..40),
    ) {
        let mut budget = Budget::new(spec());
        let guarantee = Amount { cpu_millis: 100, memory_bytes: 50 };
        for (id, tier) in [(0, Tier::Critical), (1, Tier::Standard)] {
            let claim = Claim { tier, guarantee };
            budget.on_event(Moment::ORIGIN, budget::Event::Asked { id, claim });
        }
        let mut held = BTreeSet::new();
        let mut now = Moment::ORIGIN;
        for (critical, standard) in looks {
            now = now + EVERY;
            let sampled = budget::Event::Sampled(vec![(0, critical), (1, standard)]);
            for command in budget.on_event(now, sampled) {
                match command {
                    budget::Command::Squeeze { id, squeeze } => {
                        held.insert((id, squeeze.resource));
                    }
                    budget::Command::Release { id, release } => {
                        held.remove(&(id, release.resource));
                    }
                    _ => {}
                }
            }
            let guarantees = guarantees(&budget);
            for resource in Resource::ALL {
                let has_more = standard.of(resource) > guarantees[&1].of(resource);
                let critical_is_held = held.contains(&(0, resource));
                let standard_is_held = held.contains(&(1, resource));
                let is_over = critical.of(resource) + standard.of(resource) > TOTAL.of(resource);
                prop_assert!(!(critical_is_held && is_over && has_more) || standard_is_held);
            }
        }
    }
}

/// What each member is guaranteed now.
fn guarantees(budget: &Budget<usize>) -> BTreeMap<usize, Amount> {
    let of = |resource| budget.standing(resource).members.into_iter();
    let both = of(Resource::Cpu).zip(of(Resource::Memory));
    both.map(|(cpu, memory)| {
        (cpu.id, Amount { cpu_millis: cpu.guarantee, memory_bytes: memory.guarantee })
    })
    .collect()
}

fn rule() -> impl Strategy<Value = ScalingSpec> {
    let thresholds = (100_u64..1000, 1_u64..100)
        .prop_map(|(above, percent)| Thresholds { above, below: above * percent / 100 });
    let counts = (1_u32..4, 0_u32..6);
    (counts, thresholds, 0_u64..5, 0_u64..20, 0_u64..40).prop_map(
        |((instances_min, more), cpu, window, up, down)| ScalingSpec {
            instances_min,
            instances_max: instances_min + more,
            cpu: Some(cpu),
            memory: None,
            every: Duration::from_secs(1),
            window: Duration::from_secs(window),
            up_cooldown: Duration::from_secs(up),
            down_cooldown: Duration::from_secs(down),
        },
    )
}

/// The changes that a service's whole load, one number a second, brings about.
fn changes(spec: ScalingSpec, loads: &[u64]) -> Vec<(Moment, Change)> {
    let mut scaling = Scaling::new(spec, Moment::ORIGIN, spec.instances_min);
    let mut instances = spec.instances_min;
    let mut changes = Vec::new();
    for load in loads {
        let now = scaling.next_deadline().expect("nobody has paused it");
        assert_eq!(
            scaling.on_event(now, scaling::Event::DeadlineReached),
            Some(scaling::Command::Sample)
        );
        let average = Amount { cpu_millis: load / u64::from(instances), ..Amount::ZERO };
        match scaling.on_event(now, scaling::Event::Sampled(average)) {
            Some(scaling::Command::Scale(change)) => {
                assert_eq!(change.from, instances);
                instances = change.to;
                changes.push((now, change));
            }
            Some(scaling::Command::Sample) => panic!("its deadline has not come"),
            None => {}
        }
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn instances_change_one_by_one_within_bounds_and_never_sooner_than_the_cooldown(
        spec in rule(),
        loads in proptest::collection::vec(0_u64..6000, 0..200),
    ) {
        let told = changes(spec, &loads);
        prop_assert_eq!(&told, &changes(spec, &loads));
        for (_, change) in &told {
            prop_assert!((spec.instances_min..=spec.instances_max).contains(&change.to));
            prop_assert_eq!(change.from.abs_diff(change.to), 1);
        }
        for pair in told.windows(2) {
            let [(before, _), (at, change)] = pair else { continue };
            let grows = change.to > change.from;
            let cooldown = if grows { spec.up_cooldown } else { spec.down_cooldown };
            prop_assert!(at.since(*before) >= cooldown.max(spec.window));
        }
    }

    /// Whatever the thresholds: a load that stays as it is makes instances come, or go, not both.
    #[test]
    fn a_constant_load_never_flaps(spec in rule(), load in 0_u64..6000, first in 0_u64..6000) {
        let mut loads = vec![first; 40];
        loads.extend([load; 300]);
        let begin = Moment::from_millis(41_000);
        let told = changes(spec, &loads);
        let after: Vec<bool> = told
            .iter()
            .filter(|(at, _)| *at >= begin)
            .map(|(_, change)| change.to > change.from)
            .collect();
        prop_assert!(after.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", told);
    }
}
