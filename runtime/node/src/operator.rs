//! What an operator may wish for, by name: start, stop, restart, scale, shut down.
//!
//! A wish goes to the supervisor that owns the child, as a call of its policy; the registry tells
//! when it has come true. Nothing here decides whether a child runs.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc};

use blackhole_actors::{Directory, Peers, supervisor};
use blackhole_config::{Config, Service};
use blackhole_policy::supervision::{Call, Refusal, Reply};
use blackhole_protocol::{InstanceId, Name};
use tokio::sync::{oneshot, watch};

use crate::{
    adapting::{Adapting, InsufficientResources},
    nursery::{Member, Roster, SupervisorRef, specification},
    registry::{Kind, Registry, State},
    standing::Standings,
};

/// The most processes one service may have.
pub const INSTANCES_MAX: u32 = 1000;

/// Why a wish was refused.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Nothing has that name.
    #[error("there is no service or group `{name}` (known: {known})")]
    UnknownName {
        /// As asked.
        name: String,
        /// Everything that has a name.
        known: String,
    },
    /// A wish for nothing.
    #[error("no service was named")]
    NoName,
    /// A group, or a service that cannot have several processes.
    #[error("`{name}` cannot be scaled: {why}")]
    NotScalable {
        /// As asked.
        name: String,
        /// What is in the way.
        why: &'static str,
    },
    /// More than [`INSTANCES_MAX`].
    #[error("{asked} instances are too many: at most {INSTANCES_MAX}")]
    TooManyInstances {
        /// As asked.
        asked: u32,
    },
    /// None at all.
    #[error("a service has at least one instance\nhint: `bh stop {name}` stops all of them")]
    NoInstances {
        /// As asked.
        name: Name,
    },
    /// The file says that it is off.
    #[error("`{name}` is disabled\nhint: set `enabled = true` under [services.{name}]")]
    Disabled {
        /// As asked.
        name: Name,
    },
    /// The service's group is not running, so nobody could supervise it.
    #[error("the group `{group}` of `{name}` is not running\nhint: `bh start {group}`")]
    GroupDown {
        /// As asked.
        name: Name,
        /// Where it is a member.
        group: Name,
    },
    /// A wish for the opposite came before this one was fulfilled.
    #[error("`{name}` was not waited for: somebody asked for something else meanwhile")]
    Superseded {
        /// Whose wish it was.
        name: String,
    },
    /// The first start failed; it is tried again as the file says.
    #[error("`{name}` did not start\nhint: `bh history {name}` says why")]
    StartFailed {
        /// What was to start.
        name: String,
    },
    /// The node's budget has no room for it.
    #[error(transparent)]
    InsufficientResources(#[from] InsufficientResources),
    /// The supervisor that would know is ending.
    #[error("the node is stopping")]
    NodeStopping,
}

/// Whether an answer waits until the wish has come true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It does.
    UntilDone,
    /// It does not.
    No,
}

/// From the field `no_wait` of a request.
impl From<bool> for Wait {
    fn from(no_wait: bool) -> Self {
        if no_wait { Self::No } else { Self::UntilDone }
    }
}

/// Services, chosen by their own names or their groups'.
#[derive(Debug, Clone)]
pub struct Selection {
    services: BTreeSet<Name>,
    members: Vec<Chosen>,
}

#[derive(Debug, Clone)]
enum Chosen {
    Service(Name),
    Group(Name),
}

impl Selection {
    /// The services that were chosen.
    pub fn services(&self) -> impl Iterator<Item = &Name> {
        self.services.iter()
    }

    /// Whether a service was chosen.
    pub fn contains(&self, service: &Name) -> bool {
        self.services.contains(service)
    }
}

/// The one who carries wishes to supervisors; clones are the same.
#[derive(Clone)]
pub struct Operator {
    config: Arc<Config>,
    registry: Registry,
    roster: Roster,
    adapting: Adapting,
    shutdown: watch::Sender<u32>,
    peers: Peers,
    directory: Arc<dyn Directory>,
}

impl Operator {
    pub(crate) fn new(
        config: Arc<Config>,
        registry: Registry,
        roster: Roster,
        adapting: Adapting,
    ) -> Self {
        let directory: Arc<dyn Directory> = Arc::new(Standings::of(registry.clone()));
        let peers = Peers::new("the node", &config.node.runtime_dir, Some(directory.clone()));
        let shutdown = watch::Sender::new(0);
        Self { config, registry, roster, adapting, shutdown, peers, directory }
    }

    /// How every instance is, and why those that are gone ended.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// The native services, for references to their actors. Connections are driven by the runtime in
    /// which a reference is first used.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The services behind names; all of them when there is none.
    pub fn select(&self, names: &[String]) -> Result<Selection, OperatorError> {
        if names.is_empty() {
            let services = self.config.services.keys().cloned().collect();
            return Ok(Selection { services, members: Vec::new() });
        }
        let mut selection = Selection { services: BTreeSet::new(), members: Vec::new() };
        for name in names {
            if let Some(service) = self.service(name) {
                selection.services.insert(service.name.clone());
                selection.members.push(Chosen::Service(service.name.clone()));
            } else if let Some(group) =
                self.config.groups.iter().find(|group| is(&group.name, name))
            {
                selection.services.extend(self.services_below(&group.name));
                selection.members.push(Chosen::Group(group.name.clone()));
            } else {
                return Err(self.unknown(name));
            }
        }
        Ok(selection)
    }

    /// As [`Self::select`], and at least one name must be there.
    pub fn select_some(&self, names: &[String]) -> Result<Selection, OperatorError> {
        if names.is_empty() { Err(OperatorError::NoName) } else { self.select(names) }
    }

    /// Starts what is stopped, completed or failed; what runs already stays untouched.
    pub async fn start(&self, selection: &Selection, wait: Wait) -> Result<(), OperatorError> {
        self.refuse_disabled(selection)?;
        self.admit_all(selection)?;
        self.ask_all(self.members(selection), Call::StartChild, wait).await
    }

    /// Stops; a second wish while the first is under way skips the grace.
    pub async fn stop(&self, selection: &Selection, wait: Wait) -> Result<(), OperatorError> {
        self.ask_all(self.members(selection), Call::StopChild, wait).await
    }

    /// Stops, then starts; not counted as a restart.
    pub async fn restart(&self, selection: &Selection, wait: Wait) -> Result<(), OperatorError> {
        self.refuse_disabled(selection)?;
        self.ask_all(self.members(selection), Call::RestartChild, wait).await
    }

    /// Changes the number of a service's processes; the highest numbers go first. The service's own
    /// rule, where it has one, rests until [`Self::scale_automatically`].
    pub async fn scale(&self, name: &str, instances: u32, wait: Wait) -> Result<(), OperatorError> {
        let service = self.scalable(name)?;
        self.check_scale(service, instances)?;
        let message = match self.adapting.fix(&service.name, instances) {
            true => format!(
                "has {instances} instances now; its rule rests until `bh scale {name}=auto`"
            ),
            false => format!("has {instances} instances now"),
        };
        self.registry.record_scaled(&service.name, "", message);
        self.set_instances(service, instances, wait).await
    }

    /// Leaves the number of a service's processes to its rule again.
    pub fn scale_automatically(&self, name: &str) -> Result<(), OperatorError> {
        let service = self.scalable(name)?;
        if self.adapting.resume(&service.name) {
            return Ok(());
        }
        let why = "the file has no `scale` for it";
        Err(OperatorError::NotScalable { name: name.to_owned(), why })
    }

    /// Carries out what a service's rule says. Nobody waits for it.
    pub(crate) async fn scale_by_rule(
        &self,
        service: &Name,
        instances: u32,
        (why, message): (&str, String),
    ) -> Result<(), OperatorError> {
        let service = self.scalable(service.as_str())?;
        self.check_scale(service, instances)?;
        self.registry.record_scaled(&service.name, why, message);
        self.set_instances(service, instances, Wait::No).await
    }

    /// Whether there may be so many instances of a service; nothing changes.
    fn check_scale(&self, service: &Service, instances: u32) -> Result<(), OperatorError> {
        if instances > INSTANCES_MAX {
            return Err(OperatorError::TooManyInstances { asked: instances });
        }
        if instances == 0 {
            return Err(OperatorError::NoInstances { name: service.name.clone() });
        }
        let first = InstanceId { service: service.name.clone(), index: NonZeroU32::MIN };
        self.supervisor(&Member::Instance(first.clone()))?;
        let present = self.registry.indices(&service.name);
        let added = (1..=instances).filter_map(NonZeroU32::new);
        let added = added.filter(|index| !present.contains(index));
        let added = added.map(|index| InstanceId { service: service.name.clone(), index });
        self.admit(&first, service.name.as_str(), added)
    }

    async fn set_instances(
        &self,
        service: &Service,
        instances: u32,
        wait: Wait,
    ) -> Result<(), OperatorError> {
        let instance = |index| InstanceId { service: service.name.clone(), index };
        let wanted: Vec<InstanceId> =
            (1..=instances).filter_map(NonZeroU32::new).map(instance).collect();
        let present = self.registry.indices(&service.name).into_iter();
        let surplus = present.filter(|index| index.get() > instances);
        let surplus = surplus.map(|index| Member::Instance(instance(index))).collect();
        for instance in &wanted {
            let (group, kind) = (service.group.clone(), Kind::of(service));
            self.registry.add(instance.clone(), group, kind, State::Pending);
        }
        let add = |member: Member| match &member {
            Member::Instance(instance) => {
                Call::AddChild(specification(&self.config, &self.registry, service, instance.index))
            }
            Member::Group(_) => unreachable!("only instances are added"),
        };
        // Those that are there already stay as they are, unless they are on their way out.
        let wanted = wanted.into_iter().map(Member::Instance).collect();
        self.ask_all(wanted, add, wait).await?;
        // Their rows go when their supervisor has let them go.
        self.ask_all(surplus, Call::RemoveChild, wait).await
    }

    /// Refuses what the budget has no room for, before anything is changed.
    fn admit_all(&self, selection: &Selection) -> Result<(), OperatorError> {
        let enabled = |name: &&Name| self.service(name.as_str()).is_some_and(|it| it.enabled);
        let names: Vec<&Name> = selection.services().filter(enabled).collect();
        let of = |name: &&Name| {
            let service = (*name).clone();
            let indices = self.registry.indices(&service).into_iter();
            indices.map(move |index| InstanceId { service: service.clone(), index })
        };
        let instances: Vec<InstanceId> = names.iter().flat_map(of).collect();
        let Some(first) = instances.first().cloned() else { return Ok(()) };
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        self.admit(&first, &names.join("`, `"), instances)
    }

    /// A refusal is told where people will look for it: with the service's first instance.
    fn admit(
        &self,
        first: &InstanceId,
        asker: &str,
        instances: impl IntoIterator<Item = InstanceId>,
    ) -> Result<(), OperatorError> {
        self.adapting.check(asker, instances).map_err(|insufficient| {
            self.registry.record_refused(first, insufficient.to_string());
            insufficient.into()
        })
    }

    /// Ends the node: everything is stopped in reverse order. A second time skips the graces.
    pub fn shut_down(&self) {
        self.shutdown.send_modify(|requests| *requests += 1);
    }

    /// Ends the node unless somebody has wished that already: no grace is skipped.
    pub fn shut_down_in_order(&self) {
        self.shutdown.send_if_modified(|requests| {
            let is_first = *requests == 0;
            *requests += u32::from(is_first);
            is_first
        });
    }

    /// Counts the wishes to end the node; those from before are news as well.
    pub(crate) fn shutdown_requests(&self) -> watch::Receiver<u32> {
        let mut requests = self.shutdown.subscribe();
        if *requests.borrow() > 0 {
            requests.mark_changed();
        }
        requests
    }

    /// Makes a wish for each member at the same time, and waits until all have come true if that
    /// is wanted. The first that does not is the error.
    async fn ask_all(
        &self,
        members: BTreeSet<Member>,
        call: impl Fn(Member) -> Call<Member>,
        wait: Wait,
    ) -> Result<(), OperatorError> {
        let mut pending = Vec::with_capacity(members.len());
        for member in members {
            let answer = self.ask(&member, call(member.clone()))?;
            pending.push((member, answer));
        }
        if wait == Wait::No {
            return Ok(());
        }
        for (member, answer) in pending {
            // A supervisor that ends drops the question.
            let reply = answer.await.map_err(|_| OperatorError::NodeStopping)?;
            judge(&member, reply)?;
        }
        Ok(())
    }

    fn ask(
        &self,
        member: &Member,
        call: Call<Member>,
    ) -> Result<oneshot::Receiver<Reply<Member>>, OperatorError> {
        let (port, answer) = oneshot::channel();
        self.supervisor(member)?
            .cast(supervisor::Message::Call(call, port.into()))
            .map_err(|_| OperatorError::NodeStopping)?;
        Ok(answer)
    }

    fn supervisor(&self, member: &Member) -> Result<SupervisorRef, OperatorError> {
        let owner = self.owner(member);
        self.roster.supervisor(owner.as_ref()).ok_or_else(|| match owner {
            Some(group) => OperatorError::GroupDown { name: member.name().clone(), group },
            None => OperatorError::NodeStopping,
        })
    }

    /// Each once, however often and by however many of its groups it was named: to ask twice would
    /// mean something else.
    fn members(&self, selection: &Selection) -> BTreeSet<Member> {
        let of = |chosen: &Chosen| match chosen {
            Chosen::Group(name) => vec![Member::Group(name.clone())],
            Chosen::Service(name) => self
                .registry
                .indices(name)
                .into_iter()
                .map(|index| Member::Instance(InstanceId { service: name.clone(), index }))
                .collect(),
        };
        let chosen: BTreeSet<Member> = selection.members.iter().flat_map(of).collect();
        let is_covered = |member: &Member| {
            let groups = std::iter::successors(self.owner(member), |group| {
                self.owner(&Member::Group(group.clone()))
            });
            groups.map(Member::Group).any(|group| chosen.contains(&group))
        };
        chosen.iter().filter(|member| !is_covered(member)).cloned().collect()
    }

    fn owner(&self, member: &Member) -> Option<Name> {
        match member {
            Member::Instance(instance) => {
                self.config.services.get(&instance.service)?.group.clone()
            }
            Member::Group(name) => self
                .config
                .groups
                .iter()
                .find(|group| group.name == *name)
                .and_then(|group| group.parent.clone()),
        }
    }

    fn services_below(&self, group: &Name) -> Vec<Name> {
        let direct =
            self.config.services.values().filter(|service| service.group.as_ref() == Some(group));
        let nested =
            self.config.groups.iter().filter(|nested| nested.parent.as_ref() == Some(group));
        direct
            .map(|service| service.name.clone())
            .chain(nested.flat_map(|nested| self.services_below(&nested.name)))
            .collect()
    }

    fn service(&self, name: &str) -> Option<&Service> {
        self.config.services.get(name)
    }

    fn scalable(&self, name: &str) -> Result<&Service, OperatorError> {
        let not_scalable = |why| OperatorError::NotScalable { name: name.to_owned(), why };
        let Some(service) = self.service(name) else {
            return Err(match self.select(&[name.to_owned()]) {
                Ok(_) => not_scalable("it is a group"),
                Err(unknown) => unknown,
            });
        };
        if service.enabled {
            Ok(service)
        } else {
            Err(OperatorError::Disabled { name: service.name.clone() })
        }
    }

    fn refuse_disabled(&self, selection: &Selection) -> Result<(), OperatorError> {
        let named = selection.members.iter().filter_map(|chosen| match chosen {
            Chosen::Service(name) => self.service(name.as_str()),
            Chosen::Group(_) => None,
        });
        match named.into_iter().find(|service| !service.enabled) {
            Some(service) => Err(OperatorError::Disabled { name: service.name.clone() }),
            None => Ok(()),
        }
    }

    fn unknown(&self, name: &str) -> OperatorError {
        let services = self.config.services.keys().map(Name::as_str);
        let groups = self.config.groups.iter().map(|group| group.name.as_str());
        let known: Vec<&str> = services.chain(groups).collect();
        OperatorError::UnknownName { name: name.to_owned(), known: known.join(", ") }
    }
}

fn is(name: &Name, text: &str) -> bool {
    name.as_str() == text
}

/// What an answer means for the one who wished. What is so already is as good as what became so.
fn judge(member: &Member, reply: Reply<Member>) -> Result<(), OperatorError> {
    let name = || member.name().to_string();
    match reply {
        Ok(_)
        | Err(
            Refusal::Running
            | Refusal::AlreadyStarted(_)
            | Refusal::AlreadyPresent
            | Refusal::NotFound
            | Refusal::Restarting,
        ) => Ok(()),
        Err(Refusal::StartFailed) => Err(OperatorError::StartFailed { name: name() }),
        Err(Refusal::Superseded) => Err(OperatorError::Superseded { name: name() }),
        Err(Refusal::SupervisorEnding) => Err(OperatorError::NodeStopping),
        Err(
            refusal
            @ (Refusal::SimpleOneForOne | Refusal::NotSimpleOneForOne | Refusal::Invalid(_)),
        ) => {
            tracing::error!(%member, ?refusal, "a call that makes no sense: this is a bug");
            Err(OperatorError::NodeStopping)
        }
    }
}
