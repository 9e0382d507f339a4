//! Adjustments, with the arithmetic that led to them.

use std::fmt;

use super::{Resource, Tier, member::Part};

/// An instance may use less.
///
/// The text is `memory: may use 424 MiB and wants 900 MiB: all together want 1.5 GiB of 1 GiB; it is
/// standard and guaranteed 100 MiB`. Amounts are in thousandths of a CPU or in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Squeeze {
    /// Of what.
    pub resource: Resource,
    /// What it may use.
    pub to: u64,
    /// What it would use.
    pub demand: u64,
    /// What it is guaranteed.
    pub guarantee: u64,
    /// Its tier.
    pub tier: Tier,
    /// What all instances want together.
    pub wanted: u64,
    /// What there is.
    pub budget: u64,
}

impl fmt::Display for Squeeze {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, to, demand, guarantee, tier, wanted, budget } = *self;
        let written = |amount| resource.written(amount);
        write!(
            formatter,
            "{resource}: may use {} and wants {}: all together want {} of {}; it is \
             {tier} and guaranteed {}",
            written(to),
            written(demand),
            written(wanted),
            written(budget),
            written(guarantee),
        )
    }
}

/// An instance is no longer held back. Amounts are in thousandths of a CPU or in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Of what.
    pub resource: Resource,
    /// What all instances want together.
    pub wanted: u64,
    /// What there is.
    pub budget: u64,
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, wanted, budget } = *self;
        let written = |amount| resource.written(amount);
        write!(
            formatter,
            "{resource}: is not held back any more: all together want {} of {}",
            written(wanted),
            written(budget)
        )
    }
}

/// A guarantee has followed rolling use, or has gone to somebody of a higher tier. Amounts are in thousandths of
/// a CPU or in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuaranteeChange {
    /// Of what.
    pub resource: Resource,
    /// Until now.
    pub from: u64,
    /// From now on.
    pub to: u64,
    /// What it uses, or would use.
    pub demand: u64,
}

impl fmt::Display for GuaranteeChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, from, to, demand } = *self;
        let written = |amount| resource.written(amount);
        write!(
            formatter,
            "{resource}: is guaranteed {} instead of {}, and wants {} now",
            written(to),
            written(from),
            written(demand)
        )
    }
}

/// What is known when a member's turn has come.
pub(super) struct Facts {
    pub(super) resource: Resource,
    pub(super) tier: Tier,
    pub(super) part: Part,
    pub(super) wanted: u64,
    pub(super) budget: u64,
}

impl Facts {
    pub(super) fn squeeze(&self, to: u64) -> Squeeze {
        let Self { resource, tier, part, wanted, budget } = *self;
        let Part { demand, guarantee, .. } = part;
        Squeeze { resource, to, demand, guarantee, tier, wanted, budget }
    }

    pub(super) fn release(&self) -> Release {
        Release { resource: self.resource, wanted: self.wanted, budget: self.budget }
    }

    pub(super) fn change(&self, from: u64) -> GuaranteeChange {
        let Part { demand, guarantee, .. } = self.part;
        GuaranteeChange { resource: self.resource, from, to: guarantee, demand }
    }
}
