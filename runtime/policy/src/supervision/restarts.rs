//! Restarts within a window: OTP's `add_restart`.

use std::{collections::VecDeque, time::Duration};

use super::RestartLimit;
use crate::moment::Moment;

/// How exactly the window is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// As OTP: moments are cut to whole seconds, and one as old as the window still counts. So the
    /// window is between one and two seconds longer than it says, depending on where in a second
    /// a restart falls.
    WholeSeconds,
    /// To the nanosecond; what is as old as the window no longer counts.
    Exact,
}

/// What a count found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tally {
    /// The restart may happen.
    Within,
    /// It is one too many; so many there would be.
    Exceeded(u32),
}

/// The restarts that still count; never more than the limit and one.
#[derive(Debug, Clone, Default)]
pub(super) struct Restarts {
    at: VecDeque<Moment>,
}

impl Restarts {
    /// Counts one restart now.
    pub(super) fn count(&mut self, now: Moment, limit: RestartLimit, grain: Grain) -> Tally {
        let now = grain.cut(now);
        while self.at.front().is_some_and(|at| grain.is_over(now.since(*at), limit.window)) {
            self.at.pop_front();
        }
        let count = u32::try_from(self.at.len()).unwrap_or(u32::MAX).saturating_add(1);
        if count > limit.restarts_max {
            return Tally::Exceeded(count);
        }
        self.at.push_back(now);
        Tally::Within
    }

    /// Those that may still count, oldest first.
    pub(super) fn moments(&self) -> Vec<Moment> {
        self.at.iter().copied().collect()
    }

    /// As another machine counted them.
    pub(super) fn at(moments: Vec<Moment>) -> Self {
        Self { at: moments.into() }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.at = VecDeque::new();
    }
}

impl Grain {
    fn cut(self, moment: Moment) -> Moment {
        match self {
            Self::WholeSeconds => {
                Moment::after_origin(Duration::from_secs(moment.since_origin().as_secs()))
            }
            Self::Exact => moment,
        }
    }

    fn is_over(self, age: Duration, window: Duration) -> bool {
        match self {
            Self::WholeSeconds => age.as_secs() > window.as_secs(),
            Self::Exact => age >= window,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(grain: Grain, restarts_max: u32, at: &[u64]) -> Vec<bool> {
        let limit = RestartLimit { restarts_max, window: Duration::from_secs(5) };
        let mut restarts = Restarts::default();
        at.iter()
            .map(|millis| {
                restarts.count(Moment::from_millis(*millis), limit, grain) == Tally::Within
            })
            .collect()
    }

    #[test]
    fn whole_seconds_stretch_the_window_as_otp_does() {
        assert_eq!(tallies(Grain::WholeSeconds, 1, &[0, 5_999]), [true, false]);
        assert_eq!(tallies(Grain::WholeSeconds, 1, &[0, 6_000]), [true, true]);
        assert_eq!(tallies(Grain::WholeSeconds, 1, &[999, 6_000]), [true, true]);
    }

    #[test]
    fn an_exact_window_ends_when_it_says() {
        assert_eq!(tallies(Grain::Exact, 1, &[0, 4_999]), [true, false]);
        assert_eq!(tallies(Grain::Exact, 1, &[0, 5_000]), [true, true]);
    }

    #[test]
    fn a_limit_of_zero_refuses_the_first_restart() {
        assert_eq!(tallies(Grain::Exact, 0, &[0]), [false]);
    }
}
