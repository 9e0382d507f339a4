//! Services run the way Erlang runs processes: supervised child processes, from a Rust program.
//!
//! A *node* runs *services*. A service is any command, a gRPC service of this program, or an actor of it;
//! each lives in child processes of its own (its *instances*). Supervisors restart what fails by
//! Erlang/OTP's rules; sockets stay open across restarts; nothing is left behind, whatever is killed.
//! What `bh run FILE` does for a file, this crate does for a program, by the same code.
//!
//! # From nothing to a supervised tree
//!
//! ## 0. A program
//!
//! The name is taken on the registry: depend on this crate by path or by git. `cargo new clockwork`, and in its
//! `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! blackhole = { path = "../blackhole/runtime" }       # or { git = "https://…/blackhole" }
//! serde = { version = "1", features = ["derive"] }    # for settings and the jobs of a pool
//! ```
//!
//! ## 1. The first line of `main`
//!
//! A program that runs a node is three kinds of process: a tiny guardian that outlives everything, the
//! node, and a child for each native service. All of them are the same binary, and one line tells them
//! apart. It returns in the node only, and must come before anything that starts threads
//! (`#[tokio::main]` does). The whole of `src/main.rs`:
//!
//! ```no_run
//! use blackhole::ServiceSpec;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let program = blackhole::program().enter();
//!     program.block_on(async {
//!         let clock = ServiceSpec::command(["sh", "-c", "while date; do sleep 1; done"]);
//!         let node = program.node().service("clock", clock).start().await?;
//!         node.ended().await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! `cargo run` keeps the clock going, whatever kills it, until Ctrl-C; its output is in the node's log
//! directory.
//!
//! ## 2. A command
//!
//! [`ServiceSpec`] says what is run and when it counts as ready; [`NodeBuilder::start`] starts the node on
//! a thread of its own and gives its owner, a [`Node`]. Everything that a file can say, code can say: each
//! key of a service has a call, and rare keys of its tables are said with [`ServiceSpec::resource`] and
//! [`ServiceSpec::set`]. What makes no sense is refused before anything starts, with the line of Rust that
//! said it.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use blackhole::{Node, Ready, ServiceSpec};
//!
//! // `Node::builder()` is for tests: a program says `program.node()`, and is guarded.
//! let node = Node::builder()
//!     .in_temporary_directory()
//!     .service("clock", ServiceSpec::command(["sh", "-c", "echo up; exec sleep 1000"]).ready(Ready::log("up")))
//!     .start()
//!     .await?;
//! node.ready("clock").await?;
//! assert_eq!(node.status_of("clock")[0].generation, 1);
//!
//! node.restart("clock").await?;
//! node.scale("clock", 3).await?;
//! assert_eq!(node.status().len(), 3);
//! node.stop().await?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! ## 3. An actor in a child process
//!
//! A message type needs one derive, an actor a name and what it does with a message: [`Handler`] has the
//! whole of it, and so has `examples/counter.rs`. [`NodeHandle::actor`] is a typed reference: a
//! [`call`](Remote::call) has a deadline, a [`monitor`](Remote::monitor) is told the true reason of an end,
//! and after a crash the next message goes to the successor. Actors with settings or with supervised
//! actors of their own are a [`HostedActor`]; services with several actors, or with gRPC, implement
//! [`Service`](service::Service).
//!
//! ## 4. Groups
//!
//! A [`GroupSpec`] is a nested supervisor, with a [`Strategy`] and a restart limit for all its members:
//!
//! ```
//! use blackhole::{GroupSpec, Node, ServiceSpec, Strategy};
//! use std::time::Duration;
//!
//! let worker = || ServiceSpec::command(["sleep", "1000"]);
//! let pipeline = GroupSpec::new(Strategy::RestForOne)
//!     .restarts(5, Duration::from_secs(60))
//!     .service("database", worker())
//!     .service("queue", worker())
//!     .group("workers", GroupSpec::new(Strategy::OneForAll).service("resize", worker()).service("upload", worker()));
//! let node = Node::builder()
//!     .in_temporary_directory()
//!     .group("pipeline", pipeline)
//!     .service("front", worker().depends_on("pipeline"));
//! assert!(node.check().is_ok());
//! ```
//!
//! When the queue fails, it and the workers are restarted, the database is not. When that happens too often,
//! the group gives up, and the root decides.
//!
//! ## 5. Watching
//!
//! [`NodeHandle::events`] is a stream of what happens; [`NodeHandle::history`] says how processes ended,
//! with their last lines; [`NodeHandle::status`] is where everything stands. A [`NodeHandle`] may be cloned
//! and used from any thread. The same node answers `bh status`, `bh logs` and every other command.
//!
//! ## 6. Work that may crash
//!
//! A [`Pool`] gives jobs to worker processes, grown and shrunk at run time. A job that aborts, segfaults or
//! hangs loses itself, and its caller is told why: see [`Work`] and `examples/pool.rs`. These are the
//! dynamic children of this crate: the instances of one service, each supervised alone. What OTP's
//! `simple_one_for_one` does by a call for each child, and one count of restarts for all, is here a number that
//! changes, and a count for each.
//!
//! ## 7. Actors inside a service
//!
//! The same supervisor supervises plain actors: [`supervision::Tree`] starts them in order, restarts them by
//! the same rules, and stops them in reverse, each within its own budget.
//!
//! # In tests
//!
//! [`NodeBuilder::embedded`] runs native services on threads of the test, over the same sockets. Nothing
//! else changes.

mod builder;
mod events;
mod hosted;
mod limits;
mod logs;
pub mod native;
mod node;
mod pool;
mod probes;
mod program;
mod sandbox;
mod sharing;
mod size;
mod spec;

pub use blackhole_config::{OnFailed, Problem, Rejected, Table, Value};
pub use blackhole_isolation::{Enforcement, Part as SandboxPart};
pub use blackhole_node::{Ending, INSTANCES_MAX, NodeError, OperatorError};
pub use blackhole_policy::{
    backoff::Backoff,
    budget::Tier,
    supervision::{Restart, Strategy},
};
pub use blackhole_protocol::{InstanceId, Name};
pub use builder::{NodeBuilder, StartError};
pub use events::{Events, Happening};
pub use hosted::{Handler, HostedActor};
pub use logs::Logs;
pub use node::{Node, NodeHandle, NodeHandleError, Status};
pub use pool::{Pool, PoolError, Work};
pub use probes::{Live, Probe, Ready, Tls};
pub use program::{Program, ProgramBuilder, program};
pub use ractor::{Actor, ActorProcessingErr, ActorRef};
pub use sandbox::{Sandbox, Secret};
pub use sharing::{Budget, Scale};
pub use size::Size;
pub use spec::{GroupSpec, ServiceSpec};

/// Trees of plain actors, under OTP's rules.
pub mod supervision {
    pub use blackhole_actors::{ActorSpec, Tree, TreeError, TreeSpec};
    pub use blackhole_policy::supervision::{
        AutoShutdown, ChildStatus, Counts, Phase, Refusal, Restart, Shutdown, Strategy,
        SupervisorExit,
    };
}

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
        Context, Draining, Embedded, Ending, Keeper, Routes, SNAPSHOT_LENGTH_MAX, Service,
        ServiceError, SnapshotError, embed, serve,
    };
}
