//! The log files: `<log_dir>/<service>-<n>.log`, one JSON object per line.
//!
//! Used by the writer's thread only. A file that has become too large or too old is renamed to
//! `<service>-<n>.<time>.log` and a new one begun; renamed files are removed by number and age. All
//! of this happens when something is written: there are no timers, and a silent instance keeps its
//! files. Nothing is buffered here, so a crash of the node loses at most the end of a line.
//!
//! A file is looked up by its path before each write. Removed or moved files and directories are
//! therefore noticed at once and made anew.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use blackhole_config::Logs as Limits;
use blackhole_protocol::InstanceId;

use super::{
    json,
    listing::{self, FileId},
};

/// Files kept open; the one that was not used for longest is closed for another.
const FILES_OPEN_MAX: usize = 64;

const DIRECTORY_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// Enough of a file to find the time of its first record.
const HEAD_BYTES: usize = 64;

/// What was tried when a file operation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("could not create the log directory `{}`", .0.display())]
    CreateDirectory(PathBuf, #[source] io::Error),
    #[error("could not open the log file `{}`", .0.display())]
    Open(PathBuf, #[source] io::Error),
    #[error("could not rename the full log file `{}`", .0.display())]
    Rotate(PathBuf, #[source] io::Error),
    #[error("could not write to the log file `{}`", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl FileError {
    pub(crate) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::CreateDirectory(_, error)
            | Self::Open(_, error)
            | Self::Rotate(_, error)
            | Self::Write(_, error) => error.kind(),
        }
    }
}

pub(crate) struct Files {
    directory: PathBuf,
    limits: Limits,
    open: HashMap<InstanceId, LogFile>,
    uses: u64,
}

struct LogFile {
    file: File,
    path: PathBuf,
    id: FileId,
    began: SystemTime,
    last_use: u64,
}

impl Files {
    pub(crate) fn new(directory: PathBuf, limits: Limits) -> Self {
        Self { directory, limits, open: HashMap::new(), uses: 0 }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Appends whole lines. When this fails, none of them is in the file.
    pub(crate) fn append(
        &mut self,
        instance: &InstanceId,
        lines: &[u8],
        now: SystemTime,
    ) -> Result<(), FileError> {
        let mut log = self.take(instance, now)?;
        let mut size = current_size(&log.path, log.id).unwrap_or(0);
        if size > 0 && self.is_full(size + lines.len() as u64, log.began, now) {
            self.rotate(instance, &log, now)?;
            log = self.open_file(instance, now)?;
            size = 0;
        }
        if let Err(error) = log.file.write_all(lines) {
            // Half a line would spoil the next one. Where this fails as well, opening the file
            // again ends the torn line.
            let _cut_back = log.file.set_len(size);
            return Err(FileError::Write(log.path, error));
        }
        self.keep(instance, log);
        Ok(())
    }

    fn is_full(&self, size: u64, began: SystemTime, now: SystemTime) -> bool {
        let age = now.duration_since(began).unwrap_or_default();
        size > self.limits.file_size_max || age > self.limits.file_age_max
    }

    /// The instance's file, if it is still the one at its path; else a newly opened one.
    fn take(&mut self, instance: &InstanceId, now: SystemTime) -> Result<LogFile, FileError> {
        match self.open.remove(instance) {
            Some(log) if current_size(&log.path, log.id).is_some() => Ok(log),
            _ => self.open_file(instance, now),
        }
    }

    fn keep(&mut self, instance: &InstanceId, mut log: LogFile) {
        if self.open.len() >= FILES_OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, log)| log.last_use);
            if let Some(oldest) = oldest.map(|(instance, _)| instance.clone()) {
                self.open.remove(&oldest);
            }
        }
        self.uses += 1;
        log.last_use = self.uses;
        self.open.insert(instance.clone(), log);
    }

    fn open_file(&self, instance: &InstanceId, now: SystemTime) -> Result<LogFile, FileError> {
        let path = self.directory.join(listing::current_name(instance));
        let open =
            || OpenOptions::new().read(true).append(true).create(true).mode(FILE_MODE).open(&path);
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_directory(&self.directory)?;
                open()
            }
            other => other,
        };
        opened
            .and_then(|file| prepare(file, path.clone(), now))
            .map_err(|error| FileError::Open(path, error))
    }

    fn rotate(
        &self,
        instance: &InstanceId,
        log: &LogFile,
        now: SystemTime,
    ) -> Result<(), FileError> {
        let failed = |error| FileError::Rotate(log.path.clone(), error);
        let mut rotated = listing::rotated(&self.directory, instance).map_err(failed)?;
        // Names must sort like the files' contents, also when the clock was set back.
        let newest = rotated.last().map(|(at, _)| *at + listing::NAME_RESOLUTION);
        let at = newest.map_or(now, |newest| newest.max(now));
        let name = self.directory.join(listing::rotated_name(instance, at));
        fs::rename(&log.path, &name).map_err(failed)?;
        rotated.push((at, name));
        self.prune(rotated, now);
        Ok(())
    }

    /// Removes files that are too many or too old, for every instance that has any.
    pub(crate) fn prune_all(&self, now: SystemTime) -> io::Result<()> {
        for rotated in listing::all_rotated(&self.directory)? {
            self.prune(rotated, now);
        }
        Ok(())
    }

    fn prune(&self, rotated: Vec<(SystemTime, PathBuf)>, now: SystemTime) {
        let files_max = usize::try_from(self.limits.files_max).unwrap_or(usize::MAX);
        let surplus = rotated.len().saturating_sub(files_max);
        let is_old = |at| now.duration_since(at).is_ok_and(|age| age > self.limits.retention);
        for (position, (at, path)) in rotated.into_iter().enumerate() {
            if position >= surplus && !is_old(at) {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "could not remove an old log file");
                }
                _ => {}
            }
        }
    }
}

/// Creates the log directory and its parents, for the owner and the group.
pub(crate) fn create_directory(directory: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|error| FileError::CreateDirectory(directory.to_owned(), error))
}

/// The size of the file at this path if it is the expected one.
fn current_size(path: &Path, id: FileId) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    (FileId::of(&metadata) == id).then(|| metadata.size())
}

/// Ends a line that a crash cut off, and finds out when the file was begun.
fn prepare(mut file: File, path: PathBuf, now: SystemTime) -> io::Result<LogFile> {
    let metadata = file.metadata()?;
    let mut began = now;
    if metadata.is_file() && metadata.len() > 0 {
        let mut head = [0; HEAD_BYTES];
        let length = file.read(&mut head)?;
        began = json::peek_time(&head[..length]).unwrap_or_else(|| last_change(&metadata, now));
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(LogFile { file, path, id: FileId::of(&metadata), began, last_use: 0 })
}

fn last_change(metadata: &Metadata, now: SystemTime) -> SystemTime {
    metadata.modified().unwrap_or(now)
}
