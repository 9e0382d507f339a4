//! Which session a process belongs to, as seen from this process's pid namespace.
//!
//! In a container, the session that this process was started in often has its leader outside: the kernel
//! then calls it 0. That is a session like any other, only without a pid.
#![expect(unsafe_code, reason = "rustix takes a session of 0 for a broken kernel")]

use std::io;

use rustix::process::Pid;

/// The kernel's number of a session: its leader's pid, or 0 if the leader is in an outer pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session(libc::pid_t);

impl Session {
    pub(crate) fn own() -> io::Result<Self> {
        Self::of_raw(0)
    }

    /// An error where the process is gone.
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        Self::of_raw(pid.as_raw_pid())
    }

    pub(crate) fn is_led_by(self, pid: Pid) -> bool {
        self.0 == pid.as_raw_pid()
    }

    fn of_raw(pid: libc::pid_t) -> io::Result<Self> {
        // SAFETY: takes a number and touches no memory.
        match unsafe { libc::getsid(pid) } {
            -1 => Err(io::Error::last_os_error()),
            session => Ok(Self(session)),
        }
    }
}
