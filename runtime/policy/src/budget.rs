//! A node's budget: who is admitted, what each instance is guaranteed, who is squeezed.
//!
//! Each instance *states* a guarantee, which is kept for it from the moment it is admitted until it
//! leaves: the stated guarantees together never exceed the budget, and an instance that does not fit is refused.
//! What is left over follows rolling use: an instance that has used more is guaranteed more, by
//! tier, as long as nobody states a claim to it. What nobody is guaranteed is the shared pool for
//! bursts. When the instances want more than the budget has, those of the lowest tier are squeezed
//! first, and none below its guarantee.
//!
//! Squeezing means to say what an instance may use; telling the kernel, and finding out what an instance
//! uses, are up to the shell. Nothing is killed or stopped from here.

mod amount;
mod division;
mod member;
mod shortfall;
mod standing;
mod told;

use std::{collections::BTreeMap, fmt, time::Duration};

pub use amount::{Amount, Resource, Written};
pub use shortfall::Shortfall;
pub use standing::{Guaranteed, Standing};
pub use told::{GuaranteeChange, Release, Squeeze};

use self::{
    division::divide,
    member::{Grip, Member, Turn, percent},
};
use crate::moment::Moment;

/// Squeezed members are released once total demand is at most this share of the budget. The gap to 100 % keeps
/// squeeze and release from alternating.
const ROOM_PERCENT: u64 = 90;

/// Who matters more. The order is that of precedence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Squeezed last.
    Critical,
    /// In between.
    Core,
    /// Squeezed first.
    #[default]
    Standard,
}

impl Tier {
    /// All, the highest first.
    pub const FROM_THE_TOP: [Self; 3] = [Self::Critical, Self::Core, Self::Standard];

    /// How much more than its rolling use a member is guaranteed.
    pub const fn buffer_percent(self) -> u64 {
        match self {
            Self::Critical => 20,
            Self::Core => 10,
            Self::Standard => 5,
        }
    }

    /// By how many steps of `nice` a member goes before one of the lowest tier when both want the CPU.
    pub const fn cpu_priority_boost(self) -> u8 {
        match self {
            Self::Critical => 10,
            Self::Core => 5,
            Self::Standard => 0,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Critical => "critical",
            Self::Core => "core",
            Self::Standard => "standard",
        })
    }
}

/// What the file says about the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSpec {
    /// What there is to divide.
    pub total: Amount,
    /// How often use is looked at. Not zero.
    pub every: Duration,
    /// How far back rolling use remembers. Not zero.
    pub window: Duration,
}

/// What an instance asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claim {
    /// Who matters more.
    pub tier: Tier,
    /// Kept for it, used or not.
    pub guarantee: Amount,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<Id> {
    /// An instance is about to be started; one that is a member already stays one.
    Asked {
        /// Which instance.
        id: Id,
        /// What it asks for.
        claim: Claim,
    },
    /// An instance is down for good, or until somebody asks for it.
    Left {
        /// Which instance.
        id: Id,
    },
    /// What members were seen to use; those without a process are not among them.
    Sampled(Vec<(Id, Amount)>),
    /// [`Budget::next_deadline`] has come.
    DeadlineReached,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<Id> {
    /// It may be started: the answer to [`Event::Asked`].
    Admit {
        /// Which instance.
        id: Id,
    },
    /// It must not be started: the answer to [`Event::Asked`].
    Refuse {
        /// Which instance.
        id: Id,
        /// Why.
        shortfall: Shortfall<Id>,
    },
    /// See what members use, and tell it by [`Event::Sampled`].
    Sample,
    /// Let it use less of a resource from now on.
    Squeeze {
        /// Which instance.
        id: Id,
        /// How much, and why.
        squeeze: Squeeze,
    },
    /// Let it use of a resource what it likes, as far as the file permits.
    Release {
        /// Which instance.
        id: Id,
        /// Of what, and why.
        release: Release,
    },
    /// Tell that a guarantee has followed rolling use.
    Announce {
        /// Whose.
        id: Id,
        /// From what to what.
        change: GuaranteeChange,
    },
}

/// The budget of one node and its members. See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget<Id> {
    spec: BudgetSpec,
    members: BTreeMap<Id, Member>,
    /// The next look, while there is somebody to look at.
    due: Option<Moment>,
}

impl<Id: Clone + Ord> Budget<Id> {
    /// A budget without members.
    pub fn new(spec: BudgetSpec) -> Self {
        Self { spec, members: BTreeMap::new(), due: None }
    }

    /// What follows from `event`.
    pub fn on_event(&mut self, now: Moment, event: Event<Id>) -> Vec<Command<Id>> {
        match event {
            Event::Asked { id, claim } => self.on_asked(now, id, claim),
            Event::Left { id } => self.on_left(&id),
            Event::Sampled(uses) => self.on_sampled(now, &uses),
            Event::DeadlineReached => self.on_deadline(now),
        }
    }

    /// When [`Event::DeadlineReached`] is due; never while there are no members.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.due
    }

    /// Why these could not be admitted together now; members among them need nothing more.
    pub fn shortfall(&self, asking: &[(Id, Claim)]) -> Option<Shortfall<Id>> {
        let asked: Vec<Amount> = asking
            .iter()
            .filter(|(id, _)| !self.members.contains_key(id))
            .map(|(_, claim)| claim.guarantee)
            .collect();
        let held: Vec<(Id, Amount)> =
            self.members.iter().map(|(id, member)| (id.clone(), member.claim.guarantee)).collect();
        Shortfall::of(self.spec.total, &held, &asked)
    }

    /// How much there is of a resource, and how it is divided now.
    pub fn standing(&self, resource: Resource) -> Standing<Id> {
        let members = self.members.iter().map(|(id, member)| {
            let part = member.part(resource);
            Guaranteed {
                id: id.clone(),
                guarantee: part.guarantee,
                wanted: part.demand,
                is_squeezed: part.grip != Grip::Free,
            }
        });
        Standing { budget: self.spec.total.of(resource), members: members.collect() }
    }

    fn on_asked(&mut self, now: Moment, id: Id, claim: Claim) -> Vec<Command<Id>> {
        if self.members.contains_key(&id) {
            return vec![Command::Admit { id }];
        }
        if let Some(shortfall) = self.shortfall(&[(id.clone(), claim)]) {
            return vec![Command::Refuse { id, shortfall }];
        }
        self.members.insert(id.clone(), Member::new(claim));
        self.due.get_or_insert_with(|| now.next_multiple(self.spec.every));
        let mut commands = vec![Command::Admit { id }];
        // What others were guaranteed for their rolling use may be its now.
        commands.extend(self.divide_anew());
        commands
    }

    fn on_left(&mut self, id: &Id) -> Vec<Command<Id>> {
        let Some(mut member) = self.members.remove(id) else { return Vec::new() };
        if self.members.is_empty() {
            self.due = None;
        }
        let held = |resource: &Resource| member.part(*resource).grip != Grip::Free;
        let held: Vec<Resource> = Resource::ALL.into_iter().filter(held).collect();
        let release = |resource| {
            member.part_mut(resource).release();
            Command::Release { id: id.clone(), release: self.release_of(resource) }
        };
        held.into_iter().map(release).collect()
    }

    fn on_sampled(&mut self, now: Moment, uses: &[(Id, Amount)]) -> Vec<Command<Id>> {
        let uses: BTreeMap<&Id, Amount> = uses.iter().map(|(id, used)| (id, *used)).collect();
        for (id, member) in &mut self.members {
            match uses.get(id) {
                Some(used) => member.observe(now, *used, self.spec.window),
                None => member.rest(),
            }
        }
        self.divide_anew()
    }

    fn on_deadline(&mut self, now: Moment) -> Vec<Command<Id>> {
        match self.due {
            Some(due) if due <= now => {
                self.due = Some(now.next_multiple(self.spec.every));
                vec![Command::Sample]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn divide_anew(&mut self) -> Vec<Command<Id>> {
        Resource::ALL.into_iter().flat_map(|resource| self.divide_one(resource)).collect()
    }

    fn divide_one(&mut self, resource: Resource) -> Vec<Command<Id>> {
        let budget = self.spec.total.of(resource);
        let wishes: Vec<_> = self.members.values().map(|member| member.wish(resource)).collect();
        let wanted = wishes.iter().map(|wish| wish.demand).sum();
        let has_room = wanted <= percent(budget, ROOM_PERCENT);
        let mut commands = Vec::new();
        for ((id, member), portion) in self.members.iter_mut().zip(divide(budget, &wishes)) {
            let tier = member.claim.tier;
            let part = member.part_mut(resource);
            let turn = part.turn(portion, has_room);
            let told = told::Facts { resource, tier, part: *part, wanted, budget };
            let id = id.clone();
            match turn {
                Turn::Nothing => {}
                Turn::Squeeze(to) => {
                    commands.push(Command::Squeeze { id: id.clone(), squeeze: told.squeeze(to) });
                }
                Turn::Release => {
                    commands.push(Command::Release { id: id.clone(), release: told.release() });
                }
            }
            if let Some(before) = part.tell_guarantee(budget) {
                commands.push(Command::Announce { id, change: told.change(before) });
            }
        }
        commands
    }

    fn release_of(&self, resource: Resource) -> Release {
        let wanted = self.members.values().map(|member| member.part(resource).demand).sum();
        Release { resource, wanted, budget: self.spec.total.of(resource) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn budget() -> Budget<&'static str> {
        Budget::new(BudgetSpec {
            total: Amount { cpu_millis: 2000, memory_bytes: 1000 * MIB },
            every: Duration::from_secs(10),
            window: Duration::from_secs(100),
        })
    }

    fn memory(mib: u64) -> Amount {
        Amount { memory_bytes: mib * MIB, ..Amount::ZERO }
    }

    fn asked(id: &'static str, tier: Tier, mib: u64) -> Event<&'static str> {
        Event::Asked { id, claim: Claim { tier, guarantee: memory(mib) } }
    }

    fn told(commands: Vec<Command<&'static str>>) -> String {
        let line = |command: &Command<&'static str>| match command {
            Command::Admit { id } => format!("{id} is admitted"),
            Command::Refuse { id, shortfall } => format!("{id} is refused: {shortfall}"),
            Command::Sample => "look".to_owned(),
            Command::Squeeze { id, squeeze } => format!("{id} {squeeze}"),
            Command::Release { id, release } => format!("{id} {release}"),
            Command::Announce { id, change } => format!("{id} {change}"),
        };
        commands.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// A database that matters and a batch job that does not; what they use, look after look.
    fn story(uses: &[(u64, u64)]) -> String {
        let mut budget = budget();
        let mut lines = Vec::new();
        for event in [asked("db", Tier::Critical, 200), asked("batch", Tier::Standard, 100)] {
            lines.push(told(budget.on_event(Moment::ORIGIN, event)));
        }
        for (db, batch) in uses {
            let now = budget.next_deadline().expect("there are members");
            budget.on_event(now, Event::DeadlineReached);
            let sampled = Event::Sampled(vec![("db", memory(*db)), ("batch", memory(*batch))]);
            lines.push(format!("{now}\n{}", told(budget.on_event(now, sampled))));
        }
        lines.join("\n")
    }

    #[test]
    fn the_standard_one_is_squeezed_when_the_critical_one_grows_and_released_when_it_shrinks() {
        let uses = [(150, 300), (600, 500), (600, 395), (880, 395), (300, 100)];
        insta::assert_snapshot!(story(&uses), @"
        db is admitted
        batch is admitted
        10.000
        batch memory: is guaranteed 315 MiB instead of 100 MiB, and wants 300 MiB now
        20.000
        batch memory: may use 388 MiB and wants 500 MiB: all together want 1.07 GiB of 1000 MiB; it is standard and guaranteed 334.09 MiB
        db memory: is guaranteed 229.09 MiB instead of 200 MiB, and wants 600 MiB now
        30.000
        db memory: is guaranteed 273.72 MiB instead of 229.09 MiB, and wants 600 MiB now
        40.000
        batch memory: may use 120 MiB and wants 500 MiB: all together want 1.35 GiB of 1000 MiB; it is standard and guaranteed 120 MiB
        batch memory: is guaranteed 120 MiB instead of 315 MiB, and wants 500 MiB now
        db memory: is guaranteed 344.84 MiB instead of 273.72 MiB, and wants 880 MiB now
        50.000
        batch memory: is not held back any more: all together want 400 MiB of 1000 MiB
        batch memory: is guaranteed 325.99 MiB instead of 120 MiB, and wants 100 MiB now
        ");
    }

    #[test]
    fn who_does_not_fit_is_refused_and_who_leaves_makes_room() {
        let mut budget = budget();
        let mut told = |event| told(budget.on_event(Moment::ORIGIN, event));
        assert_eq!(told(asked("a", Tier::Standard, 700)), "a is admitted");
        assert_eq!(
            told(asked("b", Tier::Critical, 400)),
            "b is refused: not enough memory: 400 MiB are needed, 300 MiB of 1000 MiB are free; \
             held: a 700 MiB"
        );
        assert_eq!(told(asked("a", Tier::Standard, 700)), "a is admitted");
        told(Event::Left { id: "a" });
        assert_eq!(told(asked("b", Tier::Critical, 400)), "b is admitted");
    }

    #[test]
    fn it_tells_how_it_stands() {
        let mut budget = budget();
        for event in [asked("db", Tier::Critical, 200), asked("batch", Tier::Standard, 100)] {
            budget.on_event(Moment::ORIGIN, event);
        }
        let uses = vec![("db", memory(700)), ("batch", memory(500))];
        budget.on_event(Moment::from_millis(10_000), Event::Sampled(uses));
        let standing = budget.standing(Resource::Memory);
        assert_eq!((standing.budget, standing.wanted()), (1000 * MIB, 1200 * MIB));
        assert!((300 * MIB..=1000 * MIB).contains(&standing.guaranteed()), "{standing:?}");
        assert_eq!(standing.squeezed().collect::<Vec<_>>(), [&"batch"]);
        assert_eq!(budget.standing(Resource::Cpu).squeezed().count(), 0);
    }

    #[test]
    fn a_tier_goes_before_the_one_below_it() {
        let boosts = Tier::FROM_THE_TOP.map(Tier::cpu_priority_boost);
        let buffers = Tier::FROM_THE_TOP.map(Tier::buffer_percent);
        assert_eq!((boosts, buffers), ([10, 5, 0], [20, 10, 5]));
    }

    #[test]
    fn nobody_is_looked_at_when_there_is_nobody() {
        let mut budget = budget();
        assert_eq!(budget.next_deadline(), None);
        budget.on_event(Moment::from_millis(3), asked("a", Tier::Core, 1));
        assert_eq!(budget.next_deadline(), Some(Moment::from_millis(10_000)));
        budget.on_event(Moment::from_millis(4), Event::Left { id: "a" });
        assert_eq!(budget.next_deadline(), None);
    }

    #[test]
    fn members_are_looked_at_when_it_is_time_and_not_before() {
        let mut budget = budget();
        let mut told = |millis, event| told(budget.on_event(Moment::from_millis(millis), event));
        assert_eq!(told(10_000, Event::DeadlineReached), "", "there is nobody");
        told(11_000, asked("a", Tier::Core, 1));
        assert_eq!(told(19_999, Event::DeadlineReached), "");
        assert_eq!(told(20_000, Event::DeadlineReached), "look");
        assert_eq!(told(20_001, Event::DeadlineReached), "", "the next one is due in ten seconds");
    }

    /// An instance without a process wants nothing, so that others need not be held back for it.
    #[test]
    fn one_that_has_no_process_wants_nothing_now() {
        let mut budget = budget();
        for event in [asked("db", Tier::Critical, 200), asked("batch", Tier::Standard, 100)] {
            budget.on_event(Moment::ORIGIN, event);
        }
        let mut look = |seconds: u64, uses| {
            told(budget.on_event(Moment::from_millis(seconds * 1000), Event::Sampled(uses)))
        };
        let both = look(10, vec![("db", memory(700)), ("batch", memory(600))]);
        assert!(both.contains("batch memory: may use"), "{both}");
        let alone = look(20, vec![("batch", memory(600))]);
        assert!(alone.contains("batch memory: is not held back any more"), "{alone}");
    }

    #[test]
    fn tiers_are_called_as_in_the_file() {
        let words = Tier::FROM_THE_TOP.map(|tier| tier.to_string());
        assert_eq!(words, ["critical", "core", "standard"]);
    }
}
