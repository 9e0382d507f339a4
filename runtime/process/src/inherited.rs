//! Descriptors that this process was given at its start and knows by number.
#![expect(unsafe_code, reason = "taking over a passed descriptor")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

/// A descriptor number that names nothing that this process was given.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not take over descriptor {number}, which this process should have been started with"
)]
pub struct NotInherited {
    number: RawFd,
    source: io::Error,
}

/// Takes over an inherited descriptor, once; children do not get it.
///
/// What survives an `exec` is not marked close-on-exec, while everything that this program opens is,
/// and so is every descriptor that was taken over. So a number that is marked belongs to somebody else
/// in this process and is refused, as are the standard streams.
pub fn take_inherited(number: RawFd) -> Result<OwnedFd, NotInherited> {
    take(number).map_err(|error| NotInherited { number, source: error.into() })
}

fn take(number: RawFd) -> Result<OwnedFd, Errno> {
    if number <= 2 {
        return Err(Errno::BADF);
    }
    // SAFETY: only looked at and marked; a number that is not open is refused by the kernel.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    if fcntl_getfd(inherited)?.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BUSY);
    }
    fcntl_setfd(inherited, FdFlags::CLOEXEC)?;
    // SAFETY: it was open and unmarked, so nobody in this process owned it; it is marked now, so nobody
    // else takes it over.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn what_this_process_opened_or_took_over_is_refused() {
        let ours = std::fs::File::open("/dev/null").expect("a file");
        assert!(take_inherited(ours.as_raw_fd()).is_err());

        let given = ours.as_fd().try_clone_to_owned().expect("a duplicate");
        fcntl_setfd(&given, FdFlags::empty()).expect("unmarked");
        let number = given.into_raw_fd();
        let taken = take_inherited(number).expect("as if inherited");
        assert!(take_inherited(number).is_err(), "a second time");
        drop(taken);
    }

    #[test]
    fn closed_numbers_and_standard_streams_are_refused() {
        for number in [-1, 0, 1, 2, 1_000_000] {
            assert!(take_inherited(number).is_err(), "{number}");
        }
    }
}
