//! sd_notify, the receiving side: one datagram socket for each instance that uses it.
//!
//! A datagram counts when both hold: the kernel vouches that its sender is root or the instance's
//! user, and the sender is a process of the instance ([`NotifyAccess`]). Anything else is
//! [`Notification::Refused`], with a reason that can be logged. Descriptors that are sent along
//! are closed once the datagram is judged, which is also what `BARRIER=1` waits for.
//!
//! What a notification means for the instance, and every timer, is the caller's business. The
//! protocol is the one of `sd_notify(3)`.

mod message;
mod sender;
mod socket;

pub use message::{Change, ChangeRefused};
pub(crate) use message::{one_line, parse as parse_datagram};
pub use sender::{NotifyAccess, SenderRefused};
pub use socket::{NotifyError, NotifySocket};

/// A datagram that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// From a process of the instance.
    Accepted {
        /// Who sent it.
        pid: u32,
        /// What it says, in its order. May be empty: a bare `BARRIER=1` changes nothing.
        changes: Vec<Change>,
        /// Assignments that it should not have made; the rest counts.
        refused: Vec<ChangeRefused>,
    },
    /// From somebody else, or not of the protocol. Nothing of it counts.
    Refused(SenderRefused),
}
