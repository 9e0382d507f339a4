//! The plan for one instance: everything resolved and allocated in the parent, so that the child
//! only makes system calls.

use std::{
    ffi::CStr,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use rustix::{
    process::{chdir, setrlimit, umask},
    thread::{
        CapabilitySet, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    CapabilityError, DeviceLimit, DeviceLimitError, Downgrade, Group, GroupError, Host, Identity,
    IdentityError, Limits, Part, PathRuleError, PriorityError, Processes, Refused, Request,
    Resource, RlimitError, Scheduler, Step, Umask, ViewError, capability, cgroup, identity,
    landlock, priority,
    rlimit::{self, Bearer},
    seccomp, view,
};

/// What one instance may use, resolved. The default changes nothing.
///
/// A plan is made once for an instance and applied for each of its generations.
#[derive(Debug, Default)]
pub struct Plan {
    group: Option<Group>,
    entry: cgroup::Entry,
    downgraded: Vec<Downgrade>,
    priorities: priority::Checked,
    rlimits: Vec<rlimit::Checked>,
    umask: Option<Umask>,
    identity: Option<Identity>,
    credentials: Option<Credentials>,
    capabilities: Option<capability::Checked>,
    no_new_privileges: bool,
    view: view::Checked,
    paths: Option<landlock::Checked>,
    seccomp: seccomp::Checked,
    /// Parts that a child goes on without when the kernel refuses them.
    optional: Parts,
    /// Those that the kernel has refused a child. Children share this memory until they execute.
    skipped: AtomicU8,
}

/// A set of [`Part`]s that a child can look into without allocating.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parts(u8);

impl Parts {
    pub(crate) fn add(&mut self, part: Part) {
        self.0 |= 1 << part as u8;
    }

    fn contains(self, part: Part) -> bool {
        self.0 & 1 << part as u8 != 0
    }

    fn contains_all(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }
}

impl FromIterator<Part> for Parts {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let mut all = Self::default();
        parts.into_iter().for_each(|part| all.add(part));
        all
    }
}

/// Ids as the kernel wants them.
#[derive(Debug)]
struct Credentials {
    user: rustix::process::Uid,
    group: rustix::process::Gid,
    groups: Box<[rustix::process::Gid]>,
}

/// A request that this host cannot grant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IsolationError {
    /// The user or a group.
    #[error("could not prepare the user to run as")]
    Identity(#[from] IdentityError),
    /// A per-process limit.
    #[error("could not prepare the per-process limits")]
    Rlimit(#[from] RlimitError),
    /// The group.
    #[error("could not prepare the control group")]
    Group(#[from] GroupError),
    /// A disk.
    #[error("could not prepare the limits of a disk")]
    Disk(#[from] DeviceLimitError),
    /// A priority.
    #[error("could not prepare the priorities")]
    Priority(#[from] PriorityError),
    /// What it sees of the host.
    #[error("could not prepare what the service sees of the host")]
    View(#[from] ViewError),
    /// Files.
    #[error("could not prepare the paths that the service may touch")]
    Paths(#[from] PathRuleError),
    /// Parts of root's power.
    #[error("could not prepare the capabilities")]
    Capability(#[from] CapabilityError),
}

/// Resolves a request, and makes the instance's group where a limit needs one; blocks for the
/// kernel's files. Nothing else is changed yet. The group is removed by [`Group::remove`].
///
/// # Errors
/// When this host or the node's own rights do not permit what is asked.
pub fn plan(request: &Request, host: &Host) -> Result<Plan, IsolationError> {
    let mut plan = check(request, host, &[])?;
    // Last, so that no group is left behind when something else is refused.
    let limits = plan.limits(request, host)?;
    if limits != Limits::default() {
        let Request { instance, enforcement, .. } = request;
        plan.group = host.groups.create(instance, &limits, *enforcement, &mut plan.downgraded)?;
        plan.entry = plan.group.as_ref().map(cgroup::Entry::of).unwrap_or_default();
    }
    Ok(plan)
}

/// As [`plan`], but makes no group and changes nothing: what would be refused, and what
/// [`Plan::downgraded`] would say. `made` are directories that will be there by the time of the start.
///
/// # Errors
/// As [`plan`].
pub fn rehearse(request: &Request, host: &Host, made: &[PathBuf]) -> Result<Plan, IsolationError> {
    let mut plan = check(request, host, made)?;
    let limits = plan.limits(request, host)?;
    host.groups.rehearse(&limits, request.enforcement, &mut plan.downgraded)?;
    Ok(plan)
}

fn check(request: &Request, host: &Host, made: &[PathBuf]) -> Result<Plan, IsolationError> {
    let mut downgraded = Vec::new();
    let identity = request.user.as_ref().map(|user| identity::resolve(user, host)).transpose()?;
    let changed = identity.as_ref().filter(|identity| !identity.is_of(host));
    let rlimits = rlimits(request, host, identity.as_ref(), &mut downgraded)?;
    let mut plan = Plan {
        priorities: request.priorities.check(host, request.enforcement, &mut downgraded)?,
        rlimits,
        umask: request.umask,
        credentials: changed.map(Credentials::of),
        no_new_privileges: needs_no_new_privileges(request, host),
        optional: request.optional.iter().copied().collect(),
        identity,
        downgraded,
        ..Plan::default()
    };
    plan.shut_off(request, host, made)?;
    Ok(plan)
}

/// What the kernel ignores is set all the same: a service may become an ordinary user by itself.
fn rlimits(
    request: &Request,
    host: &Host,
    identity: Option<&Identity>,
    downgraded: &mut Vec<Downgrade>,
) -> Result<Vec<rlimit::Checked>, RlimitError> {
    let mut settable = Vec::with_capacity(request.rlimits.len());
    let bearer = bearer(request, host, identity);
    for limit in &request.rlimits {
        let (key, enforcement) = (limit.resource.key(), request.enforcement);
        let Some(checked) = enforcement.settle(key, limit.check(host), downgraded)? else {
            continue;
        };
        settable.push(checked);
        enforcement.settle(key, limit.heeded(bearer), downgraded)?;
    }
    Ok(settable)
}

fn bearer(request: &Request, host: &Host, identity: Option<&Identity>) -> Bearer {
    let uid = identity.map_or(host.uid, |identity| identity.uid);
    let exceeds = match request.capabilities {
        Some(capabilities) => capabilities.exceed_limits(host),
        None => uid == host.uid && capability::inherited_exceed_limits(),
    };
    let is_privileged = host.has_all_users && (uid == 0 || exceeds);
    if is_privileged { Bearer::Privileged } else { Bearer::Ordinary }
}

/// The kernel wants it before filters and path rules of ordinary users; where the bounding set stays
/// as it is, it is what keeps set-user-id programs from giving capabilities back.
fn needs_no_new_privileges(request: &Request, host: &Host) -> bool {
    let unbounded = request.capabilities.is_some() && !host.may(CapabilitySet::SETPCAP);
    let filtered = request.seccomp.is_some() || request.paths.is_some();
    request.no_new_privileges || unbounded || filtered
}

impl Plan {
    /// What all its processes may use together, disks resolved.
    fn limits(&mut self, request: &Request, host: &Host) -> Result<Limits, IsolationError> {
        let mut limits = request.limits.clone();
        for rates in &request.disks {
            let device = DeviceLimit::of_rates(rates);
            let device = request.enforcement.settle("io", device, &mut self.downgraded)?;
            device.into_iter().for_each(|device| limits.add_device(device));
        }
        if request.priorities.scheduler.is_some_and(Scheduler::is_realtime)
            && let Err(error) = host.groups.permits_realtime(&limits)
        {
            request.enforcement.relent("scheduler", error, &mut self.downgraded)?;
            self.priorities.leave_out_scheduler();
        }
        Ok(limits)
    }

    /// What this host or an ordinary user may be unable to do.
    fn shut_off(
        &mut self,
        request: &Request,
        host: &Host,
        made: &[PathBuf],
    ) -> Result<(), IsolationError> {
        let Request { optional, view, paths, capabilities, seccomp, .. } = request;
        self.view = view.check(host, optional, &mut self.downgraded)?;
        if let Some(paths) = paths {
            let part = Part::Paths;
            let checked = paths.check(host, &self.view, made);
            let enforcement = part.enforcement(optional);
            self.paths = enforcement.settle(part.key(), checked, &mut self.downgraded)?;
        }
        if let Some(capabilities) = capabilities {
            let part = Part::Capabilities;
            let executing = match self.no_new_privileges {
                true => capability::Executing::NeverGives,
                false => capability::Executing::MayGive,
            };
            let enforcement = part.enforcement(optional);
            let ours = capabilities.are_all_of(host);
            enforcement.settle(part.key(), ours, &mut self.downgraded)?;
            self.capabilities = Some(capabilities.check(host, executing));
        }
        if let Some(seccomp) = seccomp {
            self.seccomp = seccomp.check();
        }
        Ok(())
    }

    /// Goes on without a part that may be lacking, and keeps in mind that it is.
    fn attempt(&self, parts: Parts, done: Result<(), Refused>) -> Result<(), Refused> {
        match done {
            Err(_) if parts != Parts::default() && self.optional.contains_all(parts) => {
                self.skipped.fetch_or(parts.0, Ordering::Relaxed);
                Ok(())
            }
            done => done,
        }
    }

    fn attempt_one(&self, part: Part, done: Result<(), Refused>) -> Result<(), Refused> {
        self.attempt(Parts(1 << part as u8), done)
    }

    /// Optional parts that the kernel has refused to a child of this plan.
    pub fn skipped(&self) -> impl Iterator<Item = Part> {
        let skipped = Parts(self.skipped.load(Ordering::Relaxed));
        Part::ALL.into_iter().filter(move |part| skipped.contains(*part))
    }

    /// Applies the plan to the calling process, which must be a child that has not exec'd yet.
    ///
    /// Async-signal-safe: only system calls on memory prepared before; it neither allocates nor
    /// locks, and so may run in a vfork child that shares the parent's memory. The ids are set by
    /// the bare system calls: the C library's would signal the parent's other threads.
    ///
    /// To be called last, just before `execve`: afterwards the process may lack the rights to do
    /// anything else, and a change of the user has cleared its parent-death signal.
    ///
    /// `directory` is where it is to begin; it must be able to go there as the user it becomes, and find
    /// it where nothing covers it. `None`: where it is. `path_rules` are those of [`Plan::path_rules`].
    ///
    /// # Errors
    /// The first step that the kernel refused. The child must end then.
    pub fn apply_in_child(
        &self,
        directory: Option<&CStr>,
        path_rules: Option<BorrowedFd<'_>>,
    ) -> Result<(), Refused> {
        self.priorities.apply()?;
        for limit in &self.rlimits {
            let step = Step::SetRlimit(limit.resource);
            setrlimit(limit.resource.raw(), limit.raw).map_err(Refused::at(step))?;
        }
        if let Some(mask) = self.umask {
            umask(mask.mode());
        }
        let own_processes = |mounted| self.attempt_one(Part::PrivatePids, mounted);
        let entered = self.view.enter(self.processes(), directory, own_processes);
        self.attempt(self.view.parts(), entered)?;
        self.become_less(directory, path_rules)
    }

    /// Rules for files that the kernel knows already, for the next child; nothing where there are none, or the
    /// child must look up their paths itself.
    pub fn path_rules(&self) -> Option<Arc<OwnedFd>> {
        self.paths.as_ref().filter(|_| self.view.shares_files())?.known()
    }

    /// Among which processes it is to be born. Private: its parent must have called
    /// [`Plan::separate_in_child`], and put another process before it.
    pub fn processes(&self) -> Processes {
        let refused = self.skipped().any(|part| part == Part::PrivatePids);
        if refused { Processes::Shared } else { self.view.processes() }
    }

    /// For who sees its own processes only: to be called in a child that makes two children and ends.
    /// The first of them has the number 1 in the namespace and inherits orphans there; the kernel kills
    /// all others with it. The second one is the process for which this plan is. Where the kernel
    /// refuses and may, [`Plan::processes`] says afterwards that there is no namespace.
    /// Async-signal-safe.
    ///
    /// # Errors
    /// When the kernel refused.
    pub fn separate_in_child(&self) -> Result<(), Refused> {
        self.attempt_one(Part::PrivatePids, self.view.separate())
    }

    /// Each step takes away the right to do the ones before it.
    fn become_less(
        &self,
        directory: Option<&CStr>,
        path_rules: Option<BorrowedFd<'_>>,
    ) -> Result<(), Refused> {
        if let Some(capabilities) = &self.capabilities {
            self.attempt_one(Part::Capabilities, capabilities.bound())?;
        }
        if let Some(credentials) = &self.credentials {
            credentials.assume()?;
        }
        if let Some(capabilities) = &self.capabilities {
            self.attempt_one(Part::Capabilities, capabilities.settle())?;
        }
        if let Some(directory) = directory {
            chdir(directory).map_err(Refused::at(Step::ChangeDirectory))?;
        }
        if self.no_new_privileges {
            set_no_new_privs(true).map_err(Refused::at(Step::SetNoNewPrivileges))?;
        }
        if let Some(paths) = &self.paths {
            self.attempt_one(Part::Paths, paths.restrict(path_rules))?;
        }
        self.attempt_one(Part::Seccomp, self.seccomp.install())
    }

    /// Whether some system calls are refused to it.
    pub fn filters_calls(&self) -> bool {
        !self.seccomp.is_empty()
    }

    pub(crate) fn limits_each(&self, resource: Resource) -> bool {
        self.rlimits.iter().any(|limit| limit.resource == resource)
    }

    /// Whose process it will be, if the request named anybody: for `HOME`, `USER` and the owner of
    /// directories made for it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether it will run as somebody else than the node does.
    pub fn becomes_another_user(&self) -> bool {
        self.credentials.is_some()
    }

    /// What hides a program from it, or keeps it from being executed, if anything does: a key of the sandbox.
    pub fn forbids_executing(&self, program: &Path) -> Option<Part> {
        let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        let refused = |paths: &landlock::Checked| !paths.permits_executing(&program);
        match self.view.hiding_part(&program) {
            None if self.paths.as_ref().is_some_and(refused) => Some(Part::Paths),
            hiding => hiding,
        }
    }

    /// The group to clone into (`CLONE_INTO_CGROUP`), where the host has cgroup v2. Who cannot do
    /// so must call [`Plan::join_in_child`].
    pub fn cgroup_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.group.as_ref()?.descriptor()
    }

    /// Enters the groups that nobody can be cloned into, those of v1; before [`Plan::apply_in_child`],
    /// and before the child makes a session of its own: that gives whoever is in no group with a share
    /// of the CPU a place of its own in the scheduler, where it waits for its turn, and would wait again
    /// for the one in its group. Async-signal-safe.
    ///
    /// # Errors
    /// When the kernel refused. The child must end then.
    pub fn enter_in_child(&self) -> Result<(), Refused> {
        self.entry.enter_legacy()
    }

    /// As [`Plan::enter_in_child`], for a child that still has its parent's descriptors: whether it is in its groups
    /// now. If not, it has to call that. Async-signal-safe.
    pub fn enter_held_in_child(&self) -> bool {
        self.entry.enter_held()
    }

    /// In the place of [`Plan::enter_in_child`], for a child that was not cloned into its group. Can
    /// take the kernel a tenth of a second. Async-signal-safe.
    ///
    /// # Errors
    /// When the kernel refused. The child must end then.
    pub fn join_in_child(&self) -> Result<(), Refused> {
        self.entry.enter_unified()?;
        self.enter_in_child()
    }

    /// The group of the instance, if its limits need one.
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// What was asked for and does not hold on this host.
    pub fn downgraded(&self) -> &[Downgrade] {
        &self.downgraded
    }
}

impl Credentials {
    fn of(identity: &Identity) -> Self {
        use rustix::process::{Gid, Uid};
        Self {
            user: Uid::from_raw(identity.uid),
            group: Gid::from_raw(identity.gid),
            groups: identity.groups.iter().map(|group| Gid::from_raw(*group)).collect(),
        }
    }

    /// Groups first: who has given up the user may not change groups any more.
    fn assume(&self) -> Result<(), Refused> {
        let Self { user, group, groups } = self;
        set_thread_groups(groups).map_err(Refused::at(Step::SetSupplementaryGroups))?;
        set_thread_res_gid(*group, *group, *group).map_err(Refused::at(Step::SetGroup))?;
        set_thread_res_uid(*user, *user, *user).map_err(Refused::at(Step::SetUser))?;
        match user.is_root() {
            true => Ok(()),
            false => capability::give_up_ambient(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Bound, Capabilities, Enforcement, Rlimit};

    fn root() -> Host {
        let permitted = CapabilitySet::SYS_ADMIN;
        Host { uid: 0, permitted, has_all_users: true, ..Host::detect() }
    }

    fn tasks_of(capabilities: &[&str]) -> Request {
        let names = capabilities.iter().copied();
        Request {
            rlimits: vec![Rlimit::fixed(Resource::Tasks, Bound::At(8))],
            capabilities: Some(Capabilities::from_names(names).unwrap()),
            ..Request::default()
        }
    }

    #[test]
    fn a_limit_on_the_tasks_of_who_may_do_all_is_refused_or_told() {
        assert!(matches!(check(&tasks_of(&[]), &root(), &[]), Err(IsolationError::Rlimit(_))));
        let lenient = Request { enforcement: Enforcement::BestEffort, ..tasks_of(&[]) };
        let plan = check(&lenient, &root(), &[]).unwrap();
        assert_eq!(plan.downgraded.iter().map(|it| it.key).collect::<Vec<_>>(), ["nproc"]);
        assert_eq!(plan.rlimits.len(), 1, "it holds once the service is no longer root");
        let somebody = Host { uid: 1000, ..root() };
        check(&tasks_of(&[]), &somebody, &[]).unwrap();
        let refused = check(&tasks_of(&["sys_admin"]), &somebody, &[]);
        assert!(matches!(refused, Err(IsolationError::Rlimit(_))), "{refused:?}");
        let contained = Host { has_all_users: false, ..root() };
        check(&tasks_of(&[]), &contained, &[]).unwrap();
    }

    #[test]
    fn who_may_lack_some_capabilities_keeps_none_but_those_asked_for() {
        let request = Request {
            capabilities: Some(Capabilities::from_names(["sys_resource", "sys_admin"]).unwrap()),
            optional: BTreeSet::from([Part::Capabilities]),
            ..Request::default()
        };
        let plan = check(&request, &root(), &[]).unwrap();
        assert!(plan.capabilities.is_some(), "it kept all that the node has");
        assert!(plan.downgraded[0].reason.contains("CAP_SYS_RESOURCE"), "{:?}", plan.downgraded);
    }
}
