//! Whether anything was mounted or unmounted where this process looks paths up.

use std::{
    fs::File,
    io,
    sync::{Mutex, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// How often mounts were seen to have changed. Nothing where that cannot be asked.
pub(super) fn changes() -> Option<u64> {
    static TABLE: Mutex<Option<Table>> = Mutex::new(None);
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if table.is_none() {
        *table = Some(Table::open("/proc/self/mountinfo").ok()?);
    }
    table.as_mut()?.changes().ok()
}

/// A table of mounts, of which the kernel tells each reader once that it has changed.
struct Table {
    file: File,
    changes: u64,
}

impl Table {
    fn open(path: &str) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, changes: 0 })
    }

    fn changes(&mut self) -> Result<u64, Errno> {
        let mut asked = [PollFd::new(&self.file, PollFlags::PRI)];
        poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        let has_changed = asked[0].revents().contains(PollFlags::PRI);
        self.changes += u64::from(has_changed);
        Ok(self.changes)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// In a name space of a process that is there for this alone.
    #[test]
    fn a_mount_is_heard_of_once() {
        let script = "mount --make-rprivate / && echo && read a && mount -t tmpfs none /mnt && echo && read a";
        let mut child = Command::new("unshare");
        child.args(["--mount", "sh", "-c", script]);
        child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        let (mut said, mut told) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let mut hear = || io::Read::read_exact(&mut said, &mut [0; 1]);
        if hear().is_err() {
            child.wait().unwrap();
            eprintln!("SKIPPED: this user may not make a name space of mounts");
            return;
        }
        let mut table = Table::open(&format!("/proc/{}/mountinfo", child.id())).unwrap();
        assert_eq!(table.changes(), Ok(0));
        io::Write::write_all(&mut told, b"\n").unwrap();
        hear().unwrap();
        assert_eq!((table.changes(), table.changes()), (Ok(1), Ok(1)));
        drop(told);
        child.wait().unwrap();
    }
}
