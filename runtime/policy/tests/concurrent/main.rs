//! The concurrent discipline, in stories.

mod desk;
mod groups;
mod operators;
mod order;
mod restarts;
