//! Secrets on their way from where they are kept to the services, as files in memory.
//!
//! Each instance has a directory of its own on a file system in memory: below the runtime directory
//! where that is in memory, else below `/dev/shm`. It is filled anew at every start, belongs to the
//! service's user (0500, the files 0400) and goes with the process. Values pass through the node's
//! memory only while they are written, and are overwritten afterwards; they are in no argument, no
//! variable, no log and no message. A directory and not a memfd, because programs want paths, and
//! because the service's own children and probes must be able to open them too.

mod reading;
mod source;

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, OpenOptions, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use blackhole_config::{Config, Secret, SecretSource};
use blackhole_isolation::Identity;
use blackhole_policy::supervision::Generation;
use blackhole_protocol::InstanceId;
use zeroize::Zeroizing;

use reading::Reading;
pub(crate) use source::SourceError;
pub(crate) use source::{CREDENTIALS_DIRECTORY, look, take_variable};

/// Passable, so that services of other users reach what is theirs; not to be listed.
const PASSAGE: u32 = 0o711;
const OWN: u32 = 0o700;
const READ_ONLY_DIRECTORY: u32 = 0o500;
/// For whoever is not the directory's owner: its own group.
const GROUP_READABLE: u32 = 0o050;
const READ_ONLY: u32 = 0o400;

/// Why a service did not get its secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// One of them cannot be had.
    #[error("could not get the secret `{name}`")]
    Source {
        /// As in the file.
        name: String,
        /// Why.
        source: SourceError,
    },
    /// Secrets are never put on a disk.
    #[error(
        "there is no file system in memory for secrets: neither `{}` nor `{SHARED_MEMORY}` is one\n\
         hint: choose a runtime directory on a tmpfs with `--runtime-dir`",
        runtime_dir.display()
    )]
    NoMemory {
        /// Where the node keeps its sockets.
        runtime_dir: PathBuf,
    },
    /// The place is there already and somebody else's.
    #[error("the directory for secrets `{}` belongs to somebody else ({uid})", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// A directory or file.
    #[error("could not write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system in memory does not answer, which is the kernel's trouble.
    #[error("writing its secrets was given up")]
    Unwritten,
}

/// Names and what is to be found under them.
pub(crate) type Values = Vec<(String, Zeroizing<Vec<u8>>)>;

const SHARED_MEMORY: &str = "/dev/shm";

/// The directories of all instances.
#[derive(Debug)]
pub(crate) struct Secrets {
    runtime_dir: PathBuf,
    root: PathBuf,
    /// Made when it is first needed.
    wanted: bool,
    /// Whose secrets are there, and for which of its incarnations.
    delivered: Mutex<HashMap<InstanceId, Generation>>,
    reading: Reading,
    withheld: Arc<[String]>,
}

impl Secrets {
    /// Nothing is made before a service needs it; what a predecessor left is removed.
    pub(crate) fn of(config: &Config) -> Self {
        let wanted = config.services.values().any(|service| !service.secrets.is_empty());
        let runtime_dir = config.node.runtime_dir.clone();
        let root = root(&runtime_dir);
        let (delivered, reading) = (Mutex::default(), Reading::default());
        let withheld = variables(config).map(str::to_owned).collect();
        let secrets = Self { runtime_dir, root, wanted, delivered, reading, withheld };
        if wanted {
            secrets.clear();
        }
        secrets
    }

    /// Below which each instance has its own, as [`blackhole_config::Scope`] says.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The variables of the node's environment that no service may inherit.
    pub(crate) fn withheld(&self) -> &Arc<[String]> {
        &self.withheld
    }

    /// For who cleans up after a crash; `None` when no service has secrets.
    pub(crate) fn entrusted(&self) -> Option<&Path> {
        self.wanted.then_some(self.root.as_path())
    }

    /// Makes the directory of an instance, for the node alone as yet.
    pub(crate) fn make(&self, directory: &Path) -> Result<(), SecretsError> {
        self.claim_root()?;
        let failed = |source| SecretsError::Write { path: directory.to_owned(), source };
        make(directory, OWN).map_err(failed)
    }

    /// The values of a service's secrets, each from where it is kept, off this thread and all at a time. A
    /// source that does not answer is waited for once, not at every start.
    pub(crate) async fn read(&self, secrets: &[Secret]) -> Result<Values, SecretsError> {
        let reads = secrets.iter().map(|Secret { name, source }| async move {
            let value = self.reading.read(source).await;
            let failed = |source| SecretsError::Source { name: name.clone(), source };
            Ok((name.clone(), value.map_err(failed)?))
        });
        futures::future::try_join_all(reads).await
    }

    /// Puts the secrets of an instance into its directory; blocks for a file system in memory.
    pub(crate) fn deliver(
        &self,
        (instance, generation): (&InstanceId, Generation),
        values: &Values,
        directory: &Path,
        owner: Option<&Identity>,
    ) -> Result<(), SecretsError> {
        self.delivered().insert(instance.clone(), generation);
        let failed = |source| SecretsError::Write { path: directory.to_owned(), source };
        for (name, value) in values {
            put(name, value, directory, owner)?;
        }
        remove_others(directory, values).map_err(failed)?;
        // The directory stays the node's: what its owner put there, a node that is root would remove.
        let mode = match owner {
            None => READ_ONLY_DIRECTORY,
            Some(owner) => {
                chown(directory, None, Some(owner.gid)).map_err(failed)?;
                READ_ONLY_DIRECTORY | GROUP_READABLE
            }
        };
        fs::set_permissions(directory, Permissions::from_mode(mode)).map_err(failed)
    }

    /// The incarnation is gone, and its secrets go, unless a later one has them by now.
    pub(crate) fn withdraw(&self, instance: &InstanceId, generation: Generation, directory: &Path) {
        let mut delivered = self.delivered();
        if delivered.get(instance) == Some(&generation) {
            delivered.remove(instance);
            remove(directory);
        }
    }

    fn claim_root(&self) -> Result<(), SecretsError> {
        let failed = |source| SecretsError::Write { path: self.root.clone(), source };
        let parent = self.root.parent().unwrap_or(Path::new("/"));
        if !is_in_memory(parent) {
            return Err(SecretsError::NoMemory { runtime_dir: self.runtime_dir.clone() });
        }
        make(&self.root, PASSAGE).map_err(failed)?;
        let uid = fs::symlink_metadata(&self.root).map_err(failed)?.uid();
        match uid == rustix::process::geteuid().as_raw() {
            true => Ok(()),
            false => Err(SecretsError::Foreign { path: self.root.clone(), uid }),
        }
    }

    fn clear(&self) {
        remove(&self.root);
    }

    fn delivered(&self) -> MutexGuard<'_, HashMap<InstanceId, Generation>> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        if self.wanted {
            self.clear();
        }
    }
}

/// One for each runtime directory, so that a node finds what a predecessor that crashed left.
fn root(runtime_dir: &Path) -> PathBuf {
    if is_in_memory(runtime_dir) {
        return runtime_dir.join("secrets");
    }
    let mut hasher = DefaultHasher::new();
    runtime_dir.hash(&mut hasher);
    let uid = rustix::process::geteuid().as_raw();
    Path::new(SHARED_MEMORY).join(format!("blackhole-{uid}-{:016x}", hasher.finish()))
}

fn is_in_memory(path: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    rustix::fs::statfs(path).is_ok_and(|it| [TMPFS, RAMFS].contains(&it.f_type))
}

/// One that is there is as good, if it is a directory and no link to one.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    if !fs::symlink_metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Written beside its place and then put there, so that nobody ever reads half of it.
fn put(
    name: &str,
    value: &[u8],
    directory: &Path,
    owner: Option<&Identity>,
) -> Result<(), SecretsError> {
    let (path, beside) = (directory.join(name), directory.join(format!(".{name}")));
    let failed = |source| SecretsError::Write { path: path.clone(), source };
    // Left by a start that was cut short; usually there is none.
    let _absent = fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(READ_ONLY)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(value).map_err(failed)?;
    file.set_permissions(Permissions::from_mode(READ_ONLY)).map_err(failed)?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
    }
    fs::rename(&beside, &path).map_err(failed)
}

fn remove_others(directory: &Path, values: &Values) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !values.iter().any(|(name, _)| entry.file_name() == **name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// With all in it. Its owner may have made it unwritable, as we do.
fn remove(directory: &Path) {
    let directories = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in directories.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let _gone = fs::set_permissions(entry.path(), Permissions::from_mode(OWN));
    }
    let _gone = fs::set_permissions(directory, Permissions::from_mode(OWN));
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(directory = %directory.display(), %error, "secrets stay behind");
        }
        _ => {}
    }
}

/// The variables of the node's environment that hold a secret.
fn variables(config: &Config) -> impl Iterator<Item = &str> {
    let secrets = config.services.values().flat_map(|service| &service.secrets);
    secrets.filter_map(|secret| match &secret.source {
        SecretSource::Environment(name) => Some(name.as_str()),
        SecretSource::File(_) | SecretSource::Credential(_) => None,
    })
}
