//! Where secrets are kept: files, the node's environment, and the directory by which systemd passes
//! credentials. A store of another kind is one more [`Backend`].

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use blackhole_config::SecretSource;
use rustix::fs::{Mode, OFlags, open};
use zeroize::Zeroizing;

/// The largest secret, in bytes.
const SIZE_MAX: u64 = 1024 * 1024;

/// By which systemd tells a service where its credentials are.
pub(crate) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file.
    #[error("could not read `{}`\nhint: the node's user must be able to read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pipe or a device may never end.
    #[error("`{}` is no file", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// Whatever it is, it is no secret.
    #[error("`{}` is larger than 1 MiB", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// Such as a file on a server that is gone.
    #[error(
        "{kept} has not answered within {seconds} s, and is not asked again before it does\n\
         hint: look at the file system on which it is: a network file system whose server is gone?"
    )]
    Silent {
        /// Where it is kept.
        kept: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The variable.
    #[error("the node's environment has no variable `{variable}`")]
    NoVariable {
        /// Which.
        variable: String,
    },
    /// Nobody passed credentials.
    #[error(
        "the node was given no credentials: `${CREDENTIALS_DIRECTORY}` is not set\n\
         hint: `LoadCredential={name}:/path` in its systemd unit"
    )]
    NoCredentials {
        /// Which was wanted.
        name: String,
    },
}

/// A place where a secret is kept.
pub(super) trait Backend {
    /// Its value; blocks.
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, SourceError>;

    /// Whether it is there, without its value.
    fn look(&self) -> Result<(), SourceError>;
}

pub(super) fn backend(source: &SecretSource) -> Box<dyn Backend> {
    match source {
        SecretSource::File(path) => Box::new(InFile(path.clone())),
        SecretSource::Environment(variable) => Box::new(InEnvironment(variable.clone())),
        SecretSource::Credential(name) => Box::new(InCredentials(name.clone())),
    }
}

/// Whether a secret could be had, here and now.
pub(crate) fn look(source: &SecretSource) -> Result<(), SourceError> {
    backend(source).look()
}

struct InFile(PathBuf);

impl InFile {
    fn open(&self) -> Result<(File, u64), SourceError> {
        let path = || self.0.clone();
        let read = |source| SourceError::Read { path: path(), source };
        // Neither to open a device, which may do something, nor to wait for a pipe that has come meanwhile.
        if !std::fs::metadata(&self.0).map_err(read)?.is_file() {
            return Err(SourceError::NoFile { path: path() });
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = open(&self.0, flags, Mode::empty()).map_err(|error| read(error.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(SourceError::NoFile { path: path() });
        }
        if metadata.len() > SIZE_MAX {
            return Err(SourceError::TooLarge { path: path() });
        }
        Ok((file, metadata.len()))
    }
}

impl Backend for InFile {
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        let (file, size) = self.open()?;
        // Room for all of it from the start: a vector that grows leaves copies behind.
        let room = usize::try_from(SIZE_MAX.min(size + 1)).unwrap_or_default();
        let mut value = Zeroizing::new(Vec::with_capacity(room));
        let read = |source| SourceError::Read { path: self.0.clone(), source };
        file.take(room as u64).read_to_end(&mut value).map_err(read)?;
        match value.len() as u64 > size {
            true => Err(SourceError::TooLarge { path: self.0.clone() }),
            false => Ok(value),
        }
    }

    fn look(&self) -> Result<(), SourceError> {
        self.open().map(drop)
    }
}

struct InEnvironment(String);

/// What was taken out of this process's environment, which it shares with everybody who may look at it.
static TAKEN: Mutex<BTreeMap<String, Zeroizing<Vec<u8>>>> = Mutex::new(BTreeMap::new());

fn taken() -> MutexGuard<'static, BTreeMap<String, Zeroizing<Vec<u8>>>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a variable is known here, and nowhere else in the process.
pub(crate) fn take_variable(name: &str) {
    // Another node of the process may have done so.
    let value = blackhole_process::take_variable(name.as_ref()).filter(|value| !value.is_empty());
    if let Some(value) = value {
        taken().insert(name.to_owned(), Zeroizing::new(value.into_vec()));
    }
}

impl Backend for InEnvironment {
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        if let Some(value) = taken().get(&self.0) {
            return Ok(value.clone());
        }
        let value = env::var_os(&self.0);
        let absent = || SourceError::NoVariable { variable: self.0.clone() };
        value.map(|value| Zeroizing::new(value.into_vec())).ok_or_else(absent)
    }

    fn look(&self) -> Result<(), SourceError> {
        self.read().map(drop)
    }
}

struct InCredentials(String);

impl InCredentials {
    fn file(&self) -> Result<InFile, SourceError> {
        let directory = env::var_os(CREDENTIALS_DIRECTORY).filter(|path| !path.is_empty());
        let directory =
            directory.ok_or_else(|| SourceError::NoCredentials { name: self.0.clone() })?;
        Ok(InFile(PathBuf::from(directory).join(&self.0)))
    }
}

impl Backend for InCredentials {
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        self.file()?.read()
    }

    fn look(&self) -> Result<(), SourceError> {
        self.file()?.look()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named_and_nothing_endless_is_read() {
        let told = |source: &SecretSource| look(source).unwrap_err().to_string();
        let absent = told(&SecretSource::File("/no/such/secret".into()));
        assert!(absent.starts_with("could not read `/no/such/secret`"), "{absent}");
        let endless = told(&SecretSource::File("/dev/zero".into()));
        assert_eq!(endless, "`/dev/zero` is no file");
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(told(&SecretSource::File(pipe)).ends_with("is no file"), "nobody writes to it");
        let variable = told(&SecretSource::Environment("BLACKHOLE_NO_SUCH".into()));
        assert!(variable.contains("no variable `BLACKHOLE_NO_SUCH`"), "{variable}");
    }

    #[test]
    fn a_file_is_read_whole_and_one_that_is_too_large_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        let source = SecretSource::File(path.clone());
        assert_eq!(**backend(&source).read().unwrap(), *b"hush\n");
        std::fs::write(&path, vec![0; 2 << 20]).unwrap();
        assert!(look(&source).unwrap_err().to_string().contains("larger than 1 MiB"));
    }
}
