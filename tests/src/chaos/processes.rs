//! Processes of the subject, from `/proc`, and signals that reach nobody else.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process of a service, as its environment tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Marked {
    pub(super) pid: i32,
    pub(super) service: String,
    pub(super) instance: u32,
    pub(super) generation: u64,
    pub(super) origin: Origin,
    /// For people.
    pub(super) command: String,
}

/// Who has started a process of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The node.
    Node,
    /// The service, or one that it has started.
    Service,
}

/// What a service gives those processes that it makes leaders of sessions, as the node makes its own.
/// When their parents die they fall to the node, and could not be told from the node's otherwise.
pub(super) const MADE_BY_SERVICE: &str = "MADE_BY_SERVICE=1";

/// Living processes that carry the mark of a node, zombies excepted.
pub(super) fn marked(mark: &str) -> Vec<Marked> {
    every_pid().into_iter().filter_map(|pid| look_at(pid, mark)).collect()
}

fn look_at(pid: i32, mark: &str) -> Option<Marked> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment);
    let mut variables = environment.split('\0');
    if !variables.any(|variable| variable == mark) || state(pid)? == 'Z' {
        return None;
    }
    let value = |name: &str| environment.split('\0').find_map(|text| text.strip_prefix(name));
    let service = value("BLACKHOLE_SERVICE=")?.to_owned();
    let instance = value("BLACKHOLE_INSTANCE=")?.parse().ok()?;
    let generation = value("BLACKHOLE_GENERATION=")?.parse().ok()?;
    let leads_session = field(pid, SESSION)? == pid.to_string();
    let origin = match environment.split('\0').any(|variable| variable == MADE_BY_SERVICE) {
        false if leads_session => Origin::Node,
        _ => Origin::Service,
    };
    Some(Marked { pid, service, instance, generation, origin, command: command(pid) })
}

/// The children of a process, zombies included.
pub(super) fn children(parent: i32) -> Vec<i32> {
    let text = parent.to_string();
    every_pid().into_iter().filter(|pid| field(*pid, PARENT).as_deref() == Some(&text)).collect()
}

/// The children of a process that have ended and were not reaped.
pub(super) fn zombies(parent: i32) -> Vec<i32> {
    children(parent).into_iter().filter(|pid| state(*pid) == Some('Z')).collect()
}

/// Whether a child of a guardian is the node: it runs the same program with the same words.
pub(super) fn is_node(pid: i32) -> bool {
    state(pid).is_some_and(|state| state != 'Z') && command(pid).contains(" run ")
}

/// What a process has open: the targets of its descriptors.
pub(super) fn descriptors(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect()
}

/// Memory that a process has allocated and that is resident, in bytes: without the pages of its program,
/// which come in as they are run for the first time and are all there at some time.
pub(super) fn allocated(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Sends a signal to a process that still carries the mark when it is held, so that a number that was
/// given to somebody else is never hit. `false` when it is gone.
pub(super) fn signal_marked(pid: i32, mark: &str, signal: Signal) -> Result<bool> {
    signal_if(pid, signal, |pid| look_at(pid, mark).is_some())
}

/// The same for a guardian or node.
pub(super) fn signal_if(pid: i32, signal: Signal, is: impl Fn(i32) -> bool) -> Result<bool> {
    let number = Pid::from_raw(pid).context("no pid")?;
    let Ok(held) = pidfd_open(number, PidfdFlags::empty()) else { return Ok(false) };
    if !is(pid) {
        return Ok(false);
    }
    Ok(pidfd_send_signal(&held, signal).is_ok())
}

fn every_pid() -> Vec<i32> {
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>());
    let entries = entries.unwrap_or_default();
    entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn command(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned()
}

fn state(pid: i32) -> Option<char> {
    field(pid, STATE)?.chars().next()
}

const STATE: usize = 0;
const PARENT: usize = 1;
const SESSION: usize = 3;

/// A field of `/proc/PID/stat` after the name.
fn field(pid: i32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(index).map(str::to_owned)
}
