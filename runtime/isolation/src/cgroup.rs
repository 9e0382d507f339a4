//! Control groups: what all processes of an instance may use together, v2 and v1 behind one
//! [`Group`].
//!
//! A hybrid host has some controllers on v1 and the rest, or none, on v2; then a group is one
//! directory in each hierarchy that is needed, and the v2 one is used for what only v2 can do (to be
//! cloned into, to be killed as one). Nothing is cached: the kernel's files are the state.

mod ceilings;
mod consumption;
mod controller;
mod directories;
mod file;
mod group;
mod groups;
mod limits;
mod mounts;
mod notice;
mod process_list;
mod room;
mod settings;
mod settle;
mod survey;
mod usage;

pub use consumption::Consumption;
pub use controller::Controller;
pub use file::GroupError;
pub use group::Group;
pub use groups::{Groups, Removal};
pub use limits::{CpuQuota, DeviceLimit, DeviceLimitError, Limits, Weight};
pub use mounts::Mounts;
pub use notice::{Notice, Tells};
pub use room::give_back_room;
pub use usage::{GroupUsage, Oom, Pressure};

pub(crate) use ceilings::ceilings;
pub(crate) use group::Entry;
