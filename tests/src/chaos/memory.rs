//! Whether memory grows: a line through what one life had at the ends of its rounds.
//!
//! An allocator keeps what it once had, so that the most that was ever held at a time (two hundred connections,
//! a queue that was full) is a step, once. What leaks goes on growing: it rises from each part of a life to
//! the next, which a step or two do not.

/// Fewer samples say nothing.
const SAMPLES_MIN: usize = 24;
/// What the line may rise by over the second half of a life, in bytes.
const GROWTH_MAX: f64 = (1 << 20) as f64;
/// Into so many parts that half is divided.
const PARTS: usize = 4;
/// What leaks rises from a part to the next by at least this share of what an even rise would be.
const EVEN_SHARE: f64 = 0.25;

/// What guardian and node have allocated together at the end of each round, in bytes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    samples: Vec<u64>,
    /// Of the lives that are over.
    fits: Vec<Fit>,
}

/// The line through the second half of a life. The first half is left out: in it buffers with a bound
/// fill up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fit {
    /// Rounds.
    pub(super) samples: usize,
    /// The median, in bytes.
    pub(super) median: u64,
    /// What the line rises by from the first of these rounds to the last, in bytes.
    pub(super) growth: f64,
    /// The least that it rose by from one part to the next, in bytes: medians.
    rise_least: f64,
}

impl Fit {
    /// Theil and Sen's line: its slope is the median of those between any two samples, so that a few
    /// that stand out say nothing.
    fn of_second_half(samples: &[u64]) -> Self {
        let half = &samples[samples.len() / 2..];
        let mut slopes = Vec::new();
        for (place, early) in half.iter().enumerate() {
            let later = half[place + 1..].iter().zip(1_u32..);
            slopes.extend(
                later.map(|(late, apart)| (*late as f64 - *early as f64) / f64::from(apart)),
            );
        }
        slopes.sort_by(f64::total_cmp);
        let mut sorted = half.to_vec();
        sorted.sort_unstable();
        Self {
            samples: half.len(),
            median: sorted[half.len() / 2],
            growth: slopes[slopes.len() / 2] * (half.len() - 1) as f64,
            rise_least: rise_least(half),
        }
    }

    fn is_leak(&self) -> bool {
        let even = self.growth / PARTS as f64;
        self.growth > GROWTH_MAX && self.rise_least > EVEN_SHARE * even
    }
}

fn rise_least(samples: &[u64]) -> f64 {
    let median = |part: usize| {
        let bounds = [part, part + 1].map(|part| samples.len() * part / PARTS);
        let mut sorted = samples[bounds[0]..bounds[1]].to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2] as f64
    };
    (1..PARTS).map(|part| median(part) - median(part - 1)).fold(f64::INFINITY, f64::min)
}

impl Memory {
    pub(super) fn sample(&mut self, bytes: u64) {
        self.samples.push(bytes);
    }

    /// Ends a life, and tells if memory grew in it.
    pub(super) fn close(&mut self) -> Option<String> {
        let samples = std::mem::take(&mut self.samples);
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let fit = Fit::of_second_half(&samples);
        self.fits.push(fit);
        let grew = || {
            let in_kib: Vec<u64> = samples.iter().map(|bytes| bytes >> 10).collect();
            let Fit { samples, growth, .. } = fit;
            format!("memory grew by {:.0} KiB in {samples} rounds: {in_kib:?}", growth / 1024.0)
        };
        fit.is_leak().then(grew)
    }

    pub(super) fn fits(&self) -> &[Fit] {
        &self.fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(samples: impl Iterator<Item = u64>) -> Option<String> {
        let mut memory = Memory::default();
        samples.for_each(|bytes| memory.sample(bytes));
        memory.close()
    }

    #[test]
    fn what_grows_for_ever_is_told_and_what_fills_up_is_not() {
        assert!(close((0..60).map(|round| (16 << 20) + (round << 17))).is_some());
        assert_eq!(close((0..60_u64).map(|round| (16 << 20) + (round.min(20) << 17))), None);
        assert_eq!(close((0..10).map(|round| round << 24)), None, "too few samples");
    }

    #[test]
    fn what_was_held_once_is_no_leak_however_late() {
        for at in 30..60 {
            let step = |round| (16 << 20) + if round < at { 0 } else { 4 << 20 };
            assert_eq!(close((0..60).map(step)), None, "a step at {at}");
        }
        let two = |round: u64| (16 << 20) + (round / 40 + round / 50) * (2 << 20);
        assert_eq!(close((0..60).map(two)), None);
    }

    #[test]
    fn what_leaks_now_and_then_is_told() {
        let leaks = |round: u64| (16 << 20) + (round / 5) * (1 << 19) + ((round * 7919 % 64) << 10);
        assert!(close((0..60).map(leaks)).is_some());
    }

    #[test]
    fn a_few_samples_that_stand_out_say_nothing() {
        let peaks = (0..60_u64).map(|round| if round > 55 { 64 << 20 } else { 16 << 20 });
        assert_eq!(close(peaks), None);
    }
}
