//! Tells a burst from what comes all the time.
//!
//! Who handles each of many things as soon as it comes pays a wake-up for every one of them. Who waits before
//! each pays for few, but the first ones come late. [`Pace`] has both: a burst is handled as it comes, and
//! only between rounds that follow each other without end a pause is taken, in which things collect.

use std::time::Duration;

/// Rounds in a row, each less than a pause after the one before, that are a burst and no more.
const BURST_ROUNDS_MAX: u32 = 8;

/// How fast rounds follow each other.
#[derive(Debug)]
pub struct Pace {
    pause: Duration,
    rounds_in_a_row: u32,
}

impl Pace {
    /// For pauses of this length, which is also the least time between two bursts.
    pub fn new(pause: Duration) -> Self {
        Self { pause, rounds_in_a_row: 0 }
    }

    /// The pause to take after a round that was waited for so long, if any.
    pub fn after(&mut self, waited: Duration) -> Option<Duration> {
        let is_soon = waited < self.pause;
        self.rounds_in_a_row = if is_soon { self.rounds_in_a_row.saturating_add(1) } else { 0 };
        (self.rounds_in_a_row > BURST_ROUNDS_MAX).then_some(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_has_no_pauses_and_what_comes_all_the_time_has() {
        let pause = Duration::from_millis(1);
        let mut pace = Pace::new(pause);
        let soon = pause / 10;
        assert!((0..BURST_ROUNDS_MAX).all(|_| pace.after(soon).is_none()), "a burst");
        assert_eq!(pace.after(soon), Some(pause), "it goes on");
        assert_eq!(pace.after(Duration::ZERO), Some(pause), "and on");
        assert_eq!(pace.after(pause), None, "it has stopped");
        assert_eq!(pace.after(soon), None, "another burst");
    }
}
