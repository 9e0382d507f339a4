//! Amounts of the two resources that a node divides, and how people read them.

use std::{fmt, iter::Sum, ops::Add};

/// The resources that a node divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

impl Resource {
    /// Both, in the order in which they are told.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Memory];

    /// The key of the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }

    /// An amount in CPUs, or in bytes.
    pub fn whole(self, amount: u64) -> f64 {
        match self {
            Self::Cpu => amount as f64 / 1000.0,
            Self::Memory => amount as f64,
        }
    }

    /// An amount as people write it: `1.5 cpus`, `256 MiB`.
    pub const fn written(self, amount: u64) -> Written {
        Written { resource: self, amount }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// An amount of both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Amount {
    /// Thousandths of one CPU's time.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Amount {
    /// Nothing of either.
    pub const ZERO: Self = Self { cpu_millis: 0, memory_bytes: 0 };

    /// How much of one resource: thousandths of a CPU, or bytes.
    pub const fn of(self, resource: Resource) -> u64 {
        match resource {
            Resource::Cpu => self.cpu_millis,
            Resource::Memory => self.memory_bytes,
        }
    }

    /// The amount whose parts `part` tells.
    pub fn from_parts(part: impl Fn(Resource) -> u64) -> Self {
        Self { cpu_millis: part(Resource::Cpu), memory_bytes: part(Resource::Memory) }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_parts(|resource| self.of(resource).saturating_add(other.of(resource)))
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Prints an amount of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    resource: Resource,
    amount: u64,
}

const UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl fmt::Display for Written {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.amount as f64;
        match self.resource {
            Resource::Cpu if self.amount == 1000 => formatter.write_str("1 cpu"),
            Resource::Cpu => write!(formatter, "{} cpus", decimal(number / 1000.0)),
            Resource::Memory => match UNITS.iter().find(|(_, size)| self.amount >= *size) {
                Some((unit, size)) => {
                    write!(formatter, "{} {unit}", decimal(number / *size as f64))
                }
                None => write!(formatter, "{} B", self.amount),
            },
        }
    }
}

/// At most two places, and no zeros at the end.
fn decimal(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_cpus_and_bytes() {
        let whole = Resource::ALL.map(|resource| resource.whole(1500));
        assert_eq!(whole, [1.5, 1500.0]);
    }

    #[test]
    fn amounts_are_written_as_people_read_them() {
        let memory = [(0, "0 B"), (1 << 20, "1 MiB"), (3 << 29, "1.5 GiB"), (1025, "1 KiB")];
        for (bytes, text) in memory {
            assert_eq!(Resource::Memory.written(bytes).to_string(), text);
        }
        for (millis, text) in
            [(0, "0 cpus"), (1000, "1 cpu"), (1500, "1.5 cpus"), (10, "0.01 cpus")]
        {
            assert_eq!(Resource::Cpu.written(millis).to_string(), text);
        }
    }
}
