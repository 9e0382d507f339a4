//! When a child that gives no sign of life has hung.
//!
//! | state    | is left when                                          | for      | and finds    |
//! |----------|-------------------------------------------------------|----------|--------------|
//! | unheard  | the first sign of life comes                          | silent   |              |
//! | silent   | a sign of life comes                                  | silent   |              |
//! | silent   | its patience is over, and it waits for a CPU          | silent   | it starves   |
//! | silent   | its patience is over, and it does not wait for one    | reported | it has hung  |
//! | reported | never                                                 |          |              |
//!
//! Silence is counted in beats, not by the clock: a beat that comes late, because the node itself was held
//! up, counts as one that was on time. Before its first sign of life only the deadline of its start judges a child.
//!
//! A child that wants to run and is not let, because the machine is overloaded or its quota is used up, would
//! be silent after a restart too: it gets the same patience again, up to [`STARVATIONS_MAX`] times. The kernel
//! is asked only when a patience is over.

use std::time::Duration;

/// How often a child gets its patience again because it waits for a CPU.
pub const STARVATIONS_MAX: u32 = 10;
/// A child that ran for more than its last patience divided by this was not kept from answering.
const RAN_DIVISOR: u32 = 2;

/// What the kernel says of a child's threads at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduling {
    /// Whether one of them runs or waits for a CPU; the others sleep or are stopped.
    pub is_runnable: bool,
    /// CPU time of all of them since their start.
    pub cpu: Duration,
}

/// What became of a child's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It waits for a CPU, and is given its patience again; how long it has been silent, at least.
    Starved(Duration),
    /// It does not answer; for how long, at least.
    Hung(Duration),
}

/// The silence of one child.
#[derive(Debug)]
pub struct Silence {
    patience: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Unheard,
    Silent { beats: u32, starved: Starved },
    Reported,
}

/// How often it was found to wait for a CPU in this silence, and how long it had run when it was last.
#[derive(Debug, Clone, Copy, Default)]
struct Starved {
    times: u32,
    cpu: Option<Duration>,
}

impl Silence {
    /// Of a child that has not been heard yet; a longer silence than `patience` is reported.
    pub fn new(patience: Duration) -> Self {
        Self { patience, state: State::Unheard }
    }

    /// The child gave a sign of life.
    pub fn heard(&mut self) {
        match self.state {
            State::Unheard | State::Silent { .. } => {
                self.state = State::Silent { beats: 0, starved: Starved::default() };
            }
            State::Reported => {}
        }
    }

    /// One beat, which is this long, has passed; `look` asks the kernel, which may not know.
    pub fn beat(
        &mut self,
        beat: Duration,
        look: impl FnOnce() -> Option<Scheduling>,
    ) -> Option<Finding> {
        let State::Silent { beats, starved } = &mut self.state else { return None };
        *beats = beats.saturating_add(1);
        let silence = beat.saturating_mul(*beats);
        if silence < self.patience.saturating_mul(starved.times + 1) {
            return None;
        }
        match look().filter(|seen| starved.goes_on(*seen, self.patience)) {
            Some(seen) => {
                *starved = Starved { times: starved.times + 1, cpu: Some(seen.cpu) };
                Some(Finding::Starved(silence))
            }
            None => {
                self.state = State::Reported;
                Some(Finding::Hung(silence))
            }
        }
    }
}

impl Starved {
    /// What it ran before the first look is not known.
    fn goes_on(&self, seen: Scheduling, patience: Duration) -> bool {
        let ran = self.cpu.map_or(Duration::ZERO, |before| seen.cpu.saturating_sub(before));
        seen.is_runnable && ran <= patience / RAN_DIVISOR && self.times < STARVATIONS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(250);
    const PATIENCE: Duration = Duration::from_secs(1);

    fn heard() -> Silence {
        let mut silence = Silence::new(PATIENCE);
        silence.heard();
        silence
    }

    /// What is found in this many beats, and at which of them.
    fn findings(
        silence: &mut Silence,
        beats: u32,
        look: impl Fn() -> Option<Scheduling>,
    ) -> Vec<(u32, Finding)> {
        (1..=beats).filter_map(|beat| Some((beat, silence.beat(BEAT, &look)?))).collect()
    }

    fn asleep() -> Option<Scheduling> {
        Some(Scheduling { is_runnable: false, cpu: Duration::from_secs(9) })
    }

    fn waiting() -> Option<Scheduling> {
        Some(Scheduling { is_runnable: true, cpu: Duration::from_secs(9) })
    }

    #[test]
    fn a_child_that_sleeps_has_hung_when_its_patience_is_over_and_is_reported_once() {
        let mut silence = heard();
        assert_eq!(findings(&mut silence, 100, asleep), [(4, Finding::Hung(PATIENCE))]);
        silence.heard();
        assert_eq!(findings(&mut silence, 100, asleep), []);
        assert_eq!(findings(&mut heard(), 100, || None), [(4, Finding::Hung(PATIENCE))]);
    }

    #[test]
    fn who_was_never_heard_is_not_judged_and_who_answers_is_never_looked_at() {
        assert_eq!(findings(&mut Silence::new(PATIENCE), 100, asleep), []);
        let mut silence = heard();
        for _ in 0..100 {
            assert_eq!(findings(&mut silence, 3, || panic!("the kernel was asked")), []);
            silence.heard();
        }
    }

    #[test]
    fn a_child_that_waits_for_a_cpu_gets_its_patience_again_up_to_a_bound() {
        let found = findings(&mut heard(), 1000, waiting);
        let (last, starved) = found.split_last().expect("it was found");
        let expected =
            (1..=STARVATIONS_MAX).map(|time| (4 * time, Finding::Starved(PATIENCE * time)));
        assert_eq!(starved, expected.collect::<Vec<_>>());
        assert_eq!(*last, (44, Finding::Hung(PATIENCE * 11)));
    }

    #[test]
    fn a_sign_of_life_ends_a_starvation() {
        let mut silence = heard();
        for _ in 0..3 * STARVATIONS_MAX {
            assert_eq!(findings(&mut silence, 4, waiting), [(4, Finding::Starved(PATIENCE))]);
            silence.heard();
        }
        assert_eq!(findings(&mut silence, 4, asleep), [(4, Finding::Hung(PATIENCE))]);
    }

    #[test]
    fn a_child_that_is_stopped_while_it_starves_has_hung_a_patience_later() {
        let mut silence = heard();
        assert_eq!(findings(&mut silence, 4, waiting), [(4, Finding::Starved(PATIENCE))]);
        assert_eq!(findings(&mut silence, 4, asleep), [(4, Finding::Hung(2 * PATIENCE))]);
    }

    #[test]
    fn a_child_that_runs_and_does_not_answer_has_hung_a_patience_later() {
        let mut silence = heard();
        let after = |ran: Duration| {
            move || Some(Scheduling { is_runnable: true, cpu: Duration::from_secs(9) + ran })
        };
        assert_eq!(findings(&mut silence, 4, waiting), [(4, Finding::Starved(PATIENCE))]);
        let ran = PATIENCE / RAN_DIVISOR;
        assert_eq!(findings(&mut silence, 4, after(ran)), [(4, Finding::Starved(2 * PATIENCE))]);
        let ran = 2 * ran + BEAT;
        assert_eq!(findings(&mut silence, 4, after(ran)), [(4, Finding::Hung(3 * PATIENCE))]);
    }
}
