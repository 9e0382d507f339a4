//! How deep values may be nested: serde's traits, passed on with a count of levels.
//!
//! A type that contains itself is read by a function that calls itself, as often as the bytes say. So each
//! value inside another one is counted, and one too many is an error on both sides, long before the stack
//! of any thread ends. Only formats that take each type at its word are known here, as bincode does:
//! whoever asks for a structure is given its fields in order.

mod reading;
#[cfg(test)]
mod tests;
mod writing;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many levels of values inside values a message may have: each list, map, structure, variant and
/// option is one.
pub const DEPTH_MAX: u32 = 128;

/// What serde's errors, which are only text, say of a value that is too deep.
pub(super) const TOO_DEEP: &str = "it is nested too deep";

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

/// A part of serde's conversation, and how many levels are left below it.
struct Limited<T> {
    inner: T,
    left: u32,
}

impl<T> Limited<T> {
    /// The same a level below, where there is one.
    fn below<E>(self, too_deep: impl FnOnce(&'static str) -> E) -> Result<(T, u32), E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok((self.inner, left)),
            None => Err(too_deep(TOO_DEEP)),
        }
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Read<V> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        V::deserialize(Limited { inner: deserializer, left: DEPTH_MAX }).map(Self)
    }
}

impl<V: Serialize + ?Sized> Serialize for Written<'_, V> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Limited { inner: serializer, left: self.left })
    }
}
