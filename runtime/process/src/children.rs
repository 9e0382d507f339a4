//! Which of this process's children are known, and which have fallen to it from others.
//!
//! A child subreaper gets the orphans of its descendants. They are told from known children by a register,
//! and from children that other code of this program starts (`std::process`) by their session: a descendant
//! of a known child can never be in this process's own session.
#![expect(unsafe_code, reason = "rustix does not tell whose status `waitid` peeked at")]

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

use crate::session::Session;
use crate::slots::Slots;

/// What spawning and reaping share. Only its holder reaps, so its holder may signal a child by its pid:
/// the number cannot be given to another process meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Children {
    known: HashSet<Pid>,
    slots: Option<Slots>,
    list: List,
    /// Given up while children are looked for where there is no other: they must be found then as well.
    spares: Vec<OwnedFd>,
}

/// The list of children, which stays open, and the environment of one.
const SPARES: usize = 2;

pub(crate) fn lock() -> MutexGuard<'static, Children> {
    static CHILDREN: LazyLock<Mutex<Children>> = LazyLock::new(Mutex::default);
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Children {
    pub(crate) fn slots(&mut self) -> io::Result<&mut Slots> {
        match &mut self.slots {
            Some(slots) => Ok(slots),
            empty => Ok(empty.insert(Slots::reserve()?)),
        }
    }

    /// Makes room for a few descriptors, for as long as the lock is held.
    pub(crate) fn give_up_spares(&mut self) {
        self.spares.clear();
    }

    /// Has a few descriptors to give up, if there are any.
    pub(crate) fn keep_spares(&mut self) {
        while self.spares.len() < SPARES {
            match self.slots().and_then(|slots| slots.spare()) {
                Ok(spare) => self.spares.push(spare),
                Err(_) => return,
            }
        }
    }

    pub(crate) fn add(&mut self, pid: Pid) {
        self.known.insert(pid);
    }

    pub(crate) fn remove(&mut self, pid: Pid) {
        self.known.remove(&pid);
    }

    /// Orphans of descendants, living and dead.
    pub(crate) fn orphans(&mut self) -> io::Result<Vec<Pid>> {
        let mut orphans = self.list.read()?;
        orphans.retain(|pid| !self.known.contains(pid));
        if orphans.is_empty() {
            return Ok(orphans);
        }
        let own_session = Session::own()?;
        orphans.retain(|pid| Session::of(*pid).is_ok_and(|it| it != own_session));
        Ok(orphans)
    }

    /// Kills everything outside this process's own session, and reaps the dead that nobody else will.
    pub(crate) fn kill_all(&mut self, killed: &mut Killed) -> io::Result<Left> {
        let own_session = Session::own()?;
        let mut left = Left::Nothing;
        killed.dying.clear();
        for child in of_every_thread()? {
            let is_ours = Session::of(child).is_ok_and(|it| it == own_session);
            if is_ours || killed.dead.contains(&child) {
                continue;
            }
            let _dead = kill_process(child, Signal::KILL);
            let is_known = self.known.contains(&child);
            let is_gone = if is_known { is_dead(child)? } else { reap(child)? };
            if is_gone {
                killed.dead.extend(is_known.then_some(child));
                left = Left::Changed;
            } else {
                killed.dying.push(child);
            }
        }
        Ok(if left == Left::Nothing && !killed.dying.is_empty() { Left::Dying } else { left })
    }

    /// Reaps the dead that nobody else will. Stops at a dead known child, whose own exit looks again.
    pub(crate) fn reap_orphans(&mut self) -> io::Result<()> {
        let own_session = Session::own()?;
        while let Some(pid) = first_dead()? {
            if self.known.contains(&pid) {
                return Ok(());
            }
            if Session::of(pid).is_ok_and(|it| it == own_session) {
                // Of other code of this program, which hides those behind it.
                self.orphans()?.into_iter().try_for_each(|orphan| reap(orphan).map(drop))?;
                return Ok(());
            }
            reap(pid)?;
        }
        Ok(())
    }
}

/// What one look at the list left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// Something died after the list was read: its own children may have come meanwhile.
    Changed,
    /// Something has been killed and is not dead yet.
    Dying,
}

/// What [`Children::kill_all`] has killed so far.
#[derive(Debug, Default)]
pub(crate) struct Killed {
    pub(crate) dying: Vec<Pid>,
    /// Known children, which whoever waits for their exit will reap.
    dead: HashSet<Pid>,
}

/// Whether the child was dead and is gone now.
pub(crate) fn reap(pid: Pid) -> io::Result<bool> {
    wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

fn is_dead(pid: Pid) -> io::Result<bool> {
    wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
}

fn wait(pid: Pid, options: WaitIdOptions) -> io::Result<bool> {
    match waitid(WaitId::Pid(pid), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::CHILD) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A dead child that has not been reaped, and is not by this.
pub(crate) fn first_dead() -> io::Result<Option<Pid>> {
    // SAFETY: `siginfo_t` is plain data, filled in by the call; for a dead child it has a pid, and it
    // stays zero when there is none.
    let (result, pid) = unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        (libc::waitid(libc::P_ALL, 0, &raw mut found, options), found.si_pid())
    };
    match result {
        0 => Ok(Pid::from_raw(pid)),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
            error => Err(error),
        },
    }
}

/// The kernel's list of this process's children, dead ones included. Orphans fall to the main thread, and
/// only its list is read.
#[derive(Debug, Default)]
pub(crate) struct List {
    file: Option<File>,
    buffer: Vec<u8>,
}

impl List {
    pub(crate) fn read(&mut self) -> io::Result<Vec<Pid>> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let pid = getpid().as_raw_pid();
                match File::open(format!("/proc/self/task/{pid}/children")) {
                    Ok(file) => empty.insert(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return by_parent(),
                    Err(error) => return Err(error),
                }
            }
        };
        self.buffer.resize(self.buffer.capacity().max(4096), 0);
        let mut length = 0;
        loop {
            match file.read_at(&mut self.buffer[length..], length as u64)? {
                0 => break,
                read => length += read,
            }
            if length == self.buffer.len() {
                self.buffer.resize(length * 2, 0);
            }
        }
        Ok(self.buffer[..length].split(|byte| *byte == b' ').filter_map(parse).collect())
    }
}

/// Of all threads: a child is in the list of the thread that started it.
fn of_every_thread() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        match std::fs::read(thread?.path().join("children")) {
            Ok(list) => children.extend(list.split(|byte| *byte == b' ').filter_map(parse)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return by_parent(),
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

/// For a kernel built without the list: every process is asked for its parent.
fn by_parent() -> io::Result<Vec<Pid>> {
    let own = getpid();
    let mut children = Vec::new();
    for process in std::fs::read_dir("/proc")? {
        let name = process?.file_name();
        let Some(pid) = parse(name.as_encoded_bytes()) else {
            continue;
        };
        if parent_of(pid) == Some(own) {
            children.push(pid);
        }
    }
    Ok(children)
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The second field is a name in parentheses, which may itself contain any of them.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    parse(stat[name_end..].split(|byte| *byte == b' ').nth(2)?)
}

fn parse(digits: &[u8]) -> Option<Pid> {
    std::str::from_utf8(digits).ok()?.parse().ok().and_then(Pid::from_raw)
}
