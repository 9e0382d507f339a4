//! Per-process limits (`setrlimit`): their names, and what this host lets us set.

use std::fmt;

use rustix::{
    process::{Resource as RawResource, Rlimit as RawRlimit, getrlimit},
    thread::CapabilitySet,
};

use crate::Host;

/// One limit, both bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// What is limited.
    pub resource: Resource,
    /// What holds; the process may raise it as far as `hard`.
    pub soft: Bound,
    /// What the process cannot raise.
    pub hard: Bound,
}

impl Rlimit {
    /// Both bounds the same, so that the process cannot raise it.
    pub fn fixed(resource: Resource, bound: Bound) -> Self {
        Self { resource, soft: bound, hard: bound }
    }
}

/// How much of a resource. `Unlimited` is larger than every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// In the resource's unit.
    At(u64),
    /// As much as there is.
    Unlimited,
}

impl Bound {
    fn raw(self) -> Option<u64> {
        match self {
            Self::At(number) => Some(number),
            Self::Unlimited => None,
        }
    }

    fn from_raw(raw: Option<u64>) -> Self {
        raw.map_or(Self::Unlimited, Self::At)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(number) => number.fmt(formatter),
            Self::Unlimited => formatter.write_str("unlimited"),
        }
    }
}

macro_rules! resources {
    ($($(#[$docs:meta])* $name:ident = $raw:ident, $key:literal, $kernel:literal;)*) => {
        /// What the kernel can limit per process (`man 2 setrlimit`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Resource { $($(#[$docs])* $name,)* }

        impl Resource {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As in the file, and as `limits.conf` has it: `nofile`.
            pub fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            /// As in `man 2 setrlimit`, `RLIMIT_NOFILE`.
            pub fn kernel_name(self) -> &'static str {
                match self { $(Self::$name => $kernel,)* }
            }

            pub(crate) fn raw(self) -> RawResource {
                match self { $(Self::$name => RawResource::$raw,)* }
            }
        }
    };
}

resources! {
    /// Bytes of address space.
    AddressSpace = As, "as", "RLIMIT_AS";
    /// Bytes of a core dump; 0 for none.
    Core = Core, "core", "RLIMIT_CORE";
    /// Seconds of CPU time.
    Cpu = Cpu, "cpu", "RLIMIT_CPU";
    /// Bytes of heap and data.
    Data = Data, "data", "RLIMIT_DATA";
    /// Descriptors.
    Files = Nofile, "nofile", "RLIMIT_NOFILE";
    /// Bytes of one file.
    FileSize = Fsize, "fsize", "RLIMIT_FSIZE";
    /// File locks; ignored by Linux since 2.4.
    Locks = Locks, "locks", "RLIMIT_LOCKS";
    /// Bytes of memory that may be locked.
    LockedMemory = Memlock, "memlock", "RLIMIT_MEMLOCK";
    /// Bytes in POSIX message queues, of the user.
    MessageQueue = Msgqueue, "msgqueue", "RLIMIT_MSGQUEUE";
    /// 20 minus the lowest nice value that may be set.
    Nice = Nice, "nice", "RLIMIT_NICE";
    /// Signals that may be pending, of the user.
    PendingSignals = Sigpending, "sigpending", "RLIMIT_SIGPENDING";
    /// The highest real-time priority that may be set.
    RealtimePriority = Rtprio, "rtprio", "RLIMIT_RTPRIO";
    /// Microseconds of real-time running without a blocking call.
    RealtimeTime = Rttime, "rttime", "RLIMIT_RTTIME";
    /// Bytes of resident memory; ignored by Linux since 2.4.30.
    ResidentSet = Rss, "rss", "RLIMIT_RSS";
    /// Bytes of the main thread's stack.
    Stack = Stack, "stack", "RLIMIT_STACK";
    /// Threads of the user, in all its processes; not enforced for root.
    Tasks = Nproc, "nproc", "RLIMIT_NPROC";
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kernel_name())
    }
}

/// A limit that cannot be set here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RlimitError {
    /// The kernel refuses such a pair.
    #[error("the soft limit of {resource}, {soft}, is above its hard limit, {hard}")]
    SoftAboveHard {
        /// What is limited.
        resource: Resource,
        /// As asked.
        soft: Bound,
        /// As asked.
        hard: Bound,
    },
    /// Only root, or who has `CAP_SYS_RESOURCE`, may raise a hard limit.
    #[error(
        "{resource} = {wanted} is above the {ceiling} that the node itself may use\nhint: raise the hard limit of the node (`ulimit -H`, or `Limit…=` in its systemd unit), or ask for {ceiling} or less"
    )]
    AboveNode {
        /// What is limited.
        resource: Resource,
        /// As asked.
        wanted: Bound,
        /// The node's own hard limit.
        ceiling: Bound,
    },
    /// The kernel has a ceiling even for root.
    #[error(
        "{resource} = {wanted} is above the kernel's ceiling of {ceiling}\nhint: ask for {ceiling} or less, or raise `sysctl fs.nr_open`"
    )]
    AboveKernel {
        /// What is limited.
        resource: Resource,
        /// As asked.
        wanted: Bound,
        /// `fs.nr_open`.
        ceiling: u64,
    },
    /// Linux takes it and does nothing.
    #[error("Linux has ignored {resource} since {since}\nhint: {instead}")]
    Ignored {
        /// What is limited.
        resource: Resource,
        /// The first version that did.
        since: &'static str,
        /// What to write in its place.
        instead: &'static str,
    },
    /// The kernel refuses no process to who may do all.
    #[error(
        "the kernel holds neither root to {} nor who keeps CAP_SYS_RESOURCE or CAP_SYS_ADMIN\nhint: write `user`, or `tasks_max`, which holds for everybody",
        Resource::Tasks
    )]
    NotForThePrivileged,
}

/// Whose limits they will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// An ordinary user.
    Ordinary,
    /// Root, or who has `CAP_SYS_RESOURCE` or `CAP_SYS_ADMIN`.
    Privileged,
}

/// A limit that was found settable, as the kernel wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked {
    pub(crate) resource: Resource,
    pub(crate) raw: RawRlimit,
}

impl Rlimit {
    pub(crate) fn check(self, host: &Host) -> Result<Checked, RlimitError> {
        let Self { resource, soft, hard } = self;
        if soft > hard {
            return Err(RlimitError::SoftAboveHard { resource, soft, hard });
        }
        if let (Resource::Files, Some(ceiling)) = (resource, host.files_max)
            && hard > Bound::At(ceiling)
        {
            return Err(RlimitError::AboveKernel { resource, wanted: hard, ceiling });
        }
        let ceiling = Bound::from_raw(getrlimit(resource.raw()).maximum);
        if hard > ceiling && !host.may(CapabilitySet::SYS_RESOURCE) {
            return Err(RlimitError::AboveNode { resource, wanted: hard, ceiling });
        }
        let hard = self.hard_after_warning(ceiling);
        Ok(Checked { resource, raw: RawRlimit { current: soft.raw(), maximum: hard.raw() } })
    }

    /// Whether the kernel sees to it, once it is set.
    pub(crate) fn heeded(self, bearer: Bearer) -> Result<(), RlimitError> {
        let Self { resource, .. } = self;
        let ignored = |since, instead| Err(RlimitError::Ignored { resource, since, instead });
        match resource {
            _ if self.soft == Bound::Unlimited => Ok(()),
            Resource::ResidentSet => ignored("2.4.30", "write `memory`"),
            Resource::Locks => ignored("2.4.25", "leave it out"),
            Resource::Tasks if bearer == Bearer::Privileged => {
                Err(RlimitError::NotForThePrivileged)
            }
            _ => Ok(()),
        }
    }

    /// The kernel says with SIGXCPU that the CPU time is used up, but at the hard limit it kills without
    /// a word: that comes a second later.
    fn hard_after_warning(self, ceiling: Bound) -> Bound {
        match self {
            Self { resource: Resource::Cpu, soft: Bound::At(soft), hard } if hard == self.soft => {
                Bound::At(soft.saturating_add(1)).min(ceiling)
            }
            Self { hard, .. } => hard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(capabilities: CapabilitySet) -> Host {
        Host { capabilities, files_max: Some(1_048_576), ..Host::detect() }
    }

    #[test]
    fn a_soft_limit_above_the_hard_one_is_refused() {
        let limit = Rlimit { resource: Resource::Core, soft: Bound::Unlimited, hard: Bound::At(0) };
        let error = limit.check(&host(CapabilitySet::all())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the soft limit of RLIMIT_CORE, unlimited, is above its hard limit, 0"
        );
    }

    #[test]
    fn cpu_time_that_is_used_up_is_said_before_the_end() {
        let limit = Rlimit::fixed(Resource::Cpu, Bound::At(5));
        let checked = limit.check(&host(CapabilitySet::all())).unwrap();
        assert_eq!((checked.raw.current, checked.raw.maximum), (Some(5), Some(6)));
        assert_eq!(limit.hard_after_warning(Bound::At(5)), Bound::At(5));
    }

    #[test]
    fn a_limit_that_the_kernel_ignores_is_told_apart() {
        let heeded = |resource, bearer| Rlimit::fixed(resource, Bound::At(8)).heeded(bearer);
        for resource in [Resource::ResidentSet, Resource::Locks] {
            let error = heeded(resource, Bearer::Ordinary).unwrap_err();
            assert!(matches!(error, RlimitError::Ignored { .. }), "{error}");
        }
        let error = heeded(Resource::Tasks, Bearer::Privileged).unwrap_err();
        assert_eq!(error, RlimitError::NotForThePrivileged);
        assert_eq!(heeded(Resource::Tasks, Bearer::Ordinary), Ok(()));
        assert_eq!(heeded(Resource::Files, Bearer::Privileged), Ok(()));
        let nothing = Rlimit::fixed(Resource::Locks, Bound::Unlimited);
        assert_eq!(nothing.heeded(Bearer::Ordinary), Ok(()));
    }

    #[test]
    fn more_files_than_the_kernel_has_are_refused_even_for_root() {
        let limit = Rlimit::fixed(Resource::Files, Bound::Unlimited);
        let error = limit.check(&host(CapabilitySet::all())).unwrap_err();
        assert!(matches!(error, RlimitError::AboveKernel { ceiling: 1_048_576, .. }), "{error}");
    }

    #[test]
    fn an_ordinary_user_may_lower_but_not_raise() {
        let own = getrlimit(RawResource::Nofile).maximum.unwrap();
        let nobody = host(CapabilitySet::empty());
        Rlimit::fixed(Resource::Files, Bound::At(own)).check(&nobody).unwrap();
        let error = Rlimit::fixed(Resource::Files, Bound::At(own + 1)).check(&nobody).unwrap_err();
        assert!(matches!(error, RlimitError::AboveNode { .. } | RlimitError::AboveKernel { .. }));
    }
}
