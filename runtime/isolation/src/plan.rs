//! The plan for one instance: everything resolved and allocated in the parent, so that the child
//! only makes system calls.

use std::os::fd::BorrowedFd;

use rustix::{
    process::{setrlimit, umask},
    thread::{
        CapabilitySet, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    CapabilityError, Downgrade, Enforcement, Group, GroupError, Host, Identity, IdentityError,
    Limits, PathRuleError, PriorityError, Refused, Request, RlimitError, Seccomp, SeccompError,
    Step, Umask, ViewError, capability, cgroup, identity, landlock, priority, rlimit, seccomp,
    view,
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
    /// A priority.
    #[error("could not prepare the priorities")]
    Priority(#[from] PriorityError),
    /// What it sees of the host.
    #[error("could not prepare what the service sees of the host")]
    View(#[from] ViewError),
    /// Files.
    #[error("could not prepare the paths that the service may touch")]
    Paths(#[from] PathRuleError),
    /// System calls.
    #[error("could not prepare the system calls that the service may make")]
    Seccomp(#[from] SeccompError),
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
    let identity = request.user.as_ref().map(|user| identity::resolve(user, host)).transpose()?;
    let changed = identity.as_ref().filter(|identity| !identity.is_of(host));
    let mut plan = Plan {
        priorities: request.priorities.check(host)?,
        rlimits: request.rlimits.iter().map(|limit| limit.check(host)).collect::<Result<_, _>>()?,
        umask: request.umask,
        credentials: changed.map(Credentials::of),
        capabilities: request.capabilities.map(|it| it.check(host)).transpose()?,
        seccomp: request.seccomp.as_ref().map(Seccomp::check).transpose()?.unwrap_or_default(),
        no_new_privileges: needs_no_new_privileges(request, host),
        identity,
        ..Plan::default()
    };
    plan.shut_off(request, host)?;
    // Last, so that no group is left behind when something else is refused.
    if request.limits != Limits::default() {
        let Request { instance, limits, enforcement, .. } = request;
        plan.group = host.groups.create(instance, limits, *enforcement, &mut plan.downgraded)?;
        plan.entry = plan.group.as_ref().map(cgroup::Entry::of).unwrap_or_default();
    }
    Ok(plan)
}

/// The kernel wants it before filters and path rules of ordinary users; where the bounding set stays
/// as it is, it is what keeps set-user-id programs from giving capabilities back.
fn needs_no_new_privileges(request: &Request, host: &Host) -> bool {
    let unbounded = request.capabilities.is_some() && !host.may(CapabilitySet::SETPCAP);
    let filtered = request.seccomp.is_some() || request.paths.is_some();
    request.no_new_privileges || unbounded || filtered
}

impl Plan {
    /// What this host or an ordinary user may be unable to do.
    fn shut_off(&mut self, request: &Request, host: &Host) -> Result<(), IsolationError> {
        let Request { enforcement, view, paths, .. } = request;
        match (view.check(host), enforcement) {
            (Ok(view), _) => self.view = view,
            (Err(error @ ViewError::NotPermitted), Enforcement::BestEffort) => {
                self.downgraded.push(Downgrade { key: "sandbox", reason: error.to_string() });
            }
            (Err(error), _) => return Err(error.into()),
        }
        match (paths.as_ref().map(|paths| paths.check(host)).transpose(), enforcement) {
            (Ok(paths), _) => self.paths = paths,
            (Err(error @ PathRuleError::NoLandlock), Enforcement::BestEffort) => {
                self.downgraded.push(Downgrade { key: "paths", reason: error.to_string() });
            }
            (Err(error), _) => return Err(error.into()),
        }
        Ok(())
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
    /// # Errors
    /// The first step that the kernel refused. The child must end then.
    pub fn apply_in_child(&self) -> Result<(), Refused> {
        self.entry.enter_legacy()?;
        self.priorities.apply()?;
        for limit in &self.rlimits {
            let step = Step::SetRlimit(limit.resource);
            setrlimit(limit.resource.raw(), limit.raw).map_err(Refused::at(step))?;
        }
        if let Some(mask) = self.umask {
            umask(mask.mode());
        }
        self.view.enter()?;
        self.become_less()
    }

    /// Each step takes away the right to do the ones before it.
    fn become_less(&self) -> Result<(), Refused> {
        if let Some(capabilities) = &self.capabilities {
            capabilities.bound()?;
        }
        if let Some(credentials) = &self.credentials {
            credentials.assume()?;
        }
        if let Some(capabilities) = &self.capabilities {
            capabilities.settle()?;
        }
        if self.no_new_privileges {
            set_no_new_privs(true).map_err(Refused::at(Step::SetNoNewPrivileges))?;
        }
        if let Some(paths) = &self.paths {
            paths.restrict()?;
        }
        self.seccomp.install()
    }

    /// Whose process it will be, if the request named anybody: for `HOME`, `USER` and the owner of
    /// directories made for it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The group to clone into (`CLONE_INTO_CGROUP`), where the host has cgroup v2. Who cannot do
    /// so must call [`Plan::join_in_child`].
    pub fn cgroup_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.group.as_ref()?.descriptor()
    }

    /// Enters the group that the child was not cloned into; before [`Plan::apply_in_child`]. Can
    /// take the kernel a tenth of a second. Async-signal-safe.
    ///
    /// # Errors
    /// When the kernel refused. The child must end then.
    pub fn join_in_child(&self) -> Result<(), Refused> {
        self.entry.enter_unified()
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
        set_thread_res_uid(*user, *user, *user).map_err(Refused::at(Step::SetUser))
    }
}
