//! ractor with OTP supervision: the supervisor actor, what it needs of its children, the link.

mod alarm;
mod clock;
pub mod link;
pub mod supervisor;
pub mod tree;

pub use alarm::Alarm;
pub use clock::Clock;
pub use tree::{ActorSpec, Tree, TreeError, TreeSpec};
