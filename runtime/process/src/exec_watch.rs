//! Keeps a child from holding up its parent.
//!
//! The thread that starts a child is suspended until the child has executed its program. Once the child has
//! become another user, any process of that user may stop it before that: SIGSTOP cannot be blocked. So a
//! thread that does nothing else kills a child that takes longer than [`EXEC_TIMEOUT`]; its parent then
//! learns of an exit by SIGKILL, as of any other. The thread sleeps on a timer, which is armed around such
//! starts only.
#![expect(unsafe_code, reason = "a descriptor that the kernel wrote is borrowed by its number")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// What only a child that was stopped, or is starved beyond help, takes from `clone` to `exec`.
const EXEC_TIMEOUT: Duration = Duration::from_secs(5);

const STACK_SIZE: usize = 64 << 10;

/// Where the kernel writes the descriptor of a child that it has just made; -1 before.
pub(crate) type PidfdSlot = AtomicI32;

pub(crate) const NO_PIDFD: RawFd = -1;

struct Watch {
    timer: OwnedFd,
    /// Absent while nobody is being started.
    deadline: Mutex<Option<Instant>>,
    pidfd: PidfdSlot,
}

/// One start, watched until this is dropped; the child's descriptor must not be closed before that.
pub(crate) struct Watched(Arc<Watch>);

impl Watched {
    /// # Errors
    /// When the thread or its timer could not be made. It is tried again with the next start.
    pub(crate) fn begin() -> io::Result<Self> {
        let watch = watch()?;
        *watch.deadline() = Some(Instant::now() + EXEC_TIMEOUT);
        watch.arm(EXEC_TIMEOUT)?;
        Ok(Self(watch))
    }

    /// Where the kernel is to write the child's descriptor.
    pub(crate) fn slot(&self) -> &PidfdSlot {
        &self.0.pidfd
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut deadline = self.0.deadline();
        *deadline = None;
        self.0.pidfd.store(NO_PIDFD, Ordering::Relaxed);
        // An alarm that comes all the same finds nobody.
        let _ = self.0.arm(Duration::ZERO);
    }
}

fn watch() -> io::Result<Arc<Watch>> {
    static WATCH: OnceLock<Arc<Watch>> = OnceLock::new();
    if let Some(watch) = WATCH.get() {
        return Ok(watch.clone());
    }
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let (deadline, pidfd) = (Mutex::default(), PidfdSlot::new(NO_PIDFD));
    let watch = Arc::new(Watch { timer, deadline, pidfd });
    let watching = watch.clone();
    let builder = thread::Builder::new().name("exec watch".into()).stack_size(STACK_SIZE);
    builder.spawn(move || watching.kill_who_is_late())?;
    Ok(WATCH.get_or_init(|| watch).clone())
}

impl Watch {
    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Zero disarms.
    fn arm(&self, after: Duration) -> io::Result<()> {
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let after = Timespec { tv_sec: after.as_secs().cast_signed(), tv_nsec: 0 };
        let setting = Itimerspec { it_interval: once, it_value: after };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }

    fn kill_who_is_late(&self) {
        let mut expirations = [0; 8];
        loop {
            match rustix::io::read(&self.timer, &mut expirations) {
                Ok(_) | Err(rustix::io::Errno::INTR) => self.look(),
                Err(error) => {
                    tracing::error!(%error, "children that are stopped before they execute stay");
                    return;
                }
            }
        }
    }

    fn look(&self) {
        // Held until the signal is sent: until then the descriptor is the child's.
        let deadline = self.deadline();
        let pidfd = self.pidfd.load(Ordering::Relaxed);
        if deadline.is_none_or(|deadline| Instant::now() < deadline) || pidfd == NO_PIDFD {
            return;
        }
        // SAFETY: whoever began the watch keeps the descriptor open until it has ended it.
        let pidfd = unsafe { BorrowedFd::borrow_raw(pidfd) };
        if let Err(error) = pidfd_send_signal(pidfd, Signal::KILL) {
            tracing::error!(%error, "a child that does not execute its program could not be killed");
        }
    }
}
