//! What processes use now, from `/proc`; for hosts or instances without a cgroup.
//!
//! Nothing is kept between calls; who wants a rate keeps the last value. One process alone takes
//! two small reads; one with its descendants needs a [`ProcessTable`].

mod connections;
mod scheduling;
mod tree;

pub use scheduling::{ProcessScheduling, scheduling_of};
pub use tree::{ProcessTable, TreeUsage};

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::param::{clock_ticks_per_second, page_size};

use self::tree::Stat;

/// What one process uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessUsage {
    /// Resident memory.
    pub memory_bytes: u64,
    /// CPU time since its start, in user and kernel mode.
    pub cpu: Duration,
    /// Open descriptors; `None` when the node may not look (another user's process).
    pub descriptors: Option<u64>,
    /// Threads, the main one included.
    pub threads: u64,
    /// Between boot and its start; with the pid this names a process for good.
    pub started: Duration,
}

/// A process that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// It has ended.
    #[error("there is no process {pid}")]
    Gone {
        /// Which.
        pid: u32,
    },
    /// The kernel refused, or has no such file.
    #[error("could not read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The kernel wrote something else than its manual says.
    #[error("`{}` has an unknown form: `{text}`", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// What it said.
        text: String,
    },
}

/// What one process uses now.
///
/// # Errors
/// [`UsageError::Gone`] when there is no such process; a zombie still is one and uses no memory.
pub fn usage_of(pid: u32) -> Result<ProcessUsage, UsageError> {
    usage_in(Path::new("/proc"), pid)
}

/// As [`usage_of`], with `proc_root` in the place of `/proc`.
///
/// # Errors
/// As there.
pub fn usage_in(proc_root: &Path, pid: u32) -> Result<ProcessUsage, UsageError> {
    let process = proc_root.join(pid.to_string());
    let stat = read(pid, process.join("stat"), parse_stat)?;
    Ok(ProcessUsage {
        memory_bytes: stat.resident_pages * page_size() as u64,
        cpu: ticks(stat.cpu_ticks),
        descriptors: descriptors(&process.join("fd")),
        threads: stat.threads,
        started: ticks(stat.start_ticks),
    })
}

fn read<T>(
    pid: u32,
    path: PathBuf,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, UsageError> {
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).ok_or(UsageError::Form { path, text }),
        Err(error) if is_gone(&error) => Err(UsageError::Gone { pid }),
        Err(source) => Err(UsageError::Read { path, source }),
    }
}

/// `ESRCH` comes when the process ends between opening and reading.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// `man 5 proc_pid_stat`. The name, field 2, may hold anything: fields are counted from its end.
fn parse_stat(text: &str) -> Option<Stat> {
    const AFTER_NAME: usize = 3;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - AFTER_NAME)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        session: u32::try_from(field(6)?).ok()?,
        cpu_ticks: field(14)? + field(15)?,
        ended_ticks: field(16)? + field(17)?,
        threads: field(20)?,
        start_ticks: field(22)?,
        resident_pages: field(24)?,
    })
}

/// Since Linux 6.2 the directory's size is the number of entries; before, it was 0.
fn descriptors(directory: &Path) -> Option<u64> {
    match fs::metadata(directory).ok()?.len() {
        0 => Some(fs::read_dir(directory).ok()?.count() as u64),
        number => Some(number),
    }
}

fn ticks(number: u64) -> Duration {
    Duration::from_secs_f64(number as f64 / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, process};

    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let text = "7 (a ) (b) 3) S 1 2 3 4 5 6 7 8 9 10 50 25 30 5 20 0 12 0 900 1 2";
        let stat = Stat {
            parent: 1,
            session: 3,
            cpu_ticks: 75,
            ended_ticks: 35,
            threads: 12,
            start_ticks: 900,
            resident_pages: 2,
        };
        assert_eq!(parse_stat(text), Some(stat));
        assert_eq!(parse_stat("7 (cut off) S 1"), None);
    }

    #[test]
    fn our_own_use_is_seen_growing() {
        let before = usage_of(process::id()).unwrap();
        let block = vec![1_u8; 64 << 20];
        let files: Vec<File> = (0..50).map(|_| File::open("/dev/null").unwrap()).collect();
        let after = usage_of(process::id()).unwrap();
        assert!(after.memory_bytes >= before.memory_bytes + (60 << 20), "{before:?} {after:?}");
        assert!(after.descriptors.unwrap() >= 50, "{after:?}");
        assert_eq!(after.started, before.started);
        drop((block, files));
    }

    #[test]
    fn a_process_that_is_gone_is_said_to_be() {
        let mut child = process::Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        assert!(matches!(usage_of(child.id()), Err(UsageError::Gone { .. })));
    }
}
