//! The concurrent discipline: stories, and invariants over random sequences of events.

mod desk;
mod groups;
mod model;
mod operators;
mod order;
mod restarts;
