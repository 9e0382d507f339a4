//! What the kernel tells of a group by itself, so that nobody need look.
//!
//! | what               | v2                             | v1                                       |
//! |--------------------|--------------------------------|------------------------------------------|
//! | memory             | `memory.events` changes: `high` or `max` was hit | a threshold of its use was crossed |
//! | processor quota    | a trigger on `cpu.pressure`    | the same, in the v2 half of a hybrid host |

use std::{
    fs::OpenOptions,
    io::Write,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{EventfdFlags, epoll::EventFlags, eventfd},
    fs::inotify,
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
}

impl Notice {
    /// Forgets what has happened so far.
    pub fn acknowledge(&self) {
        // Never blocks; a pressure trigger has nothing to read and forgets by itself.
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
            let path = directory.join("memory.usage_in_bytes");
            let read = |source| GroupError::Read { path: path.clone(), source };
            let used = std::fs::File::open(&path).map_err(read)?;
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
            let event = event.map_err(|error| read(error.into()))?;
            let threshold = limit / 100 * percent;
            let text = format!("{} {} {threshold}", event.as_raw_fd(), used.as_raw_fd());
            super::file::write(directory.join("cgroup.event_control"), &text)?;
            return Ok(Some(Notice { descriptor: event, flags: EventFlags::IN }));
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
        Ok(Some(Notice { descriptor, flags: EventFlags::IN }))
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
        Some(Notice { descriptor: file.into(), flags: EventFlags::PRI })
    }
}
