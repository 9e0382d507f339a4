//! Abuse by seed: a node runs a demo under a workload whose answers are checked, while its processes are
//! killed and frozen, its disks filled, its descriptors taken, its sockets broken, and it itself killed.
//!
//! The same seed makes the same sequence of actions; what the machine makes of it may differ. A run is
//! a row of rounds: abuse for a while, then [`Action::Settle`], by which everything must be as it should:
//!
//! - no acknowledged answer is lost: blocks are read back, tokens validate, identifiers resolve;
//! - everything is ready again within [`READY_WITHIN`];
//! - each generation has ended once in the history, those that were killed by a signal that says so;
//! - no process, zombie, descriptor, control group or runtime file is left over;
//! - the memory of guardian and node does not grow from one window of rounds to the next.
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
