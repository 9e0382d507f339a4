//! Amounts of bytes, said in code.

use blackhole_config::Value;

/// A number of bytes.
///
/// ```
/// use blackhole::Size;
///
/// assert_eq!(Size::mib(2), Size::bytes(2 * 1024 * 1024));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// Bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Units of 1024 bytes; what does not fit is the largest size.
    pub const fn kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// Units of 1024 KiB; what does not fit is the largest size.
    pub const fn mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// Units of 1024 MiB; what does not fit is the largest size.
    pub const fn gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1 << 30))
    }
}

/// As a text: integers of a file end at 2^63.
impl From<Size> for Value {
    fn from(size: Size) -> Self {
        Self::Text(size.0.to_string())
    }
}
