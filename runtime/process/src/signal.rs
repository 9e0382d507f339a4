//! Signals by name and number.

use std::fmt;
use std::str::FromStr;

/// A signal that can be sent to a process.
///
/// Reads as `SIGTERM`, `TERM`, `term`, `15` or `SIGRTMIN+3`; prints as `SIGTERM`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// The text names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a signal\nhint: write a name such as SIGTERM, SIGINT or SIGRTMIN+3, or a number from 1 to {max}", max = libc::SIGRTMAX())]
pub struct UnknownSignal(pub String);

const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl Signal {
    /// The polite request to stop.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// The end that cannot be caught.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// The interrupt of a terminal.
    pub const INT: Self = Self(libc::SIGINT);
    /// The terminal is gone, or "read your configuration again".
    pub const HUP: Self = Self(libc::SIGHUP);
    /// Continue after a stop.
    pub const CONT: Self = Self(libc::SIGCONT);

    /// The signal with this number, if there is one.
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=libc::SIGRTMAX()).contains(&number).then_some(Self(number))
    }

    /// Its number on this architecture.
    pub fn number(self) -> i32 {
        self.0
    }
}

#[expect(unsafe_code, reason = "rustix offers no checked conversion that knows real-time signals")]
impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        // SAFETY: the number is at least 1, and one that libc keeps to itself is sent to other programs only.
        unsafe { Self::from_raw_unchecked(signal.0) }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let realtime = libc::SIGRTMIN();
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(out, "SIG{name}"),
            None if self.0 == realtime => write!(out, "SIGRTMIN"),
            None if self.0 > realtime => write!(out, "SIGRTMIN+{}", self.0 - realtime),
            None => write!(out, "{}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let unknown = || UnknownSignal(text.to_owned());
        if let Ok(number) = text.parse::<i32>() {
            return Self::from_number(number).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => Some(*number),
            None => alias(name).or_else(|| realtime(name)),
        };
        number.and_then(Self::from_number).ok_or_else(unknown)
    }
}

fn alias(name: &str) -> Option<i32> {
    match name {
        "CLD" => Some(libc::SIGCHLD),
        "POLL" => Some(libc::SIGIO),
        "IOT" => Some(libc::SIGABRT),
        _ => None,
    }
}

fn realtime(name: &str) -> Option<i32> {
    let offset = |text: &str| match text {
        "" => Some(0),
        text => text.parse::<i32>().ok(),
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let number = libc::SIGRTMIN() + offset(rest).filter(|n| *n >= 0)?;
        return (number <= libc::SIGRTMAX()).then_some(number);
    }
    let rest = name.strip_prefix("RTMAX")?;
    let number = libc::SIGRTMAX() + offset(rest).filter(|n| *n <= 0)?;
    (number >= libc::SIGRTMIN()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for text in ["SIGTERM", "TERM", "term", "15"] {
            assert_eq!(text.parse(), Ok(Signal::TERM), "{text}");
        }
        assert_eq!("SIGRTMIN+3".parse::<Signal>().unwrap().to_string(), "SIGRTMIN+3");
        assert_eq!("RTMAX".parse::<Signal>().unwrap().number(), libc::SIGRTMAX());
        for number in 1..=libc::SIGRTMAX() {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().parse(), Ok(signal), "{signal}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused_with_a_hint() {
        for text in ["", "SIG", "SIGNOPE", "0", "-1", "65", "RTMIN-1", "RTMAX+1", "RTMIN+99"] {
            let error = text.parse::<Signal>().unwrap_err();
            assert!(error.to_string().contains("hint: write a name"), "{text}: {error}");
        }
    }
}
