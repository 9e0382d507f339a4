//! Abuse by seed: a node runs a demo under a workload whose answers are checked, while its processes are
//! killed and frozen, its disks filled, its descriptors taken, its sockets broken, and it itself killed.
//!
//! The same seed makes the same sequence of actions; what the machine makes of it may differ. A run is
//! a row of rounds: abuse for a while, then [`Action::Settle`], by which everything must be as it should:
//!
//! - no acknowledged answer is lost: blocks are read back, tokens validate, identifiers resolve;
//! - everything is ready again within [`READY_WITHIN`]. In this time an operator's part is done as well: what
//!   was stopped is started, what was scaled is scaled back, and a service whose socket's file was broken is
//!   restarted;
//! - each generation has ended once in the history, those that were killed by a signal that says so;
//! - no process, zombie, control group or runtime file is left over;
//! - guardian and node have no more descriptors than after the first round of their life, and a few;
//! - what guardian and node have allocated does not go on rising in the second half of a life that had enough
//!   rounds. The services are not watched for either: they are killed too often for it.
//!
//! It is no test of the service's answers under abuse, beyond that they are true or are errors.

mod abuse;
mod action;
mod blocks;
mod calls;
mod disks;
mod identities;
mod journal;
mod leaks;
mod memory;
mod processes;
mod records;
mod run;
mod script;
mod subject;
mod workload;

pub use action::Action;
pub use disks::{Sandbox, enter_sandbox};
pub use run::{READY_WITHIN, Report, Settings, run};
