//! A few reserved low descriptors through which everything passed to a child goes.
//!
//! The child gets a copy of the descriptor table up to the last slot. Without slots the copy would
//! reach up to the newest pipe, and with hundreds of children every spawn would copy, and `exec` close,
//! a thousand descriptors. So they are reserved as early and as low as can be.
//!
//! The child moves slot 0 to descriptor 0, slot 1 to 1, and so on. Slots ascend from above the standard
//! streams, so that the slot with the number `n` is always farther up than `n`: what a move overwrites has
//! been moved before.

use std::ffi::c_uint;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{DupFlags, fcntl_dupfd_cloexec};

/// How many descriptors a child can be given.
pub(crate) const TARGETS_MAX: RawFd = 64;

/// The lowest number of a slot: above the standard streams.
const FIRST: RawFd = 3;

/// Standard input, output, error, the link and a few listening sockets.
const SLOTS_AT_START: usize = 8;

#[derive(Debug)]
pub(crate) struct Slots {
    null: OwnedFd,
    slots: Vec<OwnedFd>,
}

impl Slots {
    pub(crate) fn reserve() -> io::Result<Self> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut slots = Self { null, slots: Vec::with_capacity(SLOTS_AT_START) };
        slots.grow(SLOTS_AT_START)?;
        Ok(slots)
    }

    /// One more descriptor of `/dev/null`, which takes up the place of another.
    pub(crate) fn spare(&self) -> io::Result<OwnedFd> {
        Ok(fcntl_dupfd_cloexec(&self.null, FIRST)?)
    }

    fn grow(&mut self, count: usize) -> io::Result<()> {
        while self.slots.len() < count {
            let lowest = self.slots.last().map_or(FIRST, |last| last.as_raw_fd() + 1);
            self.slots.push(fcntl_dupfd_cloexec(&self.null, lowest)?);
        }
        Ok(())
    }

    /// Duplicates each source into a slot, after the first, which holds `/dev/null`; the slots are emptied
    /// when the result is dropped.
    pub(crate) fn fill<'a>(
        &mut self,
        sources: impl IntoIterator<Item = BorrowedFd<'a>>,
    ) -> io::Result<Filled<'_>> {
        let mut filled = Filled { slots: self, count: 1 };
        for source in sources {
            filled.slots.grow(filled.count + 1)?;
            let slot = &mut filled.slots.slots[filled.count];
            rustix::io::dup3(source, slot, DupFlags::CLOEXEC)?;
            filled.count += 1;
        }
        Ok(filled)
    }
}

/// Slots that hold what one child is to get.
pub(crate) struct Filled<'a> {
    slots: &'a mut Slots,
    count: usize,
}

impl Filled<'_> {
    /// The one that was filled last.
    pub(crate) fn last(&self) -> BorrowedFd<'_> {
        self.slots.slots[self.count - 1].as_fd()
    }

    /// Pairs of slot and target, the targets counted up from 0.
    pub(crate) fn pairs(&self) -> Vec<(RawFd, RawFd)> {
        let slots = self.slots.slots[..self.count].iter().map(AsRawFd::as_raw_fd);
        slots.zip(0..).collect()
    }

    /// The first descriptor above every slot in use: they ascend.
    pub(crate) fn end(&self) -> c_uint {
        let last = self.slots.slots[..self.count].last().map(AsRawFd::as_raw_fd);
        last.and_then(|slot| c_uint::try_from(slot + 1).ok()).unwrap_or(3)
    }
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        let Slots { null, slots } = &mut *self.slots;
        for slot in &mut slots[1..self.count] {
            // Nothing can be opened or refused here: both descriptors exist, and the number stays.
            let emptied = rustix::io::dup3(&*null, slot, DupFlags::CLOEXEC);
            debug_assert!(emptied.is_ok(), "a slot could not be emptied: {emptied:?}");
        }
    }
}
