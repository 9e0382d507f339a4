//! What a process may use: planned in the parent, applied in the child between clone and exec.
//!
//! [`plan`] resolves a [`Request`] against a [`Host`] and allocates everything that is needed;
//! [`Plan::apply_in_child`] then only makes system calls. Starting, waiting for and stopping
//! processes is not done here.

mod bandwidth;
mod capability;
mod capacity;
mod cgroup;
mod cpus;
mod disks;
mod enforcement;
mod host;
mod identity;
mod landlock;
#[doc(hidden)]
pub mod outside;
mod plan;
mod priority;
mod project_quota;
mod request;
mod rlimit;
mod sandbox;
mod seccomp;
mod step;
mod suggestion;
mod syscall;
mod telling;
mod usage;
mod view;

pub use bandwidth::{Bandwidth, BandwidthError};
pub use capability::{Capabilities, CapabilityError};
pub use capacity::Capacity;
pub use cgroup::{
    Consumption, Controller, CpuQuota, DeviceLimit, DeviceLimitError, Group, GroupError,
    GroupUsage, Groups, Limits, Mounts, Notice, Oom, Pressure, Removal, Tells, Weight,
    give_back_room,
};
pub use cpus::{CpuList, CpuListError};
pub use enforcement::{Downgrade, Enforcement, Part};
pub use host::Host;
pub use identity::{Account, Identity, IdentityError};
pub use landlock::{PathRuleError, PathRules};
pub use plan::{IsolationError, Plan, plan, rehearse};
pub use priority::{IoPriority, Priorities, PriorityError, Scheduler};
pub use project_quota::{ProjectQuota, ProjectQuotaError};
pub use request::{DiskRates, Request, Umask, User};
pub use rlimit::{Bound, Resource, Rlimit, RlimitError};
pub use sandbox::Sandbox;
pub use seccomp::{Refusal, Seccomp, SeccompError, SeccompList, SeccompProfile};
pub use step::{Refused, Step};
pub use usage::{
    ProcessScheduling, ProcessTable, ProcessUsage, TreeUsage, UsageError, scheduling_of, usage_in,
    usage_of,
};
pub use view::{Network, Processes, Temporary, View, ViewError};
