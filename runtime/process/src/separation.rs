//! A child in a namespace of processes of its own. A process in between makes the namespace's first process and
//! the child, both as children of its own parent, and ends.
//!
//! The one in between runs as the same user as this process: whoever may kill it while its child still uses
//! their memory might as well kill this process.
//!
//! So the child's exit, its signals and its number are this process's to see like any other child's, and no
//! thread of this process ever enters a namespace.
#![expect(unsafe_code, reason = "raw system calls in borrowed memory")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;

use blackhole_isolation::{Processes, Step as IsolationStep};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::child::{self, Failure, Orders, Step};
use crate::clone::{Cloned, Parent, clone_and_wait};
use crate::exec_watch::{NO_PIDFD, PidfdSlot};
use crate::init::{self, InitOrders};

/// The process in between: what it needs, and what it leaves.
struct Between<'a, 'b> {
    orders: &'a mut Orders<'b>,
    cgroup: Option<RawFd>,
    pidfd: &'a PidfdSlot,
    init_orders: InitOrders,
    init: Option<Pid>,
    child: io::Result<Cloned>,
}

/// As [`clone_and_wait`] with [`child::run`]. What the process in between was refused stands in the orders.
///
/// # Safety
/// As for [`clone_and_wait`].
pub(crate) unsafe fn clone_separated(
    orders: &mut Orders<'_>,
    cgroup: Option<RawFd>,
    pidfd: &PidfdSlot,
) -> io::Result<Cloned> {
    let program = init::program()?.as_raw_fd();
    let init_orders = InitOrders { program, dies_with: orders.dies_with, refused: None };
    let child = Err(io::Error::from_raw_os_error(libc::ECANCELED));
    let mut between = Between { orders, cgroup, pidfd, init_orders, init: None, child };
    let (own, pointer) = (PidfdSlot::new(NO_PIDFD), ptr::from_mut(&mut between).cast());
    // SAFETY: the caller's promise, which covers all that the process in between does.
    let cloned = unsafe { clone_and_wait(None, Parent::Caller, &own, run, pointer) }?;
    // It has ended, or is just about to.
    waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    let Between { init, child, .. } = between;
    if let (Err(_), Some(init)) = (&child, init) {
        init::end(init)?;
    }
    child.map(|child| Cloned { init, ..child })
}

unsafe extern "C" fn run(between: *mut c_void) -> ! {
    // SAFETY: `clone_separated` passes this, and stands still meanwhile.
    unsafe {
        let between = &mut *between.cast::<Between<'_, '_>>();
        if let Err(failure) = between.separate() {
            between.orders.failure = Some(failure);
            libc::_exit(127)
        }
        let orders = ptr::from_mut(&mut *between.orders).cast();
        let (cgroup, pidfd) = (between.cgroup, between.pidfd);
        between.child = clone_and_wait(cgroup, Parent::OfCaller, pidfd, child::run, orders);
        libc::_exit(0)
    }
}

impl Between<'_, '_> {
    /// The namespace and its first process, unless the kernel refuses and may.
    unsafe fn separate(&mut self) -> Result<(), Failure> {
        let plan = self.orders.plan;
        plan.separate_in_child().map_err(Failure::of_isolation)?;
        if plan.processes() == Processes::Shared {
            return Ok(());
        }
        let refused = |errno| Failure { step: Step::Isolation(IsolationStep::StartInit), errno };
        let (slot, orders) = (PidfdSlot::new(NO_PIDFD), ptr::from_mut(&mut self.init_orders));
        // SAFETY: as for this process itself; the orders outlive the call.
        let cloned =
            unsafe { clone_and_wait(None, Parent::OfCaller, &slot, init::run, orders.cast()) };
        let cloned = cloned.map_err(|error| refused(error.raw_os_error().unwrap_or(libc::EIO)))?;
        self.init = Some(cloned.pid);
        self.init_orders.refused.map_or(Ok(()), |errno| Err(refused(errno)))
    }
}
