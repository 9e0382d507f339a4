//! What the child was doing when the kernel refused it.

use std::{fmt, io};

use crate::Resource;

/// One thing that the child does between clone and exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its control groups.
    EnterGroup,
    /// Namespaces of mounts, processes and the network.
    EnterNamespaces,
    /// The first process of a namespace, which stays in it.
    StartInit,
    /// Its own user in a namespace of users.
    MapUser,
    /// The loopback device of its own network.
    RaiseLoopback,
    /// The /proc of its own processes.
    MountProcesses,
    /// A private /tmp, read-only and hidden paths.
    CoverPaths,
    /// Its working directory, below what was covered.
    ReturnToDirectory,
    /// Its working directory, as its user.
    ChangeDirectory,
    /// A limit of its own.
    SetRlimit(Resource),
    /// The groups beside the primary one.
    SetSupplementaryGroups,
    /// The primary group.
    SetGroup,
    /// The user.
    SetUser,
    /// Whom the kernel kills first.
    SetOomScore,
    /// How the CPU is shared.
    SetScheduler,
    /// Who has the CPU first.
    SetNice,
    /// Who has the disk first.
    SetIoPriority,
    /// Which CPUs.
    SetAffinity,
    /// Which capabilities can never come back.
    DropBoundingCapabilities,
    /// Which capabilities it has.
    SetCapabilities,
    /// Which capabilities programs it executes have.
    SetAmbientCapabilities,
    /// That executing a program never gives more rights.
    SetNoNewPrivileges,
    /// Which files it may touch.
    RestrictPaths,
    /// Which system calls it may make.
    InstallSeccomp,
}

impl Step {
    fn phrase(self) -> &'static str {
        match self {
            Self::EnterGroup => "entering the control group",
            Self::EnterNamespaces => "entering namespaces of its own",
            Self::StartInit => "starting the first process of the namespace",
            Self::MapUser => "mapping the user into its namespace",
            Self::RaiseLoopback => "raising the loopback device",
            Self::MountProcesses => "mounting a /proc of its own processes",
            Self::CoverPaths => "covering private, read-only and hidden paths",
            Self::ReturnToDirectory => "returning to the working directory",
            Self::ChangeDirectory => "changing directory",
            Self::SetRlimit(_) => "setting",
            Self::SetSupplementaryGroups => "setting the supplementary groups",
            Self::SetGroup => "setting the group id",
            Self::SetUser => "setting the user id",
            Self::SetOomScore => "setting oom_score_adj",
            Self::SetScheduler => "setting the scheduler",
            Self::SetNice => "setting the nice value",
            Self::SetIoPriority => "setting the i/o priority",
            Self::SetAffinity => "setting the cpu affinity",
            Self::DropBoundingCapabilities => "dropping capabilities from the bounding set",
            Self::SetCapabilities => "setting the capabilities",
            Self::SetAmbientCapabilities => "setting the ambient capabilities",
            Self::SetNoNewPrivileges => "setting no_new_privs",
            Self::RestrictPaths => "restricting paths by landlock",
            Self::InstallSeccomp => "installing the seccomp filter",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.phrase())?;
        match self {
            Self::SetRlimit(resource) => write!(formatter, " {resource}"),
            _ => Ok(()),
        }
    }
}

/// The kernel refused a step; the child must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// What was being done.
    pub step: Step,
    /// The kernel's reason.
    pub errno: i32,
}

impl Refused {
    pub(crate) fn at(step: Step) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self { step, errno: errno.raw_os_error() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.step, io::Error::from_raw_os_error(self.errno))
    }
}

impl std::error::Error for Refused {}
