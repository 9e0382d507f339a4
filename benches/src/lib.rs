//! Measurements against a physical limit and against peers, in one run.
//!
//! A *family* (`supervision`) measures the same things of several *subjects*: the limit, `bh`, and
//! what a user would pick instead. Subjects take turns, so that a noisy machine disturbs all alike,
//! and what counts is the ratio to the limit in the same run.

mod clock;
mod figure;
pub mod machine;
mod processes;
pub mod report;
mod stamps;
pub mod subject;
pub mod supervision;

pub use figure::{Figure, Goal, Unit};
