//! What each instance may use: planned once, applied to every incarnation.
//!
//! Where a limit needs a control group, the group is made with the plan and lasts as long as the
//! instance is wanted. A limit that this host cannot enforce is said once, as a warning; the
//! service runs without it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use blackhole_config::{Config, Resources, Service};
use blackhole_isolation::{
    Bound, CpuQuota, Enforcement, GroupError, Groups, Host, IsolationError, Limits, Mounts, Plan,
    Priorities, Request, Resource, Rlimit, Umask, User, Weight,
};
use blackhole_protocol::InstanceId;

use crate::adapting;

/// What is left in a group has so long to end when the group is removed.
const REMOVAL_WAIT_MAX: Duration = Duration::from_secs(2);

/// The plans of all instances that have been started, and the host that they were made for.
#[derive(Debug)]
pub(crate) struct Plans {
    host: Host,
    has_budget: bool,
    known: Mutex<HashMap<InstanceId, Arc<Plan>>>,
}

impl Plans {
    /// No plans yet. The node's own control groups are opened only if a service of the file needs
    /// one, and before any service runs; `own_processes` are the node and its guardian, which may
    /// have to move out of the way. What a predecessor has left in them is ended.
    pub(crate) fn open(config: &Config, name: &str, own_processes: &[u32]) -> Self {
        let host = Host::detect();
        let needed = config.services.iter().filter(|service| service.enabled).any(|service| {
            limits(&service.resources) != Limits::default()
                || adapting::is_governed(service, config.budget.is_some())
        });
        let host = match needed.then(|| open_groups(name, own_processes)) {
            Some(Ok(groups)) => host.with_groups(groups),
            Some(Err(error)) => {
                tracing::warn!(%error, "the node has no control groups");
                host
            }
            None => host,
        };
        Self { host, has_budget: config.budget.is_some(), known: Mutex::default() }
    }

    /// The plan of an instance. The first time, this may make its group.
    pub(crate) fn of(
        &self,
        service: &Service,
        instance: &InstanceId,
    ) -> Result<Arc<Plan>, IsolationError> {
        let request = self.request(service, instance);
        if request == Request::default() {
            return Ok(Arc::default());
        }
        let mut known = self.known();
        if let Some(plan) = known.get(instance) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(blackhole_isolation::plan(&request, &self.host)?);
        for lack in plan.downgraded() {
            let (key, reason) = (lack.key, lack.reason.as_str());
            tracing::warn!(service = %service.name, key, reason, "a limit is not enforced");
        }
        known.insert(instance.clone(), plan.clone());
        Ok(plan)
    }

    /// The plan of an instance that has been started before.
    pub(crate) fn existing(&self, instance: &InstanceId) -> Option<Arc<Plan>> {
        self.known().get(instance).cloned()
    }

    /// What the file says, and what is needed to adapt it while it runs.
    fn request(&self, service: &Service, instance: &InstanceId) -> Request {
        let request = request(service, instance);
        if !adapting::is_governed(service, self.has_budget) {
            return request;
        }
        let limits = adapting::ready_to_pull(request.limits.clone(), self.host.groups());
        if limits == request.limits {
            return request;
        }
        let (instance, enforcement) = (instance.to_string(), Enforcement::BestEffort);
        Request { instance, enforcement, limits, ..request }
    }

    /// The instance is no longer wanted: its group goes.
    pub(crate) fn forget(&self, instance: &InstanceId) {
        let plan = self.known().remove(instance);
        if let Some(group) = plan.as_ref().and_then(|plan| plan.group())
            && let Err(error) = group.remove(REMOVAL_WAIT_MAX)
        {
            tracing::warn!(%instance, %error, "its control group stays behind");
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<InstanceId, Arc<Plan>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_groups(name: &str, own_processes: &[u32]) -> Result<Groups, GroupError> {
    let groups = Groups::open(&Mounts::detect(), name, own_processes)?;
    let left = groups.remove_others(&BTreeSet::new(), REMOVAL_WAIT_MAX)?;
    if !left.is_empty() {
        tracing::warn!(groups = left.join(", "), "ended what an earlier node had left behind");
    }
    Ok(groups)
}

/// Everything is down when the node goes, and so are its groups.
impl Drop for Plans {
    fn drop(&mut self) {
        self.known.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        if self.host.groups().roots().is_empty() {
            return;
        }
        if let Err(error) = self.host.groups().clone().close(REMOVAL_WAIT_MAX) {
            tracing::warn!(%error, "the node's control groups stay behind");
        }
    }
}

/// What the file says about a service, in the words of isolation; the default when it says nothing.
fn request(service: &Service, instance: &InstanceId) -> Request {
    let resources = &service.resources;
    let user = service.user.as_ref().map(|user| User {
        user: user.user.clone(),
        group: user.group.clone(),
        supplementary: None,
    });
    let request = Request {
        limits: limits(resources),
        user,
        umask: resources.umask.and_then(Umask::new),
        rlimits: resources.files_max.map(files_max).into_iter().collect(),
        priorities: Priorities {
            nice: resources.nice.and_then(|nice| i8::try_from(nice).ok()),
            oom_score_adjust: resources.oom_score_adj.and_then(|score| i16::try_from(score).ok()),
            ..Priorities::default()
        },
        ..Request::default()
    };
    if request == Request::default() {
        return request;
    }
    Request { instance: instance.to_string(), enforcement: Enforcement::BestEffort, ..request }
}

fn limits(resources: &Resources) -> Limits {
    let weight =
        |weight: Option<u32>| weight.and_then(|it| u16::try_from(it).ok()).and_then(Weight::new);
    Limits {
        cpu: resources.cpu.and_then(CpuQuota::from_cores),
        cpu_weight: weight(resources.cpu_weight),
        memory_max: resources.memory,
        memory_high: resources.memory_high,
        swap_max: resources.swap,
        io_weight: weight(resources.io_weight),
        tasks_max: resources.tasks_max.map(u64::from),
        ..Limits::default()
    }
}

fn files_max(files: u32) -> Rlimit {
    Rlimit::fixed(Resource::Files, Bound::At(files.into()))
}
