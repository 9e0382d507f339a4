//! Finds the node that a command talks to: by directory, by name, or the only one that runs.
//!
//! It looks for `control.sock` and knows nothing of what is said on it.

use std::{
    env, fs, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use blackhole_protocol::environment;

use crate::exit_code::ExitCode;

/// The file name of a node's control socket inside its runtime directory.
pub(crate) const SOCKET_FILE_NAME: &str = "control.sock";

/// Which node is meant, as far as it was said on the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeAddress {
    /// The node's runtime directory, or a directory of several.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// The node's name, below the default directory.
    pub(crate) node: Option<String>,
}

/// Why no node was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocateError {
    #[error(
        "no node is running at `{}`\nhint: start one with `bh run FILE`, or say where it is with \
         `--runtime-dir DIR`", .at.display()
    )]
    NotRunning { at: PathBuf },
    #[error(
        "{} nodes are running: {}\nhint: choose one with `--node NAME` or `--runtime-dir DIR`",
        .names.len(), listed(.names)
    )]
    Several { names: Vec<String> },
    #[error(
        "cannot tell where nodes of this user run: XDG_RUNTIME_DIR is not set\n\
         hint: say where with `--runtime-dir DIR` or BLACKHOLE_RUNTIME_DIR"
    )]
    NoDefault,
    #[error(
        "not permitted to open `{}`\nhint: only the user that runs the node, and root, may talk \
         to it", .path.display()
    )]
    Permission { path: PathBuf, source: io::Error },
    #[error("could not look for a node at `{}`", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl LocateError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotRunning { .. } | Self::Several { .. } | Self::NoDefault => {
                ExitCode::NotRunning
            }
            Self::Permission { .. } => ExitCode::NoPermission,
            Self::Io { .. } => ExitCode::Io,
        }
    }
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

impl NodeAddress {
    /// The control socket of the node that is meant. A node listens on it right now.
    pub(crate) fn socket(&self) -> Result<PathBuf, LocateError> {
        let dir = self.directory()?;
        let socket = dir.join(SOCKET_FILE_NAME);
        if listens(&socket)? {
            return Ok(socket);
        }
        let mut sockets = nodes_below(&dir)?;
        match sockets.len() {
            0 => Err(LocateError::NotRunning { at: dir }),
            1 => Ok(sockets.remove(0)),
            _ => Err(LocateError::Several {
                names: sockets.iter().map(|socket| node_name(socket)).collect(),
            }),
        }
    }

    /// Flags before the environment before the default.
    fn directory(&self) -> Result<PathBuf, LocateError> {
        if let Some(dir) = &self.runtime_dir {
            return Ok(dir.clone());
        }
        if let Some(node) = &self.node {
            return Ok(default_directory()?.join(node));
        }
        match env::var_os(environment::RUNTIME_DIR).filter(|value| !value.is_empty()) {
            Some(dir) => Ok(dir.into()),
            None => default_directory(),
        }
    }
}

/// Where nodes put their runtime directories when nothing else is said.
fn default_directory() -> Result<PathBuf, LocateError> {
    if rustix::process::geteuid().is_root() {
        return Ok("/run/blackhole".into());
    }
    let xdg = env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    xdg.map(|dir| Path::new(&dir).join("blackhole")).ok_or(LocateError::NoDefault)
}

fn node_name(socket: &Path) -> String {
    let dir = socket.parent().and_then(Path::file_name);
    dir.unwrap_or(socket.as_os_str()).to_string_lossy().into_owned()
}

/// The control sockets of the nodes that run one level below `dir`, ordered by name.
fn nodes_below(dir: &Path) -> Result<Vec<PathBuf>, LocateError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(source) if is_absent(&source) => return Ok(Vec::new()),
        Err(source) => return Err(refused(dir, source)),
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| refused(dir, source))?;
        let socket = entry.path().join(SOCKET_FILE_NAME);
        if listens(&socket)? {
            sockets.push(socket);
        }
    }
    sockets.sort();
    Ok(sockets)
}

/// A socket file outlives a node that was killed, so only a connection tells.
fn listens(socket: &Path) -> Result<bool, LocateError> {
    match UnixStream::connect(socket) {
        Ok(_) => Ok(true),
        Err(source) if is_absent(&source) => Ok(false),
        Err(source) => Err(refused(socket, source)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | NotADirectory)
}

fn refused(path: &Path, source: io::Error) -> LocateError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => LocateError::Permission { path, source },
        _ => LocateError::Io { path, source },
    }
}
