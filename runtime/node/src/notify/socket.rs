//! The datagram socket.

use std::{
    fs, io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    cmsg_space,
    fs::{Mode, fchmod},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SocketAddrUnix, SocketFlags, SocketType, UCred, recvmsg, socket_with, sockopt,
    },
};
use tokio::{
    io::Interest,
    net::UnixDatagram,
    time::{Instant, sleep_until},
};

use super::{
    Notification,
    message::parse,
    sender::{NotifyAccess, SenderRefused},
};

/// A longer datagram is refused, in bytes.
const DATAGRAM_SIZE_MAX: usize = 4096;
/// What fits into `sockaddr_un`, without the final zero, in bytes.
const PATH_LENGTH_MAX: usize = 107;
/// So many datagrams are read in one [`BURST_WINDOW`]; more wait in the socket, and their senders
/// with them.
const BURST_MAX: u32 = 64;
const BURST_WINDOW: Duration = Duration::from_millis(100);

/// Why there is no socket, or nothing comes from it.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The path does not fit into an address.
    #[error(
        "the socket path `{}` is longer than {PATH_LENGTH_MAX} bytes\n\
         hint: choose a shorter `runtime_dir`", .0.display()
    )]
    PathTooLong(PathBuf),
    /// The socket cannot be made.
    #[error("could not listen for notifications at `{}`", path.display())]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket is broken.
    #[error("could not receive a notification at `{}`", path.display())]
    Receive {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What `NOTIFY_SOCKET` names. The file goes when this is dropped.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    /// Tells our file from one that was made in its place.
    inode: u64,
    window_end: Instant,
    received: u32,
}

impl NotifySocket {
    /// Makes the socket, for its owner alone (0600), in place of one that was left over. The
    /// directory must exist. If the instance runs as another user, give the file to that user
    /// by [`Self::give_to`].
    pub fn bind(path: impl Into<PathBuf>) -> Result<Self, NotifyError> {
        let path = path.into();
        if path.as_os_str().len() > PATH_LENGTH_MAX {
            return Err(NotifyError::PathTooLong(path));
        }
        match bind(&path) {
            Ok((socket, inode)) => {
                Ok(Self { socket, path, inode, window_end: Instant::now(), received: 0 })
            }
            Err(source) => Err(NotifyError::Bind { path, source }),
        }
    }

    /// Lets another user send. That user must be able to reach the directory as well.
    pub fn give_to(&self, uid: u32) -> Result<(), NotifyError> {
        std::os::unix::fs::chown(&self.path, Some(uid), None)
            .map_err(|source| NotifyError::Bind { path: self.path.clone(), source })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a datagram and judges its sender by `access`. None is lost when the future is
    /// dropped.
    pub async fn next(&mut self, access: &NotifyAccess) -> Result<Notification, NotifyError> {
        self.pace().await;
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        let received = self
            .socket
            .async_io(Interest::READABLE, || receive(&self.socket, &mut buffer))
            .await
            .map_err(|source| NotifyError::Receive { path: self.path.clone(), source })?;
        self.received += 1;
        let notification = judge(&received, &buffer, access);
        // Not before: a sender that waits for it by `BARRIER=1` must still be there to be judged.
        drop(received.barrier);
        Ok(notification)
    }

    async fn pace(&mut self) {
        if self.received >= BURST_MAX {
            sleep_until(self.window_end).await;
        }
        let now = Instant::now();
        if now >= self.window_end {
            self.window_end = now + BURST_WINDOW;
            self.received = 0;
        }
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // A file that is left over is replaced by the next `bind`.
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct Received {
    size: usize,
    sender: Option<UCred>,
    truncated: bool,
    barrier: Option<OwnedFd>,
}

fn bind(path: &Path) -> io::Result<(UnixDatagram, u64)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let kind = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, kind, None)?;
    // Both before the name exists: no datagram comes without credentials, and Linux makes the file
    // with the mode of the socket, so that it is never open to others.
    sockopt::set_socket_passcred(&socket, true)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok((UnixDatagram::from_std(socket.into())?, inode(path)?))
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(fs::symlink_metadata(path)?.ino())
}

fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<Received> {
    // Room for the one descriptor of a `BARRIER=1`: the kernel closes those that do not fit.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmCredentials(1), ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [io::IoSliceMut::new(buffer)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(socket, &mut slices, &mut ancillary, flags)?;
    let truncated = message.flags.contains(ReturnFlags::TRUNC);
    let mut received = Received { size: message.bytes, sender: None, truncated, barrier: None };
    for part in ancillary.drain() {
        match part {
            RecvAncillaryMessage::ScmCredentials(sender) => received.sender = Some(sender),
            RecvAncillaryMessage::ScmRights(descriptors) => received.barrier = descriptors.last(),
            _ => {}
        }
    }
    Ok(received)
}

fn judge(received: &Received, buffer: &[u8], access: &NotifyAccess) -> Notification {
    let Some(sender) = received.sender else {
        return Notification::Refused(SenderRefused::Anonymous);
    };
    let pid = sender.pid.as_raw_nonzero().get().unsigned_abs();
    if received.truncated {
        return Notification::Refused(SenderRefused::TooLong { pid, size_max: DATAGRAM_SIZE_MAX });
    }
    match access.admit(pid, sender.uid.as_raw()) {
        Err(refused) => Notification::Refused(refused),
        Ok(()) => {
            let (changes, refused) = parse(&buffer[..received.size]);
            Notification::Accepted { pid, changes, refused }
        }
    }
}
