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
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetRlimit(resource) => write!(formatter, "setting {resource}"),
            Self::SetSupplementaryGroups => formatter.write_str("setting the supplementary groups"),
            Self::SetGroup => formatter.write_str("setting the group id"),
            Self::SetUser => formatter.write_str("setting the user id"),
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
