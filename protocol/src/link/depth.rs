//! How deep values may be nested, and how many a list may be said to have: serde's traits, passed on with counts.
//!
//! A type that contains itself is read by a function that calls itself, as often as the bytes say. So each
//! value inside another one is counted, and one too many is an error on both sides, long before the stack
//! of any thread ends. Only formats that take each type at its word are known here, as bincode does:
//! whoever asks for a structure is given its fields in order.

mod reading;
#[cfg(test)]
mod tests;
mod writing;

use super::FRAME_LENGTH_MAX;

/// How many levels of values inside values a message may have: each list, map, structure, variant and
/// option is one.
pub const DEPTH_MAX: u32 = 128;

/// How many elements the lists and maps of a value may have together: as many as a frame has bytes, so that only
/// elements without any can be too many.
#[expect(clippy::cast_possible_truncation, reason = "a frame has a length of 32 bits")]
pub(super) const ELEMENTS_MAX: u32 = FRAME_LENGTH_MAX as u32;

/// What serde's errors, which are only text, say of a value that is too deep.
pub(super) const TOO_DEEP: &str = "it is nested too deep";

/// As [`TOO_DEEP`], of one whose lists have too many elements.
pub(super) const TOO_MANY: &str = "its lists have too many elements";

/// A value that is read, at the outermost level.
pub(super) struct Read<V>(pub(super) V);

/// A value that is written, at some level.
pub(super) struct Written<'a, V: ?Sized> {
    value: &'a V,
    left: u32,
}

impl<'a, V> Written<'a, V> {
    /// At the outermost level.
    pub(super) fn whole(value: &'a V) -> Self {
        Self { value, left: DEPTH_MAX }
    }
}
