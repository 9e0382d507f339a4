//! One system call: a child that borrows this process's memory until it executes or ends.
//!
//! `clone3` with `CLONE_VM | CLONE_VFORK | CLONE_FILES` copies neither page tables nor the descriptor
//! table, which is what makes it as fast as `vfork`. The child runs on the caller's stack below the
//! caller's frame; that is sound because the calling thread is suspended meanwhile. Assembly is needed
//! because a function that returns twice cannot be written in Rust.
#![expect(unsafe_code, reason = "a system call that returns twice")]

use std::arch::asm;
use std::ffi::c_void;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use rustix::process::Pid;

use crate::exec_watch::PidfdSlot;

/// A new child that has executed a program, or has ended.
#[derive(Debug)]
pub(crate) struct Cloned {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    /// The first process of its namespace, where it has one of its own: a child of this process too.
    pub(crate) init: Option<Pid>,
}

/// Whose child a new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The caller's.
    Caller,
    /// A child of the caller's parent: the caller is only a step on the way.
    OfCaller,
}

/// Runs `child(argument)` in a new process and returns once that has executed a program or ended.
///
/// # Safety
/// `child` runs in a process that shares all memory and all descriptors with this one. It may only call
/// async-signal-safe functions, must not change a descriptor that it has not opened itself before it has
/// unshared the table, must not unwind, and `argument` must be what it expects. All signals must be blocked.
///
/// The kernel writes the child's descriptor to `pidfd` before this thread is suspended.
pub(crate) unsafe fn clone_and_wait(
    cgroup: Option<RawFd>,
    parent: Parent,
    pidfd: &PidfdSlot,
    child: unsafe extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> io::Result<Cloned> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_PIDFD;
    // SAFETY: `clone_args` is plain integers, for which zero is valid and means "not given".
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    // No handler of this process runs in the child, which borrows its memory.
    arguments.flags = u64::from(flags.cast_unsigned()) | CLONE_CLEAR_SIGHAND;
    arguments.pidfd = pidfd.as_ptr() as u64;
    match parent {
        Parent::Caller => arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned()),
        // The signal is the caller's own.
        Parent::OfCaller => arguments.flags |= u64::from(libc::CLONE_PARENT.cast_unsigned()),
    }
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.cast_unsigned());
    }
    // SAFETY: `arguments` lives through the call, the rest is the caller's promise.
    let result = unsafe { clone3(&raw const arguments, child, argument) };
    // The kernel answers with a pid or a negated error number; both fit.
    let result = i32::try_from(result).unwrap_or(-libc::EOVERFLOW);
    if result <= 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    let pid = Pid::from_raw(result).expect("a number above zero");
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows of it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd.load(Ordering::Relaxed)) };
    Ok(Cloned { pid, pidfd, init: None })
}

/// Linux 5.5; not in `libc` for every architecture.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// Linux 5.7; the constant in `libc` does not fit the type it is declared with.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

type Entry = unsafe extern "C" fn(*mut c_void) -> !;

#[cfg(target_arch = "x86_64")]
unsafe fn clone3(arguments: *const libc::clone_args, child: Entry, argument: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: in the parent this is an ordinary system call: it changes rax, rcx and r11. The child
    // sees a copy of the registers, calls `child` on the same, aligned stack and never comes back; what
    // it pushes lies below the frame of the suspended parent (no `nostack`: the red zone is not used).
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") arguments,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") argument,
            in("r13") child,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn clone3(arguments: *const libc::clone_args, child: Entry, argument: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: as on x86_64: the parent sees an ordinary system call that changes x0; the child calls
    // `child` below the suspended parent's frame and never comes back.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") arguments => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x20") argument,
            in("x21") child,
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!(
    "spawning needs a few instructions of assembly, written for x86_64 and aarch64 only"
);
