//! What the kernel tells of a group by itself, so that nobody need look.
//!
//! | what               | v2                             | v1                                       |
//! |--------------------|--------------------------------|------------------------------------------|
//! | memory             | `memory.events` changes: `high` or `max` was hit, which is not all | a threshold of its use was crossed |
//! | want of memory     | `memory.events` changes        | an event of `memory.oom_control`, before the kill |
//! | tasks refused      | `pids.events` changes          | the same, up to Linux 6.10               |
//! | processor quota    | a trigger on `cpu.pressure`    | the same, in the v2 half of a hybrid host |

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    event::{EventfdFlags, epoll::EventFlags, eventfd},
    fs::{SeekFrom, inotify, seek},
};

use super::{Controller, Group, GroupError};

/// Waiting for the processor: this much of each window is worth a look. Without privileges the
/// kernel takes windows of two seconds only.
const CPU_TRIGGER: &[u8] = b"some 200000 2000000\0";

/// A descriptor that becomes ready when something has happened.
#[derive(Debug)]
pub struct Notice {
    descriptor: OwnedFd,
    /// What to wait for.
    pub flags: EventFlags,
    /// How much of what it is about the kernel tells.
    pub tells: Tells,
}

/// How much the kernel tells by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// As long as it is silent, nothing has happened.
    Everything,
    /// Something may happen without a word.
    Something,
}

impl Notice {
    /// Forgets what has happened so far.
    pub fn acknowledge(&self) {
        // Never blocks. A pressure trigger forgets by itself; a file of the kernel's forgets when it is read from
        // its beginning, which nothing else has.
        let _no_file = seek(&self.descriptor, SeekFrom::Start(0));
        let _nothing_left = rustix::io::read(&self.descriptor, &mut [0_u8; 1024]);
    }
}

impl AsFd for Notice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Group {
    /// Tells when memory may be near its limit; `percent` of it is what v1 watches. `None` without a
    /// limit.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn memory_notice(&self, percent: u64) -> Result<Option<Notice>, GroupError> {
        let Some(limit) = self.memory_max()? else { return Ok(None) };
        if let Some(directory) = self.legacy.get(&Controller::Memory) {
            let threshold = (limit / 100 * percent).to_string();
            return legacy_notice(directory, "memory.usage_in_bytes", &threshold).map(Some);
        }
        let Some(directory) = self.unified_for(Controller::Memory) else { return Ok(None) };
        let path = directory.join("memory.events");
        let read = |error: rustix::io::Errno| GroupError::Read {
            path: path.clone(),
            source: error.into(),
        };
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let descriptor = inotify::init(flags).map_err(read)?;
        inotify::add_watch(&descriptor, path.as_path(), inotify::WatchFlags::MODIFY)
            .map_err(read)?;
        Ok(Some(Notice { descriptor, flags: EventFlags::IN, tells: Tells::Something }))
    }

    /// Tells when a process may have been killed for want of memory, or will be in a moment. `None` where no memory
    /// controller counts.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn oom_notice(&self) -> Result<Option<Notice>, GroupError> {
        if let Some(directory) = self.legacy.get(&Controller::Memory) {
            return legacy_notice(directory, "memory.oom_control", "").map(Some);
        }
        let directory = self.unified_for(Controller::Memory);
        directory.map(|directory| file_notice(&directory.join("memory.events"))).transpose()
    }

    /// Tells when its limit of tasks has refused it one. `None` without such a limit.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn tasks_notice(&self) -> Result<Option<Notice>, GroupError> {
        let directory = self.tasks_max.and_then(|_| self.directory_for(Controller::Tasks));
        let notice = directory.map(|directory| file_notice(&directory.join("pids.events")));
        let tells = match self.legacy.contains_key(&Controller::Tasks) {
            true => Tells::Something,
            false => Tells::Everything,
        };
        Ok(notice.transpose()?.map(|notice| Notice { tells, ..notice }))
    }

    /// Whether a quota may hold it back.
    pub fn has_cpu_quota(&self) -> bool {
        let read = |path: std::path::PathBuf| super::file::read_if_there(&path).ok().flatten();
        if let Some(directory) = self.legacy.get(&Controller::Cpu) {
            let quota = read(directory.join("cpu.cfs_quota_us"));
            return quota.is_some_and(|text| text.trim().parse::<i64>().is_ok_and(|it| it > 0));
        }
        let quota = self.unified_for(Controller::Cpu).and_then(|it| read(it.join("cpu.max")));
        quota.is_some_and(|text| !text.starts_with("max"))
    }

    /// Tells when its processes wait for the processor, as they do when a quota holds them back;
    /// `None` where the kernel does not tell.
    pub fn cpu_notice(&self) -> Option<Notice> {
        let path = self.unified_directory()?.join("cpu.pressure");
        let mut file = OpenOptions::new().read(true).write(true).open(path).ok()?;
        file.write_all(CPU_TRIGGER).ok()?;
        Some(Notice { descriptor: file.into(), flags: EventFlags::PRI, tells: Tells::Everything })
    }
}

/// v1: an event of one of its files.
fn legacy_notice(directory: &Path, file: &str, argument: &str) -> Result<Notice, GroupError> {
    let path = directory.join(file);
    let read = |source| GroupError::Read { path: path.clone(), source };
    let watched = File::open(&path).map_err(read)?;
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let event = event.map_err(|error| read(error.into()))?;
    let text = format!("{} {} {argument}", event.as_raw_fd(), watched.as_raw_fd());
    super::file::write(directory.join("cgroup.event_control"), &text)?;
    Ok(Notice { descriptor: event, flags: EventFlags::IN, tells: Tells::Everything })
}

/// A file that can be polled: it is ready when it has changed since it was read.
fn file_notice(path: &Path) -> Result<Notice, GroupError> {
    let read = |source| GroupError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let notice =
        Notice { descriptor: file.into(), flags: EventFlags::PRI, tells: Tells::Everything };
    notice.acknowledge();
    Ok(notice)
}
