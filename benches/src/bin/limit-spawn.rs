//! The limit of supervision: `vfork`, `exec`, `waitpid`, and nothing else.
//!
//! `limit-spawn PROGRAM COUNT` keeps that many processes of a program alive, without a pipe, a log, a
//! limit or a policy. SIGTERM ends them and then this.
#![expect(unsafe_code, reason = "the bare system calls are the yardstick")]

use std::{
    env,
    ffi::{CString, c_char, c_int},
    io,
    os::unix::ffi::OsStringExt,
    process::ExitCode,
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed},
};

const CHILDREN_MAX: usize = 4096;

/// Read by the signal handler; 0 where there is none.
static CHILDREN: [AtomicI32; CHILDREN_MAX] = [const { AtomicI32::new(0) }; CHILDREN_MAX];
static STOPPED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let program = words.next().and_then(|it| CString::new(it.into_vec()).ok());
    let count = words.next().and_then(|it| it.to_str()?.parse::<usize>().ok());
    let (Some(program), Some(count @ 1..=CHILDREN_MAX)) = (program, count) else {
        return ExitCode::from(64);
    };
    match supervise(&program, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(71),
    }
}

fn supervise(program: &CString, count: usize) -> io::Result<()> {
    let handler: extern "C" fn(c_int) = stop;
    // SAFETY: the handler calls nothing that is not async-signal-safe.
    unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
    for child in &CHILDREN[..count] {
        child.store(spawn(program)?, Relaxed);
    }
    loop {
        // SAFETY: no status is asked for.
        let dead = unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
        if dead < 0 {
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
                error => return Err(error),
            }
        }
        let place = CHILDREN[..count].iter().find(|child| child.load(Relaxed) == dead);
        let Some(place) = place else { continue };
        let blocked = Blocked::terminate();
        place.store(if STOPPED.load(Relaxed) { 0 } else { spawn(program)? }, Relaxed);
        drop(blocked);
    }
}

extern "C" fn stop(_: c_int) {
    STOPPED.store(true, Relaxed);
    for child in &CHILDREN {
        let pid = child.load(Relaxed);
        if pid != 0 {
            // SAFETY: a child that has not been reaped keeps its number.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    }
}

/// SIGTERM waits while a child is being replaced.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn terminate() -> Self {
        // SAFETY: plain data, initialised before it is used.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
            Self(set)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set was initialised when this was made.
        unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const self.0, ptr::null_mut()) };
    }
}

fn spawn(program: &CString) -> io::Result<c_int> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let arguments = [program.as_ptr(), ptr::null()];
    // SAFETY: the child only unblocks a signal and executes or exits; what it points to lives.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        #[expect(deprecated, reason = "the very call to compare with")]
        match libc::vfork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
                libc::execve(program.as_ptr(), arguments.as_ptr(), environ);
                libc::_exit(127)
            }
            pid => Ok(pid),
        }
    }
}
