//! A point in time that a test can write down and a recording can replay.

use std::{fmt, ops::Add, time::Duration};

/// Time since an origin that the caller chose, such as the start of the node; monotonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The origin itself.
    pub const ORIGIN: Self = Self(Duration::ZERO);

    /// The moment this long after the origin.
    pub const fn after_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// How long after the origin this is.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// The first multiple of `interval` after this: deadlines of several machines that look equally
    /// often coincide. `interval` is not zero.
    pub fn next_multiple(self, interval: Duration) -> Self {
        let interval = nanoseconds(interval).max(1);
        let elapsed = nanoseconds(self.0);
        Self(Duration::from_nanos(elapsed.saturating_add(interval - elapsed % interval)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Longer than 584 years is as long as that.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Prints seconds with milliseconds, such as `12.345`.
impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}
