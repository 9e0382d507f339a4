//! A real node in a test: started, asked, killed, and looked after when the test is over.
//!
//! Nothing here sleeps for a fixed time: a test waits for a condition until a deadline, and a
//! condition that never came true is reported with what was seen last.

pub mod chaos;
pub mod control_groups;
pub mod fuzz;
mod installed;
mod node;
pub mod processes;
mod random;
pub mod supervision;
mod wait;

pub use installed::{is_installed, say, skipped};
pub use node::{Finished, TestNode, bh, fixture, json_lines, misbehaving, pid, send};
pub use wait::{DEADLINE, until};
