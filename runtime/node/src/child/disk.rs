//! How much a service keeps on disk, looked at while it runs and only where the file limits it.
//!
//! The directory is measured, on a thread of its own for blocking calls: at the start, then every second,
//! less often where that takes long. A service may therefore exceed its limit by what it writes in a
//! second. Where the file system has project quotas, the kernel refuses that as well, and has counted
//! what could not be measured. It does not replace measuring: no quota holds a service that runs with
//! CAP_SYS_RESOURCE, as root does, and whoever owns a file may take it out of its project.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use blackhole_isolation::{ProjectQuota, ProjectQuotaError};
use blackhole_policy::instance::Reason;
use ractor::ActorRef;
use tokio::task::AbortHandle;

use super::Message;

/// From this share of its limit on a service is warned of, in hundredths.
const NEAR: u64 = 80;
/// From the end of one look to the start of the next, at least.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// And at most, however long a look takes.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The pause is so many times as long as the look.
const PAUSE_FACTOR: u32 = 20;
/// A directory with more files is not measured to its end.
const ENTRIES_MAX: usize = 1_000_000;
/// Nor is one in which the paths of directories still to be looked at are longer together, in bytes.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// What is to be watched.
#[derive(Debug)]
pub(super) struct DiskWatch {
    directory: PathBuf,
    /// Bytes.
    limit: u64,
    /// Where the kernel counts as well.
    quota: Option<Arc<ProjectQuota>>,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Bytes that its files occupy.
    Whole(u64),
    /// So many bytes in what could be looked at: there are too many files, or some are kept from the node.
    Part(u64),
}

impl DiskWatch {
    /// For a directory that is there, before anything is started that writes to it.
    pub(super) fn new(directory: PathBuf, limit: u64) -> Self {
        let quota = match ProjectQuota::limit(&directory, limit) {
            Ok(quota) => Some(Arc::new(quota)),
            // Which is usual, and told by `bh check --explain`.
            Err(ProjectQuotaError::NotOffered { .. } | ProjectQuotaError::NotPermitted { .. }) => {
                None
            }
            Err(error) => {
                tracing::warn!(%error, "no quota holds a directory, which is measured only");
                None
            }
        };
        Self { directory, limit, quota }
    }

    /// Watches until the task is aborted or the limit was exceeded.
    pub(super) fn begin(self, actor: ActorRef<Message>) -> AbortHandle {
        tokio::spawn(self.watch(actor)).abort_handle()
    }

    async fn watch(self, actor: ActorRef<Message>) {
        let mut warned = false;
        loop {
            let (directory, quota) = (self.directory.clone(), self.quota.clone());
            let looking = move || look(&directory, quota.as_deref());
            let start = Instant::now();
            let looked = tokio::task::spawn_blocking(looking).await;
            let pause = (start.elapsed() * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX);
            let message = match looked {
                Ok(Ok(found)) => self.judge(found, &mut warned),
                Ok(Err(error)) => {
                    tracing::warn!(directory = %self.directory.display(), %error, "could not measure");
                    None
                }
                Err(_) => return,
            };
            let exceeded = matches!(message, Some(Message::Exceeded { .. }));
            // An actor that is gone is past caring.
            let told = message.map_or(Ok(()), |message| actor.cast(message));
            if exceeded || told.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Warns once for each time that the share is reached.
    fn judge(&self, found: Found, warned: &mut bool) -> Option<Message> {
        let bytes = match found {
            Found::Whole(bytes) | Found::Part(bytes) => bytes,
        };
        let used = format!(
            "`{}` holds {} of {}",
            self.directory.display(),
            shown(bytes),
            shown(self.limit)
        );
        if bytes > self.limit {
            return Some(Message::Exceeded { reason: Reason::Disk, detail: used });
        }
        let text = match found {
            Found::Part(_) => {
                format!("{used} in what could be measured, and a part could not")
            }
            Found::Whole(_) if bytes >= self.limit / 100 * NEAR => used,
            Found::Whole(_) => {
                *warned = false;
                return None;
            }
        };
        (!std::mem::replace(warned, true)).then_some(Message::NearDiskLimit(text))
    }
}

/// What could be measured, or what the kernel has counted where that was not all and is more: files that
/// their owner has taken out of the project are not counted there.
fn look(directory: &Path, quota: Option<&ProjectQuota>) -> io::Result<Found> {
    match (measure(directory)?, quota) {
        (Found::Part(bytes), Some(quota)) => Ok(Found::Part(quota.used()?.max(bytes))),
        (found, _) => Ok(found),
    }
}

/// What the files below a directory occupy; one that has several names is counted once, one that
/// vanishes meanwhile not at all. Other file systems mounted below are not looked at.
fn measure(directory: &Path) -> io::Result<Found> {
    const BLOCK: u64 = 512;
    let device = fs::metadata(directory)?.dev();
    let mut left = vec![directory.to_owned()];
    let mut linked = HashSet::new();
    let (mut bytes, mut entries, mut pending, mut unseen) = (0, 0, 0, false);
    while let Some(directory) = left.pop() {
        pending -= directory.as_os_str().len().min(pending);
        let Some(found) = present(fs::read_dir(&directory), &mut unseen) else { continue };
        for entry in found {
            entries += 1;
            if entries > ENTRIES_MAX || pending > PENDING_BYTES_MAX {
                return Ok(Found::Part(bytes));
            }
            let metadata = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
            let Some((metadata, entry)) = present(metadata, &mut unseen) else { continue };
            if metadata.dev() != device
                || metadata.nlink() > 1 && !metadata.is_dir() && !linked.insert(metadata.ino())
            {
                continue;
            }
            bytes += metadata.blocks() * BLOCK;
            if metadata.is_dir() {
                let path = entry.path();
                pending += path.as_os_str().len();
                left.push(path);
            }
        }
    }
    Ok(if unseen { Found::Part(bytes) } else { Found::Whole(bytes) })
}

/// What has vanished meanwhile holds nothing; what cannot be looked at may hold anything.
fn present<T>(looked: io::Result<T>, unseen: &mut bool) -> Option<T> {
    looked.inspect_err(|error| *unseen |= error.kind() != io::ErrorKind::NotFound).ok()
}

/// As the file would say it.
fn shown(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags};

    use super::*;

    #[test]
    fn what_a_directory_occupies_is_measured_with_every_file_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let empty = match measure(path).unwrap() {
            Found::Whole(bytes) | Found::Part(bytes) => bytes,
        };
        fs::create_dir(path.join("below")).unwrap();
        fs::write(path.join("below/file"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(path.join("below/file"), path.join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", path.join("elsewhere")).unwrap();
        let Found::Whole(bytes) = measure(path).unwrap() else { panic!("three files are few") };
        assert!((1 << 20..(1 << 20) + (64 << 10)).contains(&(bytes - empty)), "{bytes}");
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut deep = PathBuf::from(directory.path());
        // One level at a time: the whole path is longer than the kernel takes.
        let name = "d".repeat(200);
        let mut folder = rustix::fs::open(&deep, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..25 {
            rustix::fs::mkdirat(&folder, &name, Mode::RWXU).unwrap();
            folder = rustix::fs::openat(&folder, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
            deep.push(&name);
        }
        assert!(fs::metadata(&deep).is_err(), "the path is too short to show anything");
        assert!(matches!(measure(directory.path()), Ok(Found::Part(_))));
    }

    #[test]
    fn a_share_is_warned_of_once_until_it_was_left() {
        let watch = DiskWatch { directory: "/data".into(), limit: 1000, quota: None };
        let mut warned = false;
        let mut judge = |bytes| match watch.judge(Found::Whole(bytes), &mut warned) {
            None => "nothing".to_owned(),
            Some(Message::NearDiskLimit(text)) => text,
            Some(Message::Exceeded { detail, .. }) => format!("exceeded: {detail}"),
            Some(other) => panic!("{other:?}"),
        };
        assert_eq!(judge(700), "nothing");
        assert_eq!(judge(800), "`/data` holds 800 B of 1000 B");
        assert_eq!(judge(900), "nothing");
        assert_eq!(judge(100), "nothing");
        assert_eq!(judge(900), "`/data` holds 900 B of 1000 B");
        assert_eq!(judge(1001), "exceeded: `/data` holds 1001 B of 1000 B");
    }
}
