//! What the child was doing when the kernel refused it.

use std::{fmt, io};

use crate::Resource;

/// One thing that the child does between clone and exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
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
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetRlimit(resource) => write!(formatter, "setting {resource}"),
            Self::SetSupplementaryGroups => formatter.write_str("setting the supplementary groups"),
            Self::SetGroup => formatter.write_str("setting the group id"),
            Self::SetUser => formatter.write_str("setting the user id"),
            Self::SetOomScore => formatter.write_str("setting oom_score_adj"),
            Self::SetScheduler => formatter.write_str("setting the scheduler"),
            Self::SetNice => formatter.write_str("setting the nice value"),
            Self::SetIoPriority => formatter.write_str("setting the i/o priority"),
            Self::SetAffinity => formatter.write_str("setting the cpu affinity"),
            Self::DropBoundingCapabilities => {
                formatter.write_str("dropping capabilities from the bounding set")
            }
            Self::SetCapabilities => formatter.write_str("setting the capabilities"),
            Self::SetAmbientCapabilities => formatter.write_str("setting the ambient capabilities"),
            Self::SetNoNewPrivileges => formatter.write_str("setting no_new_privs"),
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
