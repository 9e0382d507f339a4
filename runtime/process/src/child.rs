//! What the child does between `clone` and `exec`.
//!
//! It runs in the parent's memory while the parent's thread stands still: no allocation, no lock, no
//! panic, no call that is not async-signal-safe. What goes wrong is written where the parent reads it.
#![expect(unsafe_code, reason = "raw system calls in borrowed memory")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use blackhole_isolation::Plan;

/// What the child needs, laid out by the parent.
pub(crate) struct Orders<'a> {
    pub(crate) program: *const c_char,
    /// Ends with a null pointer.
    pub(crate) arguments: *const *const c_char,
    /// Ends with a null pointer.
    pub(crate) environment: *const *const c_char,
    pub(crate) working_directory: Option<&'a CStr>,
    /// From slots to targets counted up from 0, in an order in which no target is a slot still to come.
    pub(crate) descriptors: &'a [(RawFd, RawFd)],
    /// Descriptors from here up are not needed.
    pub(crate) unneeded_from: c_uint,
    pub(crate) plan: &'a Plan,
    /// Rules for files that the kernel knows already.
    pub(crate) path_rules: Option<BorrowedFd<'a>>,
    /// Signals that this process ignores, and its children must not.
    pub(crate) ignored: &'a [c_int],
    /// The limit on open files from before this process raised its own.
    pub(crate) files_max: Option<libc::rlimit>,
    /// The limit of core dumps from before this process lowered its own.
    pub(crate) core_dump_max: Option<libc::rlimit>,
    /// Where the child's own pid goes in decimal digits, ended by a zero byte; null if nowhere.
    pub(crate) listen_pid: *mut [u8; PID_DIGITS_MAX],
    /// The parent whose death is to kill the child, or 0.
    pub(crate) dies_with: libc::pid_t,
    pub(crate) failure: Option<Failure>,
}

/// Room for the digits of a pid and the zero byte after them.
pub(crate) const PID_DIGITS_MAX: usize = 12;

/// The first thing that the kernel refused.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) errno: c_int,
}

const CORE_DUMPS: Step =
    Step::Isolation(blackhole_isolation::Step::SetRlimit(blackhole_isolation::Resource::Core));

impl Failure {
    pub(crate) fn of_isolation(refused: blackhole_isolation::Refused) -> Self {
        Self { step: Step::Isolation(refused.step), errno: refused.errno }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Step {
    Unshare,
    Session,
    Descriptors,
    Signals,
    Isolation(blackhole_isolation::Step),
    Execute,
}

/// The child's whole life before `exec`.
///
/// # Safety
/// `orders` must point to [`Orders`] whose pointers are valid, and the caller must be a fresh child of
/// [`crate::clone::clone_and_wait`].
pub(crate) unsafe extern "C" fn run(orders: *mut c_void) -> ! {
    let orders = orders.cast::<Orders<'_>>();
    // SAFETY: the caller's promise; the parent does not look before this process has gone on.
    unsafe {
        let Err(failure) = obey(&*orders);
        (*orders).failure = Some(failure);
        libc::_exit(127)
    }
}

/// Comes back only with a failure.
unsafe fn obey(orders: &Orders<'_>) -> Result<std::convert::Infallible, Failure> {
    // SAFETY: every call is async-signal-safe, every pointer valid by the promise made to `run`.
    unsafe {
        let is_in_its_groups = orders.plan.enter_held_in_child();
        own_descriptors(orders)?;
        if !is_in_its_groups {
            orders.plan.enter_in_child().map_err(Failure::of_isolation)?;
        }
        check(Step::Session, libc::setsid())?;
        heed_signals(orders.ignored);
        if let Some(limit) = &orders.files_max {
            check(Step::Descriptors, libc::setrlimit(libc::RLIMIT_NOFILE, limit))?;
        }
        if let Some(limit) = &orders.core_dump_max {
            check(CORE_DUMPS, libc::setrlimit(libc::RLIMIT_CORE, limit))?;
        }
        write_pid(orders.listen_pid);
        orders
            .plan
            .apply_in_child(orders.working_directory, orders.path_rules)
            .map_err(Failure::of_isolation)?;
        // After the plan: a change of user takes the setting back.
        die_with_parent(orders.dies_with);
        unblock_signals()?;
        libc::execve(orders.program, orders.arguments, orders.environment);
        Err(Failure { step: Step::Execute, errno: errno() })
    }
}

/// Until the first call has returned the descriptor table is still the parent's.
unsafe fn own_descriptors(orders: &Orders<'_>) -> Result<(), Failure> {
    // SAFETY: only integers are passed.
    unsafe {
        let (first, last) = (orders.unneeded_from, c_uint::MAX);
        let flags = libc::CLOSE_RANGE_UNSHARE;
        check(Step::Unshare, libc::syscall(libc::SYS_close_range, first, last, flags))?;
        for (slot, target) in orders.descriptors {
            check(Step::Descriptors, libc::dup2(*slot, *target))?;
        }
        // A descriptor that this process inherited, or opened without the flag, must not leak.
        let first = c_uint::try_from(orders.descriptors.len()).unwrap_or(3);
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        check(Step::Descriptors, libc::syscall(libc::SYS_close_range, first, last, flags))
    }
}

/// Ignored signals stay ignored through `exec`; those with a handler have lost it in `clone`. By the bare
/// system call: the C library refuses the signals that it keeps to itself, which may be ignored too.
unsafe fn heed_signals(ignored: &[c_int]) {
    // `SIG_DFL` with no flags and no mask, in the kernel's layout, which is no longer than this.
    let default = [0_u64; 8];
    for signal in ignored {
        // SAFETY: the kernel reads its structure from memory that is long enough.
        unsafe {
            let none = ptr::null_mut::<c_void>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                *signal,
                default.as_ptr(),
                none,
                SIGNAL_SET_BYTES,
            );
        }
    }
}

/// The signals that this process ignored when it was first asked for them, which is when it starts its first
/// child: most of them have been ignored since before its start.
pub(crate) fn ignored_signals() -> &'static [c_int] {
    static IGNORED: OnceLock<Vec<c_int>> = OnceLock::new();
    IGNORED.get_or_init(|| (1..=SIGNALS).filter(is_ignored).collect())
}

fn is_ignored(signal: &c_int) -> bool {
    let mut found = [0_u64; 8];
    // SAFETY: the kernel writes its structure, whose first word is the handler, into memory that is long
    // enough, and refuses the signals that have no disposition.
    let asked = unsafe {
        let none = ptr::null::<c_void>();
        let found = found.as_mut_ptr();
        libc::syscall(libc::SYS_rt_sigaction, *signal, none, found, SIGNAL_SET_BYTES)
    };
    asked == 0 && found[0] == libc::SIG_IGN as u64
}

const SIGNALS: c_int = 64;
const SIGNAL_SET_BYTES: usize = SIGNALS as usize / 8;

unsafe fn unblock_signals() -> Result<(), Failure> {
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(Step::Signals, libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()))
    }
}

/// An addition to the guardian's work, not a replacement: failure is not an error.
pub(crate) unsafe fn die_with_parent(parent: libc::pid_t) {
    if parent == 0 {
        return;
    }
    // SAFETY: only integers are passed.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // None at all is seen from a namespace of processes to which the parent does not belong.
        if ![parent, 0].contains(&libc::getppid()) {
            libc::_exit(127);
        }
    }
}

unsafe fn write_pid(slot: *mut [u8; PID_DIGITS_MAX]) {
    if slot.is_null() {
        return;
    }
    // SAFETY: the parent handed in a valid slot that nobody else uses meanwhile.
    let slot = unsafe { &mut *slot };
    // SAFETY: takes nothing, cannot fail.
    let pid = unsafe { libc::getpid() };
    let digits = pid.ilog10() as usize + 1;
    let mut rest = pid;
    slot.fill(0);
    for digit in slot.iter_mut().take(digits).rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn check(step: Step, result: impl Into<i64>) -> Result<(), Failure> {
    match result.into() {
        0.. => Ok(()),
        _ => Err(Failure { step, errno: errno() }),
    }
}

pub(crate) fn errno() -> c_int {
    // SAFETY: the location is this thread's own and always valid.
    unsafe { *libc::__errno_location() }
}
