//! quotactl_fd(2), and the project of a file.
#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::io::Errno;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    pub(super) project: u32,
    copied_extent_size: u32,
    padding: [u8; 8],
}

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quota {
    pub(super) blocks_max: u64,
    blocks_soft: u64,
    pub(super) bytes: u64,
    files_max: u64,
    files_soft: u64,
    pub(super) files: u64,
    blocks_time: u64,
    files_time: u64,
    valid: u32,
}

pub(super) fn attributes(file: &OwnedFd) -> Result<Attributes, Errno> {
    const FS_IOC_FSGETXATTR: libc::c_long = 0x801c_581f;
    let (file, mut found) = (file.as_raw_fd(), Attributes::default());
    // SAFETY: the attributes live through the call, which only writes them.
    check(unsafe { libc::syscall(libc::SYS_ioctl, file, FS_IOC_FSGETXATTR, &raw mut found) })?;
    Ok(found)
}

/// For the directory, and for what will be made in it.
pub(super) fn set_project(
    directory: &OwnedFd,
    attributes: Attributes,
    project: u32,
) -> Result<(), Errno> {
    const FS_IOC_FSSETXATTR: libc::c_long = 0x401c_5820;
    const INHERITED: u32 = 0x200;
    let wanted = Attributes { project, flags: attributes.flags | INHERITED, ..attributes };
    let directory = directory.as_raw_fd();
    // SAFETY: the attributes live through the call, which only reads them.
    check(unsafe {
        libc::syscall(libc::SYS_ioctl, directory, FS_IOC_FSSETXATTR, &raw const wanted)
    })
}

/// Whether the file system of a file counts projects and holds them to their limits.
pub(super) fn is_enforced(file: &OwnedFd) -> Result<bool, Errno> {
    const STATE: u32 = 0x5808;
    const VERSION: u64 = 1;
    const ENFORCED: u64 = 1 << 5;
    // `struct fs_quota_statv` and room; version and flags are in its first word.
    let mut state = [0_u64; 32];
    state[0] = VERSION.to_le();
    // SAFETY: the state lives through the call, which writes less than there is room for.
    unsafe { control(file, STATE, 0, (&raw mut state).cast()) }?;
    Ok(u64::from_le(state[0]) >> 16 & ENFORCED != 0)
}

pub(super) fn quota(file: &OwnedFd, project: u32) -> Result<Quota, Errno> {
    const GET: u32 = 0x80_0007;
    let mut found = Quota::default();
    // SAFETY: the quota lives through the call, which only writes it.
    match unsafe { control(file, GET, project, (&raw mut found).cast()) } {
        // xfs has no record of a project that never had anything.
        Err(Errno::NOENT) => Ok(Quota::default()),
        done => done.map(|()| found),
    }
}

/// In 1024 bytes; 0 for no limit.
pub(super) fn set_blocks_max(file: &OwnedFd, project: u32, blocks: u64) -> Result<(), Errno> {
    const SET: u32 = 0x80_0008;
    const BLOCK_LIMITS: u32 = 1;
    let mut wanted = Quota { blocks_max: blocks, valid: BLOCK_LIMITS, ..Quota::default() };
    // SAFETY: the quota lives through the call, which only reads it.
    unsafe { control(file, SET, project, (&raw mut wanted).cast()) }
}

/// # Safety
/// The argument must be what the command wants.
unsafe fn control(
    file: &OwnedFd,
    command: u32,
    project: u32,
    argument: *mut libc::c_void,
) -> Result<(), Errno> {
    const OF_PROJECTS: u32 = 2;
    let (file, command) = (file.as_raw_fd(), command << 8 | OF_PROJECTS);
    // SAFETY: as the caller promises.
    check(unsafe { libc::syscall(libc::SYS_quotactl_fd, file, command, project, argument) })
}

fn check(result: libc::c_long) -> Result<(), Errno> {
    match result {
        -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
        _ => Ok(()),
    }
}
