//! What a process may use: planned in the parent, applied in the child between clone and exec.
//!
//! [`plan`] resolves a [`Request`] against a [`Host`] and allocates everything that is needed;
//! [`Plan::apply_in_child`] then only makes system calls. Starting, waiting for and stopping
//! processes is not done here.

mod capability;
mod cpus;
mod host;
mod identity;
mod plan;
mod priority;
mod request;
mod rlimit;
mod step;
mod suggestion;
mod syscall;
mod usage;

pub use capability::{Capabilities, CapabilityError};
pub use cpus::{CpuList, CpuListError};
pub use host::Host;
pub use identity::{Account, Identity, IdentityError};
pub use plan::{IsolationError, Plan, plan};
pub use priority::{IoPriority, Priorities, PriorityError, Scheduler};
pub use request::{Request, Umask, User};
pub use rlimit::{Bound, Resource, Rlimit, RlimitError};
pub use step::{Refused, Step};
pub use usage::{ProcessUsage, UsageError, usage_in, usage_of};
