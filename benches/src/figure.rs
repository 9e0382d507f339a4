//! One measured figure: its samples, and what they mean.

use std::fmt;

/// Our own name among subjects.
pub const BH: &str = "bh";

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time, in milliseconds.
    Milliseconds,
    /// Memory.
    KiB,
    /// How often, in a second.
    PerSecond,
    /// Processes.
    Processes,
    /// Instructions.
    Instructions,
    /// Of a power.
    Exponent,
}

impl Unit {
    /// Whether it tells more as a ratio to the limit. The limit holds next to no memory, so that
    /// ratios of that tell nothing.
    pub fn has_ratios(self) -> bool {
        match self {
            Self::Milliseconds | Self::PerSecond => true,
            Self::KiB | Self::Processes | Self::Instructions | Self::Exponent => false,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Milliseconds => "ms",
            Self::KiB => "KiB",
            Self::PerSecond => "/s",
            Self::Processes => "processes",
            Self::Instructions => "instructions",
            Self::Exponent => "",
        })
    }
}

/// What a subject is to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The same work with as little around it as possible: others are told as ratios to it. It is no bound of nature:
    /// the raw link does no more than read, write and sleep, and who looks for its peer instead of sleeping is faster.
    Limit,
    /// A second measure beside the limit. Nobody would pick it, so no goal holds `bh` against it.
    Reference,
    /// `bh`, which is held to goals.
    Ours,
    /// What a user would pick instead.
    Peer,
}

/// What `bh` is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// At most so many times the limit.
    TimesLimit(f64),
    /// At least the limit divided by this.
    LimitOver(f64),
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// At least so many times what the best peer does, where more is better.
    TimesPeers(f64),
}

/// Samples of one case, taken of one subject.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Its family.
    pub bench: &'static str,
    /// What was measured, such as `start 200`.
    pub case: String,
    /// Of whom.
    pub subject: &'static str,
    /// What the subject is to its case.
    pub role: Role,
    /// In what.
    pub unit: Unit,
    /// What `bh` is held to, where it is.
    pub goals: Vec<Goal>,
    samples: Vec<f64>,
}

impl Figure {
    /// A figure with at least one sample, in any order.
    ///
    /// # Panics
    /// Without a sample.
    pub fn new(
        bench: &'static str,
        case: impl Into<String>,
        subject: &'static str,
        unit: Unit,
        mut samples: Vec<f64>,
    ) -> Self {
        assert!(!samples.is_empty(), "a figure needs a sample");
        samples.sort_by(f64::total_cmp);
        let role = if subject == BH { Role::Ours } else { Role::Peer };
        Self { bench, case: case.into(), subject, role, unit, goals: Vec::new(), samples }
    }

    /// The same figure, as what others are told beside.
    #[must_use]
    pub fn as_limit(mut self) -> Self {
        self.role = Role::Limit;
        self
    }

    /// The same figure, as a second measure beside the limit.
    #[must_use]
    pub fn as_reference(mut self) -> Self {
        self.role = Role::Reference;
        self
    }

    /// The same figure, with goals.
    #[must_use]
    pub fn held_to(mut self, goals: impl IntoIterator<Item = Goal>) -> Self {
        self.goals = goals.into_iter().collect();
        self
    }

    /// The median.
    pub fn median(&self) -> f64 {
        let middle = self.samples.len() / 2;
        if self.samples.len() % 2 == 1 {
            self.samples[middle]
        } else {
            f64::midpoint(self.samples[middle - 1], self.samples[middle])
        }
    }

    /// How often it was measured.
    pub fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// The first and the third quartile; of fewer than five samples the least and the most.
    pub fn quartiles(&self) -> (f64, f64) {
        let last = self.samples.len() - 1;
        (self.samples[last / 4], self.samples[last - last / 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(samples: &[f64]) -> Figure {
        Figure::new("bench", "case", "bh", Unit::Milliseconds, samples.to_vec())
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(figure(&[9.0, 1.0, 3.0]).median().to_bits(), 3.0_f64.to_bits());
        assert_eq!(figure(&[4.0, 1.0, 2.0, 9.0]).median().to_bits(), 3.0_f64.to_bits());
    }

    #[test]
    fn quartiles_leave_out_the_same_on_both_sides() {
        let samples: Vec<f64> = (0..9).map(f64::from).collect();
        assert_eq!(figure(&samples).quartiles(), (2.0, 6.0));
        assert_eq!(figure(&[5.0]).quartiles(), (5.0, 5.0));
    }
}
