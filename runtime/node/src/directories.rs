//! The node's directories: made where they are missing, and its own.
//!
//! Whoever may write into the runtime directory could take the place of the control socket, so it
//! belongs to the node's user and to nobody else. Services that run as another user pass through
//! the directories, to their notification sockets and their data, and can list none of them.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use blackhole_config::{Config, Kind, Service};
use blackhole_isolation::Identity;
use rustix::fs::{Mode, OFlags};

use crate::child::writes_its_own;

/// For the node's user alone.
const OWN: u32 = 0o700;
/// Others may pass through to what they know by name and may use.
const PASSAGE: u32 = 0o711;
/// Everybody may write, and owns what they wrote: `/tmp`.
const STICKY: u32 = 0o1000;

/// Below the runtime directory: the sockets for the notifications of services.
pub(crate) const NOTIFY: &str = "notify";

/// Why a directory cannot be the node's.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is not there and cannot be made, or is not what it should be and cannot be changed.
    #[error("could not create the directory `{}`\nhint: choose another with `{option}`", path.display())]
    Make {
        /// Which directory.
        path: PathBuf,
        /// The flag that changes it.
        option: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What an earlier node has left in it cannot be removed.
    #[error("could not remove what an earlier node has left in `{}`", path.display())]
    Clear {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its owner could replace what the node puts there.
    #[error(
        "the runtime directory `{}` belongs to another user ({uid})\n\
         hint: choose one of your own with `--runtime-dir`",
        path.display()
    )]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Closing it would lock everybody else out of it.
    #[error(
        "the runtime directory `{}` is shared by all users\n\
         hint: give the node one below it: `--runtime-dir {}/blackhole`",
        path.display(), path.display()
    )]
    Shared {
        /// Which directory.
        path: PathBuf,
    },
}

/// Makes the directories of a node.
pub(crate) fn prepare(config: &Config) -> Result<(), DirectoryError> {
    let node = &config.node;
    let for_other_users = |wanted: fn(&Service) -> bool| {
        config.services.values().any(|service| service.user.is_some() && wanted(service))
    };
    let runtime_mode = if for_other_users(|_| true) { PASSAGE } else { OWN };
    claim(&node.runtime_dir, runtime_mode)?;
    make_for(&node.data_dir, "--data-dir")?;
    make_for(&node.log_dir, "--log-dir")?;
    if for_other_users(|service| {
        matches!(service.kind, Kind::Native { .. }) || writes_its_own(service)
    }) {
        open_passage(&node.data_dir).map_err(|source| DirectoryError::Make {
            path: node.data_dir.clone(),
            option: "--data-dir",
            source,
        })?;
    }
    Ok(())
}

/// Removes the notification sockets of generations that died with an earlier node. No other node may
/// run in this directory.
pub(crate) fn remove_stale_notify_sockets(runtime_dir: &Path) -> Result<(), DirectoryError> {
    let path = runtime_dir.join(NOTIFY);
    let failed = |source| DirectoryError::Clear { path: path.clone(), source };
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_socket() {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Makes a directory below one of the node's, for `owner` or else for the node alone.
pub(crate) fn make_owned(path: &Path, owner: Option<&Identity>) -> io::Result<()> {
    make(path)?;
    match owner {
        Some(owner) => fchown(open(path)?, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    }
}

/// The directory itself, and not what somebody who may write beside it has put in its place.
fn open(path: &Path) -> io::Result<fs::File> {
    if fs::symlink_metadata(path)?.is_symlink() {
        let why = "it is a symbolic link, which could lead anywhere by the time it is given away";
        return Err(io::Error::other(why));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Makes a directory below one of the node's, and lets others through where `owner` is another.
pub(crate) fn make_passage(path: &Path, owner: Option<u32>) -> io::Result<()> {
    make(path)?;
    if owner.is_some() { open_passage(path) } else { Ok(()) }
}

fn claim(path: &Path, mode: u32) -> Result<(), DirectoryError> {
    make_for(path, "--runtime-dir")?;
    let failed = |source| {
        let path = path.to_path_buf();
        DirectoryError::Make { path, option: "--runtime-dir", source }
    };
    let found = fs::metadata(path).map_err(failed)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(DirectoryError::Foreign { path: path.to_path_buf(), uid: found.uid() });
    }
    if found.mode() & STICKY != 0 {
        return Err(DirectoryError::Shared { path: path.to_path_buf() });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

fn make_for(path: &Path, option: &'static str) -> Result<(), DirectoryError> {
    make(path).map_err(|source| DirectoryError::Make { path: path.to_path_buf(), option, source })
}

/// What lies above it is made as `mkdir -p` does, for everybody to pass; one that is there stays.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(OWN).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

fn open_passage(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | PASSAGE))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn stale_sockets_go_and_files_of_others_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        remove_stale_notify_sockets(directory.path()).expect("there is nothing to remove");
        let notify = directory.path().join(NOTIFY);
        fs::create_dir(&notify).expect("it is made");
        fs::write(notify.join("note"), "mine").expect("it is written");
        drop(UnixDatagram::bind(notify.join("api-1.3")).expect("a socket"));
        remove_stale_notify_sockets(directory.path()).expect("it is cleared");
        let left: Vec<_> = fs::read_dir(&notify).expect("it is read").flatten().collect();
        let names: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
        assert_eq!(names, ["note"]);
    }

    #[test]
    fn what_is_given_away_is_no_link_to_somewhere_else() {
        let place = tempfile::tempdir().expect("a directory");
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let owner =
            Identity { uid: uid.as_raw(), gid: gid.as_raw(), groups: Vec::new(), account: None };
        make_owned(&place.path().join("api"), Some(&owner)).expect("it is made");
        let link = place.path().join("worker");
        std::os::unix::fs::symlink("/", &link).expect("a link");
        let error = make_owned(&link, Some(&owner)).expect_err("it is refused");
        assert!(error.to_string().starts_with("it is a symbolic link"), "{error}");
    }
}
