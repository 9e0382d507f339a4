//! Whether a probed child counts as healthy, and when it is tried next.
//!
//! The machine counts tries; it does not make them. How a try is made, and what follows from a
//! verdict, is decided elsewhere.
//!
//! | state | a try succeeded | a try failed |
//! |---|---|---|
//! | `Healthy { failures }` | `failures` = 0 | at `failures_max`: `BecameUnhealthy`, else one more |
//! | `Unhealthy { successes }` | at `successes_min`: `BecameHealthy`, else one more | `successes` = 0 |

use std::{num::NonZeroU32, time::Duration};

use crate::moment::Moment;

/// The settings of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// From the end of one try to the start of the next.
    pub every: Duration,
    /// The same while the verdict is unhealthy, so that a recovery is noticed soon.
    pub every_unhealthy: Duration,
    /// This many failures in a row make it unhealthy.
    pub failures_max: NonZeroU32,
    /// This many successes in a row make it healthy.
    pub successes_min: NonZeroU32,
}

/// What is believed before the first try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumed {
    /// For liveness: only failures are news, and the first try waits for `every`.
    Healthy,
    /// For startup and readiness: only success is news, and the first try is made at once.
    Unhealthy,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// As hoped.
    Succeeded,
    /// Not so, or not in time.
    Failed,
}

/// A change of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `successes_min` tries in a row succeeded.
    BecameHealthy,
    /// `failures_max` tries in a row failed.
    BecameUnhealthy {
        /// How many they were.
        failures: NonZeroU32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Healthy { failures: u32 },
    Unhealthy { successes: u32 },
}

/// The verdict about one child by one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    thresholds: Thresholds,
    state: State,
    next_try: Moment,
}

impl Health {
    /// Begins to count at `now`.
    pub fn new(now: Moment, assumed: Assumed, thresholds: Thresholds) -> Self {
        let (state, next_try) = match assumed {
            Assumed::Healthy => (State::Healthy { failures: 0 }, now + thresholds.every),
            Assumed::Unhealthy => (State::Unhealthy { successes: 0 }, now),
        };
        Self { thresholds, state, next_try }
    }

    /// Counts a try that ended at `now`.
    pub fn on_event(&mut self, now: Moment, event: Event) -> Option<Change> {
        let change = match self.state {
            State::Healthy { failures } => self.on_event_healthy(failures, event),
            State::Unhealthy { successes } => self.on_event_unhealthy(successes, event),
        };
        self.next_try = now
            + match self.state {
                State::Healthy { .. } => self.thresholds.every,
                State::Unhealthy { .. } => self.thresholds.every_unhealthy,
            };
        change
    }

    /// When the next try starts.
    pub fn next_try(&self) -> Moment {
        self.next_try
    }

    fn on_event_healthy(&mut self, failures: u32, event: Event) -> Option<Change> {
        match event {
            Event::Succeeded => {
                self.state = State::Healthy { failures: 0 };
                None
            }
            Event::Failed if failures + 1 < self.thresholds.failures_max.get() => {
                self.state = State::Healthy { failures: failures + 1 };
                None
            }
            Event::Failed => {
                self.state = State::Unhealthy { successes: 0 };
                Some(Change::BecameUnhealthy { failures: self.thresholds.failures_max })
            }
        }
    }

    fn on_event_unhealthy(&mut self, successes: u32, event: Event) -> Option<Change> {
        match event {
            Event::Failed => {
                self.state = State::Unhealthy { successes: 0 };
                None
            }
            Event::Succeeded if successes + 1 < self.thresholds.successes_min.get() => {
                self.state = State::Unhealthy { successes: successes + 1 };
                None
            }
            Event::Succeeded => {
                self.state = State::Healthy { failures: 0 };
                Some(Change::BecameHealthy)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thresholds(failures_max: u32, successes_min: u32) -> Thresholds {
        Thresholds {
            every: Duration::from_secs(10),
            every_unhealthy: Duration::from_millis(200),
            failures_max: NonZeroU32::new(failures_max).unwrap(),
            successes_min: NonZeroU32::new(successes_min).unwrap(),
        }
    }

    /// One line for each try: `+` or `-`, and what became of it.
    fn story(assumed: Assumed, thresholds: Thresholds, tries: &str) -> String {
        let mut health = Health::new(Moment::ORIGIN, assumed, thresholds);
        let mut now = Moment::ORIGIN;
        let mut lines = vec![format!("first try at {}", health.next_try())];
        for mark in tries.chars() {
            now = now + Duration::from_secs(1);
            let event = if mark == '+' { Event::Succeeded } else { Event::Failed };
            let change = health.on_event(now, event);
            let change = change.map(|change| format!(" {change:?}")).unwrap_or_default();
            let pause = health.next_try().since(now);
            lines.push(format!("{now} {mark}{change}, again after {pause:?}"));
        }
        lines.join("\n")
    }

    #[test]
    fn a_live_child_is_unhealthy_after_failures_in_a_row_and_said_so_once() {
        insta::assert_snapshot!(story(Assumed::Healthy, thresholds(3, 1), "--+----+"), @"
        first try at 10.000
        1.000 -, again after 10s
        2.000 -, again after 10s
        3.000 +, again after 10s
        4.000 -, again after 10s
        5.000 -, again after 10s
        6.000 - BecameUnhealthy { failures: 3 }, again after 200ms
        7.000 -, again after 200ms
        8.000 + BecameHealthy, again after 10s
        ");
    }

    #[test]
    fn a_starting_child_is_tried_at_once_and_failures_before_readiness_are_no_news() {
        insta::assert_snapshot!(story(Assumed::Unhealthy, thresholds(1, 2), "--+-++-"), @"
        first try at 0.000
        1.000 -, again after 200ms
        2.000 -, again after 200ms
        3.000 +, again after 200ms
        4.000 -, again after 200ms
        5.000 +, again after 200ms
        6.000 + BecameHealthy, again after 10s
        7.000 - BecameUnhealthy { failures: 1 }, again after 200ms
        ");
    }

    proptest! {
        /// The verdict equals what counting the tail of the history by hand gives.
        #[test]
        fn verdicts_change_only_after_enough_equal_tries_in_a_row(
            failures_max in 1_u32..5,
            successes_min in 1_u32..5,
            tries in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let settings = thresholds(failures_max, successes_min);
            let mut health = Health::new(Moment::ORIGIN, Assumed::Unhealthy, settings);
            let mut healthy = false;
            for end in 1..=tries.len() {
                let last = tries[end - 1];
                let run = tries[..end].iter().rev().take_while(|&&one| one == last).count() as u32;
                let event = if last { Event::Succeeded } else { Event::Failed };
                let change = health.on_event(Moment::ORIGIN, event);
                let expected = match (healthy, last) {
                    (false, true) if run >= successes_min => Some(Change::BecameHealthy),
                    (true, false) if run >= failures_max => {
                        Some(Change::BecameUnhealthy { failures: settings.failures_max })
                    }
                    _ => None,
                };
                prop_assert_eq!(change, expected);
                healthy = healthy != expected.is_some();
            }
        }
    }
}
