//! What a process does to itself before it starts others: orphans fall to it, its descriptor table is large.

use std::io;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getpid, getrlimit, set_child_subreaper, setrlimit};

/// A node with 500 children holds about 2000 descriptors.
const TABLE_START: u64 = 4096;

static BEFORE: OnceLock<libc::rlimit> = OnceLock::new();

/// Makes this process a child subreaper, lets it open as many files as it is ever allowed to, and makes its
/// descriptor table large at once. To be called before the first thread starts: with threads, the kernel
/// waits out a grace period of several milliseconds at every growth. Children get the limit from before.
/// [`crate::guardian::init`] does it for the node.
pub fn prepare() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    let before = getrlimit(Resource::Nofile);
    let raw = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
    let first = libc::rlimit { rlim_cur: raw(before.current), rlim_max: raw(before.maximum) };
    if BEFORE.set(first).is_err() {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before })?;
    // Before anything else is opened, so that the slots are the lowest descriptors.
    let mut children = crate::children::lock();
    children.slots()?;
    children.keep_spares();
    drop(children);
    let last = before.maximum.unwrap_or(TABLE_START).min(TABLE_START).saturating_sub(1);
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let grown = fcntl_dupfd_cloexec(&null, i32::try_from(last).unwrap_or(i32::MAX))?;
    drop(grown);
    Ok(())
}

/// The limit on open files that [`prepare`] raised, if it did.
pub(crate) fn files_max_before() -> Option<libc::rlimit> {
    BEFORE.get().copied()
}
