//! A histogram of durations with fixed bounds, as Prometheus wants it.

use std::time::Duration;

/// Upper bounds of the buckets, in seconds; everything longer is in the last, unbounded one.
const BOUNDS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How often something took how long.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: [u32; BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// Adds one observation.
    pub fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.sum += duration;
    }

    /// For each bound, how many observations were at most that long.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.iter().zip(self.counts).scan(0, |total, (bound, count)| {
            *total += u64::from(count);
            Some((*bound, *total))
        })
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// The sum of all observations.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_last_one_is_open() {
        let mut histogram = Histogram::default();
        for millis in [1, 2, 700, 100_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3]);
        assert_eq!(histogram.count(), 4);
        assert_eq!(histogram.sum(), Duration::from_millis(100_703));
    }
}
