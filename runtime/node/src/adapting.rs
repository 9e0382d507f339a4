//! The node adapts: it keeps guarantees within a budget, squeezes who is low when it is short, and
//! changes the number of instances by what they use.
//!
//! The shell around [`blackhole_policy::budget`] and [`blackhole_policy::scaling`]. Without a key in
//! the file that needs it there is none of this: no task, no timer, no memory. With one, a single
//! task looks at what processes use when the next deadline of any machine has come, and carries out
//! what they say, off the node's thread where the kernel may take its time.

mod consumption;
mod levers;
mod machines;

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use blackhole_actors::Clock;
use blackhole_config::{Config, Service};
use blackhole_policy::{
    budget::{self, Amount, Claim, Resource, Shortfall, Standing},
    scaling::{self, Change, Scaling},
};
use blackhole_protocol::{InstanceId, Name};
use tokio::sync::Notify;

pub(crate) use self::levers::{is_governed, ready_to_pull};
use self::{
    consumption::{Looks, Target},
    levers::{Own, Setting},
    machines::{Action, Due, Machines, claim, is_looked_at},
};
use crate::{
    nursery::NodeContext,
    operator::Operator,
    registry::{Registry, State},
};

/// A start or a change of scale that the budget has no room for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{asker}` does not fit into the node's budget: {shortfall}\n\
     hint: stop or scale down something, lower a `guarantee`, or raise `{}` under [resources]",
    shortfall.resource
)]
pub struct InsufficientResources {
    /// Who asked.
    pub asker: String,
    /// The arithmetic.
    pub shortfall: Box<Shortfall<InstanceId>>,
}

/// The machines and their task; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Adapting(Option<Arc<Shared>>);

struct Shared {
    config: Arc<Config>,
    registry: Registry,
    clock: Clock,
    machines: Mutex<Machines>,
    /// There is something to do, or a deadline has come closer.
    stirred: Notify,
}

impl Adapting {
    /// Nothing at all when no key of the file needs it.
    pub(crate) fn new(config: &Arc<Config>, registry: &Registry, clock: Clock) -> Self {
        let machines = Machines::of(config, clock.now());
        Self(machines.map(|machines| {
            Arc::new(Shared {
                config: config.clone(),
                registry: registry.clone(),
                clock,
                machines: Mutex::new(machines),
                stirred: Notify::new(),
            })
        }))
    }

    /// Begins to look and to act, until the context is gone.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn begin(&self, context: &Arc<NodeContext>, operator: Operator) {
        if let Some(shared) = &self.0 {
            let task = Task {
                shared: shared.clone(),
                context: Arc::downgrade(context),
                operator,
                looks: Looks::default(),
            };
            tokio::spawn(task.run());
        }
    }

    /// An instance is about to be started: from now on its guarantee is kept for it.
    pub(crate) fn admit(
        &self,
        service: &Service,
        instance: &InstanceId,
    ) -> Result<(), InsufficientResources> {
        let Some(shared) = &self.0 else { return Ok(()) };
        let now = shared.clock.now();
        let asked = shared.machines().ask(now, instance.clone(), claim(service));
        shared.stirred.notify_one();
        asked.map_err(|shortfall| insufficient(instance.to_string(), shortfall))
    }

    /// Whether these could be started together; nothing is kept for them yet.
    pub(crate) fn check(
        &self,
        asker: &str,
        instances: impl IntoIterator<Item = InstanceId>,
    ) -> Result<(), InsufficientResources> {
        let Some(shared) = &self.0 else { return Ok(()) };
        let claim = |instance: InstanceId| {
            let claim = shared.config.services.get(&instance.service).map(claim)?;
            Some((instance, claim))
        };
        let asking: Vec<(InstanceId, Claim)> = instances.into_iter().filter_map(claim).collect();
        let machines = shared.machines();
        let shortfall = machines.budget.as_ref().and_then(|budget| budget.shortfall(&asking));
        shortfall.map_or(Ok(()), |shortfall| Err(insufficient(asker.to_owned(), shortfall)))
    }

    /// An instance is down and is not about to come back by itself.
    pub(crate) fn leave(&self, instance: InstanceId) {
        if let Some(shared) = &self.0 {
            shared.machines().leave(shared.clock.now(), instance);
            shared.stirred.notify_one();
        }
    }

    /// An operator says how many instances there shall be: the service's rule rests. Whether it has
    /// one.
    pub(crate) fn fix(&self, service: &Name, instances: u32) -> bool {
        self.tell_rule(service, scaling::Event::Fixed { instances })
    }

    /// An operator leaves the number to the service's rule again. Whether it has one.
    pub(crate) fn resume(&self, service: &Name) -> bool {
        self.tell_rule(service, scaling::Event::Resumed)
    }

    /// How the budget stands, of each resource; `None` where there is none.
    pub(crate) fn standings(&self) -> Option<[(Resource, Standing<InstanceId>); 2]> {
        let machines = self.0.as_ref()?.machines();
        let budget = machines.budget.as_ref()?;
        Some(Resource::ALL.map(|resource| (resource, budget.standing(resource))))
    }

    fn tell_rule(&self, service: &Name, event: scaling::Event) -> bool {
        let Some(shared) = &self.0 else { return false };
        let mut machines = shared.machines();
        machines.tell_rule(shared.clock.now(), service, event);
        shared.stirred.notify_one();
        machines.scaling.contains_key(service)
    }
}

fn insufficient(asker: String, shortfall: Shortfall<InstanceId>) -> InsufficientResources {
    InsufficientResources { asker, shortfall: Box::new(shortfall) }
}

impl Shared {
    fn machines(&self) -> MutexGuard<'_, Machines> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that looks and acts.
struct Task {
    shared: Arc<Shared>,
    /// The context would not end while somebody held it for good.
    context: Weak<NodeContext>,
    operator: Operator,
    looks: Looks,
}

impl Task {
    async fn run(mut self) {
        loop {
            let Some(context) = self.context.upgrade() else { return };
            self.look(&context).await;
            let actions = std::mem::take(&mut self.shared.machines().actions);
            for action in actions {
                self.carry_out(&context, action).await;
            }
            drop(context);
            self.rest().await;
        }
    }

    /// Until something is to be done, or the next deadline.
    async fn rest(&self) {
        let (deadline, has_deeds) = {
            let machines = self.shared.machines();
            (machines.next_deadline(), !machines.actions.is_empty())
        };
        if has_deeds {
            return;
        }
        let deadline = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(self.shared.clock.instant(at)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.shared.stirred.notified() => {}
            () = deadline => {}
        }
    }

    /// Looks at those whose machines want it, and tells the machines.
    async fn look(&mut self, context: &NodeContext) {
        let due = self.shared.machines().due(self.shared.clock.now());
        if !due.budget && due.services.is_empty() {
            return;
        }
        let (targets, ready) = self.targets(context, &due);
        let mut looks = std::mem::take(&mut self.looks);
        let look = move || {
            let uses = looks.look(&targets);
            (looks, uses)
        };
        let uses = match tokio::task::spawn_blocking(look).await {
            Ok((looks, uses)) => {
                self.looks = looks;
                uses
            }
            Err(error) => {
                tracing::error!(%error, "could not look at what services use");
                return;
            }
        };
        self.tell(&due, &uses, &ready);
    }

    fn tell(&self, due: &Due, uses: &[(InstanceId, Amount)], ready: &[InstanceId]) {
        let now = self.shared.clock.now();
        let mut machines = self.shared.machines();
        if due.budget {
            machines.observe_members(now, uses);
        }
        for service in &due.services {
            let of_service = uses
                .iter()
                .filter(|(instance, _)| instance.service == *service && ready.contains(instance));
            let amounts: Vec<Amount> = of_service.map(|(_, amount)| *amount).collect();
            let Some(count) = u64::try_from(amounts.len()).ok().filter(|count| *count > 0) else {
                continue;
            };
            let sum: Amount = amounts.into_iter().sum();
            let average = Amount::from_parts(|resource| sum.of(resource) / count);
            machines.tell_rule(now, service, scaling::Event::Sampled(average));
        }
    }

    /// Those that live and are to be looked at, and which of them are ready.
    fn targets(&self, context: &NodeContext, due: &Due) -> (Vec<Target>, Vec<InstanceId>) {
        let rows = self.shared.registry.survey(|entry| {
            let service = self.shared.config.services.get(&entry.instance.service)?;
            let by_budget = due.budget && is_looked_at(service);
            let wanted = by_budget || due.services.contains(&service.name);
            Some((entry.instance.clone(), entry.pid.filter(|_| wanted)?, entry.state))
        });
        let mut ready = Vec::new();
        let mut targets = Vec::new();
        for (instance, pid, state) in rows.into_iter().flatten() {
            if state == State::Ready {
                ready.push(instance.clone());
            }
            let plan = context.resources.plans.known_plan(&instance);
            targets.push(Target { instance, pid, plan });
        }
        (targets, ready)
    }

    async fn carry_out(&self, context: &NodeContext, action: Action) {
        let (id, event, resource, text, setting) = match action {
            Action::Scale(service, change) => return self.scale(&service, change).await,
            Action::Budget(budget::Command::Squeeze { id, squeeze }) => {
                let setting = self.own(&id).map(|own| levers::squeezed(own, &squeeze));
                (id, "squeezed", squeeze.resource, squeeze.to_string(), setting)
            }
            Action::Budget(budget::Command::Release { id, release }) => {
                let setting = self.own(&id).map(|own| levers::released(own, &release));
                (id, "released", release.resource, release.to_string(), setting)
            }
            Action::Budget(budget::Command::Announce { id, change }) => {
                let plan = context.resources.plans.known_plan(&id);
                let setting = levers::guaranteed(plan.as_deref(), &change);
                (id, "guaranteed", change.resource, change.to_string(), setting)
            }
            Action::Budget(
                budget::Command::Admit { .. }
                | budget::Command::Refuse { .. }
                | budget::Command::Sample,
            ) => return,
        };
        let text = match setting {
            Some(setting) => format!("{text}; {}", pulled(context, &id, setting).await),
            None => text,
        };
        self.record(&id, event, resource, text);
    }

    fn record(&self, id: &InstanceId, event: &'static str, resource: Resource, text: String) {
        self.shared.registry.record_adjusted(id, event, resource.as_str(), text);
    }

    fn own(&self, id: &InstanceId) -> Option<Own> {
        self.shared.config.services.get(&id.service).map(Own::of)
    }

    async fn scale(&self, service: &Name, change: Change) {
        // An operator may have been quicker.
        if self.shared.machines().scaling.get(service).is_none_or(Scaling::is_paused) {
            return;
        }
        let (why, text) = (change.why.as_str(), change.to_string());
        let Err(error) = self.operator.scale_by_rule(service, change.to, (why, text)).await else {
            return;
        };
        let text = format!("{change}: {error}");
        tracing::warn!(%service, "could not scale: {text}");
        let event = scaling::Event::Refused { instances: change.from };
        self.shared.machines().tell_rule(self.shared.clock.now(), service, event);
    }
}

/// What the kernel was told, or why it could not be.
async fn pulled(context: &NodeContext, id: &InstanceId, setting: Setting) -> String {
    let plan = context.resources.plans.known_plan(id);
    match tokio::task::spawn_blocking(move || levers::pull(plan, setting)).await {
        Ok(text) => text,
        Err(error) => format!("nothing enforces it: {error}"),
    }
}
