//! Sockets the node holds: listening ones, which outlive every generation that serves them, and links.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::snapshot::SnapshotFile;

/// What the node holds for a native service across its incarnations: its listening sockets, which it
/// serves as long as it lives, and its snapshot.
#[derive(Debug)]
pub struct NativeListeners {
    /// Where it answers gRPC.
    pub grpc: UnixListener,
    /// Where its actors are reached.
    pub gateway: UnixListener,
    /// What its incarnations hand on.
    pub snapshot: SnapshotFile,
}

/// What connects a native service on a thread of the node with the node: the service's ends.
#[derive(Debug)]
pub struct EmbeddedEnds {
    /// Of its link.
    pub link: UnixStream,
    /// Where its records go, in the place of a process's standard error.
    pub records: OwnedFd,
}

/// How many connections may wait for a service that is being restarted; the kernel may allow fewer.
pub const BACKLOG_MAX: i32 = 4096;

/// `sun_path` of `unix(7)`, without its final zero byte.
pub const UNIX_PATH_LENGTH_MAX: usize = 107;

/// A socket that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The kernel has no room for a longer path.
    #[error(
        "the socket path `{path}` has {length} bytes, {UNIX_PATH_LENGTH_MAX} is the most\n\
         hint: use a shorter runtime directory: --runtime-dir, or BLACKHOLE_RUNTIME_DIR"
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// What a native service's incarnations hand on has no place.
    #[error("could not create a memory file for its snapshot")]
    Memory(#[source] std::io::Error),
    /// Somebody serves there.
    #[error("could not listen on `{address}`: it is in use\nhint: {hint}")]
    InUse {
        /// Address or path.
        address: String,
        /// How to find out by whom.
        hint: String,
    },
    /// A file that is no socket is never removed.
    #[error(
        "could not listen on `{path}`: a file that is not a socket is in the way\nhint: move it"
    )]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// Anything else.
    #[error("could not listen on `{address}`{}", hint_line(.hint))]
    Listen {
        /// Address or path.
        address: String,
        /// What the reader can do.
        hint: Option<String>,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn hint_line(hint: &Option<String>) -> String {
    hint.as_ref().map_or(String::new(), |hint| format!("\nhint: {hint}"))
}

/// A TCP socket that listens and is not inherited; blocking, as programs expect to be passed it.
pub fn listen_tcp(address: SocketAddr) -> Result<OwnedFd, SocketError> {
    try_tcp(address).map_err(|error| tcp_error(address, error))
}

fn try_tcp(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG_MAX)?;
    Ok(socket)
}

fn tcp_error(address: SocketAddr, error: Errno) -> SocketError {
    let port = address.port();
    let hint = match error {
        Errno::ADDRINUSE => {
            let hint =
                format!("`ss -ltnp 'sport = :{port}'` shows by whom; or choose another port");
            return SocketError::InUse { address: address.to_string(), hint };
        }
        Errno::ACCESS => Some(format!("port {port} needs root or CAP_NET_BIND_SERVICE")),
        Errno::ADDRNOTAVAIL => Some(format!("no network interface has {}", address.ip())),
        _ => None,
    };
    SocketError::Listen { address: address.to_string(), hint, source: error.into() }
}

/// A Unix socket that listens, is not inherited, and that only this user may connect to. A file left by a
/// dead listener is replaced, one that somebody listens on is not.
pub fn listen_unix(path: &Path) -> Result<OwnedFd, SocketError> {
    listen_unix_with(path, 0o600)
}

/// The same for whom `mode` lets in, from the first instant, as far as the umask permits.
pub fn listen_unix_with(path: &Path, mode: u32) -> Result<OwnedFd, SocketError> {
    let address = unix_address(path)?;
    let failed = |error| unix_error(path, error);
    match try_unix(&address, mode) {
        Err(Errno::ADDRINUSE) => {
            remove_stale(path, &address)?;
            try_unix(&address, mode).map_err(failed)
        }
        result => result.map_err(failed),
    }
}

/// Checks that a path is short enough for a socket.
pub fn unix_address(path: &Path) -> Result<SocketAddrUnix, SocketError> {
    let length = path.as_os_str().len();
    match SocketAddrUnix::new(path) {
        Ok(address) if length <= UNIX_PATH_LENGTH_MAX => Ok(address),
        Err(error) if length <= UNIX_PATH_LENGTH_MAX => Err(unix_error(path, error)),
        _ => Err(SocketError::PathTooLong { path: path.to_owned(), length }),
    }
}

fn try_unix(address: &SocketAddrUnix, mode: u32) -> Result<OwnedFd, Errno> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // Before `bind` this is the mode the file is created with.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
    bind(&socket, address)?;
    listen(&socket, BACKLOG_MAX)?;
    Ok(socket)
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), SocketError> {
    let failed =
        |source| SocketError::Listen { address: path.display().to_string(), hint: None, source };
    if !path.symlink_metadata().map_err(failed)?.file_type().is_socket() {
        return Err(SocketError::InTheWay { path: path.to_owned() });
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    match probe.and_then(|probe| connect(&probe, address)) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed),
        Err(Errno::NOENT) => Ok(()),
        _ => {
            let address = path.display().to_string();
            let hint = format!("`ss -lxp src {address}` shows by whom");
            Err(SocketError::InUse { address, hint })
        }
    }
}

fn unix_error(path: &Path, error: Errno) -> SocketError {
    let directory = path.parent().unwrap_or(Path::new("/")).display();
    let hint = match error {
        Errno::NOENT => Some(format!("create the directory `{directory}`")),
        Errno::ACCESS => Some(format!("the directory `{directory}` must be writable")),
        _ => None,
    };
    SocketError::Listen { address: path.display().to_string(), hint, source: error.into() }
}

/// A connected pair for a link: the node's end, which does not block, and the child's. Neither is inherited
/// unless it is passed.
pub fn link_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (node, child) = UnixStream::pair()?;
    node.set_nonblocking(true)?;
    Ok((node, child.into()))
}
