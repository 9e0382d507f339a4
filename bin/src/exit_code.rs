//! The exit codes of `bh`: the whole list, decided at the edge and nowhere else.
//!
//! The numbers from 64 on are those of sysexits(3) where one fits.

use std::fmt::Write;

/// How `bh` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotRunning = 3,
    NoInput = 66,
    Unavailable = 69,
    Internal = 70,
    CannotCreate = 73,
    Io = 74,
    NoPermission = 77,
    BadFile = 78,
}

impl ExitCode {
    /// Every code, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::NotRunning,
        Self::NoInput,
        Self::Unavailable,
        Self::Internal,
        Self::CannotCreate,
        Self::Io,
        Self::NoPermission,
        Self::BadFile,
    ];

    /// What the code says to a script.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "it worked; for `run`: the node stopped because it was asked to",
            Self::Failed => "the operation failed; for `run`: the root supervisor gave up",
            Self::Usage => "the command line is wrong",
            Self::NotRunning => "no node is running there, or it cannot be told which one is meant",
            Self::NoInput => "the file to read is missing or unreadable",
            Self::Unavailable => "the node did not answer, or the connection to it broke",
            Self::Internal => "a bug in bh",
            Self::CannotCreate => "a file or directory could not be created",
            Self::Io => "reading or writing failed",
            Self::NoPermission => "not permitted to talk to that node or to open that file",
            Self::BadFile => "the file of services has mistakes; all of them were printed",
        }
    }

    /// The whole list as aligned text, one code a line.
    pub(crate) fn table() -> String {
        Self::ALL.iter().fold(String::new(), |mut text, &code| {
            writeln!(text, "  {:>2}  {}", code as u8, code.meaning())
                .expect("a String takes everything");
            text
        })
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
