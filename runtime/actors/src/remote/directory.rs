//! Looks up the state of the node's processes.

use std::{future::Future, pin::Pin};

use blackhole_protocol::{InstanceId, link::gateway::ExitReason};

/// A future that can be given away.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How an instance stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its process lives.
    Running,
    /// It does not: the node's word for what it is, such as `backing_off`.
    Away(String),
    /// The node has no such instance.
    Unknown,
}

/// Knows how the processes of the node are: the node itself, or whoever can ask it.
pub trait Directory: Send + Sync + 'static {
    /// How an instance stands now.
    fn standing(&self, instance: &InstanceId) -> Boxed<Standing>;

    /// Resolves when that incarnation of the process has ended, or at once if it has: why.
    fn exit(&self, instance: &InstanceId, generation: u64) -> Boxed<ExitReason>;
}
