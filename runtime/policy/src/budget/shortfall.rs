//! Why something is not admitted: the arithmetic, as people check it.

use std::fmt;

use super::{Amount, Resource};

/// Holders that are named; the others are added up.
const HOLDERS_NAMED_MAX: usize = 8;

/// Guarantees that do not fit into what is free.
///
/// The text is `not enough memory: 768 MiB are needed (3 × 256 MiB), 512 MiB of 2 GiB are free;
/// held: db-1 1 GiB, api-1 512 MiB`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall<Id> {
    /// Which resource is short; the first when both are.
    pub resource: Resource,
    /// What each of those that ask wants guaranteed.
    pub asked: Vec<u64>,
    /// The whole budget.
    pub budget: u64,
    /// Who has how much of it guaranteed, the largest first.
    pub holders: Vec<(Id, u64)>,
}

impl<Id: Clone + Ord> Shortfall<Id> {
    /// `None` when what is asked fits.
    pub(crate) fn of(budget: Amount, held: &[(Id, Amount)], asked: &[Amount]) -> Option<Self> {
        let total: Amount =
            held.iter().map(|(_, amount)| *amount).chain(asked.iter().copied()).sum();
        // An instance that asks for nothing of a resource is not refused for lack of it.
        let is_short = |resource: &Resource| {
            total.of(*resource) > budget.of(*resource)
                && asked.iter().any(|amount| amount.of(*resource) > 0)
        };
        let resource = Resource::ALL.into_iter().find(is_short)?;
        let mut holders: Vec<(Id, u64)> = held
            .iter()
            .map(|(id, amount)| (id.clone(), amount.of(resource)))
            .filter(|(_, amount)| *amount > 0)
            .collect();
        holders.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
        let asked = asked.iter().map(|amount| amount.of(resource)).collect();
        Some(Self { resource, asked, budget: budget.of(resource), holders })
    }

    /// What is needed altogether.
    pub fn needed(&self) -> u64 {
        self.asked.iter().sum()
    }

    /// What nobody has been guaranteed.
    pub fn free(&self) -> u64 {
        self.budget.saturating_sub(self.holders.iter().map(|(_, amount)| amount).sum())
    }
}

impl<Id: Clone + Ord + fmt::Display> fmt::Display for Shortfall<Id> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = |amount| self.resource.written(amount);
        write!(formatter, "not enough {}: {} are needed", self.resource, written(self.needed()))?;
        match self.asked.as_slice() {
            [] | [_] => {}
            [first, rest @ ..] if rest.iter().all(|amount| amount == first) => {
                write!(formatter, " ({} × {})", self.asked.len(), written(*first))?;
            }
            several => {
                let parts: Vec<String> =
                    several.iter().map(|amount| written(*amount).to_string()).collect();
                write!(formatter, " ({})", parts.join(" + "))?;
            }
        }
        write!(formatter, ", {} of {} are free", written(self.free()), written(self.budget))?;
        let (named, others) = self.holders.split_at(self.holders.len().min(HOLDERS_NAMED_MAX));
        let mut held: Vec<String> =
            named.iter().map(|(id, amount)| format!("{id} {}", written(*amount))).collect();
        if !others.is_empty() {
            let sum = others.iter().map(|(_, amount)| amount).sum();
            held.push(format!("{} others {}", others.len(), written(sum)));
        }
        if held.is_empty() { Ok(()) } else { write!(formatter, "; held: {}", held.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(mib: u64) -> Amount {
        Amount { memory_bytes: mib << 20, ..Amount::ZERO }
    }

    #[test]
    fn the_arithmetic_is_told() {
        let held = [("api-1", memory(512)), ("db-1", memory(1024)), ("free-1", Amount::ZERO)];
        let short = Shortfall::of(memory(2048), &held, &[memory(256); 3]).expect("too much");
        insta::assert_snapshot!(
            short,
            @"not enough memory: 768 MiB are needed (3 × 256 MiB), 512 MiB of 2 GiB are free; held: db-1 1 GiB, api-1 512 MiB"
        );
        assert_eq!(Shortfall::of(memory(2048), &held, &[memory(256); 2]), None);
    }

    #[test]
    fn many_holders_are_added_up() {
        let held: Vec<(u32, Amount)> = (0..20).map(|id| (id, memory(10))).collect();
        let short = Shortfall::of(memory(200), &held, &[memory(5), memory(6)]).expect("too much");
        let text = short.to_string();
        assert!(text.contains("11 MiB are needed (5 MiB + 6 MiB), 0 B of 200 MiB"), "{text}");
        assert!(text.ends_with("7 10 MiB, 12 others 120 MiB"), "{text}");
    }
}
