//! How deep values may be nested, and how much memory they may take: serde's traits, passed on with counts.
//!
//! A type that contains itself is read by a function that calls itself, as often as the bytes say. So each
//! value inside another one is counted, and one too many is an error on both sides, long before the stack
//! of any thread ends. A byte of a frame may stand for a value that is large in memory, and an element of a list
//! for no byte at all. So what is read is counted as well, each value as large as its type, whether it stands in
//! another one or in a box. Only formats that take each type at its word are known here, as bincode does:
//! whoever asks for a structure is given its fields in order.

mod reading;
#[cfg(test)]
mod tests;
mod writing;

use std::cell::Cell;

use super::FRAME_LENGTH_MAX;

/// How many levels of values inside values a message may have: each list, map, structure, variant and
/// option is one.
pub const DEPTH_MAX: u32 = 128;

/// What the values inside a message may take together, in bytes of memory.
pub const VALUES_SIZE_MAX: usize = 64 * FRAME_LENGTH_MAX;

/// What an element of a list takes at least, in bytes: so that there are at most [`ELEMENTS_MAX`], also of those
/// that have no size.
const ELEMENT_SIZE_MIN: usize = 32;

/// A tree makes room for so many elements when it is made for one; what a list is made into is not seen here.
const ELEMENTS_AT_ONCE: usize = 11;

/// How many elements the lists and maps of a message may have together: twice as many as a frame has bytes.
pub(super) const ELEMENTS_MAX: usize = VALUES_SIZE_MAX / ELEMENT_SIZE_MIN;

/// What values inside each other may take, from the outermost to the innermost, in bytes: the stack of whoever
/// reads them has each several times.
pub(super) const PATH_SIZE_MAX: usize = 32 * 1024;

/// What serde's errors, which are only text, say of a value that is too deep.
pub(super) const TOO_DEEP: &str = "it is nested too deep";

/// As [`TOO_DEEP`], of one that takes too much memory.
pub(super) const TOO_LARGE: &str = "its values are too large";

/// How much memory the rest of a message may take.
#[derive(Debug)]
pub struct Room {
    left: Cell<usize>,
    /// Without what small elements are counted for beyond their size.
    taken: Cell<usize>,
}

impl Default for Room {
    fn default() -> Self {
        Self { left: Cell::new(VALUES_SIZE_MAX), taken: Cell::default() }
    }
}

impl Room {
    /// What the values so far take, in bytes, about: without texts, which take what their frame does, and without what an
    /// allocator adds to each box.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// There is one value more, of so many bytes, which counts for as many or more.
    fn take<E>(
        &self,
        size: usize,
        counted: usize,
        refuse: impl FnOnce(&'static str) -> E,
    ) -> Result<(), E> {
        match self.left.get().checked_sub(counted) {
            Some(left) => {
                self.left.set(left);
                self.taken.set(self.taken.get() + size);
                Ok(())
            }
            None => Err(refuse(TOO_LARGE)),
        }
    }

    /// There is one element more of a list.
    fn take_element<E>(
        &self,
        size: usize,
        refuse: impl FnOnce(&'static str) -> E,
    ) -> Result<(), E> {
        // To read what has no size takes its time as well.
        self.take(size.max(1), size.max(ELEMENT_SIZE_MIN), refuse)
    }
}

/// A value that is read, at the outermost level.
pub(super) struct Reading<'a, V>(pub(super) &'a Room, pub(super) std::marker::PhantomData<V>);

/// A value that is written, at the outermost level.
pub(super) struct Writing<'a, V>(pub(super) &'a Room, pub(super) &'a V);
