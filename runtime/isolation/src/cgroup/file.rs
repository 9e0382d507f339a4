//! The kernel's files of a group: one value or a table of numbers each.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::BandwidthError;

/// A group that could not be made, changed, read or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// No hierarchy on this host has the controller that a key needs.
    #[error(
        "`{key}` cannot be enforced here: {reason}\nhint: leave it out, or write `enforce = \"best_effort\"`"
    )]
    NotEnforceable {
        /// As in the file.
        key: &'static str,
        /// What is lacking.
        reason: String,
    },
    /// What its sockets may send and receive.
    #[error("could not limit the bandwidth of the group")]
    Bandwidth(#[from] BandwidthError),
    /// A group needs a name of its own.
    #[error("`{name}` cannot be the name of a group: it must be one path component, not hidden")]
    Name {
        /// As given.
        name: String,
    },
    /// The directory.
    #[error("could not create the group `{}`{}", path.display(), hint(source))]
    Create {
        /// Where.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The directory.
    #[error("could not open the group `{}`", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A limit.
    #[error("could not write `{text}` to `{}`{}", path.display(), hint(source))]
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A value.
    #[error("could not read `{}`", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel wrote something else than its manual says.
    #[error("`{}` has an unknown form: `{text}`", path.display())]
    Form {
        /// Where.
        path: PathBuf,
        /// What it said.
        text: String,
    },
    /// It still has processes.
    #[error("the group `{}` still has {processes} processes after they were killed", path.display())]
    Busy {
        /// Where.
        path: PathBuf,
        /// How many.
        processes: usize,
    },
    /// The directory.
    #[error("could not remove the group `{}`", path.display())]
    Remove {
        /// Where.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl GroupError {
    /// Of what the kernel said, if it was asked.
    pub(super) fn kind(&self) -> Option<io::ErrorKind> {
        self.answer().map(io::Error::kind)
    }

    /// Whether descriptors or memory were short: later it may go well.
    pub fn is_shortage(&self) -> bool {
        let number = self.answer().and_then(io::Error::raw_os_error);
        matches!(number, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
    }

    fn answer(&self) -> Option<&io::Error> {
        match self {
            Self::Create { source, .. }
            | Self::Open { source, .. }
            | Self::Write { source, .. }
            | Self::Read { source, .. }
            | Self::Remove { source, .. } => Some(source),
            Self::NotEnforceable { .. }
            | Self::Bandwidth(_)
            | Self::Name { .. }
            | Self::Form { .. }
            | Self::Busy { .. } => None,
        }
    }
}

/// What the reader of the kernel's bare word can do.
fn hint(source: &io::Error) -> &'static str {
    use io::ErrorKind::{
        InvalidInput, NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull,
    };
    match source.kind() {
        PermissionDenied | ReadOnlyFilesystem => {
            "\nhint: start the node as root, or in a group that was given to it, as by `systemd-run --user --scope -p Delegate=yes`"
        }
        NotFound => {
            "\nhint: it was there when the node was started: mount it again, and start the node again"
        }
        InvalidInput => {
            "\nhint: this kernel does not take this value: write another one, or leave it out"
        }
        StorageFull => {
            "\nhint: a group above permits no more of them: raise its `cgroup.max.descendants`"
        }
        _ => "",
    }
}

/// A file kept open, so that it can be written to where descriptors are short.
pub(super) struct Kept {
    path: PathBuf,
    file: File,
}

impl Kept {
    /// Opens and writes. Never creates: a file that the kernel did not put there is a controller that is not there.
    pub(super) fn open(path: PathBuf, text: &str) -> Result<Self, GroupError> {
        match OpenOptions::new().write(true).open(&path) {
            Ok(file) => Self { path, file }.written(text),
            Err(source) => Err(GroupError::Write { path, text: text.to_owned(), source }),
        }
    }

    pub(super) fn written(mut self, text: &str) -> Result<Self, GroupError> {
        match self.file.write_all(text.as_bytes()) {
            Ok(()) => Ok(self),
            Err(source) => {
                Err(GroupError::Write { path: self.path, text: text.to_owned(), source })
            }
        }
    }
}

pub(super) fn write(path: PathBuf, text: &str) -> Result<(), GroupError> {
    Kept::open(path, text).map(drop)
}

pub(super) fn read(path: PathBuf) -> Result<String, GroupError> {
    fs::read_to_string(&path).map_err(|source| GroupError::Read { path, source })
}

/// `None` where the kernel has no such file, or has it switched off.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, GroupError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(GroupError::Read { path: path.to_owned(), source }),
    }
}

/// `EOPNOTSUPP` is what pressure files say when the kernel was started without them; `ENODEV` what
/// all files of a removed group say.
fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let kinds = [Errno::NOENT, Errno::OPNOTSUPP, Errno::NODEV];
    kinds.iter().any(|kind| error.raw_os_error() == Some(kind.raw_os_error()))
}

pub(super) fn number(path: &Path) -> Result<Option<u64>, GroupError> {
    let Some(text) = read_if_there(path)? else { return Ok(None) };
    let number = text.trim().parse();
    number.map(Some).map_err(|_| GroupError::Form { path: path.to_owned(), text })
}

/// The number after `key` in a table of lines `key number`.
pub(super) fn entry(path: &Path, key: &str) -> Result<Option<u64>, GroupError> {
    let Some(text) = read_if_there(path)? else { return Ok(None) };
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let Some(rest) = line else { return Ok(None) };
    let number = rest.trim().parse();
    number.map(Some).map_err(|_| GroupError::Form { path: path.to_owned(), text })
}
