//! What the node holds on behalf of its children, across their incarnations.

use std::{
    collections::HashMap,
    fs,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use blackhole_config::{Listen, Scope, Service};
use blackhole_process::{
    snapshot,
    sockets::{self, SocketError},
};
use blackhole_protocol::InstanceId;

use super::limits::Plans;
use crate::{
    heartbeat::Heartbeat, limit_watch::LimitWatch, logs::Logs, native::NativeServices,
    secrets::Secrets,
};

/// What children are given or looked after with.
pub(crate) struct Resources {
    pub(crate) logs: Logs,
    pub(crate) native: Arc<dyn NativeServices>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) sockets: Sockets,
    pub(crate) plans: Arc<Plans>,
    pub(crate) limit_watch: LimitWatch,
    pub(crate) secrets: Arc<Secrets>,
}

/// A listening socket and the name that the child knows it by.
pub(crate) type NamedSocket = (String, Arc<OwnedFd>);

/// The listening sockets of a native instance.
#[derive(Debug, Clone)]
pub(crate) struct NativeSockets {
    /// Where it answers gRPC.
    pub(crate) grpc: Arc<OwnedFd>,
    /// Where its actors are reached.
    pub(crate) gateway: Arc<OwnedFd>,
    /// What its incarnations hand on.
    pub(crate) snapshot: Arc<OwnedFd>,
}

/// Listening sockets. They belong to the node and stay open while their services come and go, so
/// that clients wait in the backlog instead of being refused. One whose file was removed or replaced, so
/// that nobody can connect any more, is opened anew at the next start of its service.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<HashMap<Address, Held>>);

#[derive(Debug)]
struct Held {
    socket: Arc<OwnedFd>,
    file: Option<SocketFile>,
}

/// Tells the file of a socket from another one with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SocketFile {
    device: u64,
    inode: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Address {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
    /// No socket: where an instance's incarnations hand on their state.
    Memory(InstanceId),
}

impl Sockets {
    /// The sockets of a service's `listen`, opened when they are first needed.
    pub(crate) fn listed(
        &self,
        service: &Service,
        scope: &Scope<'_>,
    ) -> Result<Vec<NamedSocket>, SocketError> {
        service
            .listen
            .iter()
            .enumerate()
            .map(|(position, listen)| {
                let address = match listen {
                    Listen::Tcp(address) => Address::Tcp(*address),
                    Listen::Unix(path) => Address::Unix(path.render(scope).into()),
                };
                Ok((format!("listen{position}"), self.open(address)?))
            })
            .collect()
    }

    /// The sockets on which a native instance is reached.
    pub(crate) fn native(
        &self,
        instance: &InstanceId,
        runtime_dir: &Path,
    ) -> Result<NativeSockets, SocketError> {
        let open = |file: String| self.open(Address::Unix(runtime_dir.join(file)));
        Ok(NativeSockets {
            grpc: open(instance.socket_file_name())?,
            gateway: open(instance.link_file_name())?,
            snapshot: self.open(Address::Memory(instance.clone()))?,
        })
    }

    /// Closes the sockets of an instance that is no longer wanted, and removes their files.
    pub(crate) fn close_native(&self, instance: &InstanceId, runtime_dir: &Path) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&Address::Memory(instance.clone()));
        for file in [instance.socket_file_name(), instance.link_file_name()] {
            let path = runtime_dir.join(file);
            if open.remove(&Address::Unix(path.clone())).is_some() {
                // Nobody can connect any more, whether or not the name could be removed.
                let _ = fs::remove_file(path);
            }
        }
    }

    fn open(&self, address: Address) -> Result<Arc<OwnedFd>, SocketError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = open.get(&address)
            && held.file == address.file()
        {
            return Ok(held.socket.clone());
        }
        let socket = Arc::new(match &address {
            Address::Tcp(address) => sockets::listen_tcp(*address)?,
            Address::Unix(path) => sockets::listen_unix(path)?,
            Address::Memory(instance) => {
                snapshot::memory_file(&instance.to_string()).map_err(SocketError::Memory)?
            }
        });
        let held = Held { socket: socket.clone(), file: address.file() };
        open.insert(address, held);
        Ok(socket)
    }
}

impl Address {
    fn file(&self) -> Option<SocketFile> {
        match self {
            Self::Tcp(_) | Self::Memory(_) => None,
            Self::Unix(path) => SocketFile::at(path),
        }
    }
}

impl SocketFile {
    fn at(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        Some(Self { device: found.dev(), inode: found.ino() })
    }
}

/// The files of sockets go with the node.
impl Drop for Sockets {
    fn drop(&mut self) {
        let open = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for address in open.keys() {
            if let Address::Unix(path) = address {
                // A name that cannot be removed is replaced by the next start.
                let _ = fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_stays_the_same_until_its_file_is_broken() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("api.sock");
        let sockets = Sockets::default();
        let open = || sockets.open(Address::Unix(path.clone())).expect("it is opened");
        let first = open();
        assert!(Arc::ptr_eq(&first, &open()));

        fs::remove_file(&path).expect("it is removed");
        let second = open();
        assert!(!Arc::ptr_eq(&first, &second));
        UnixStream::connect(&path).expect("somebody listens");

        fs::remove_file(&path).expect("it is removed");
        let stranger = UnixListener::bind(&path).expect("its place is taken");
        let refused = sockets.open(Address::Unix(path.clone()));
        assert!(matches!(refused, Err(SocketError::InUse { .. })), "{refused:?}");
        drop(stranger);
        open();
        UnixStream::connect(&path).expect("somebody listens");
    }
}
