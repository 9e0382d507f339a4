//! What is measured of each instance: the columns of the table, and how each is written.

use clap::ValueEnum;

use crate::text;

/// A number that every instance has, or lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Measure {
    /// Percent of one core
    Cpu,
    /// Bytes of memory
    Memory,
    /// Bytes read from disks in a second
    Read,
    /// Bytes written to disks in a second
    Write,
    /// Threads of all processes
    Threads,
    /// Open file descriptors
    Files,
    /// Established connections
    Connections,
    /// Percent of the time that it was held back by its CPU quota
    Throttled,
    /// Percent of the time that it waited for cpu, memory or disks, whichever is most
    Pressure,
    /// Restarts since the node started
    Restarts,
}

impl Measure {
    /// Every one, in the order of the columns.
    pub(crate) const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Memory,
        Self::Read,
        Self::Write,
        Self::Threads,
        Self::Files,
        Self::Connections,
        Self::Throttled,
        Self::Pressure,
        Self::Restarts,
    ];

    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "MEMORY",
            Self::Read => "READ/S",
            Self::Write => "WRITE/S",
            Self::Threads => "THREADS",
            Self::Files => "FILES",
            Self::Connections => "CONNS",
            Self::Throttled => "THROTTLED",
            Self::Pressure => "PRESSURE",
            Self::Restarts => "RESTARTS",
        }
    }

    /// The key that sorts by it.
    pub(super) const fn key(self) -> char {
        match self {
            Self::Cpu => 'c',
            Self::Memory => 'm',
            Self::Read => 'r',
            Self::Write => 'w',
            Self::Threads => 't',
            Self::Files => 'f',
            Self::Connections => 'o',
            Self::Throttled => 'h',
            Self::Pressure => 'p',
            Self::Restarts => 's',
        }
    }

    /// On a narrow terminal the column with the highest number is left out first.
    pub(super) const fn expendable(self) -> u8 {
        match self {
            Self::Cpu | Self::Memory => 0,
            Self::Read | Self::Write => 3,
            Self::Connections => 4,
            Self::Throttled => 5,
            Self::Pressure => 6,
            Self::Threads => 7,
            Self::Files => 8,
            Self::Restarts => 9,
        }
    }

    /// What a sparkline's highest block stands for at least.
    pub(super) const fn floor(self) -> f64 {
        match self {
            Self::Cpu | Self::Throttled | Self::Pressure => 10.0,
            Self::Memory | Self::Read | Self::Write => (1 << 20) as f64,
            Self::Threads | Self::Files | Self::Connections => 10.0,
            Self::Restarts => 1.0,
        }
    }

    /// Whether numbers of several instances add up to something.
    pub(super) const fn is_additive(self) -> bool {
        !matches!(self, Self::Throttled | Self::Pressure)
    }

    pub(super) fn written(self, number: Option<f64>) -> String {
        let Some(number) = number else { return "-".to_owned() };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts and bytes are whole and not negative"
        )]
        let whole = number as u64;
        match self {
            Self::Cpu | Self::Throttled | Self::Pressure => format!("{number:.1}%"),
            Self::Memory => text::bytes(Some(whole)),
            Self::Read | Self::Write if whole == 0 => "0".to_owned(),
            Self::Read | Self::Write => text::bytes(Some(whole)),
            Self::Threads | Self::Files | Self::Connections | Self::Restarts => whole.to_string(),
        }
    }
}
