//! One running process: its handle, its signals, its exit.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, atomic::AtomicI32, atomic::Ordering::Relaxed};

use rustix::process::{
    Pid, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::children::Children;
use crate::clone::Cloned;
use crate::sweep::{self, Swept};
use crate::{ExitStatus, Signal, children};

/// A process started by [`crate::Launch::spawn`]. Dropping it kills its whole group.
#[derive(Debug)]
pub struct Process {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    /// `NAME=token` as it stands in the environment of every descendant.
    pub(crate) mark: Option<Box<[u8]>>,
    status: OnceLock<ExitStatus>,
    /// The first process of its namespace, if that is not reaped; 0 if there is none.
    init: AtomicI32,
}

impl Process {
    pub(crate) fn watch(cloned: Cloned, mark: Option<Box<[u8]>>) -> io::Result<Self> {
        let pidfd = register(cloned.pidfd)?;
        let init = AtomicI32::new(cloned.init.map_or(0, Pid::as_raw_pid));
        let shared = Shared { pid: cloned.pid, pidfd, mark, status: OnceLock::new(), init };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Its number, which is also that of its session and process group. For showing: acting on a bare
    /// number may strike another process.
    pub fn pid(&self) -> i32 {
        self.shared.pid.as_raw_pid()
    }

    /// How it ended, if [`Process::exited`] has found out.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.shared.status.get().copied()
    }

    /// Ready as soon as the main process has ended and is reaped. What is left of its group has been sent
    /// SIGKILL by then. May be called any number of times; the result does not borrow the process.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.exited().await }
    }

    /// Kills whatever its main process has left behind, escaped daemons included, and reaps it. To be
    /// called after [`Process::exited`]; usually finds nothing, in a few microseconds.
    pub fn sweep(&self) -> impl Future<Output = io::Result<Swept>> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        // Boxed: whoever keeps it until the process ends does not hold the room for the sweep as well.
        async move { Box::pin(sweep::sweep(&shared)).await }
    }

    /// Sends a signal to every process of its group. `ESRCH` if the main process has been reaped.
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        self.shared.signal_group(signal)
    }

    /// Sends a signal to the main process only. `ESRCH` if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.shared.pidfd.get_ref(), signal.into())?)
    }

    /// Kills every process of its group at once. `ESRCH` if the main process has been reaped.
    pub fn kill_group(&self) -> io::Result<()> {
        self.shared.signal_group(Signal::KILL)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Refused only if it has been reaped, and then its group has been killed.
        let _reaped = self.shared.signal_group(Signal::KILL);
    }
}

impl Shared {
    async fn exited(&self) -> ExitStatus {
        loop {
            if let Some(status) = self.status.get() {
                return *status;
            }
            match self.pidfd.readable().await {
                Ok(mut ready) => {
                    if self.reap().is_none() {
                        ready.clear_ready();
                    }
                }
                // The runtime is being shut down, and this task with it.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// While the main process is not reaped, its number, and so the group's, belongs to nobody else.
    fn reap(&self) -> Option<ExitStatus> {
        let mut children = children::lock();
        if let Some(status) = self.status.get() {
            return Some(*status);
        }
        let id = WaitId::PidFd(self.pidfd.get_ref().as_fd());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = match waitid(id, options | WaitIdOptions::NOWAIT) {
            Ok(None) => return None,
            Ok(Some(status)) => {
                let _empty = kill_process_group(self.pid, rustix::process::Signal::KILL);
                let id = WaitId::PidFd(self.pidfd.get_ref().as_fd());
                let _status = waitid(id, options);
                ExitStatus::from(&status)
            }
            Err(_) => ExitStatus::Unknown,
        };
        children.remove(self.pid);
        self.end_namespace(&mut children);
        Some(*self.status.get_or_init(|| status))
    }

    /// Kills all processes of its namespace, if it has one of its own; whether they are gone. Only after
    /// the main process was reaped: the first one waits for that.
    pub(crate) fn end_namespace(&self, children: &mut Children) -> bool {
        let Some(init) = Pid::from_raw(self.init.load(Relaxed)) else { return true };
        let _dead = kill_process(init, rustix::process::Signal::KILL);
        let gone = children::reap(init).unwrap_or(true);
        if gone {
            self.init.store(0, Relaxed);
            children.remove(init);
        }
        gone
    }

    fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let _reaping_waits = children::lock();
        if self.status.get().is_some() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(kill_process_group(self.pid, signal.into())?)
    }
}

impl Drop for Shared {
    /// Not reaped here if it is still dying: from now on it counts as an orphan.
    fn drop(&mut self) {
        if self.status.get().is_none() && self.reap().is_none() {
            children::lock().remove(self.pid);
        }
        let mut children = children::lock();
        if !self.end_namespace(&mut children) {
            Pid::from_raw(self.init.load(Relaxed)).into_iter().for_each(|pid| children.remove(pid));
        }
    }
}

#[expect(unsafe_code, reason = "tokio has no safe constructor for descriptors it does not know")]
fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the result, which never gives it away or replaces it.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.map_err(Into::into)
}
