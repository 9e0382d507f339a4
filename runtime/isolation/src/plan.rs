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
    CapabilityError, Host, Identity, IdentityError, PriorityError, Refused, Request, RlimitError,
    Step, Umask, capability, identity, priority, rlimit,
};

/// What one instance may use, resolved. The default changes nothing.
///
/// A plan is made once for an instance and applied for each of its generations.
#[derive(Debug, Default)]
pub struct Plan {
    priorities: priority::Checked,
    rlimits: Vec<rlimit::Checked>,
    umask: Option<Umask>,
    identity: Option<Identity>,
    credentials: Option<Credentials>,
    capabilities: Option<capability::Checked>,
    no_new_privileges: bool,
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
    /// A priority.
    #[error("could not prepare the priorities")]
    Priority(#[from] PriorityError),
    /// Parts of root's power.
    #[error("could not prepare the capabilities")]
    Capability(#[from] CapabilityError),
}

/// Resolves a request. Changes nothing yet.
///
/// # Errors
/// When this host or the node's own rights do not permit what is asked.
pub fn plan(request: &Request, host: &Host) -> Result<Plan, IsolationError> {
    let identity = request.user.as_ref().map(|user| identity::resolve(user, host)).transpose()?;
    let changed = identity.as_ref().filter(|identity| !identity.is_of(host));
    let bounded = request.capabilities.is_none() || host.may(CapabilitySet::SETPCAP);
    Ok(Plan {
        priorities: request.priorities.check(host)?,
        rlimits: request.rlimits.iter().map(|limit| limit.check(host)).collect::<Result<_, _>>()?,
        umask: request.umask,
        credentials: changed.map(Credentials::of),
        capabilities: request.capabilities.map(|it| it.check(host)).transpose()?,
        no_new_privileges: request.no_new_privileges || !bounded,
        identity,
    })
}

impl Plan {
    /// Applies the plan to the calling process, which must be a child that has not exec'd yet.
    ///
    /// Async-signal-safe: only system calls on memory prepared before; it neither allocates nor
    /// locks, and so may run in a vfork child that shares the parent's memory. The ids are set by
    /// the bare system calls: the C library's would signal the parent's other threads.
    ///
    /// To be called last, just before `execve`: afterwards the process may lack the rights to do
    /// anything else.
    ///
    /// # Errors
    /// The first step that the kernel refused. The child must end then.
    pub fn apply_in_child(&self) -> Result<(), Refused> {
        self.priorities.apply()?;
        for limit in &self.rlimits {
            let step = Step::SetRlimit(limit.resource);
            setrlimit(limit.resource.raw(), limit.raw).map_err(Refused::at(step))?;
        }
        if let Some(mask) = self.umask {
            umask(mask.mode());
        }
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
        Ok(())
    }

    /// Whose process it will be, if the request named anybody: for `HOME`, `USER` and the owner of
    /// directories made for it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The group to clone into (`CLONE_INTO_CGROUP`), where the host has cgroup v2.
    pub fn cgroup_descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
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
