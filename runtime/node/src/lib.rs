//! The node: root supervisor, child-process actors, registry, logs, probes, control API.

pub mod notify;
pub mod probe;
pub mod registry;
