//! The kernel's controllers that limits need, and what they are called in v1 and v2.

use std::fmt;

/// A kind of resource that the kernel limits for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// Which CPUs.
    Cpuset,
    /// Block devices.
    Io,
    /// Memory.
    Memory,
    /// Processes and threads.
    Tasks,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Cpuset, Self::Io, Self::Memory, Self::Tasks];

    pub(crate) fn v1_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Io => "blkio",
            Self::Memory => "memory",
            Self::Tasks => "pids",
        }
    }

    pub(crate) fn v2_name(self) -> &'static str {
        match self {
            Self::Io => "io",
            other => other.v1_name(),
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.v2_name())
    }
}
