//! System calls that rustix does not have, bare: they neither allocate nor lock.
#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use libc::sock_filter;
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

/// For the calling process and what it executes. A namespace of processes is entered by the children
/// of who makes it, not by itself.
pub(crate) fn unshare(namespaces: libc::c_int) -> Result<(), Errno> {
    // SAFETY: only an integer is passed; descriptors and memory are not among what is unshared.
    check(unsafe { libc::syscall(libc::SYS_unshare, namespaces) }).map(drop)
}

/// Entering a namespace of users makes the memory that a child shares with its parent one that
/// cannot be looked into, and with it the child's own files in /proc, which it is about to write.
pub(crate) fn make_dumpable() -> Result<(), Errno> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
}

/// A new network namespace has a loopback device, but it is down.
pub(crate) fn raise_loopback() -> Result<(), Errno> {
    let (family, kind) = (libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC);
    // SAFETY: only integers are passed.
    let socket = owned(unsafe { libc::syscall(libc::SYS_socket, family, kind, 0) })?;
    // SAFETY: `ifreq` is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    let (socket, request) = (socket.as_raw_fd(), &raw const request);
    // SAFETY: the request lives through the call, which only reads it.
    check(unsafe { libc::syscall(libc::SYS_ioctl, socket, libc::SIOCSIFFLAGS, request) }).map(drop)
}

/// The mount at a path and all mounts below it.
pub(crate) fn make_read_only(path: &CStr) -> Result<(), Errno> {
    const READ_ONLY: u64 = 1;
    let attributes =
        libc::mount_attr { attr_set: READ_ONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let (from, flags) = (libc::AT_FDCWD, libc::AT_RECURSIVE);
    let (attributes, size) = (&raw const attributes, size_of::<libc::mount_attr>());
    // SAFETY: path and attributes live through the call, which only reads them.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, from, path.as_ptr(), flags, attributes, size)
    };
    check(result).map(drop)
}

/// Goes to where it already is, by name, so that mounts made since are seen.
pub(crate) fn return_to_working_directory() -> Result<(), Errno> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most the length given, and ends it with a zero.
    check(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })?;
    // SAFETY: the path lives through the call, which only reads it.
    check(unsafe { libc::syscall(libc::SYS_chdir, path.as_ptr()) }).map(drop)
}

/// For the calling process and what it executes.
pub(crate) fn install_filter(program: &[sock_filter]) -> Result<(), Errno> {
    const SET_MODE_FILTER: libc::c_long = 1;
    // Both structures are the kernel's; a program is never longer than its maximum of 4096.
    let filter = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the program lives through the call, which only reads it.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const filter) })
        .map(drop)
}

/// The version of landlock that the kernel speaks, if it does.
pub(crate) fn landlock_version() -> Option<u32> {
    const VERSION: libc::c_long = 1;
    let nothing = std::ptr::null::<u64>();
    // SAFETY: asked for its version, the kernel takes no attributes.
    let result = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, VERSION) };
    u32::try_from(result).ok()
}

/// Rules that refuse all of `handled` until something is permitted.
pub(crate) fn landlock_rules(handled: u64) -> Result<OwnedFd, Errno> {
    // The kernel's structure has had this as its first member since version 1.
    let (attributes, size) = (&raw const handled, size_of::<u64>());
    // SAFETY: the attributes live through the call, which only reads them.
    owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes, size, 0) })
}

/// Permits `access` to a place and what is below it.
pub(crate) fn landlock_permit(rules: &OwnedFd, place: &OwnedFd, access: u64) -> Result<(), Errno> {
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        place: RawFd,
    }
    const PATH_BENEATH: libc::c_long = 1;
    let rule = PathBeneath { access, place: place.as_raw_fd() };
    let (rules, rule) = (rules.as_raw_fd(), &raw const rule);
    // SAFETY: the rule lives through the call, which only reads it.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, rules, PATH_BENEATH, rule, 0) })
        .map(drop)
}

/// For the calling process and what it executes.
pub(crate) fn landlock_restrict(rules: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) })
        .map(drop)
}

fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let descriptor = check(result)? as RawFd;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
