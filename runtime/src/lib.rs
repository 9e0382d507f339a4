//! Services run the way Erlang runs processes: supervised child processes, from a Rust program.
//!
//! The parts, as they stand: [`init`] makes a program its own guardian, [`node`] runs the services of
//! a file inside it, [`service`] is what a native service is written with.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     match blackhole::init() {
//!         Ok(blackhole::Role::Guardian(outcome)) => outcome.exit_code.into(),
//!         Ok(blackhole::Role::Node(_lifeline)) => std::process::ExitCode::SUCCESS,
//!         Err(error) => panic!("{error}"),
//!     }
//! }
//! ```

pub use blackhole_process::guardian::{GuardianError, Outcome, Role};

/// Runs the services of a file.
pub mod node {
    pub use blackhole_node::{
        Ending, Node, NodeError, Operator, OperatorError, Options, Patience, Selection,
        native::{Embedded, NativeServices},
        registry,
    };
}

/// What a native service links.
pub mod service {
    pub use blackhole_sdk::{
        Context, Draining, Embedded, Ending, Routes, Service, ServiceError, embed, serve,
    };
}

/// Makes this program its own guardian: to be called first in `main`, before any thread starts.
///
/// Returns twice. In the guardian, when the node has ended: leave `main` with its exit code. In the
/// node, which is this program started again with the same arguments: carry on, and keep the
/// lifeline for [`node::Options`].
///
/// # Errors
/// When the pair cannot be set up.
pub fn init() -> Result<Role, GuardianError> {
    blackhole_process::guardian::init(blackhole_protocol::environment::GUARDIAN_FD)
}
