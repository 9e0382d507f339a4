//! After the main process: nothing of it may stay behind.
//!
//! What was in its group is being killed already. What left the group (`setsid`, double fork) has fallen to
//! this process, a child subreaper, and is known by its session or by the token in its environment. A process
//! that left the session *and* threw away its environment cannot be attributed; it dies with the node.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, getsid, kill_process, test_kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use crate::children::{self, Children};
use crate::process::Shared;

/// How long the killed may take to die, before they are reported as surviving. A process dies late only
/// when the kernel itself is stuck in its name.
pub const SWEEP_TIMEOUT: Duration = Duration::from_secs(5);

/// A killed process whose parent is dying as well makes no noise of its own; look again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Left behind, and gone now.
    pub killed: Vec<Leftover>,
    /// Killed, but not gone within [`SWEEP_TIMEOUT`].
    pub surviving: Vec<Leftover>,
}

/// A process that outlived the main process of its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its number.
    pub pid: i32,
    /// The name the kernel knows it by, at most 15 bytes.
    pub name: String,
}

pub(crate) async fn sweep(process: &Shared) -> io::Result<Swept> {
    let mut swept = Swept::default();
    if look(process, &mut swept)? == Left::Nothing {
        return Ok(swept);
    }
    let mut child_signal = signal(SignalKind::child())?;
    let deadline = Instant::now() + SWEEP_TIMEOUT;
    while look(process, &mut swept)? == Left::Dying {
        if Instant::now() >= deadline {
            return Ok(swept);
        }
        let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
        // Either way it is time to look again.
        let _ = timeout_at(look_again, child_signal.recv()).await;
    }
    swept.killed.append(&mut swept.surviving);
    Ok(swept)
}

#[derive(Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Dying,
}

/// Kills what is left, reaps what is dead. While the lock is held a child's number stays its own.
fn look(process: &Shared, swept: &mut Swept) -> io::Result<Left> {
    let mut children = children::lock();
    let mut left = match test_kill_process_group(process.pid) {
        Err(rustix::io::Errno::SRCH) => Left::Nothing,
        _ => Left::Dying,
    };
    for orphan in children.orphans()? {
        let ours = belongs(orphan, process);
        let leftover = ours.then(|| Leftover::seen(orphan));
        if let Some(leftover) = leftover {
            let _dead = kill_process(orphan, Signal::KILL);
            swept.note(leftover);
        }
        let gone = children::reap(orphan)?;
        match (ours, gone) {
            (true, true) => swept.gone(orphan),
            (true, false) => left = Left::Dying,
            (false, _) => {}
        }
    }
    Ok(left)
}

fn belongs(orphan: Pid, process: &Shared) -> bool {
    getsid(Some(orphan)).is_ok_and(|session| session == process.pid)
        || process.mark.as_deref().is_some_and(|mark| carries(orphan, mark))
}

/// Whether the environment a process was executed with contains `entry`.
fn carries(pid: Pid, entry: &[u8]) -> bool {
    // Gone, dead or another user's: then it cannot be attributed.
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_pid()));
    environment.is_ok_and(|it| it.split(|byte| *byte == 0).any(|found| found == entry))
}

impl Leftover {
    fn seen(pid: Pid) -> Self {
        let pid = pid.as_raw_pid();
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, name: name.trim_end().to_owned() }
    }
}

impl Swept {
    /// Whether nothing was left behind.
    pub fn is_empty(&self) -> bool {
        self.killed.is_empty() && self.surviving.is_empty()
    }

    fn note(&mut self, leftover: Leftover) {
        if !self.surviving.iter().any(|known| known.pid == leftover.pid) {
            self.surviving.push(leftover);
        }
    }

    fn gone(&mut self, pid: Pid) {
        let gone = self.surviving.extract_if(.., |it| it.pid == pid.as_raw_pid());
        self.killed.extend(gone);
    }
}

/// Reaps orphans as they die, for as long as it is polled. One per process is enough.
pub async fn reap_orphans() -> io::Result<std::convert::Infallible> {
    let mut child_signal = signal(SignalKind::child())?;
    loop {
        let reaped = Children::reap_orphans(&mut children::lock());
        reaped?;
        if child_signal.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
