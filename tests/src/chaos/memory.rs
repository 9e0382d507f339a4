//! Whether memory grows: windows of rounds of one life, compared.

/// Fewer samples say nothing.
const SAMPLES_MIN: usize = 24;
/// A later window may be larger by so much, in bytes, and in parts of a hundred.
const GROWTH_MAX: u64 = 1 << 20;
const GROWTH_PERCENT_MAX: u64 = 10;

/// Memory of guardian and node together at the end of each round, in bytes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    samples: Vec<u64>,
    /// What lives that are over had: their second and their last quarter.
    windows: Vec<(u64, u64)>,
}

impl Memory {
    pub(super) fn sample(&mut self, bytes: u64) {
        self.samples.push(bytes);
    }

    /// Ends a life, and tells if memory grew in it. The first quarter is left out: buffers with a bound
    /// fill up in it.
    pub(super) fn close(&mut self) -> Option<String> {
        let samples = std::mem::take(&mut self.samples);
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let quarter = samples.len() / 4;
        let early = median(&samples[quarter..2 * quarter]);
        let late = median(&samples[samples.len() - quarter..]);
        self.windows.push((early, late));
        let most = early + early * GROWTH_PERCENT_MAX / 100 + GROWTH_MAX;
        let grew = || {
            let in_kib: Vec<u64> = samples.iter().map(|bytes| bytes >> 10).collect();
            format!("memory grew from {} to {} KiB: {in_kib:?}", early >> 10, late >> 10)
        };
        (late > most).then(grew)
    }

    pub(super) fn windows(&self) -> &[(u64, u64)] {
        &self.windows
    }
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
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
        assert_eq!(close((0..60_u64).map(|round| (16 << 20) + (round.min(12) << 17))), None);
        assert_eq!(close((0..10).map(|round| round << 24)), None, "too few samples");
    }
}
