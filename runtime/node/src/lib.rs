//! The node: root supervisor, child-process actors, registry, logs, probes, control API.

mod adapting;
mod child;
mod connections;
mod control;
mod directories;
mod heartbeat;
pub mod holding;
pub mod host;
mod http;
pub mod incident;
mod limit_watch;
pub mod logs;
pub mod native;
mod node;
pub mod notify;
mod nursery;
mod operator;
#[doc(hidden)]
pub mod outside;
pub mod pace;
pub mod probe;
pub mod registry;
mod secrets;
mod standing;
mod usage;

pub use adapting::InsufficientResources;
pub use directories::DirectoryError;
pub use node::{CONTROL_SOCKET, Ending, Node, NodeError, Options, Signals};
pub use operator::{INSTANCES_MAX, Operator, OperatorError, Selection, Wait};
