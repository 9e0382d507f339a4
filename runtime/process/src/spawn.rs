//! Starting a process: the parent's side.
#![expect(unsafe_code, reason = "the child runs in this process's memory until it executes")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use blackhole_isolation::Processes;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, getpid, waitid};
use rustix::thread::gettid;

use crate::child::{self, Orders, PID_DIGITS_MAX};
use crate::children;
use crate::clone::{Cloned, Parent, clone_and_wait};
use crate::core_dumps;
use crate::descriptors;
use crate::exec_watch::{NO_PIDFD, PidfdSlot, Watched};
use crate::init;
use crate::launch::{Launch, SpawnArguments, entry};
use crate::process::Process;
use crate::separation::clone_separated;
use crate::spawn_error::{SpawnError, Stage};

/// A process that has executed its program, and the non-blocking read ends of what it writes.
#[derive(Debug)]
pub struct Spawned {
    /// The process; dropping it kills its group.
    pub process: Process,
    /// What it writes to standard output.
    pub stdout: OwnedFd,
    /// What it writes to standard error.
    pub stderr: OwnedFd,
}

impl Launch {
    /// Starts one generation: in a session and a process group of its own, standard input from
    /// `/dev/null`, default signals, nothing inherited but what was passed. Returns once the program is
    /// executed. One process is started at a time; it takes about as long as `vfork` and `exec`.
    ///
    /// # Panics
    /// Outside a tokio runtime, which watches for the exit.
    pub fn spawn(&self, arguments: &SpawnArguments<'_>) -> Result<Spawned, SpawnError> {
        let Some(program) = self.resolved() else {
            return Err(SpawnError::not_found(self));
        };
        let error = match self.execute(&program, arguments) {
            Err(error) if error.is_missing_program() => error,
            result => return result,
        };
        match self.resolve_again() {
            Some(elsewhere) if elsewhere != program => self.execute(&elsewhere, arguments),
            Some(_) => Err(error),
            None => Err(SpawnError::not_found(self)),
        }
    }

    fn execute(
        &self,
        program: &CStr,
        arguments: &SpawnArguments<'_>,
    ) -> Result<Spawned, SpawnError> {
        let failed = |stage| move |error| SpawnError::new(stage, self, error);
        let variables = self.variables(arguments).map_err(failed(Stage::Environment))?;
        let (stdout, stdout_write) = output_pipe().map_err(failed(Stage::Pipes))?;
        let (stderr, stderr_write) = output_pipe().map_err(failed(Stage::Pipes))?;
        let outputs = [stdout_write.as_fd(), stderr_write.as_fd()];
        let sockets = self.sockets.iter().map(AsFd::as_fd);
        let passed: Vec<_> = outputs.into_iter().chain(sockets).chain(arguments.link).collect();
        let cloned = self.clone_child(program, &variables, &passed)?;
        let mark = arguments.token.and(variables.last());
        let process = Process::watch(cloned, mark.map(|mark| mark.as_bytes().into()));
        Ok(Spawned { process: process.map_err(failed(Stage::Watch))?, stdout, stderr })
    }

    /// The variables of this spawn alone; the token's comes last.
    fn variables(&self, arguments: &SpawnArguments<'_>) -> io::Result<Vec<CString>> {
        let pair = |name: &str, value: &str| {
            entry(name.into(), value.as_ref())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
        };
        let mut variables = Vec::with_capacity(arguments.variables.len() + 2);
        for (name, value) in arguments.variables {
            variables.push(pair(name, value)?);
        }
        if arguments.link.is_some() {
            variables.extend(self.link_entry.clone());
        }
        if let (Some(name), Some(token)) = (&self.token_variable, arguments.token) {
            variables.push(pair(name, token)?);
        }
        Ok(variables)
    }

    fn clone_child(
        &self,
        program: &CStr,
        variables: &[CString],
        passed: &[BorrowedFd<'_>],
    ) -> Result<Cloned, SpawnError> {
        let mut listen_pid = ListenPid::default();
        let environment = self.environment_block(variables, &listen_pid);
        let mut arguments: Vec<_> = self.arguments.iter().map(|word| word.as_ptr()).collect();
        arguments.push(ptr::null());

        let path_rules = self.isolation.path_rules();
        let sources = passed.iter().copied().chain(path_rules.as_deref().map(AsFd::as_fd));
        let mut children = children::lock();
        let filled = children.slots().and_then(|slots| slots.fill(sources));
        let filled = filled.map_err(|error| SpawnError::new(Stage::Pipes, self, error))?;
        let mut descriptors = filled.pairs();
        // They have a slot and no target: the child uses them before it executes.
        descriptors.truncate(1 + passed.len());
        let mut orders = Orders {
            program: program.as_ptr(),
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            working_directory: self.working_directory.as_deref(),
            descriptors: &descriptors,
            unneeded_from: filled.end(),
            plan: &self.isolation,
            path_rules: path_rules.is_some().then(|| filled.last()),
            ignored: child::ignored_signals(),
            files_max: descriptors::files_max_before(),
            core_dump_max: core_dumps::before(),
            listen_pid: &raw mut listen_pid.digits,
            dies_with: thread_that_outlives_children(),
            failure: None,
        };
        let cloned = clone_with(&mut orders);
        let failure = orders.failure;
        drop(filled);
        if let Some(failure) = failure {
            let reaped = cloned.map_or(Ok(()), |cloned| reap_failed(&cloned));
            debug_assert!(reaped.is_ok(), "a failed child could not be reaped: {reaped:?}");
            return Err(SpawnError::reported(self, program, failure));
        }
        let cloned = cloned.map_err(|error| SpawnError::new(Stage::Clone, self, error))?;
        [Some(cloned.pid), cloned.init].into_iter().flatten().for_each(|pid| children.add(pid));
        Ok(cloned)
    }

    fn environment_block(&self, variables: &[CString], listen: &ListenPid) -> Vec<*const c_char> {
        let mine = variables.iter().map(CString::as_c_str);
        let mut block = self.environment.block(&mine.collect::<Vec<_>>());
        if !self.sockets.is_empty() {
            block.insert(0, (&raw const *listen).cast());
        }
        block
    }
}

/// `LISTEN_PID=` and room for the child's own pid, which the child fills in.
#[repr(C)]
struct ListenPid {
    name: [u8; 11],
    digits: [u8; PID_DIGITS_MAX],
}

impl Default for ListenPid {
    fn default() -> Self {
        Self { name: *b"LISTEN_PID=", digits: [0; PID_DIGITS_MAX] }
    }
}

/// The thread that was said to live as long as the process, beside the first one; 0 before.
static LASTING_THREAD: AtomicI32 = AtomicI32::new(0);

/// Says that the calling thread lives until the process ends, so that the children it starts die with it.
///
/// A program that starts its children on such a thread, and not on its first one, has an advantage: orphans
/// fall to the first thread, and the kernel's list of its children then holds nothing else. With hundreds of
/// children, the look for what one of them has left behind is a hundred times shorter.
pub fn live_on_this_thread() {
    LASTING_THREAD.store(gettid().as_raw_pid(), Relaxed);
}

/// The parent's number if the calling thread lives as long as the process, else 0: the kernel sends the
/// signal of a parent's death when the *thread* ends that made the child.
fn thread_that_outlives_children() -> libc::pid_t {
    let (thread, process) = (gettid(), getpid());
    let lasts = thread == process || thread.as_raw_pid() == LASTING_THREAD.load(Relaxed);
    if lasts { process.as_raw_pid() } else { 0 }
}

/// A pipe whose read end does not block.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// It has ended already, or is just about to: this does not wait for anything else.
fn reap_failed(cloned: &Cloned) -> io::Result<()> {
    waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    cloned.init.map_or(Ok(()), init::end)
}

fn clone_with(orders: &mut Orders<'_>) -> io::Result<Cloned> {
    // Nobody else may stop a child that stays what its parent is.
    let watched = orders.plan.becomes_another_user().then(Watched::begin);
    let blocked = BlockedSignals::all()?;
    let cgroup = orders.plan.cgroup_descriptor().map(|it| it.as_raw_fd());
    let (unwatched, watched) = (PidfdSlot::new(NO_PIDFD), watched.transpose()?);
    let pidfd = watched.as_ref().map_or(&unwatched, Watched::slot);
    // SAFETY: `child::run` keeps the rules of a borrowed address space, the orders and all it points to
    // outlive the call, and all signals are blocked.
    let cloned = unsafe {
        match orders.plan.processes() {
            Processes::Shared => {
                let pointer = ptr::from_mut(orders).cast::<c_void>();
                clone_and_wait(cgroup, Parent::Caller, pidfd, child::run, pointer)
            }
            Processes::Private => clone_separated(orders, cgroup, pidfd),
        }
    };
    drop((watched, blocked));
    cloned
}

/// All signals of this thread are blocked until this is dropped.
struct BlockedSignals {
    before: libc::sigset_t,
}

impl BlockedSignals {
    fn all() -> io::Result<Self> {
        // SAFETY: both sets are plain data, initialised before they are read.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) {
                0 => Ok(Self { before }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set was filled in by the kernel; restoring a mask it gave out cannot fail.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut())
        };
    }
}
