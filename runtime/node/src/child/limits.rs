//! What each instance may use: planned once, applied to every incarnation.
//!
//! Where a limit needs a control group, the group is made with the plan and lasts as long as the
//! instance is wanted. A limit that this host cannot enforce and the service may do without is said
//! once, as a warning, and stands in status and history as long as the service runs.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use blackhole_config::{Config, Scope, Service};
use blackhole_isolation::{
    GroupError, Groups, Host, IsolationError, Mounts, Plan, ProjectQuota, Request,
};
use blackhole_protocol::InstanceId;

use super::request;
use crate::adapting;

/// What is left in a group has so long to end when the group is removed.
const REMOVAL_WAIT_MAX: Duration = Duration::from_secs(2);
/// A group that could not be removed, for want of descriptors or because of a process that does not die, is
/// tried again after so long, and then after twice as long each time.
const REMOVAL_PAUSE: Duration = Duration::from_secs(1);
const REMOVAL_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Then what is left in it has so long: others wait for their plans meanwhile.
const REMOVAL_WAIT_AGAIN_MAX: Duration = Duration::from_millis(10);

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
        let has_budget = config.budget.is_some();
        let needed = config.services.values().filter(|service| service.enabled).any(|service| {
            request::needs_group(service) || adapting::is_governed(service, has_budget)
        });
        let host = match needed.then(|| open_groups(name, own_processes)) {
            Some(Ok(groups)) => host.with_groups(groups),
            Some(Err(error)) => {
                tracing::warn!(%error, "the node has no control groups");
                host.with_groups(Groups::unusable(&error))
            }
            None => {
                close_left_behind(name);
                host
            }
        };
        lift_quotas(config);
        if has_budget && let Err(error) = host.groups().shelter() {
            tracing::warn!(%error, "the kernel keeps no memory for anybody");
        }
        Self { host, has_budget, known: Mutex::default() }
    }

    /// The node's own directories among control groups, for who cleans up after a crash.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.host.groups().roots().into_iter()
    }

    /// The plan of an instance. The first time, this may make its group.
    pub(crate) fn of(
        &self,
        service: &Service,
        scope: &Scope<'_>,
        instance: &InstanceId,
    ) -> Result<Arc<Plan>, IsolationError> {
        let mut known = self.known();
        if let Some(plan) = known.get(instance) {
            return Ok(plan.clone());
        }
        let request = self.request(service, scope, instance);
        if request == Request::default() {
            return Ok(Arc::default());
        }
        let plan = Arc::new(blackhole_isolation::plan(&request, &self.host)?);
        for lack in plan.downgraded() {
            let (key, reason) = (lack.key, lack.reason.as_str());
            tracing::warn!(service = %service.name, key, reason, "a limit is not enforced");
        }
        known.insert(instance.clone(), plan.clone());
        Ok(plan)
    }

    /// The plan of an instance that has been started and asks for something.
    pub(crate) fn known_plan(&self, instance: &InstanceId) -> Option<Arc<Plan>> {
        self.known().get(instance).cloned()
    }

    /// What the file says, and what is needed to adapt it while it runs.
    fn request(&self, service: &Service, scope: &Scope<'_>, instance: &InstanceId) -> Request {
        let request = request::of(service, scope);
        if !adapting::is_governed(service, self.has_budget) {
            return request;
        }
        let limits = adapting::ready_to_pull(
            request.limits.clone(),
            self.host.groups(),
            self.has_budget.then_some(service),
        );
        if limits == request.limits {
            return request;
        }
        let enforcement = service.enforcement;
        Request { instance: instance.to_string(), enforcement, limits, ..request }
    }

    /// The instance is no longer wanted: its group goes, if not now then as soon as it can.
    pub(crate) fn forget(self: &Arc<Self>, instance: &InstanceId) {
        let plan = self.known().remove(instance);
        if let Some(group) = plan.as_ref().and_then(|plan| plan.group())
            && let Err(error) = group.remove(REMOVAL_WAIT_MAX)
        {
            tracing::warn!(%instance, %error, "its control group stays for now");
            tokio::spawn(remove_later(Arc::downgrade(self), instance.clone()));
        }
    }

    /// Removes a group that had to stay, unless the instance is wanted again: then it is made anew.
    fn remove_again(&self, instance: &InstanceId) -> Result<(), GroupError> {
        let known = self.known();
        if known.contains_key(instance) {
            return Ok(());
        }
        self.host.groups().existing(&instance.to_string())?.remove(REMOVAL_WAIT_AGAIN_MAX)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<InstanceId, Arc<Plan>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds no descriptor, of which the want may be why the group stays. A node that ends meanwhile removes all
/// its groups.
async fn remove_later(plans: Weak<Plans>, instance: InstanceId) {
    let mut pause = REMOVAL_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let Some(plans) = plans.upgrade() else { return };
        match plans.remove_again(&instance) {
            Ok(()) => return tracing::info!(%instance, "its control group has gone"),
            Err(error) => tracing::debug!(%instance, %error, "its control group still stays"),
        }
        pause = (pause * 2).min(REMOVAL_PAUSE_MAX);
    }
}

/// What an earlier node needed and this one does not.
fn close_left_behind(name: &str) {
    let groups = Groups::left_behind(&Mounts::detect(), name);
    if groups.roots().is_empty() {
        return;
    }
    match groups.close(REMOVAL_WAIT_MAX) {
        Ok(()) => tracing::warn!("removed the control groups that an earlier node had left behind"),
        Err(error) => tracing::warn!(%error, "control groups of an earlier node stay behind"),
    }
}

/// A quota outlives the file that asked for it. Few services of many have a directory.
fn lift_quotas(config: &Config) {
    let data_dir = &config.node.data_dir;
    let entries = fs::read_dir(data_dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(directory = %data_dir.display(), %error, "earlier limits may hold on");
            return;
        }
    };
    for entry in entries {
        let service = entry.file_name().to_str().and_then(|name| config.services.get(name));
        if let Some(service) = service.filter(|service| service.resources.disk.is_none())
            && let Err(error) = ProjectQuota::lift(&entry.path())
        {
            tracing::warn!(service = %service.name, %error, "an earlier limit holds on");
        }
    }
}

fn open_groups(name: &str, own_processes: &[u32]) -> Result<Groups, GroupError> {
    let groups = Groups::open(&Mounts::detect(), name, own_processes)?;
    let removal = groups.remove_all(REMOVAL_WAIT_MAX);
    if !removal.removed.is_empty() {
        let groups = removal.removed.join(", ");
        tracing::warn!(groups, "ended what an earlier node had left behind");
    }
    for (group, error) in removal.stuck {
        tracing::warn!(group, %error, "what an earlier node had left behind does not end");
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
