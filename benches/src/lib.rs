//! Measurements against a physical limit and against peers, in one run.
//!
//! A *family* (such as `supervision`, see [`family`]) measures the same things of several *subjects*: the limit, `bh`, and
//! what a user would pick instead. Subjects take turns, so that a noisy machine disturbs all alike,
//! and what counts is the ratio to the limit in the same run.

mod clock;
pub mod family;
mod figure;
mod footprint;
mod growth;
mod instructions;
mod link;
pub mod machine;
mod native;
mod processes;
pub mod report;
mod spawn;
mod stamps;
mod subject;
mod supervision;

pub use figure::{BH, Figure, Goal, Role, Unit};
