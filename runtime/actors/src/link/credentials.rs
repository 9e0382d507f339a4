//! Who may be at the other end of a socket.

use rustix::process::geteuid;
use tokio::net::{UnixStream, unix::pid_t};

use super::LinkError;

/// A program at the other end of a socket, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Program {
    /// Whose it is.
    pub(crate) uid: u32,
    /// Absent if it lives where this program cannot see.
    pub(crate) pid: Option<pid_t>,
}

impl Program {
    /// The kernel noted the credentials of the peer when it connected or, at the other end, when it
    /// began to listen.
    pub(crate) fn at(stream: &UnixStream) -> Result<Self, LinkError> {
        let peer = stream.peer_cred().map_err(LinkError::Socket)?;
        // The kernel's number for what is not in this namespace.
        let pid = peer.pid().filter(|pid| *pid != 0);
        Ok(Self { uid: peer.uid(), pid })
    }

    /// Only programs of the same user may speak to this one, and those of the superuser, whose node may
    /// run services as others.
    pub(crate) fn check(self) -> Result<(), LinkError> {
        let ours = geteuid().as_raw();
        if self.uid == ours || self.uid == 0 {
            return Ok(());
        }
        Err(LinkError::ForeignUser { ours, theirs: self.uid })
    }
}
