//! ractor with OTP supervision: the supervisor actor, what it needs of its children, the link, and typed
//! references to actors of other processes.

extern crate self as blackhole_actors;

mod alarm;
mod clock;
mod gateway;
pub mod link;
pub mod message;
mod remote;
mod reply;
pub mod supervisor;
pub mod tree;
mod wire;

pub use alarm::Alarm;
pub use blackhole_derive::Message;
pub use blackhole_protocol::link::gateway::{ExitReason, Failure, Refusal};
pub use clock::Clock;
pub use gateway::{Drained, Gateway, HostError, Restart};
pub use message::Message;
pub use remote::{
    Boxed, CastError, Directory, Down, GREETING_WAIT, Lost, Monitor, PATIENCE, Patience, Peers,
    Remote, Standing, Unreachable,
};
pub use reply::{Answer, CallError, Reply};
pub use tree::{ActorSpec, Tree, TreeError, TreeSpec};
