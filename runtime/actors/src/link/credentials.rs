//! Who may be at the other end of a socket.

use std::os::fd::BorrowedFd;

use rustix::{net::sockopt::socket_peercred, process::geteuid};

use super::LinkError;

/// Only programs of the same user, and of the superuser, whose node may run services as others.
///
/// The kernel noted the credentials of the peer when it connected or, at the other end, when it
/// began to listen.
pub(crate) fn check_peer(socket: BorrowedFd<'_>) -> Result<(), LinkError> {
    let peer = socket_peercred(socket).map_err(|error| LinkError::Socket(error.into()))?;
    let (ours, theirs) = (geteuid(), peer.uid);
    if theirs == ours || theirs.is_root() {
        return Ok(());
    }
    Err(LinkError::ForeignUser { ours: ours.as_raw(), theirs: theirs.as_raw() })
}
