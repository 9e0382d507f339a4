//! Which processes are in a directory of a hierarchy, and how they are made to end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use super::{GroupError, file};

/// The directory and all below it, the deepest first.
pub(super) fn tree(top: &Path) -> Result<Vec<PathBuf>, GroupError> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(GroupError::Read { path: directory, source }),
        };
        found.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found.reverse();
    Ok(found)
}

/// Of the directory and all below it.
pub(super) fn processes(top: &Path) -> Result<Vec<Pid>, GroupError> {
    let mut pids = Vec::new();
    for directory in tree(top)? {
        let path = directory.join("cgroup.procs");
        let text = file::read_if_there(&path)?.unwrap_or_default();
        // A process of another pid namespace is shown as 0.
        let raw = text.lines().filter_map(|line| line.parse().ok());
        pids.extend(raw.filter_map(Pid::from_raw));
    }
    Ok(pids)
}

/// One signal to each. A process that has ended meanwhile is no error; one that may not be killed
/// is found by whoever waits for the end.
pub(super) fn kill_each(pids: &[Pid]) {
    for pid in pids {
        let _gone_or_refused = kill_process(*pid, Signal::KILL);
    }
}

/// Until all have ended or the time is up.
pub(super) fn wait_for_end(pids: &[Pid], deadline: Instant) {
    for pid in pids {
        let Ok(handle) = pidfd_open(*pid, PidfdFlags::empty()) else { continue };
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut waited = [PollFd::new(&handle, PollFlags::IN)];
        if poll(&mut waited, Some(&timeout)).is_err() || left == Duration::ZERO {
            return;
        }
    }
}

/// The directory and all below it; none of them has processes.
pub(super) fn remove(top: &Path) -> Result<(), GroupError> {
    for directory in tree(top)? {
        match fs::remove_dir(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(GroupError::Remove { path: directory, source }),
        }
    }
    Ok(())
}
