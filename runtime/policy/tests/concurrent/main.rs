//! The concurrent discipline, in stories.

mod changes;
mod desk;
mod groups;
mod names;
mod operators;
mod order;
mod restarts;
