//! The first process of a namespace of processes: it inherits orphans, and ends with the service.
//!
//! A service is not number 1 itself, because the kernel treats that one differently: signals without a handler
//! do not reach it, and it would have to reap orphans that it does not expect. So a program of a few instructions
//! stands before it. It ignores SIGCHLD, by which the kernel reaps for it, and sleeps; when it is killed,
//! the kernel kills all others of the namespace. It is a program of its own, written to memory once, because
//! a process that went on in a copy of the node's memory would hand that to the service.
#![expect(unsafe_code, reason = "raw system calls in borrowed memory, and a program in assembly")]

use std::arch::global_asm;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::child::{die_with_parent, errno};

/// What the first process needs.
pub(crate) struct InitOrders {
    pub(crate) program: RawFd,
    /// As [`crate::child::Orders::dies_with`].
    pub(crate) dies_with: libc::pid_t,
    /// Why it could not execute its program.
    pub(crate) refused: Option<c_int>,
}

/// The program, for whoever starts it. May be executed, but not read: what executes it without a capability
/// cannot be looked into or traced by other processes of its user.
pub(crate) fn program() -> io::Result<BorrowedFd<'static>> {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program.as_fd());
    }
    let written = write()?;
    Ok(PROGRAM.get_or_init(|| written).as_fd())
}

fn write() -> io::Result<OwnedFd> {
    let name = "bh-init";
    // Kernels before 6.3 do not know the second flag, and permit without it.
    let memory = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::EXEC)
        .or_else(|_| memfd_create(name, MemfdFlags::CLOEXEC))?;
    let mut file = File::from(memory);
    file.write_all(image())?;
    fchmod(&file, Mode::XUSR)?;
    Ok(file.into())
}

/// The whole life of the first process before its program.
///
/// # Safety
/// `orders` must point to [`InitOrders`], and the caller must be a fresh child of
/// [`crate::clone::clone_and_wait`].
pub(crate) unsafe extern "C" fn run(orders: *mut c_void) -> ! {
    let orders = orders.cast::<InitOrders>();
    let arguments = [c"bh-init".as_ptr(), ptr::null()];
    let environment = [ptr::null::<c_char>()];
    // SAFETY: the caller's promise; every call is async-signal-safe.
    unsafe {
        let flags = libc::CLOSE_RANGE_UNSHARE | libc::CLOSE_RANGE_CLOEXEC;
        let closed = libc::syscall(libc::SYS_close_range, 0, c_uint::MAX, flags);
        if closed == 0 && libc::setsid() != -1 && libc::chdir(c"/".as_ptr()) == 0 {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            if give_up_all_rights() {
                die_with_parent((*orders).dies_with);
                libc::syscall(
                    libc::SYS_execveat,
                    (*orders).program,
                    c"".as_ptr(),
                    arguments.as_ptr(),
                    environment.as_ptr(),
                    libc::AT_EMPTY_PATH,
                );
            }
        }
        (*orders).refused = Some(errno());
        libc::_exit(127)
    }
}

/// With one capability left, of a namespace of users or of root, the program would count as readable, and
/// whoever may look into this process sees what the service's sandbox hides.
///
/// # Safety
/// None beyond that this is for the calling process alone: it calls the kernel with its own memory.
unsafe fn give_up_all_rights() -> bool {
    /// Two words for each set, of which there are three.
    const VERSION: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION, 0];
    let none = [0_u32; 6];
    // SAFETY: the kernel reads as much as the version says; libc's own functions are not needed.
    unsafe {
        libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) == 0
            && libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    }
}

/// Ends a first process that has nobody to wait for any more. Its number must still be its own.
pub(crate) fn end(init: Pid) -> io::Result<()> {
    let _dead = kill_process(init, Signal::KILL);
    waitid(WaitId::Pid(init), WaitIdOptions::EXITED)?;
    Ok(())
}

fn image() -> &'static [u8] {
    unsafe extern "C" {
        static BLACKHOLE_INIT_START: u8;
        static BLACKHOLE_INIT_END: u8;
    }
    // SAFETY: both labels stand below, in this order, around bytes that nobody changes.
    unsafe {
        let (start, end) = (&raw const BLACKHOLE_INIT_START, &raw const BLACKHOLE_INIT_END);
        std::slice::from_raw_parts(start, end.offset_from_unsigned(start))
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! life {
    () => {
        r"
        .set BLACKHOLE_INIT_MACHINE, 62
        mov edi, 15                 # PR_SET_NAME
        lea rsi, [rip + 3f]
        mov eax, 157                # prctl
        syscall
        2:
        mov eax, 34                 # pause
        syscall
        jmp 2b
        "
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! life {
    () => {
        r"
        .set BLACKHOLE_INIT_MACHINE, 183
        mov x0, #15                 // PR_SET_NAME
        adr x1, 3f
        mov x8, #167                // prctl
        svc #0
        2:
        mov x0, #0
        mov x1, #0
        mov x2, #0
        mov x3, #0
        mov x8, #73                 // ppoll of nothing, for ever
        svc #0
        b 2b
        "
    };
}

// An ELF file as the kernel wants it: a header, one segment that is all of the file, the instructions.
global_asm!(
    ".pushsection .rodata.blackhole_init, \"a\"",
    ".balign 16",
    ".global BLACKHOLE_INIT_START",
    ".global BLACKHOLE_INIT_END",
    "BLACKHOLE_INIT_START:",
    ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0",
    ".quad 0",
    ".short 2, BLACKHOLE_INIT_MACHINE",
    ".long 1",
    ".quad 0x400000 + 4f - BLACKHOLE_INIT_START",
    ".quad 64, 0",
    ".long 0",
    ".short 64, 56, 1, 0, 0, 0",
    // To be loaded, readable and executable.
    ".long 1, 5",
    ".quad 0, 0x400000, 0x400000",
    ".quad BLACKHOLE_INIT_END - BLACKHOLE_INIT_START",
    ".quad BLACKHOLE_INIT_END - BLACKHOLE_INIT_START",
    ".quad 0x10000",
    "4:",
    life!(),
    "3:",
    ".asciz \"bh-init\"",
    "BLACKHOLE_INIT_END:",
    ".popsection",
);
