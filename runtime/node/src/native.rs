//! Services of this program, as the node sees them.
//!
//! The node knows no service by name: the program that contains both (`bin`, or a user's own) hands
//! it this interface.

use std::{future::Future, io, pin::Pin, sync::Arc};

use blackhole_policy::instance::Ended;
use blackhole_process::sockets::{EmbeddedEnds, NativeListeners};
use blackhole_protocol::{Name, link::Assignment};

/// The native services that this program contains.
pub trait NativeServices: Send + Sync {
    /// The command that runs one of them in a child process.
    fn command(&self, service: &Name) -> Vec<std::ffi::OsString>;

    /// Runs one of them on a thread of this process, over the same link and sockets as in a child.
    fn embed(
        &self,
        service: &Name,
        listeners: NativeListeners,
        ends: EmbeddedEnds,
        assignment: &Assignment,
    ) -> io::Result<Arc<dyn Embedded>>;
}

/// A future that can be given away.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A service on a thread of this process.
pub trait Embedded: Send + Sync {
    /// Resolves when it has ended: how, and the last of what it has to say about that.
    fn ended(&self) -> Boxed<(Ended, String)>;

    /// Ends it without waiting for what is in flight.
    fn abort(&self);
}
