//! How deep values may be nested, and how much memory their lists may take: serde's traits, passed on with counts.
//!
//! A type that contains itself is read by a function that calls itself, as often as the bytes say. So each
//! value inside another one is counted, and one too many is an error on both sides, long before the stack
//! of any thread ends. A list has as many elements as the bytes say, each as large in memory as its type, with
//! perhaps one byte in the frame, or none. So what the elements take is counted as well. Only formats that take each type at its word are known here, as bincode does:
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

/// What the elements of the lists and maps of a value may take together, in bytes of memory.
pub const ELEMENTS_SIZE_MAX: usize = 32 * FRAME_LENGTH_MAX;

/// What an element takes at least, in bytes: so that there are no more of them, also of those that have no size,
/// than a frame has bytes.
const ELEMENT_SIZE_MIN: usize = ELEMENTS_SIZE_MAX / FRAME_LENGTH_MAX;

/// What serde's errors, which are only text, say of a value that is too deep.
pub(super) const TOO_DEEP: &str = "it is nested too deep";

/// As [`TOO_DEEP`], of one whose lists take too much memory.
pub(super) const TOO_LARGE: &str = "its lists are too large";

/// What a value may still have inside.
#[derive(Clone, Copy)]
struct Limits<'a> {
    /// Levels below this one.
    levels: u32,
    /// Bytes of memory for elements of lists, in the value as a whole.
    room: &'a Cell<usize>,
}

impl<'a> Limits<'a> {
    /// Of a whole value.
    fn within(room: &'a Cell<usize>) -> Self {
        room.set(ELEMENTS_SIZE_MAX);
        Self { levels: DEPTH_MAX, room }
    }

    /// A level below, where there is one.
    fn below<E>(self, refuse: impl FnOnce(&'static str) -> E) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(refuse(TOO_DEEP)),
        }
    }

    /// There is one element more, of so many bytes.
    fn take<E>(self, size: usize, refuse: impl FnOnce(&'static str) -> E) -> Result<(), E> {
        match self.room.get().checked_sub(size.max(ELEMENT_SIZE_MIN)) {
            Some(left) => {
                self.room.set(left);
                Ok(())
            }
            None => Err(refuse(TOO_LARGE)),
        }
    }
}

/// A value that is read, at the outermost level.
pub(super) struct Read<V>(pub(super) V);

/// A value that is written, at some level.
struct Written<'a, V: ?Sized> {
    value: &'a V,
    limits: Limits<'a>,
}

/// A value that is written, at the outermost level.
pub(super) struct Whole<'a, V>(pub(super) &'a V);
