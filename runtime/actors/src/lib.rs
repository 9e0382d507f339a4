//! ractor with OTP supervision: the supervisor actor, what it needs of its children, the link.

mod clock;
pub mod supervisor;

pub use clock::Clock;
