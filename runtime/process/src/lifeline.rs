//! The socket between guardian and node. Nothing is said on it in steady state; each end tells by it, at
//! once, that the other is gone.
#![expect(
    unsafe_code,
    reason = "taking over a passed descriptor; one variable is taken away at the start"
)]

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_peercred, socket_type};
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{core_dumps, descriptors, own_environment::blank_variable};

/// The longest path of a cgroup that can be entrusted.
const PATH_LENGTH_MAX: usize = 4096;

/// The node's end.
#[derive(Debug)]
pub struct Lifeline {
    socket: OwnedFd,
    guardian: i32,
}

/// The node could not take up its end.
#[derive(Debug, thiserror::Error)]
pub enum LifelineError {
    /// The variable does not hold a lifeline.
    #[error(
        "the environment variable {variable} is `{value}`, which is no descriptor of a guardian\n\
         hint: it is set by the guardian only; unset it"
    )]
    NoLifeline {
        /// The variable.
        variable: String,
        /// What it holds.
        value: String,
    },
    /// A system call, which the text names by its purpose.
    #[error("{0}")]
    System(&'static str, #[source] io::Error),
}

/// Makes this process the node.
pub(crate) fn take_up(variable: &str, value: &OsStr) -> Result<Lifeline, LifelineError> {
    let socket = value.to_str().and_then(|it| it.parse::<RawFd>().ok()).and_then(lifeline);
    let Some((socket, guardian)) = socket else {
        let value = value.to_string_lossy().into_owned();
        return Err(LifelineError::NoLifeline { variable: variable.to_owned(), value });
    };
    // SAFETY: there is one thread yet, as `guardian::init` demands. Children must not see the variable.
    unsafe { std::env::remove_var(variable) };
    let failed = |doing| move |error: Errno| LifelineError::System(doing, error.into());
    fcntl_setfd(&socket, FdFlags::CLOEXEC).map_err(failed("keeping the lifeline from children"))?;
    show_name();
    keep(socket, guardian)
}

/// Makes this process the node of a guardian.
pub(crate) fn keep(socket: OwnedFd, guardian: i32) -> Result<Lifeline, LifelineError> {
    core_dumps::refuse()
        .map_err(|error| LifelineError::System("refusing core dumps of its own", error))?;
    descriptors::prepare()
        .map_err(|error| LifelineError::System("preparing to start children", error))?;
    Ok(Lifeline { socket, guardian })
}

/// The descriptor, if it is one end of what a guardian makes, and the guardian's pid.
fn lifeline(number: RawFd) -> Option<(OwnedFd, i32)> {
    // SAFETY: only looked at; a number that is not open is refused by the kernel.
    let socket = unsafe { BorrowedFd::borrow_raw(number.max(0)) };
    if number <= 2 || socket_type(socket) != Ok(SocketType::SEQPACKET) {
        return None;
    }
    let guardian = socket_peercred(socket).ok()?.pid.as_raw_pid();
    // SAFETY: the guardian left it open for this process alone, and nobody else here knows of it.
    Some((unsafe { OwnedFd::from_raw_fd(number) }, guardian))
}

/// Executed as `/proc/self/exe`, the process would be called `exe` in `ps` and `top`.
fn show_name() {
    let name = std::env::args_os().next().map(PathBuf::from);
    let name = name.as_deref().and_then(Path::file_name).map(OsStr::as_bytes);
    if let Some(name) = name.and_then(|name| CString::new(name).ok()) {
        // A name is a courtesy.
        let _unnamed = rustix::thread::set_name(&name);
    }
}

impl Lifeline {
    /// The guardian's pid. For showing.
    pub fn guardian_pid(&self) -> i32 {
        self.guardian
    }

    /// Ready when the guardian is gone: the node then has to stop everything and go. Not to be awaited
    /// twice at a time.
    pub async fn lost(&self) -> io::Result<()> {
        let socket = self.socket.as_fd();
        // SAFETY: the registration borrows the descriptor, which therefore outlives it.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        loop {
            let mut ready = socket.readable().await?;
            match recv(&self.socket, &mut [0_u8; 1], RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(()),
                // The guardian of a later version may say something: that it can is a sign of life.
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has the guardian remove this directory and all in it when the node has ended and nothing is left.
    pub fn entrust_directory(&self, directory: &Path) -> io::Result<()> {
        let message = [&[DIRECTORY], directory.as_os_str().as_bytes()].concat();
        send(&self.socket, &message, SendFlags::DONTWAIT)?;
        Ok(())
    }

    /// Has the guardian overwrite a variable of its own, which the kernel shows to whoever may look at it.
    pub fn withhold_variable(&self, name: &OsStr) -> io::Result<()> {
        let message = [&[VARIABLE], name.as_bytes()].concat();
        send(&self.socket, &message, SendFlags::DONTWAIT)?;
        Ok(())
    }

    /// Has the guardian kill this control group, where it can be killed as one, at once when the node has
    /// ended, before it kills what falls to it; and remove it, with those below it, when nothing is left.
    pub fn entrust_cgroup(&self, directory: &Path) -> io::Result<()> {
        send(&self.socket, directory.as_os_str().as_bytes(), SendFlags::DONTWAIT)?;
        Ok(())
    }
}

/// What the guardian is asked to see to when the node has ended.
#[derive(Debug)]
pub(crate) enum Entrusted {
    /// Killed as one, and removed when it is empty.
    Group(PathBuf),
    /// Removed with all in it.
    Directory(PathBuf),
}

/// Before the path of a directory that is no group; paths begin with a slash.
const DIRECTORY: u8 = b'-';
/// Before the name of a variable.
const VARIABLE: u8 = b'=';

/// The guardian's end: what the node has said since the last time. Variables are overwritten at once, the
/// rest waits for the node's end.
pub(crate) fn hear(socket: &OwnedFd, entrusted: &mut Vec<Entrusted>) {
    let mut buffer = [0; PATH_LENGTH_MAX];
    while let Ok((_, length @ 1..)) = recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
        let message = &buffer[..length.min(PATH_LENGTH_MAX)];
        let (kind, rest) = message.split_at(1);
        match kind {
            [DIRECTORY] => entrusted.push(Entrusted::Directory(OsStr::from_bytes(rest).into())),
            [VARIABLE] => blank_variable(OsStr::from_bytes(rest)),
            _ => entrusted.push(Entrusted::Group(OsStr::from_bytes(message).into())),
        }
    }
}

impl Entrusted {
    /// Kills a cgroup, after the node has ended. One that is gone or cannot be killed does not matter: its
    /// processes fall to the guardian.
    pub(crate) fn kill(&self) {
        let Self::Group(directory) = self else { return };
        // Never made: v1 has no such file, and a directory that is no group must not get one.
        let switch = std::fs::OpenOptions::new().write(true).open(directory.join("cgroup.kill"));
        let _gone = switch.and_then(|mut switch| switch.write_all(b"1"));
    }

    /// When no process is left. What the node has removed itself is gone; what cannot be removed is
    /// the next start's.
    pub(crate) fn remove(&self) {
        match self {
            Self::Group(directory) => {
                remove_group(directory);
                let own = BTreeSet::from([std::process::id()]);
                let base = directory.parent().unwrap_or(directory);
                let _left = blackhole_isolation::give_back_room(base, &own);
            }
            Self::Directory(directory) => {
                let below = std::fs::read_dir(directory).into_iter().flatten().flatten();
                for entry in below.filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir())) {
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                    let _gone = std::fs::set_permissions(entry.path(), mode);
                }
                let _gone = std::fs::remove_dir_all(directory);
            }
        }
    }
}

/// A control group and those below it, which have no processes any more. The kernel removes no other.
fn remove_group(directory: &Path) {
    let below = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_group(&entry.path());
    }
    let _gone = std::fs::remove_dir(directory);
}
