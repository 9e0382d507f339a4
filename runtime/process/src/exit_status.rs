//! How a process ended.

use std::fmt;

use rustix::process::WaitIdStatus;

use crate::Signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code, 0 to 255.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Which signal.
        signal: Signal,
        /// Whether the kernel wrote a core dump.
        core_dumped: bool,
    },
    /// It is gone, but another part of this program had reaped it, and the status with it.
    Unknown,
}

impl ExitStatus {
    /// Whether it returned 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code a shell would show: the code itself, or 128 and the signal.
    pub fn shell_code(self) -> Option<u8> {
        match self {
            Self::Code(code) => u8::try_from(code & 0xff).ok(),
            Self::Signal { signal, .. } => u8::try_from(128 + signal.number()).ok(),
            Self::Unknown => None,
        }
    }
}

impl From<&WaitIdStatus> for ExitStatus {
    fn from(status: &WaitIdStatus) -> Self {
        let signal = status.terminating_signal().and_then(Signal::from_number);
        match (status.exit_status(), signal) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal { signal, core_dumped: status.dumped() },
            (None, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exited with code {code}"),
            Self::Signal { signal, core_dumped: false } => write!(out, "killed by {signal}"),
            Self::Signal { signal, core_dumped: true } => {
                write!(out, "killed by {signal} (core dumped)")
            }
            Self::Unknown => write!(out, "gone, its status was taken by somebody else"),
        }
    }
}
