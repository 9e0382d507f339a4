//! What a process sees of the host: a mount namespace with a /tmp of its own, read-only and hidden
//! paths, a network namespace with nothing in it, and one of processes with only its own in it.
//!
//! Needs root's right to administer, or a kernel that lets ordinary users make namespaces in which
//! they have it: there the process stays who it is, and is mapped to itself.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString, OsStr},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::{Errno, write},
    mount::{
        MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    },
    thread::CapabilitySet,
};

use crate::{Downgrade, Host, Part, Refused, Step, plan::Parts, syscall};

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
    /// Which processes it sees.
    pub processes: Processes,
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

/// Which processes a process sees, may signal and finds in /proc.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Processes {
    /// The host's.
    #[default]
    Shared,
    /// Only those that it has started itself. Whoever starts it puts a process before it that has the
    /// number 1 and nothing to do but to inherit orphans: see [`crate::Plan::separate_in_child`].
    Private,
}

/// A view that cannot be made here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Only root may, or who may make namespaces of users.
    #[error(
        "`{key}` needs CAP_SYS_ADMIN or a namespace of users, and the node may have neither\nhint: run the node as root, permit `sysctl user.max_user_namespaces`, or name it in `optional`"
    )]
    NotPermitted {
        /// As in the file.
        key: &'static str,
    },
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
    namespaces: i32,
    processes: Processes,
    covers: Box<[(CString, Cover)]>,
    /// For who has no right outside of a namespace of users.
    mapped: Option<Mapping>,
    parts: Parts,
}

/// What is written to `uid_map` and `gid_map`.
#[derive(Debug)]
struct Mapping {
    user: Box<[u8]>,
    group: Box<[u8]>,
}

impl Mapping {
    /// Everybody to himself.
    fn of(host: &Host) -> Self {
        let line = |id: u32| format!("{id} {id} 1").into_bytes().into_boxed_slice();
        Self { user: line(host.uid), group: line(host.gid) }
    }

    /// Groups can be mapped only by who cannot drop those that keep him from files.
    fn write(&self) -> Result<(), Errno> {
        syscall::make_dumpable()?;
        put(c"/proc/self/setgroups", b"deny")?;
        put(c"/proc/self/uid_map", &self.user)?;
        put(c"/proc/self/gid_map", &self.group)
    }
}

fn put(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(&file, text).map(drop)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    EmptyForAll,
    Empty,
    NoFile,
    ReadOnly,
}

/// Read-only ones first: what is hidden or private below them must not become visible again.
const SEEN: [Part; 5] =
    [Part::ReadOnly, Part::PrivateTmp, Part::Hidden, Part::Network, Part::PrivatePids];

impl View {
    pub(crate) fn check(
        &self,
        host: &Host,
        optional: &BTreeSet<Part>,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<Checked, ViewError> {
        let mut checked = Checked::default();
        let mut covers = Vec::new();
        for part in SEEN {
            let wanted = permitted(part, host).and_then(|()| self.covers(part));
            let Some(namespace) = self.namespace(part) else { continue };
            let wanted = part.enforcement(optional).settle(part.key(), wanted, downgraded)?;
            if let Some(wanted) = wanted {
                covers.extend(wanted);
                checked.namespaces |= namespace;
                checked.parts.add(part);
                if part == Part::PrivatePids {
                    checked.processes = Processes::Private;
                }
            }
        }
        checked.covers = covers.into();
        if checked.namespaces != 0 && !host.may(CapabilitySet::SYS_ADMIN) {
            checked.namespaces |= libc::CLONE_NEWUSER;
            checked.mapped = Some(Mapping::of(host));
        }
        Ok(checked)
    }

    /// What a part needs, if it is asked for.
    fn namespace(&self, part: Part) -> Option<i32> {
        let (asked, namespace) = match part {
            Part::ReadOnly => (!self.read_only.is_empty(), libc::CLONE_NEWNS),
            Part::Hidden => (!self.hidden.is_empty(), libc::CLONE_NEWNS),
            Part::PrivateTmp => (self.temporary == Temporary::Private, libc::CLONE_NEWNS),
            Part::Network => (self.network == Network::None, libc::CLONE_NEWNET),
            // For its own /proc; the namespace of processes itself is made before it is born.
            Part::PrivatePids => (self.processes == Processes::Private, libc::CLONE_NEWNS),
            Part::Capabilities | Part::Seccomp | Part::Paths => return None,
        };
        asked.then_some(namespace)
    }

    fn covers(&self, part: Part) -> Result<Vec<(CString, Cover)>, ViewError> {
        let temporary = || ["/tmp", "/var/tmp"].map(Path::new).into_iter().filter(|it| it.is_dir());
        match part {
            Part::ReadOnly => {
                self.read_only.iter().map(|path| covered(path, |_| Cover::ReadOnly)).collect()
            }
            Part::PrivateTmp => {
                temporary().map(|path| covered(path, |_| Cover::EmptyForAll)).collect()
            }
            Part::Hidden => {
                let of = |is_directory| if is_directory { Cover::Empty } else { Cover::NoFile };
                self.hidden.iter().map(|path| covered(path, of)).collect()
            }
            Part::Network
            | Part::PrivatePids
            | Part::Capabilities
            | Part::Seccomp
            | Part::Paths => Ok(Vec::new()),
        }
    }
}

fn permitted(part: Part, host: &Host) -> Result<(), ViewError> {
    match host.may(CapabilitySet::SYS_ADMIN) || host.user_namespaces {
        true => Ok(()),
        false => Err(ViewError::NotPermitted { key: part.key() }),
    }
}

fn covered(path: &Path, cover: impl Fn(bool) -> Cover) -> Result<(CString, Cover), ViewError> {
    let failed = |source| ViewError::Path { path: path.to_owned(), source };
    let is_directory = fs::metadata(path).map_err(failed)?.is_dir();
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    Ok((path, cover(is_directory)))
}

impl Checked {
    /// Those that hold.
    pub(crate) fn parts(&self) -> Parts {
        self.parts
    }

    /// Whether it is to see its own processes only.
    pub(crate) fn processes(&self) -> Processes {
        self.processes
    }

    /// Whether it sees the files that its parent does.
    pub(crate) fn shares_files(&self) -> bool {
        self.namespaces & libc::CLONE_NEWNS == 0
    }

    /// What hides a path from it, by its name, if anything does: a directory above that is private or hidden.
    pub(crate) fn hides(&self, path: &Path) -> Option<&Path> {
        let hiding = self.covers.iter().filter(|(_, cover)| *cover != Cover::ReadOnly);
        hiding
            .map(|(above, _)| Path::new(OsStr::from_bytes(above.to_bytes())))
            .find(|above| path != *above && path.starts_with(above))
    }

    /// The part that covers a path with something else, if one does.
    pub(crate) fn hiding_part(&self, path: &Path) -> Option<Part> {
        let covers = |above: &CStr| path.starts_with(OsStr::from_bytes(above.to_bytes()));
        let (_, cover) =
            self.covers.iter().find(|(above, cover)| *cover != Cover::ReadOnly && covers(above))?;
        Some(if *cover == Cover::EmptyForAll { Part::PrivateTmp } else { Part::Hidden })
    }

    /// What comes before the birth of who is to see its own processes only: the calling process stays
    /// where it is, its children are in the namespace. Async-signal-safe.
    pub(crate) fn separate(&self) -> Result<(), Refused> {
        self.unshare(libc::CLONE_NEWPID | self.namespaces & libc::CLONE_NEWUSER)
    }

    /// Before anything is given up. `born_in`: among which processes it already is; `directory`: where it
    /// will go afterwards; `attempt`: whether it goes on without its own /proc, where that alone is refused.
    /// Async-signal-safe.
    pub(crate) fn enter(
        &self,
        born_in: Processes,
        directory: Option<&CStr>,
        attempt: impl FnOnce(Result<(), Refused>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if self.namespaces == 0 {
            return Ok(());
        }
        match born_in {
            Processes::Shared => self.unshare(self.namespaces)?,
            Processes::Private => self.unshare(self.namespaces & !libc::CLONE_NEWUSER)?,
        }
        if self.namespaces & libc::CLONE_NEWNET != 0 {
            syscall::raise_loopback().map_err(Refused::at(Step::RaiseLoopback))?;
        }
        if self.namespaces & libc::CLONE_NEWNS == 0 {
            return Ok(());
        }
        // What is mounted on the host later is still seen; what is mounted here stays here.
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(c"/", slave).map_err(Refused::at(Step::CoverPaths))?;
        if born_in == Processes::Private {
            attempt(mount_processes().map_err(Refused::at(Step::MountProcesses)))?;
        }
        self.cover().map_err(Refused::at(Step::CoverPaths))?;
        // What is covered could otherwise still be reached from where the process stands.
        if directory.is_some_and(|path| path.to_bytes().starts_with(b"/")) {
            return Ok(());
        }
        syscall::return_to_working_directory().map_err(Refused::at(Step::ReturnToDirectory))
    }

    fn unshare(&self, namespaces: i32) -> Result<(), Refused> {
        syscall::unshare(namespaces).map_err(Refused::at(Step::EnterNamespaces))?;
        match &self.mapped {
            Some(mapping) if namespaces & libc::CLONE_NEWUSER != 0 => {
                mapping.write().map_err(Refused::at(Step::MapUser))
            }
            _ => Ok(()),
        }
    }

    fn cover(&self) -> Result<(), Errno> {
        self.covers.iter().try_for_each(|(path, cover)| cover.over(path))
    }
}

/// The kernel shows in it the processes that the caller is among.
fn mount_processes() -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", c"/proc", c"proc", flags, None)
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
