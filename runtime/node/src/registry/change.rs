//! What is told to the registry.

use std::time::Duration;

use blackhole_policy::{instance::Reason, usage_alert::Alert};

/// What can happen to an instance.
#[derive(Debug, Clone)]
pub enum Change {
    /// It waits for its start; for whom, if for anybody.
    Pending(Vec<String>),
    /// Its process lives.
    Spawned {
        /// The process.
        pid: u32,
    },
    /// It runs without these, each with its key and the reason.
    Unenforced(Vec<String>),
    /// It may be called.
    Ready,
    /// It must not be called now, and why.
    Unready(String),
    /// It was asked to go, or will be killed; why.
    Stopping(String),
    /// Its process is gone, with all its descendants.
    Exited(Exited),
    /// What the process that is gone had printed last has been read: the end of its standard error.
    Read(String),
    /// It waits before its next start.
    BackingOff(Duration),
    /// It rests because somebody asked for that.
    Stopped,
    /// It rests because it finished.
    Completed,
    /// It rests because it exceeded its limit.
    Failed(String),
    /// It says so about itself.
    Noted(String),
    /// Its directory holds almost as much as it may; how much.
    NearDiskLimit(String),
    /// It does not answer because it waits for a CPU; for how long.
    Starved(Duration),
    /// Something outlived its process or held on to its output.
    Leaked(String),
    /// What it uses is worth a word.
    Alerted(Alert),
}

/// One end of one process, or one start that failed.
#[derive(Debug, Clone)]
pub struct Exited {
    /// Absent when no process came to be.
    pub pid: Option<u32>,
    /// Why, in the words of history.
    pub reason: Reason,
    /// Its exit code, when it had one.
    pub code: Option<i32>,
    /// The name of the signal that ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// What the start was doing when it failed.
    pub stage: Option<String>,
    /// How long it lived.
    pub uptime: Duration,
    /// The last lines of its standard error; absent while they are still being read.
    pub stderr: Option<String>,
    /// A sentence for people.
    pub message: String,
}
