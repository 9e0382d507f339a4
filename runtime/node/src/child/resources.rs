//! What the node holds on behalf of its children, across their incarnations.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use blackhole_config::{Listen, Scope, Service};
use blackhole_process::sockets::{self, SocketError};
use blackhole_protocol::InstanceId;

use super::limits::Plans;
use crate::{heartbeat::Heartbeat, logs::Logs, native::NativeServices, secrets::Secrets};

/// What children are given or looked after with.
pub(crate) struct Resources {
    pub(crate) logs: Logs,
    pub(crate) native: Arc<dyn NativeServices>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) sockets: Sockets,
    pub(crate) plans: Arc<Plans>,
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
}

/// Listening sockets. They belong to the node and stay open while their services come and go, so
/// that clients wait in the backlog instead of being refused.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<HashMap<Address, Arc<OwnedFd>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Address {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
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
        })
    }

    /// Closes the sockets of an instance that is no longer wanted, and removes their files.
    pub(crate) fn close_native(&self, instance: &InstanceId, runtime_dir: &Path) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for file in [instance.socket_file_name(), instance.link_file_name()] {
            let path = runtime_dir.join(file);
            if open.remove(&Address::Unix(path.clone())).is_some() {
                // Nobody can connect any more, whether or not the name could be removed.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn open(&self, address: Address) -> Result<Arc<OwnedFd>, SocketError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = open.get(&address) {
            return Ok(socket.clone());
        }
        let socket = Arc::new(match &address {
            Address::Tcp(address) => sockets::listen_tcp(*address)?,
            Address::Unix(path) => sockets::listen_unix(path)?,
        });
        open.insert(address, socket.clone());
        Ok(socket)
    }
}

/// The files of sockets go with the node.
impl Drop for Sockets {
    fn drop(&mut self) {
        let open = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for address in open.keys() {
            if let Address::Unix(path) = address {
                // A name that cannot be removed is replaced by the next start.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
