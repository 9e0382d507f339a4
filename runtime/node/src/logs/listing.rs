//! Which log files there are, by their names.
//!
//! `web-1.log` is being written; `web-1.2026-01-02T03-04-05.678901Z.log` was closed at that time.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use blackhole_protocol::InstanceId;

use super::record::{parse_timestamp, timestamp};

/// Two files of an instance are closed at least so long after each other, by their names.
pub(crate) const NAME_RESOLUTION: Duration = Duration::from_micros(1);

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A log file at one moment.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    pub(crate) length: u64,
    pub(crate) modified: SystemTime,
}

pub(crate) fn current_name(instance: &InstanceId) -> String {
    format!("{instance}.log")
}

pub(crate) fn rotated_name(instance: &InstanceId, at: SystemTime) -> String {
    format!("{instance}.{}.log", timestamp(at).replace(':', "-"))
}

/// The instance and, unless it is the file being written, when it was closed.
fn parse_name(name: &str) -> Option<(InstanceId, Option<SystemTime>)> {
    let stem = name.strip_suffix(".log")?;
    let (instance, closed) = match stem.split_once('.') {
        None => (stem, None),
        Some((instance, at)) => {
            let (date, time) = at.split_once('T')?;
            let closed = parse_timestamp(&format!("{date}T{}", time.replace('-', ":")))?;
            (instance, Some(closed))
        }
    };
    let (service, index) = instance.rsplit_once('-')?;
    let instance = InstanceId { service: service.parse().ok()?, index: index.parse().ok()? };
    Some((instance, closed))
}

/// An instance's closed files, the oldest first.
pub(crate) fn rotated(
    directory: &Path,
    instance: &InstanceId,
) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let mut all = rotated_where(directory, |found| found == instance)?;
    Ok(all.remove(instance).unwrap_or_default())
}

/// Every instance's closed files, the oldest first.
pub(crate) fn all_rotated(
    directory: &Path,
) -> io::Result<impl Iterator<Item = Vec<(SystemTime, PathBuf)>>> {
    Ok(rotated_where(directory, |_| true)?.into_values())
}

fn rotated_where(
    directory: &Path,
    wanted: impl Fn(&InstanceId) -> bool,
) -> io::Result<BTreeMap<InstanceId, Vec<(SystemTime, PathBuf)>>> {
    let mut rotated: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (instance, closed, path) in entries(directory)? {
        if let Some(closed) = closed.filter(|_| wanted(&instance)) {
            rotated.entry(instance).or_default().push((closed, path));
        }
    }
    rotated.values_mut().for_each(|files| files.sort());
    Ok(rotated)
}

/// All files of the wanted instances, the oldest first; the one being written is the last.
pub(crate) fn list(
    directory: &Path,
    wanted: impl Fn(&InstanceId) -> bool,
) -> io::Result<BTreeMap<InstanceId, Vec<LogFile>>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (instance, closed, path) in entries(directory)? {
        if wanted(&instance) {
            // `None` must sort last.
            found.entry(instance).or_default().push((closed.is_none(), closed, path));
        }
    }
    let sorted = found.into_iter().map(|(instance, mut files)| {
        files.sort();
        (instance, files.into_iter().filter_map(|(.., path)| describe(path)).collect())
    });
    Ok(sorted.collect())
}

/// `None` when it has gone meanwhile.
fn describe(path: PathBuf) -> Option<LogFile> {
    let metadata = fs::metadata(&path).ok().filter(Metadata::is_file)?;
    let modified = metadata.modified().ok()?;
    Some(LogFile { path, id: FileId::of(&metadata), length: metadata.len(), modified })
}

/// Every file with one of our names. A directory that is not there has none.
fn entries(directory: &Path) -> io::Result<Vec<(InstanceId, Option<SystemTime>, PathBuf)>> {
    let found = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut entries = Vec::new();
    for entry in found {
        let entry = entry?;
        if let Some((instance, closed)) = entry.file_name().to_str().and_then(parse_name) {
            entries.push((instance, closed, entry.path()));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::logs::captured::testing::instance;

    #[test]
    fn names_say_the_instance_and_the_time() {
        let web = instance("web-2");
        let at = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042);
        assert_eq!(current_name(&web), "web-2-1.log");
        assert_eq!(rotated_name(&web, at), "web-2-1.2023-11-14T22-13-20.000042Z.log");
        assert_eq!(parse_name(&current_name(&web)), Some((web.clone(), None)));
        assert_eq!(parse_name(&rotated_name(&web, at)), Some((web, Some(at))));
        for foreign in ["web.log", "web-0.log", "web-1.log.gz", "web-1.x.log", ".log", "syslog"] {
            assert_eq!(parse_name(foreign), None, "{foreign}");
        }
    }
}
