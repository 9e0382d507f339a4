//! bpf(2): maps, programs, and attaching them to control groups.
#![expect(unsafe_code, reason = "a system call without a safe wrapper")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::io::Errno;

use super::bucket::Instruction;

const MAP_CREATE: libc::c_long = 0;
const PROGRAM_LOAD: libc::c_long = 5;
const PROGRAM_ATTACH: libc::c_long = 8;

/// A program for sockets of control groups.
pub(super) struct Program<'a> {
    pub(super) instructions: &'a [Instruction],
    pub(super) attach_type: u32,
}

/// What the verifier did not like.
pub(super) struct LoadError {
    /// Its last line; empty where it was not asked.
    pub(super) log: String,
    pub(super) source: Errno,
}

/// The members of `union bpf_attr` that loading a program looks at.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach_type: u32,
}

impl Program<'_> {
    const FOR_SOCKETS_OF_GROUPS: u32 = 8;
    const LOG_BYTES: usize = 16 << 10;

    /// It lasts as long as somebody has its descriptor, or it is attached.
    pub(super) fn load(&self) -> Result<OwnedFd, LoadError> {
        let mut log = Vec::new();
        let refused = match self.attempt(&mut log) {
            Ok(program) => return Ok(program),
            Err(refused) => refused,
        };
        log.resize(Self::LOG_BYTES, 0);
        // Asked again only for its reasons, which are not worth a buffer when there are none.
        self.attempt(&mut log).map_err(|_| LoadError { log: last_line(&log), source: refused })
    }

    fn attempt(&self, log: &mut [u8]) -> Result<OwnedFd, Errno> {
        let attributes = Load {
            kind: Self::FOR_SOCKETS_OF_GROUPS,
            instruction_count: u32::try_from(self.instructions.len()).expect("a few"),
            instructions: self.instructions.as_ptr().addr() as u64,
            license: c"Dual MIT/GPL".as_ptr().addr() as u64,
            log_level: u32::from(!log.is_empty()),
            log_size: u32::try_from(log.len()).expect("a few pages"),
            log: if log.is_empty() { 0 } else { log.as_mut_ptr().addr() as u64 },
            name: *b"blackhole\0\0\0\0\0\0\0",
            attach_type: self.attach_type,
            ..Load::default()
        };
        // SAFETY: instructions, license and log live through the call, with the lengths told; only
        // the log is written.
        owned(unsafe { call(PROGRAM_LOAD, &attributes) })
    }
}

/// The verifier ends with what it did not like, and then with counts of what it did.
fn last_line(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines = text.trim_end_matches('\0').lines();
    let mut told = lines.filter(|line| !line.is_empty() && !line.starts_with("processed "));
    told.next_back().unwrap_or_default().to_owned()
}

/// A map with one value of so many bytes, all zero.
pub(super) fn make_array(value_bytes: u32) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Create {
        kind: u32,
        key_bytes: u32,
        value_bytes: u32,
        entries_max: u32,
    }
    const ARRAY: u32 = 2;
    let attributes = Create { kind: ARRAY, key_bytes: 4, value_bytes, entries_max: 1 };
    // SAFETY: the attributes are plain numbers.
    owned(unsafe { call(MAP_CREATE, &attributes) })
}

/// Beside programs of others, on this group and those above it; for groups made below it as well.
pub(super) fn attach(
    program: &OwnedFd,
    group: BorrowedFd<'_>,
    attach_type: u32,
) -> Result<(), Errno> {
    #[repr(C)]
    struct Attach {
        group: RawFd,
        program: RawFd,
        attach_type: u32,
        flags: u32,
    }
    const BESIDE_OTHERS: u32 = 2;
    let (group, program) = (group.as_raw_fd(), program.as_raw_fd());
    let attributes = Attach { group, program, attach_type, flags: BESIDE_OTHERS };
    // SAFETY: the attributes are plain numbers.
    unsafe { call(PROGRAM_ATTACH, &attributes) }.map(drop)
}

fn owned(result: Result<RawFd, Errno>) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    result.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// # Safety
/// The addresses in the attributes must hold as the command wants.
unsafe fn call<A>(command: libc::c_long, attributes: &A) -> Result<RawFd, Errno> {
    let (address, size) = (std::ptr::from_ref(attributes), size_of::<A>());
    // SAFETY: the attributes live through the call, which only reads them; members that they lack
    // are zero to the kernel.
    match unsafe { libc::syscall(libc::SYS_bpf, command, address, size) } {
        -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
        descriptor => Ok(descriptor as RawFd),
    }
}
