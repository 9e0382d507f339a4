//! How the file becomes a tree of supervisors.
//!
//! The root supervises services and groups side by side; a group is a supervisor of its own. Each
//! service at the root counts its own restarts; a group counts those of all its members together.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use blackhole_actors::{
    Clock,
    supervisor::{self, Arguments, Child, Nursery, Reporter, StartFailed, Supervisor, Witness},
};
use blackhole_config::{Config, Group, OnFailed, Service};
use blackhole_policy::{
    backoff::Backoff,
    supervision::{
        self, AutoShutdown, ChildKind, ChildSpec, Counting, Discipline, Restart, RestartLimit,
        Shutdown, SpecError, SupervisorExit, SupervisorSpec, Transition,
    },
};
use blackhole_protocol::{InstanceId, Name};
use ractor::{Actor, ActorId, ActorRef};
use tokio::sync::watch;

use crate::{
    adapting::Adapting,
    child,
    incident::{Place, Recorder},
    registry::{Change, NodeState, Registry},
};

/// A child of the root or of a group.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Member {
    /// One process of a service.
    Instance(InstanceId),
    /// A nested supervisor.
    Group(Name),
}

impl Member {
    /// The service's or the group's name.
    pub(crate) fn name(&self) -> &Name {
        match self {
            Self::Instance(instance) => &instance.service,
            Self::Group(name) => name,
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(instance) => instance.fmt(formatter),
            Self::Group(name) => write!(formatter, "group {name}"),
        }
    }
}

/// As its name would print: a recording has names where the node has members.
impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), formatter)
    }
}

pub(crate) type SupervisorRef = ActorRef<supervisor::Message<Member>>;

/// The supervisors that run now, by group; the root has no name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster(Arc<Mutex<HashMap<Option<Name>, SupervisorRef>>>);

impl Roster {
    pub(crate) fn supervisor(&self, group: Option<&Name>) -> Option<SupervisorRef> {
        self.supervisors().get(&group.cloned()).cloned()
    }

    pub(crate) fn enter(&self, group: Option<Name>, supervisor: SupervisorRef) {
        self.supervisors().insert(group, supervisor);
    }

    fn leave(&self, group: Option<&Name>) {
        self.supervisors().remove(&group.cloned());
    }

    fn supervisors(&self) -> MutexGuard<'_, HashMap<Option<Name>, SupervisorRef>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all supervisors of a node share.
pub(crate) struct NodeContext {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) roster: Roster,
    pub(crate) resources: child::Resources,
    pub(crate) adapting: Adapting,
    pub(crate) recorder: Recorder,
    /// Part of every child's token, so that those of an earlier node cannot be taken for ours.
    pub(crate) token: String,
    /// Set when the root supervisor has ended.
    pub(crate) outcome: watch::Sender<Option<SupervisorExit<Member>>>,
}

impl NodeContext {
    /// An instance is no longer wanted: its row and its sockets go.
    fn forget(&self, instance: &InstanceId) {
        self.registry.remove(instance);
        self.adapting.leave(instance.clone());
        self.resources.sockets.close_native(instance, &self.config.node.runtime_dir);
        self.resources.plans.forget(instance);
    }
}

/// The nursery of one supervisor.
pub(crate) struct Instances {
    context: Arc<NodeContext>,
    /// The group, and how its parent hears of it; `None` is the root.
    group: Option<(Name, Reporter<Member>)>,
    place: Place,
}

impl Instances {
    /// The nursery of the root.
    pub(crate) fn root(context: Arc<NodeContext>) -> Self {
        let place = context.recorder.place("root");
        Self { context, group: None, place }
    }

    async fn start_group(
        &self,
        name: Name,
        reporter: Reporter<Member>,
    ) -> Result<Box<dyn Child>, StartFailed> {
        let context = self.context.clone();
        let policy = policy(&context.config, &context.registry, Some(&name)).map_err(|error| {
            tracing::error!(group = %name, %error, "the group's supervisor cannot be");
            StartFailed
        })?;
        let supervisor = reporter.supervisor();
        let place = context.recorder.place(&format!("group {name}"));
        let group = Some((name.clone(), reporter));
        let nursery = Arc::new(Self { context: context.clone(), group, place });
        let arguments = Arguments { policy, nursery, clock: context.clock };
        let started =
            Actor::spawn_linked(None, Supervisor::<Self>::default(), arguments, supervisor).await;
        let (actor, _) = started.map_err(|error| {
            tracing::error!(group = %name, %error, "the group's supervisor did not start");
            StartFailed
        })?;
        context.roster.enter(Some(name), actor.clone());
        Ok(Box::new(GroupHandle(actor)))
    }

    /// The instances that a member stands for.
    fn instances(&self, member: &Member) -> Vec<InstanceId> {
        match member {
            Member::Instance(instance) => vec![instance.clone()],
            Member::Group(name) => {
                let below = members(&self.context.config, &self.context.registry, Some(name));
                below.iter().flat_map(|member| self.instances(member)).collect()
            }
        }
    }

    /// They keep nothing of the budget any more.
    fn leave(&self, member: &Member) {
        for instance in self.instances(member) {
            self.context.adapting.leave(instance);
        }
    }

    fn record(&self, member: &Member, change: &Change) {
        for instance in self.instances(member) {
            let generation = self.context.registry.generation(&instance);
            self.context.registry.record(&instance, generation, change.clone());
        }
    }
}

impl Nursery for Instances {
    type Id = Member;

    async fn start(&self, reporter: Reporter<Member>) -> Result<Box<dyn Child>, StartFailed> {
        match reporter.child().clone() {
            Member::Group(name) => self.start_group(name, reporter).await,
            Member::Instance(instance) => child::start(&self.context, instance, reporter).await,
        }
    }

    fn observe(&self, transition: &Transition<Member>) {
        match transition {
            Transition::Pending { child, waits_for } => {
                let names = waits_for.iter().map(ToString::to_string).collect();
                self.record(child, &Change::Pending(names));
            }
            Transition::BackingOff { child, until, .. } => {
                let delay = until.since(self.context.clock.now());
                self.record(child, &Change::BackingOff(delay));
            }
            Transition::Failed { child, restarts } => {
                let why = format!("{child} would be restarted too often: {restarts} times");
                tracing::error!(child = %child, restarts, event = "failed", "gave up restarting");
                self.record(child, &Change::Failed(why));
                self.leave(child);
            }
            Transition::Completed { child, .. } => {
                self.record(child, &Change::Completed);
                self.leave(child);
            }
            Transition::Stopped { child } => {
                self.record(child, &Change::Stopped);
                self.leave(child);
            }
            Transition::Added { .. } => {}
            Transition::Removed { child } => {
                for instance in self.instances(child) {
                    self.context.forget(&instance);
                }
            }
            Transition::GroupRestarting { cause, members } => {
                tracing::info!(%cause, members = members.len(), event = "group_restarting");
            }
            Transition::Unkillable { child, generation } => {
                let what = "was killed and is still there".to_owned();
                tracing::error!(%child, %generation, event = "unkillable", "{what}");
                self.record(child, &Change::Leaked(what));
            }
        }
    }

    fn witness(&self) -> Option<&dyn Witness<Member>> {
        self.place.if_recorded().map(|place| place as _)
    }

    fn up(&self) {
        match &self.group {
            Some((_, reporter)) => reporter.started(),
            None => self.context.registry.record_node(NodeState::Running, "everything is up"),
        }
    }

    fn ended(&self, exit: SupervisorExit<Member>) {
        let context = &self.context;
        match &self.group {
            Some((name, reporter)) => {
                context.roster.leave(Some(name));
                self.leave(&Member::Group(name.clone()));
                tracing::info!(group = %name, ?exit, event = "exited", "the group ended");
                reporter.exited(exit.exit());
            }
            None => {
                context.roster.leave(None);
                context.outcome.send_replace(Some(exit));
            }
        }
    }
}

/// A group's supervisor, as its parent holds it.
struct GroupHandle(SupervisorRef);

impl GroupHandle {
    /// A group that is gone has reported so.
    fn request_stop(&self) {
        let _ = self.0.cast(supervisor::Message::Event(supervision::Event::StopRequested));
    }
}

impl Child for GroupHandle {
    fn actor(&self) -> ActorId {
        self.0.get_id()
    }

    fn ask(&self) {
        self.request_stop();
    }

    /// To ask a second time skips every grace below.
    fn kill(&self) {
        self.request_stop();
        self.request_stop();
    }
}

/// The policy of the root (`None`) or of a group. Its children are those that the registry has now,
/// which may be more or fewer than the file says, and their generations go on from there.
pub(crate) fn policy(
    config: &Config,
    registry: &Registry,
    group: Option<&Name>,
) -> Result<supervision::Supervisor<Member>, SpecError<Member>> {
    let (strategy, counting) = match group.and_then(|name| find_group(config, name)) {
        Some(group) => (group.strategy, Counting::Shared(group.limit)),
        None => (config.supervisor.strategy, Counting::PerChild),
    };
    let spec = SupervisorSpec {
        strategy,
        discipline: Discipline::Concurrent,
        counting,
        auto_shutdown: AutoShutdown::Never,
    };
    let members = members(config, registry, group);
    let generations = members.iter().filter_map(|member| match member {
        Member::Instance(instance) => Some(registry.generation(instance)),
        Member::Group(_) => None,
    });
    let generation_floor = generations.max().unwrap_or_default();
    let children = members
        .into_iter()
        .filter_map(|member| match member {
            Member::Instance(instance) => {
                let service = config.services.get(&instance.service)?;
                Some(specification(config, registry, service, instance.index))
            }
            Member::Group(name) => {
                Some(group_specification(config, registry, find_group(config, &name)?))
            }
        })
        .collect();
    Ok(supervision::Supervisor::new(spec, children)?.beyond(generation_floor))
}

/// One process of a service, as its supervisor sees it.
pub(crate) fn specification(
    config: &Config,
    registry: &Registry,
    service: &Service,
    index: NonZeroU32,
) -> ChildSpec<Member> {
    ChildSpec {
        id: Member::Instance(InstanceId { service: service.name.clone(), index }),
        restart: service.restart,
        shutdown: match service.stop.grace {
            Some(grace) if grace.is_zero() => Shutdown::Brutal,
            Some(grace) => Shutdown::Timeout(grace),
            None => Shutdown::Infinity,
        },
        significant: false,
        kind: ChildKind::Worker,
        after: expand(config, registry, &service.after),
        limit: service.limit,
        on_failed: on_failed(service.on_failed),
        backoff: service.backoff,
    }
}

fn group_specification(config: &Config, registry: &Registry, group: &Group) -> ChildSpec<Member> {
    ChildSpec {
        id: Member::Group(group.name.clone()),
        restart: Restart::Permanent,
        shutdown: Shutdown::Infinity,
        significant: false,
        kind: ChildKind::Supervisor,
        after: expand(config, registry, &group.after),
        limit: group_limit(config),
        on_failed: on_failed(group.on_failed),
        backoff: Backoff::default(),
    }
}

/// How often a group may give up before its parent does: what the root allows a service.
fn group_limit(config: &Config) -> RestartLimit {
    config.supervisor.limit
}

fn on_failed(on_failed: OnFailed) -> supervision::OnFailed {
    match on_failed {
        OnFailed::Rest => supervision::OnFailed::Rest,
        OnFailed::Escalate => supervision::OnFailed::Escalate,
    }
}

/// What the root (`None`) or a group supervises, in start order; disabled services are not there.
pub(crate) fn members(config: &Config, registry: &Registry, group: Option<&Name>) -> Vec<Member> {
    let names: &[Name] = match group {
        Some(name) => find_group(config, name).map_or(&[], |group| &group.members),
        None => &config.supervisor.members,
    };
    expand(config, registry, names)
}

/// The siblings that names stand for.
fn expand(config: &Config, registry: &Registry, names: &[Name]) -> Vec<Member> {
    names.iter().flat_map(|name| stand_for(config, registry, name)).collect()
}

fn stand_for(config: &Config, registry: &Registry, name: &Name) -> Vec<Member> {
    match config.services.get(name) {
        Some(service) if service.enabled => registry
            .indices(name)
            .into_iter()
            .map(|index| Member::Instance(InstanceId { service: name.clone(), index }))
            .collect(),
        Some(_) => Vec::new(),
        None => vec![Member::Group(name.clone())],
    }
}

fn find_group<'a>(config: &'a Config, name: &Name) -> Option<&'a Group> {
    config.groups.iter().find(|group| group.name == *name)
}
