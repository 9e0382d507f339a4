//! Which processes live, read from `/proc`.

use std::fs;

/// A process that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// Living processes, zombies excepted, whose environment has this `NAME=value`.
pub fn carrying(mark: &str) -> Vec<Process> {
    let carries = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    all().into_iter().filter(|process| carries(process.pid)).collect()
}

/// Whether a process with this number lives and is no zombie.
pub fn lives(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The signals that wait for a process as a whole; bit 0 is signal 1. None when it is gone.
pub fn signals_pending(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// Whether no thread of a process runs any more, after SIGSTOP: until then each may take other signals.
pub fn is_stopped(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut stats = threads.map(|thread| fs::read_to_string(thread.path().join("stat")));
    stats.all(|stat| {
        stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|it| it.starts_with(" T")))
    })
}

/// The parent of a living process.
pub fn parent(pid: i32) -> Option<i32> {
    fields(pid)?.get(1)?.parse().ok()
}

/// The living children of a process.
pub fn children(pid: i32) -> Vec<Process> {
    all().into_iter().filter(|process| parent(process.pid) == Some(pid)).collect()
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc is readable").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| lives(*pid))
        .map(|pid| Process { pid, command: command(pid) })
        .collect()
}

fn command(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned()
}

fn state(pid: i32) -> Option<char> {
    fields(pid)?.first()?.chars().next()
}

/// The fields of `/proc/PID/stat` from the third one on: state, parent, …
fn fields(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}
