//! System calls that rustix does not have, bare: they neither allocate nor lock.
#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;

use rustix::io::Errno;

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    match result {
        -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
        result => Ok(result),
    }
}

/// For the calling process; `priority` is class and level as `man 2 ioprio_set` packs them.
pub(crate) fn set_io_priority(priority: libc::c_int) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: only integers are passed.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) }).map(drop)
}

/// For the calling process.
pub(crate) fn set_scheduler(policy: libc::c_int, priority: libc::c_int) -> Result<(), Errno> {
    // SAFETY: `sched_param` is plain integers, for which zero is valid.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = priority;
    // SAFETY: the parameter lives through the call, which only reads it.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameter) };
    check(result).map(drop)
}
