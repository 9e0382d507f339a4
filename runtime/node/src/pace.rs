//! Tells a burst from what comes all the time.
//!
//! Who handles each of many things as soon as it comes pays a wake-up for every one of them. Who waits before
//! each pays for few, but the first ones come late. [`Pace`] has both: a burst is handled as it comes, and
//! only between rounds that follow each other without end a pause is taken, in which things collect.

use std::time::Duration;

/// Rounds in a row, each less than a pause after the one before, that are a burst and no more.
pub(crate) const BURST_ROUNDS_MAX: u32 = 8;

/// Who is in the middle of pauses goes on with them as long as something comes in all but this part of each.
const CALM_PART: u32 = 8;

/// How fast rounds follow each other.
#[derive(Debug)]
pub struct Pace {
    pause: Duration,
    rounds_in_a_row: u32,
}

impl Pace {
    /// For pauses of this length; rounds that far apart are no burst.
    pub fn new(pause: Duration) -> Self {
        Self { pause, rounds_in_a_row: 0 }
    }

    /// The pause to take after a round that was waited for so long, if any.
    pub fn after(&mut self, waited: Duration) -> Option<Duration> {
        let soon = if self.has_pauses() { self.pause / CALM_PART } else { self.pause };
        self.rounds_in_a_row =
            if waited < soon { self.rounds_in_a_row.saturating_add(1) } else { 0 };
        self.has_pauses().then_some(self.pause)
    }

    /// The round has found more than it could handle: the next ones follow without a pause.
    pub fn hurry(&mut self) {
        self.rounds_in_a_row = 0;
    }

    fn has_pauses(&self) -> bool {
        self.rounds_in_a_row > BURST_ROUNDS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(1);
    const SOON: Duration = Duration::from_micros(500);

    fn in_pauses() -> Pace {
        let mut pace = Pace::new(PAUSE);
        assert!((0..BURST_ROUNDS_MAX).all(|_| pace.after(SOON).is_none()), "a burst");
        assert_eq!(pace.after(SOON), Some(PAUSE), "it goes on");
        pace
    }

    #[test]
    fn what_comes_all_the_time_is_handled_in_pauses() {
        let mut pace = in_pauses();
        assert_eq!(pace.after(Duration::ZERO), Some(PAUSE), "and on");
        assert_eq!(pace.after(SOON), None, "nothing had come in the pause");
        assert_eq!(pace.after(SOON), None, "another burst");
    }

    #[test]
    fn bursts_that_are_a_pause_apart_have_none() {
        let mut pace = Pace::new(PAUSE);
        let rounds = (0..100).map(|round| if round % 8 == 0 { PAUSE } else { SOON });
        assert!(rounds.into_iter().all(|waited| pace.after(waited).is_none()));
    }

    #[test]
    fn who_is_behind_takes_no_pause() {
        let mut pace = in_pauses();
        pace.hurry();
        assert_eq!(pace.after(Duration::ZERO), None);
    }
}
