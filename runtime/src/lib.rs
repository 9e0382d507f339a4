//! Services run the way Erlang runs processes: supervised child processes, from a Rust program.
#![warn(missing_docs)]

mod builder;
mod events;
pub mod native;
mod node;
mod probes;
mod program;
mod spec;

pub use blackhole_config::{OnFailed, Problem, Rejected, Table, Value};
pub use blackhole_node::{Ending, INSTANCES_MAX, NodeError, OperatorError};
pub use blackhole_policy::{
    backoff::Backoff,
    supervision::{Restart, Strategy},
};
pub use builder::{NodeBuilder, StartError};
pub use events::{Events, Happening};
pub use node::{Node, NodeHandle, NodeHandleError, Status};
pub use probes::{Live, Probe, Ready};
pub use program::{Program, ProgramBuilder, program};
pub use spec::{GroupSpec, ServiceSpec};

/// What is known of services and their processes.
pub mod registry {
    pub use blackhole_node::registry::{Event, Exited, HistoryEntry, NodeState, State};
    pub use blackhole_policy::instance::Reason;
}

/// Actors of other processes: messages, references, and what hosts them.
///
/// [`Message`] is derived on an actor's message type; `Context::host` in a service makes an actor
/// reachable, and a [`Remote`] reaches it.
pub mod actors {
    pub use blackhole_sdk::{
        Answer, CallError, CastError, Down, ExitReason, Failure, Gateway, HostError, Lost, Message,
        Monitor, Patience, Peers, Refusal, Remote, Reply, Restart, Unreachable,
    };
}
pub use actors::{Message, Remote, Reply};
/// What `#[derive(Message)]` implements.
pub use blackhole_sdk::message;

/// What a native service is written with.
pub mod service {
    pub use blackhole_sdk::{
        Context, Draining, Embedded, Ending, Routes, Service, ServiceError, embed, serve,
    };
}
