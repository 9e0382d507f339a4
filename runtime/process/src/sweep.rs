//! After the main process: nothing of it may stay behind.
//!
//! What was in its group is being killed already. What left the group (`setsid`, double fork) has fallen to
//! this process, a child subreaper, and is known by its session or by the token in its environment. A process
//! that left the session *and* threw away its environment cannot be attributed; it dies with the node.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use crate::children::{self, Children, Killed, Left};
use crate::process::Shared;
use crate::session::Session;

/// How long the killed may take to die, before they are reported as surviving. A process dies late only
/// when the kernel itself is stuck in its name.
pub const SWEEP_TIMEOUT: Duration = Duration::from_secs(5);

/// A killed process whose parent is dying as well makes no noise of its own; look again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long descriptors or memory may be short before a look is given up. Nothing can be started meanwhile either.
const SHORTAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// When they are short, look again after this.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// How long a process may be between two programs, on a busy host, before it counts as somebody else's.
const UNSETTLED_TIMEOUT: Duration = Duration::from_secs(1);

const ENVIRONMENT_SIZE_TYPICAL_MAX: usize = 64 << 10;

/// No program is executed with more; a process may point the kernel to more afterwards.
const ENVIRONMENT_SIZE_MAX: u64 = 8 << 20;

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
    let settled = Instant::now() + UNSETTLED_TIMEOUT;
    let look = || {
        let mut children = children::lock();
        match look(&mut children, process, &mut swept, settled) {
            Err(error) if is_shortage(&error) => {
                children.give_up_spares();
                let looked = look(&mut children, process, &mut swept, settled);
                children.keep_spares();
                looked
            }
            looked => looked,
        }
    };
    if look_until_nothing(look).await? == Left::Nothing {
        // Some may have been reaped by another look at the same time.
        swept.killed.append(&mut swept.surviving);
    }
    Ok(swept)
}

/// The last thing a node does, above all when it has lost its guardian: kills every process that it or its
/// children have started, whoever they belong to. Returns those that did not die within [`SWEEP_TIMEOUT`].
/// Children that other code of this program started in the node's own session are left alone.
pub async fn kill_everything() -> io::Result<Vec<i32>> {
    let mut killed = Killed::default();
    look_until_nothing(|| children::lock().kill_all(&mut killed)).await?;
    Ok(killed.dying.into_iter().map(Pid::as_raw_pid).collect())
}

async fn look_until_nothing(look: impl FnMut() -> io::Result<Left>) -> io::Result<Left> {
    let mut look = look;
    if patiently(&mut look).await? == Left::Nothing {
        return Ok(Left::Nothing);
    }
    let mut child_signal = signal(SignalKind::child())?;
    let deadline = Instant::now() + SWEEP_TIMEOUT;
    loop {
        let left = patiently(&mut look).await?;
        if left == Left::Nothing || Instant::now() >= deadline {
            return Ok(left);
        }
        if left == Left::Changed {
            tokio::task::yield_now().await;
            continue;
        }
        let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
        // Either way it is time to look again.
        let _ = timeout_at(look_again, child_signal.recv()).await;
    }
}

/// A look that may have to wait for descriptors.
async fn patiently(look: &mut impl FnMut() -> io::Result<Left>) -> io::Result<Left> {
    let deadline = Instant::now() + SHORTAGE_TIMEOUT;
    loop {
        match look() {
            Err(error) if is_shortage(&error) && Instant::now() < deadline => {
                tokio::time::sleep(SHORTAGE_PAUSE).await;
            }
            looked => return looked,
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// Kills what is left, reaps what is dead. While the lock is held a child's number stays its own.
fn look(
    children: &mut Children,
    process: &Shared,
    swept: &mut Swept,
    settled: Instant,
) -> io::Result<Left> {
    let mut left = match test_kill_process_group(process.pid) {
        Err(rustix::io::Errno::SRCH) => Left::Nothing,
        _ => Left::Dying,
    };
    if !process.end_namespace(children) {
        left = Left::Dying;
    }
    let mut changed = false;
    for orphan in children.orphans()? {
        // A dying process shows no environment any more; that it was ours has to be remembered.
        let dying = swept.surviving.iter().any(|it| it.pid == orphan.as_raw_pid());
        let owner = if dying { Owner::This } else { owner(orphan, process)? };
        if owner == Owner::This && !dying {
            swept.surviving.push(Leftover::seen(orphan));
            let _dead = kill_process(orphan, Signal::KILL);
        }
        match (children::reap(orphan)?, owner) {
            (true, _) => {
                swept.gone(orphan);
                changed = true;
            }
            (false, Owner::This) => left = Left::Dying,
            (false, Owner::Unsettled) if Instant::now() < settled => left = Left::Dying,
            (false, Owner::Unsettled | Owner::Another) => {}
        }
    }
    Ok(if changed { Left::Changed } else { left })
}

/// Whose an orphan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    This,
    Another,
    /// It is between two programs, or between life and death, and shows nothing of itself.
    Unsettled,
}

/// # Errors
/// When there are no descriptors or memory to see it by.
fn owner(orphan: Pid, process: &Shared) -> io::Result<Owner> {
    if Session::of(orphan).is_ok_and(|session| session.is_led_by(process.pid)) {
        return Ok(Owner::This);
    }
    let Some(mark) = process.mark.as_deref() else { return Ok(Owner::Another) };
    let pid = orphan.as_raw_pid();
    let environment = match environment(pid) {
        Ok(environment) => environment,
        Err(error) if is_shortage(&error) => return Err(error),
        // Of another user and this process not root, or gone: then it cannot be attributed.
        Err(_) => return Ok(Owner::Another),
    };
    if environment.split(|byte| *byte == 0).any(|entry| entry == mark) {
        return Ok(Owner::This);
    }
    if environment.is_empty() && !has_empty_environment(pid) {
        return Ok(Owner::Unsettled);
    }
    Ok(Owner::Another)
}

/// Read in one go where it fits: between two reads the process may execute, and the rest reads as empty.
fn environment(pid: i32) -> io::Result<Vec<u8>> {
    let mut file = File::open(format!("/proc/{pid}/environ"))?;
    let mut environment = vec![0; ENVIRONMENT_SIZE_TYPICAL_MAX];
    let length = file.read(&mut environment)?;
    environment.truncate(length);
    if length == ENVIRONMENT_SIZE_TYPICAL_MAX {
        file.take(ENVIRONMENT_SIZE_MAX).read_to_end(&mut environment)?;
    }
    Ok(environment)
}

/// Whether it was executed with no variables at all, and is not just about to be executed, or dying.
fn has_empty_environment(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in parentheses; proc(5) counts from 1.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let field = |number: usize| fields.get(number - 2).copied().unwrap_or("0");
    let (code_start, environment_start, environment_end) = (field(26), field(50), field(51));
    // The kernel fills in the code's place last, after that of the environment.
    code_start != "0" && environment_start == environment_end
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
