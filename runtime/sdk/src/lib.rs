//! What a native service links.
//!
//! A [`Service`] says how it starts and which gRPC services it answers for; [`serve`] is the whole
//! `main` of its process, and [`embed`] runs the same service on a thread of the node. In both the
//! service talks to its node over the link, is reached by gRPC on a socket that the node holds, and
//! is a tree of actors under the node's own rules: a supervisor, the server, and whatever it adds with
//! [`Context::spawn`] and [`Context::tree`].
//!
//! What a service may call and who may call it is not decided here.

mod context;
mod embedded;
mod health;
mod life;
mod link;
mod log;
mod reflection;
mod routes;
mod serve;
mod server;
mod service;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;

pub use blackhole_actors::{
    ActorSpec, Answer, Boxed, CallError, CastError, Directory, Down, ExitReason, Failure, Gateway,
    HostError, Lost, Message, Monitor, Patience, Peers, Refusal, Remote, Reply, Restart, Standing,
    Tree, TreeError, TreeSpec, Unreachable, message,
};
pub use blackhole_process::snapshot::{SNAPSHOT_LENGTH_MAX, SnapshotError};
pub use context::{Context, Draining, Keeper};
pub use embedded::{Embedded, Ending, embed};
pub use life::LifeError;
pub use log::LOG_FILTER;
pub use routes::Routes;
pub use serve::{ServeError, run, serve};
pub use service::{Service, ServiceError};
