//! What a crash of the guardian or the node leaves behind: nothing. A core dump of the node would hold the
//! secrets of all services, and one after each restart would fill a disk. Its children are as free to leave
//! one as whoever started the guardian.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Shorter than any dump; and unlike 0, the kernel respects it even where a program collects them.
const REFUSED: u64 = 1;

static BEFORE: OnceLock<libc::rlimit> = OnceLock::new();

/// For this process and copies of it; the hard limit stays, so that children get back what was before.
pub(crate) fn refuse() -> io::Result<()> {
    let before = getrlimit(Resource::Core);
    let raw = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
    let first = libc::rlimit { rlim_cur: raw(before.current), rlim_max: raw(before.maximum) };
    if first.rlim_max < REFUSED || BEFORE.set(first).is_err() {
        return Ok(());
    }
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(REFUSED), ..before })?)
}

/// For a program that is started again by this one. Async-signal-safe.
pub(crate) fn permit_again() -> io::Result<()> {
    let Some(before) = before() else { return Ok(()) };
    let known = |limit: u64| (limit != libc::RLIM_INFINITY).then_some(limit);
    let limit = Rlimit { current: known(before.rlim_cur), maximum: known(before.rlim_max) };
    Ok(setrlimit(Resource::Core, limit)?)
}

/// The limit that [`refuse`] lowered, if it did.
pub(crate) fn before() -> Option<libc::rlimit> {
    BEFORE.get().copied()
}
