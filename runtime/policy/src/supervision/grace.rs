//! The time between asking a child to end and ending it by force.
//!
//! | state | until | then |
//! |---|---|---|
//! | `Unlimited` | the child is down | |
//! | `Until` | that moment | kill, `Killed` |
//! | `Killed` | that moment | report, `Unkillable` |
//! | `Unkillable` | the child is down | |

use std::time::Duration;

use super::Shutdown;
use crate::moment::Moment;

/// A killed process that is still there after so long hangs in the kernel; that is worth a report.
pub(super) const KILL_OVERDUE_AFTER: Duration = Duration::from_secs(5);

/// Where a stop stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// It has all the time that it needs.
    Unlimited,
    /// It is killed then.
    Until(Moment),
    /// It was killed.
    Killed {
        /// By then it should be gone.
        overdue_at: Moment,
    },
    /// It was killed and did not go.
    Unkillable,
}

/// What to do about a child that is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Ask,
    Kill,
    Report,
}

impl Grace {
    /// The first measure, and the grace after it.
    pub(super) fn begin(now: Moment, budget: Shutdown) -> (Self, Measure) {
        match budget {
            Shutdown::Brutal => (Self::killed(now), Measure::Kill),
            Shutdown::Timeout(grace) => (Self::Until(now + grace), Measure::Ask),
            Shutdown::Infinity => (Self::Unlimited, Measure::Ask),
        }
    }

    const fn killed(now: Moment) -> Self {
        Self::Killed {
            overdue_at: Moment::after_origin(now.since_origin().saturating_add(KILL_OVERDUE_AFTER)),
        }
    }

    /// Ends the grace, unless it has ended.
    pub(super) fn skip(&mut self, now: Moment) -> Option<Measure> {
        match self {
            Self::Unlimited | Self::Until(_) => {
                *self = Self::killed(now);
                Some(Measure::Kill)
            }
            Self::Killed { .. } | Self::Unkillable => None,
        }
    }

    /// What the time that has passed calls for.
    pub(super) fn on_deadline(&mut self, now: Moment) -> Option<Measure> {
        match *self {
            Self::Until(end) if end <= now => {
                *self = Self::killed(now);
                Some(Measure::Kill)
            }
            Self::Killed { overdue_at } if overdue_at <= now => {
                *self = Self::Unkillable;
                Some(Measure::Report)
            }
            Self::Unlimited | Self::Until(_) | Self::Killed { .. } | Self::Unkillable => None,
        }
    }

    pub(super) const fn deadline(self) -> Option<Moment> {
        match self {
            Self::Until(end) => Some(end),
            Self::Killed { overdue_at } => Some(overdue_at),
            Self::Unlimited | Self::Unkillable => None,
        }
    }
}
