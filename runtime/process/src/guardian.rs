//! The guardian: the tiny parent of the node, alive to act when the node is killed.
//!
//! It starts the node (a copy of itself), hands on signals, and when the node has ended kills whatever
//! has fallen to it: being a child subreaper, that is everything the node had started, daemons that forked
//! twice included. No threads, no async runtime, no network, no timers while the node lives; it sleeps in
//! one system call. What the node does when the *guardian* ends is [`crate::Lifeline`]'s side.
#![expect(unsafe_code, reason = "signal sets, and a hook between fork and exec")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::time::{Duration, Instant};

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, set_child_subreaper, waitid,
};

use crate::children::{self, List};
use crate::core_dumps;
use crate::exit_status::ExitStatus;
use crate::let_go_of_the_beginning;
use crate::lifeline::{self, Lifeline, LifelineError};

/// How long the killed may take to die before the guardian leaves without them.
pub const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// While cleaning up: look again after this even if no child has made itself heard.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What the guardian hands on to the node.
const FORWARDED: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// The node has said something on the lifeline.
const SPOKEN: i32 = libc::SIGIO;

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Role {
    /// The node: carry on, and mind the lifeline.
    Node(Lifeline),
    /// The guardian, and the node has ended: leave `main` with this.
    Guardian(Outcome),
}

/// What the guardian saw in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How the node ended.
    pub node: ExitStatus,
    /// Processes that did not die within [`CLEANUP_TIMEOUT`] of their kill.
    pub surviving: Vec<i32>,
}

impl Outcome {
    /// The node's exit code, or 128 and the signal that ended it.
    pub fn exit_code(&self) -> u8 {
        self.node.shell_code().unwrap_or(1)
    }

    /// What the node itself can no longer say, in lines for its user: that it was killed, and what does
    /// not die.
    pub fn complaints(&self) -> Vec<String> {
        [self.killed(), self.undying()].into_iter().flatten().collect()
    }

    fn killed(&self) -> Option<String> {
        let ExitStatus::Signal { signal, .. } = self.node else { return None };
        let hint = match signal.number() {
            libc::SIGKILL => {
                "\nhint: if nobody did that on purpose, memory may have run out: `dmesg` tells"
            }
            libc::SIGSEGV | libc::SIGABRT | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
                "\nhint: that is a fault of this program; report it with its last output"
            }
            _ => "",
        };
        Some(format!("the node was killed by {signal}; what it ran was ended with it{hint}"))
    }

    fn undying(&self) -> Option<String> {
        let pids: Vec<String> = self.surviving.iter().map(ToString::to_string).collect();
        (!pids.is_empty()).then(|| {
            format!(
                "processes that the node had started do not die: {}\n\
                 hint: `ps -o pid,stat,wchan,args -p {}` shows what holds them",
                pids.join(", "),
                pids.join(",")
            )
        })
    }
}

/// The pair of guardian and node could not be set up or watched.
#[derive(Debug, thiserror::Error)]
pub enum GuardianError {
    /// One system call, which the text names by its purpose.
    #[error("guardian: {0}")]
    System(&'static str, #[source] io::Error),
    /// The node could not take up its end.
    #[error(transparent)]
    Lifeline(#[from] LifelineError),
}

/// Makes this process the guardian, makes another one of it as the node, and comes back in both: in the node
/// at once, in the guardian after the node has ended and nothing is left.
///
/// To be called first in `main`, while there is one thread: then the node is a copy of this process. Where
/// there are more threads already, the node is the same program with the same arguments, started again, and
/// `variable` names the environment variable that carries the descriptor between them.
pub fn init(variable: &str) -> Result<Role, GuardianError> {
    match std::env::var_os(variable) {
        Some(descriptor) => Ok(Role::Node(lifeline::take_up(variable, &descriptor)?)),
        None => guard(variable),
    }
}

fn guard(variable: &str) -> Result<Role, GuardianError> {
    let failed = |doing| move |error: io::Error| GuardianError::System(doing, error);
    core_dumps::refuse().map_err(failed("refusing core dumps of its own"))?;
    set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| GuardianError::System("becoming a child subreaper", error.into()))?;
    let signals = Signals::block().map_err(failed("blocking signals"))?;
    let (own_end, node_end) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| GuardianError::System("creating the lifeline", error.into()))?;
    announce(&own_end).map_err(failed("listening to the lifeline"))?;
    let node = match has_one_thread() {
        true => match fork().map_err(failed("starting the node"))? {
            Some(node) => node,
            None => {
                drop(own_end);
                let guardian = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
                return Ok(Role::Node(lifeline::keep(node_end, guardian)?));
            }
        },
        false => start_again(variable, &node_end).map_err(failed("starting the node"))?,
    };
    drop(node_end);
    let_go_of_the_beginning();
    let mut entrusted = Vec::new();
    let status = watch(node, &signals, || lifeline::hear(&own_end, &mut entrusted))
        .map_err(failed("watching the node"))?;
    lifeline::hear(&own_end, &mut entrusted);
    entrusted.iter().for_each(lifeline::Entrusted::kill);
    let surviving = clean_up(&signals).map_err(failed("killing what the node left"))?;
    entrusted.iter().for_each(lifeline::Entrusted::remove);
    Ok(Role::Guardian(Outcome { node: status, surviving }))
}

fn has_one_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// The node's pid in the guardian, none in the node.
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: there is one thread, so nothing is held or half done that the copy would miss.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => become_node().map(|()| None),
        node => Ok(Pid::from_raw(node)),
    }
}

/// The node has a session of its own, so that a terminal's signals come once, through the guardian.
fn become_node() -> io::Result<()> {
    rustix::process::setsid()?;
    Signals::unblock()
}

fn start_again(variable: &str, node_end: &OwnedFd) -> io::Result<Pid> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("node"));
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).args(arguments);
    command.env(variable, node_end.as_raw_fd().to_string());
    let node_end = node_end.as_raw_fd();
    let inherit = move || {
        become_node()?;
        core_dumps::permit_again()?;
        // SAFETY: the guardian holds it open until the node has been started.
        fcntl_setfd(unsafe { BorrowedFd::borrow_raw(node_end) }, FdFlags::empty())?;
        Ok(())
    };
    // SAFETY: system calls that neither allocate nor lock.
    unsafe { command.pre_exec(inherit) };
    let node = command.spawn()?;
    Ok(Pid::from_child(&node))
}

/// Has the kernel say by [`SPOKEN`] that the node has said something.
fn announce(own_end: &OwnedFd) -> io::Result<()> {
    let (socket, own) = (own_end.as_raw_fd(), rustix::process::getpid().as_raw_pid());
    // SAFETY: an open descriptor, and integers.
    let done = unsafe {
        libc::fcntl(socket, libc::F_SETOWN, own) != -1
            && libc::fcntl(socket, libc::F_SETFL, libc::O_ASYNC) != -1
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Hands on signals, and hears what the node says, until it has ended; what else dies meanwhile is reaped.
fn watch(node: Pid, signals: &Signals, mut hear: impl FnMut()) -> io::Result<ExitStatus> {
    loop {
        match signals.wait(None)? {
            Some(libc::SIGCHLD) => {
                while let Some(dead) = children::first_dead()? {
                    let status = waitid(WaitId::Pid(dead), WaitIdOptions::EXITED)?;
                    if dead == node {
                        return Ok(status.as_ref().map_or(ExitStatus::Unknown, ExitStatus::from));
                    }
                }
            }
            Some(SPOKEN) => hear(),
            Some(number) => {
                // Refused only when it has ended, and then SIGCHLD is on its way.
                let _ended = Signal::from_named_raw(number).map(|it| kill_process(node, it));
            }
            None => {}
        }
    }
}

/// Kills direct children and reaps them until there is none: the death of each brings its own children here.
fn clean_up(signals: &Signals) -> io::Result<Vec<i32>> {
    let mut list = List::default();
    let deadline = Instant::now() + CLEANUP_TIMEOUT;
    loop {
        let children = list.read()?;
        for child in &children {
            // Not reaped yet, so the number is its own; a dead one does not mind.
            let _dead = kill_process(*child, Signal::KILL);
        }
        match reap_all()? {
            Reaped::NoChildren => return Ok(Vec::new()),
            _ if Instant::now() >= deadline => {
                return Ok(children.into_iter().map(Pid::as_raw_pid).collect());
            }
            Reaped::Some => {}
            Reaped::None => {
                signals.wait(Some(LOOK_AGAIN))?;
            }
        }
    }
}

enum Reaped {
    None,
    Some,
    NoChildren,
}

fn reap_all() -> io::Result<Reaped> {
    let mut reaped = Reaped::None;
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) => reaped = Reaped::Some,
            Ok(None) => return Ok(reaped),
            Err(Errno::CHILD) => return Ok(Reaped::NoChildren),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The signals the guardian waits for. Blocked, so that none is lost between two waits.
struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// A signal that was ignored from the start (`nohup`, a shell's `&`) stays ignored.
    fn block() -> io::Result<Self> {
        // SAFETY: the set is initialised before it is used; the dispositions are plain data.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            // Ignored, it would have the kernel reap the node and forget its status.
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::sigaddset(&raw mut set, libc::SIGCHLD);
            libc::sigaddset(&raw mut set, SPOKEN);
            for signal in FORWARDED {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, ptr::null(), &raw mut action);
                if action.sa_sigaction != libc::SIG_IGN {
                    libc::sigaddset(&raw mut set, signal);
                }
            }
            match libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) {
                0 => Ok(Self { set }),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    /// For the node, which otherwise would start with them blocked.
    fn unblock() -> io::Result<()> {
        // SAFETY: the set is initialised before it is used.
        unsafe {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            match libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    /// The next signal; none if the time was up or the process was stopped and continued.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<i32>> {
        let timeout = timeout.map(|it| libc::timespec {
            tv_sec: it.as_secs().cast_signed(),
            tv_nsec: it.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the set was initialised in `block`, the time lives through the call.
        let signal = unsafe { libc::sigtimedwait(&raw const self.set, ptr::null_mut(), timeout) };
        if signal > 0 {
            return Ok(Some(signal));
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
            error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            error => Err(error),
        }
    }
}
