//! What `/proc` says of processes.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

/// Living processes, zombies excepted, whose environment has this `NAME=value`.
pub(crate) fn carrying(mark: &str) -> Vec<i32> {
    let carries = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    all().into_iter().filter(carries).collect()
}

/// A process and its living descendants, those that run `program` excepted.
pub(crate) fn tree(root: i32, program: &Path) -> Vec<i32> {
    let parents: Vec<(i32, i32)> =
        all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root];
    let mut seen = HashSet::from([root]);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
        found.extend(children.filter(|pid| seen.insert(*pid)));
        next += 1;
    }
    found.retain(|pid| !runs(*pid, program));
    found
}

/// Whether a process executes this program.
pub(crate) fn runs(pid: i32, program: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|it| it == program)
}

/// Resident memory of some processes together, in KiB: each for itself, and what is shared divided
/// among all that share it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    pub(crate) pss: u64,
}

pub(crate) fn memory(pids: &[i32]) -> Memory {
    pids.iter().fold(Memory::default(), |sum, pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kib = |key| field(&text, key).unwrap_or(0);
        Memory { rss: sum.rss + kib("Rss:"), pss: sum.pss + kib("Pss:") }
    })
}

/// What some processes did so far, all their threads together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Activity {
    pub(crate) cpu_nanoseconds: u64,
    /// Times that a thread began to run again.
    pub(crate) switches: u64,
}

pub(crate) fn activity(pids: &[i32]) -> Activity {
    let threads = pids.iter().flat_map(|pid| threads(*pid));
    threads.fold(Activity::default(), |sum, thread| {
        let schedule = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
        let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
        let cpu = schedule.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0_u64);
        let switches = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
            .map(|key| field(&status, key).unwrap_or(0));
        Activity {
            cpu_nanoseconds: sum.cpu_nanoseconds + cpu,
            switches: sum.switches + switches.iter().sum::<u64>(),
        }
    })
}

fn threads(pid: i32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The number after a key at the beginning of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok())?
}

/// Waits until a process is dead, reaped or not.
pub(crate) fn wait_for_death(pid: i32, patience: Duration) -> anyhow::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let patience = Timespec::try_from(patience)?;
    let mut watched = [PollFd::new(&pidfd, PollFlags::IN)];
    anyhow::ensure!(poll(&mut watched, Some(&patience))? > 0, "process {pid:?} does not die");
    Ok(())
}
