//! What the budget remembers of one instance: its rolling use, and where it is held back.
//!
//! | grip, of each resource | meaning | left by |
//! | --- | --- | --- |
//! | `Free` | uses what it likes | its share becomes less than its demand |
//! | `Held` | may use so much, and would use more | it has all that it wants, and there is room again |
//!
//! What is held back cannot show what it wants, so the demand from before is remembered, until it
//! visibly wants less than it may have.

use std::time::Duration;

use super::{
    Amount, Claim, Resource,
    division::{Portion, Wish},
};
use crate::moment::Moment;

/// Below this share of what it may use, a member is not what holds it back.
const HELD_BACK_PERCENT: u64 = 90;
/// What a member that is held back may use is told a little low, so that it need not be told
/// again for every small change.
const TOLD_PERCENT: u64 = 97;
/// It is told again when it might have this share of what it was told.
const TOLD_AGAIN_PERCENT: u64 = 110;
/// A guarantee is told again when it has changed by this share of itself.
const GUARANTEE_CHANGE_PERCENT: u64 = 10;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) claim: Claim,
    rolling: Option<Rolling>,
    cpu: Part,
    memory: Part,
}

/// An average over the past that forgets exponentially.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rolling {
    at: Moment,
    cpu_millis: f64,
    memory_bytes: f64,
}

/// What is remembered of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) demand: u64,
    pub(super) guarantee: u64,
    pub(super) told_guarantee: u64,
    pub(super) grip: Grip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grip {
    Free,
    Held { told: u64 },
}

/// What a new division means for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// As before.
    Nothing,
    /// It may use this much from now on.
    Squeeze(u64),
    /// It is no longer held back.
    Release,
}

impl Member {
    pub(super) fn new(claim: Claim) -> Self {
        let part = |stated| Part {
            demand: 0,
            guarantee: stated,
            told_guarantee: stated,
            grip: Grip::Free,
        };
        Self {
            claim,
            rolling: None,
            cpu: part(claim.guarantee.cpu_millis),
            memory: part(claim.guarantee.memory_bytes),
        }
    }

    pub(super) fn part(&self, resource: Resource) -> &Part {
        match resource {
            Resource::Cpu => &self.cpu,
            Resource::Memory => &self.memory,
        }
    }

    pub(super) fn part_mut(&mut self, resource: Resource) -> &mut Part {
        match resource {
            Resource::Cpu => &mut self.cpu,
            Resource::Memory => &mut self.memory,
        }
    }

    /// It was seen to use this much.
    pub(super) fn observe(&mut self, now: Moment, used: Amount, window: Duration) {
        for resource in Resource::ALL {
            self.part_mut(resource).observe(used.of(resource));
        }
        let rolling = self.rolling.get_or_insert(Rolling {
            at: now,
            cpu_millis: used.cpu_millis as f64,
            memory_bytes: used.memory_bytes as f64,
        });
        let elapsed = now.since(rolling.at).as_secs_f64();
        let fresh = elapsed / (window.as_secs_f64() + elapsed);
        rolling.at = now;
        rolling.cpu_millis += (used.cpu_millis as f64 - rolling.cpu_millis) * fresh;
        rolling.memory_bytes += (used.memory_bytes as f64 - rolling.memory_bytes) * fresh;
    }

    /// It has no process now. What it used before is not forgotten.
    pub(super) fn rest(&mut self) {
        for resource in Resource::ALL {
            self.part_mut(resource).observe(0);
        }
    }

    pub(super) fn wish(&self, resource: Resource) -> Wish {
        let part = self.part(resource);
        Wish {
            tier: self.claim.tier,
            stated: self.claim.guarantee.of(resource),
            rolling: self.rolling(resource),
            demand: part.demand,
        }
    }

    /// What its rolling use says it should be guaranteed.
    fn rolling(&self, resource: Resource) -> u64 {
        let average = self.rolling.map_or(0.0, |rolling| match resource {
            Resource::Cpu => rolling.cpu_millis,
            Resource::Memory => rolling.memory_bytes,
        });
        let with_buffer = average * (100 + self.claim.tier.buffer_percent()) as f64 / 100.0;
        with_buffer.round() as u64
    }
}

impl Part {
    fn observe(&mut self, used: u64) {
        self.demand = match self.grip {
            Grip::Held { told } if used >= percent(told, HELD_BACK_PERCENT) => {
                self.demand.max(used)
            }
            Grip::Held { .. } | Grip::Free => used,
        };
    }

    /// What follows from a new portion; `has_room` says that there is enough for everybody again,
    /// and some to spare.
    pub(super) fn turn(&mut self, portion: Portion, has_room: bool) -> Turn {
        let Portion { guarantee, allotment } = portion;
        self.guarantee = guarantee;
        let is_short = allotment < self.demand;
        // What is guaranteed may be used even where less is wanted.
        let most = allotment.max(guarantee);
        let told = if is_short { percent(most, TOLD_PERCENT).max(guarantee) } else { most };
        let again = if is_short { TOLD_AGAIN_PERCENT } else { 100 };
        match self.grip {
            Grip::Free if is_short => self.hold(told),
            Grip::Held { .. } if !is_short && has_room => self.release(),
            Grip::Held { told: before } if before > most || most > percent(before, again) => {
                if told == before { Turn::Nothing } else { self.hold(told) }
            }
            Grip::Held { .. } | Grip::Free => Turn::Nothing,
        }
    }

    fn hold(&mut self, told: u64) -> Turn {
        self.grip = Grip::Held { told };
        Turn::Squeeze(told)
    }

    pub(super) fn release(&mut self) -> Turn {
        self.grip = Grip::Free;
        Turn::Release
    }

    /// The guarantee from before, when the change is worth telling.
    pub(super) fn tell_guarantee(&mut self, budget: u64) -> Option<u64> {
        let before = self.told_guarantee;
        let change = percent(before, GUARANTEE_CHANGE_PERCENT).max(budget / 100).max(1);
        (self.guarantee.abs_diff(before) >= change).then(|| {
            self.told_guarantee = self.guarantee;
            before
        })
    }
}

pub(super) fn percent(amount: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}
