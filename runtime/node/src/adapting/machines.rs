//! The policy machines of one node: its budget, and a rule for each service that scales.

use std::collections::BTreeMap;

use blackhole_config::{Budget as BudgetKeys, Config, Service};
use blackhole_isolation::Capacity;
use blackhole_policy::{
    budget::{self, Amount, Budget, BudgetSpec, Claim, Resource, Shortfall},
    moment::Moment,
    scaling::{self, Change, Scaling},
};
use blackhole_protocol::{InstanceId, Name};

use super::levers;

/// What is to be done that takes time.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Of the budget.
    Budget(budget::Command<InstanceId>),
    /// Change the number of a service's instances.
    Scale(Name, Change),
}

#[derive(Debug)]
pub(super) struct Machines {
    pub(super) budget: Option<Budget<InstanceId>>,
    pub(super) scaling: BTreeMap<Name, Scaling>,
    /// Waits to be done.
    pub(super) actions: Vec<Action>,
}

/// Whose use is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) budget: bool,
    pub(super) services: Vec<Name>,
}

impl Machines {
    /// `None` when nothing in the file needs them.
    pub(super) fn of(config: &Config, now: Moment) -> Option<Self> {
        let rule = |service: &Service| {
            let scaling = Scaling::new(service.scale?, now, service.instances.get());
            Some((service.name.clone(), scaling))
        };
        let enabled = config.services.values().filter(|service| service.enabled);
        let scaling: BTreeMap<Name, Scaling> = enabled.filter_map(rule).collect();
        let budget = config.budget.as_ref().map(|keys| Budget::new(spec(keys)));
        let is_needed = budget.is_some() || !scaling.is_empty();
        is_needed.then(|| Self { budget, scaling, actions: Vec::new() })
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let rules = self.scaling.values().filter_map(Scaling::next_deadline);
        rules.chain(self.budget.as_ref().and_then(Budget::next_deadline)).min()
    }

    /// May it be started? What follows for others is left to be done.
    pub(super) fn ask(
        &mut self,
        now: Moment,
        id: InstanceId,
        claim: Claim,
    ) -> Result<(), Shortfall<InstanceId>> {
        let Some(budget) = &mut self.budget else { return Ok(()) };
        for command in budget.on_event(now, budget::Event::Asked { id, claim }) {
            match command {
                budget::Command::Refuse { shortfall, .. } => return Err(shortfall),
                budget::Command::Admit { .. } => {}
                other => self.actions.push(Action::Budget(other)),
            }
        }
        Ok(())
    }

    /// It is down, and keeps nothing.
    pub(super) fn leave(&mut self, now: Moment, id: InstanceId) {
        let Some(budget) = &mut self.budget else { return };
        let commands = budget.on_event(now, budget::Event::Left { id });
        self.actions.extend(commands.into_iter().map(Action::Budget));
    }

    /// Tells machines whose deadline has come so, and hears who wants to look.
    pub(super) fn due(&mut self, now: Moment) -> Due {
        let mut due = Due::default();
        if let Some(budget) = &mut self.budget {
            let commands = budget.on_event(now, budget::Event::DeadlineReached);
            due.budget = commands.contains(&budget::Command::Sample);
        }
        for (name, scaling) in &mut self.scaling {
            let command = scaling.on_event(now, scaling::Event::DeadlineReached);
            if command == Some(scaling::Command::Sample) {
                due.services.push(name.clone());
            }
        }
        due
    }

    pub(super) fn observe_members(&mut self, now: Moment, uses: &[(InstanceId, Amount)]) {
        let Some(budget) = &mut self.budget else { return };
        let commands = budget.on_event(now, budget::Event::Sampled(uses.to_vec()));
        self.actions.extend(commands.into_iter().map(Action::Budget));
    }

    pub(super) fn tell_rule(&mut self, now: Moment, service: &Name, event: scaling::Event) {
        let Some(scaling) = self.scaling.get_mut(service) else { return };
        if let Some(scaling::Command::Scale(change)) = scaling.on_event(now, event) {
            self.actions.push(Action::Scale(service.clone(), change));
        }
    }
}

/// What the file says, or what there is less the reserve.
fn spec(keys: &BudgetKeys) -> BudgetSpec {
    let there_is = Capacity::detect();
    let left = |amount: f64| (amount * (1.0 - keys.reserve)).floor() as u64;
    let total = Amount::from_parts(|resource| {
        keys.stated(resource).unwrap_or_else(|| match resource {
            Resource::Cpu => left(there_is.cpus * 1000.0),
            Resource::Memory => left(there_is.memory_bytes as f64),
        })
    });
    let written = |resource: Resource| resource.written(total.of(resource)).to_string();
    let (cpu, memory) = (written(Resource::Cpu), written(Resource::Memory));
    tracing::info!(cpu, memory, "the node divides this budget");
    BudgetSpec { total, every: keys.every, window: keys.window }
}

/// What a service's instances ask for.
pub(super) fn claim(service: &Service) -> Claim {
    Claim { tier: service.tier, guarantee: service.guarantee }
}

/// Whether the budget looks at a service's processes.
pub(super) fn is_looked_at(service: &Service) -> bool {
    levers::is_governed(service, true)
}
