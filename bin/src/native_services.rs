//! The services that this binary contains, as the node sees them.

use std::{
    ffi::OsString,
    io,
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
};

use blackhole_node::native::{Embedded, NativeServices};
use blackhole_protocol::{Name, link::Assignment};

use crate::error::Error;

/// Their names, as the file calls them.
pub(crate) fn names() -> Vec<String> {
    ["identity", "storage"].map(str::to_owned).to_vec()
}

/// Starts each of them as `bh service --name NAME`, from the very file that the node runs.
pub(crate) struct ThisProgram;

impl NativeServices for ThisProgram {
    fn command(&self, service: &Name) -> Vec<OsString> {
        ["/proc/self/exe", "service", "--name", service.as_str()].map(OsString::from).to_vec()
    }

    fn embed(
        &self,
        _service: &Name,
        _grpc: UnixListener,
        _link: UnixStream,
        _assignment: &Assignment,
    ) -> io::Result<Arc<dyn Embedded>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(crate) fn serve(name: &str) -> Result<std::process::ExitCode, Error> {
    Err(Error::Usage(name.into()))
}
