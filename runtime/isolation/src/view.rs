//! What a process sees of the host: a mount name space with a /tmp of its own, read-only and hidden
//! paths, and a network name space with nothing in it. Needs root's right to administer.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    },
    thread::CapabilitySet,
};

use crate::{Host, Refused, Step, syscall};

/// What a process sees of the host. The default hides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Whose /tmp and /var/tmp it sees.
    pub temporary: Temporary,
    /// Seen, but not to be changed, with all below.
    pub read_only: Vec<PathBuf>,
    /// Seen as empty.
    pub hidden: Vec<PathBuf>,
    /// What it can reach.
    pub network: Network,
}

/// Whose /tmp and /var/tmp a process sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Temporary {
    /// The host's.
    #[default]
    Shared,
    /// Its own, in memory, gone with it.
    Private,
}

/// What a process can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// What the host can.
    #[default]
    Host,
    /// Only itself, over a loopback device of its own. Unix sockets and inherited ones still work.
    None,
}

/// A view that cannot be made here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Only root may.
    #[error(
        "a private /tmp, read-only or hidden paths and `network = \"none\"` need CAP_SYS_ADMIN, which the node lacks\nhint: run the node as root, or use landlock paths, which anybody may"
    )]
    NotPermitted,
    /// Nothing to cover.
    #[error("could not look at `{}`, which is to be read-only or hidden", path.display())]
    Path {
        /// As written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A view as the kernel wants it.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    name_spaces: i32,
    covers: Box<[(CString, Cover)]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    EmptyForAll,
    Empty,
    NoFile,
    ReadOnly,
}

impl View {
    pub(crate) fn check(&self, host: &Host) -> Result<Checked, ViewError> {
        if *self == Self::default() {
            return Ok(Checked::default());
        }
        if !host.may(CapabilitySet::SYS_ADMIN) {
            return Err(ViewError::NotPermitted);
        }
        let covers = self.covers()?;
        let mounts = if covers.is_empty() { 0 } else { libc::CLONE_NEWNS };
        let network = match self.network {
            Network::Host => 0,
            Network::None => libc::CLONE_NEWNET,
        };
        Ok(Checked { name_spaces: mounts | network, covers: covers.into() })
    }

    /// Read-only ones first: what is hidden or private below them must not become visible again.
    fn covers(&self) -> Result<Vec<(CString, Cover)>, ViewError> {
        let mut covers = Vec::new();
        for path in &self.read_only {
            covers.push(covered(path, |_| Cover::ReadOnly)?);
        }
        if self.temporary == Temporary::Private {
            for path in ["/tmp", "/var/tmp"].map(Path::new).into_iter().filter(|it| it.is_dir()) {
                covers.push(covered(path, |_| Cover::EmptyForAll)?);
            }
        }
        for path in &self.hidden {
            let of = |is_directory| if is_directory { Cover::Empty } else { Cover::NoFile };
            covers.push(covered(path, of)?);
        }
        Ok(covers)
    }
}

fn covered(path: &Path, cover: impl Fn(bool) -> Cover) -> Result<(CString, Cover), ViewError> {
    let failed = |source| ViewError::Path { path: path.to_owned(), source };
    let is_directory = fs::metadata(path).map_err(failed)?.is_dir();
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    Ok((path, cover(is_directory)))
}

impl Checked {
    /// Before anything is given up. Async-signal-safe.
    pub(crate) fn enter(&self) -> Result<(), Refused> {
        if self.name_spaces == 0 {
            return Ok(());
        }
        syscall::unshare(self.name_spaces).map_err(Refused::at(Step::EnterNameSpaces))?;
        if self.name_spaces & libc::CLONE_NEWNET != 0 {
            syscall::raise_loopback().map_err(Refused::at(Step::RaiseLoopback))?;
        }
        if self.covers.is_empty() {
            return Ok(());
        }
        self.cover().map_err(Refused::at(Step::CoverPaths))?;
        // What is covered could otherwise still be reached from where the process stands.
        syscall::return_to_working_directory().map_err(Refused::at(Step::ReturnToDirectory))
    }

    fn cover(&self) -> Result<(), Errno> {
        // What is mounted on the host later is still seen; what is mounted here stays here.
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(c"/", slave)?;
        self.covers.iter().try_for_each(|(path, cover)| cover.over(path))
    }
}

impl Cover {
    fn over(self, path: &CStr) -> Result<(), Errno> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        match self {
            Self::ReadOnly => {
                mount_bind_recursive(path, path)?;
                syscall::make_read_only(path)
            }
            Self::EmptyForAll => mount(c"tmpfs", path, c"tmpfs", flags, c"mode=1777"),
            Self::Empty => {
                let flags = flags | MountFlags::RDONLY | MountFlags::NOEXEC;
                mount(c"tmpfs", path, c"tmpfs", flags, c"mode=0555,size=4k")
            }
            Self::NoFile => mount_bind(c"/dev/null", path),
        }
    }
}
