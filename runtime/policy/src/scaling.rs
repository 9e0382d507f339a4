//! How many instances a service has, by what they use: one more when they are busy, one fewer when
//! they are idle.
//!
//! | state | meaning | left by |
//! | --- | --- | --- |
//! | `Calm` | nothing to change | an average beyond a threshold |
//! | `Busy` | an average is above its upper threshold | that is over; or the window: one more |
//! | `Idle` | all averages are below their lower thresholds | that is over; or the window: one fewer |
//!
//! A threshold must be passed for a whole window, and a whole cooldown must have gone by since the last change, so
//! that a load that comes and goes does not make instances come and go. One fewer is also not
//! asked for where those that stay would be busy at once. An operator who says how many there should
//! be is obeyed: the machine is paused until told to go on.

use std::{fmt, time::Duration};

use crate::{
    budget::{Amount, Resource},
    moment::Moment,
};

/// The rule of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalingSpec {
    /// Never fewer. Not zero.
    pub instances_min: u32,
    /// The most there may be; at least `instances_min`.
    pub instances_max: u32,
    /// CPU time of one instance on average, in thousandths of a CPU.
    pub cpu: Option<Thresholds>,
    /// Memory of one instance on average, in bytes.
    pub memory: Option<Thresholds>,
    /// How often use is looked at. Not zero.
    pub every: Duration,
    /// How long a threshold must have been passed.
    pub window: Duration,
    /// No instance is added sooner than this after a change.
    pub up_cooldown: Duration,
    /// No instance is removed sooner than this after a change.
    pub down_cooldown: Duration,
}

/// Of the average over a service's ready instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// More than this is busy.
    pub above: u64,
    /// Less than this is idle; less than `above`.
    pub below: u64,
}

impl ScalingSpec {
    fn thresholds(&self) -> impl Iterator<Item = (Resource, Thresholds)> {
        let both = [(Resource::Cpu, self.cpu), (Resource::Memory, self.memory)];
        both.into_iter().filter_map(|(resource, thresholds)| Some((resource, thresholds?)))
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// What its ready instances use on average; not told while none is ready.
    Sampled(Amount),
    /// The last change was not possible: there are this many, and it counts as tried.
    Refused {
        /// How many there are.
        instances: u32,
    },
    /// An operator says how many there should be.
    Fixed {
        /// How many.
        instances: u32,
    },
    /// An operator leaves the number to the rule again.
    Resumed,
    /// [`Scaling::next_deadline`] has come.
    DeadlineReached,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// See what the instances use, and tell it by [`Event::Sampled`].
    Sample,
    /// Change the number of instances.
    Scale(Change),
}

/// A change of the number of instances, with its reason.
///
/// The text is `cpu 0.92 cpus on average for 30.0s, more than 0.8 cpus; instances: 3 instead of 2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Until now.
    pub from: u32,
    /// From now on.
    pub to: u32,
    /// Why.
    pub why: Why,
}

/// Why the number changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The average was above a threshold for the whole window.
    Busy {
        /// Of what.
        resource: Resource,
        /// The average per instance at the end of the window, in thousandths of a CPU or in bytes.
        average: u64,
        /// The threshold, in the same unit.
        above: u64,
        /// How long it was so.
        window: Duration,
    },
    /// All averages were below their thresholds for the whole window.
    Idle {
        /// Where CPU time has thresholds.
        cpu: Option<Idleness>,
        /// Where memory has.
        memory: Option<Idleness>,
        /// How long it was so.
        window: Duration,
    },
    /// There are fewer than the least or more than the most.
    OutOfBounds,
}

/// An average that is below its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idleness {
    /// Per instance at the end of the window, in thousandths of a CPU or in bytes.
    pub average: u64,
    /// The threshold, in the same unit.
    pub below: u64,
}

impl Why {
    /// The word that events use as the reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Idle { .. } => "idle",
            Self::OutOfBounds => "bounds",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, why } = *self;
        match why {
            Why::Busy { resource, average, above, window } => write!(
                formatter,
                "{resource} {} on average for {window:.1?}, more than {}; ",
                resource.written(average),
                resource.written(above)
            )?,
            Why::Idle { cpu, memory, window } => {
                let both = [(Resource::Cpu, cpu), (Resource::Memory, memory)];
                for (resource, idleness) in both {
                    let Some(Idleness { average, below }) = idleness else { continue };
                    let (average, below) = (resource.written(average), resource.written(below));
                    write!(
                        formatter,
                        "{resource} {average} on average for {window:.1?}, less than {below}; "
                    )?;
                }
            }
            Why::OutOfBounds => formatter.write_str("the bounds of the rule; ")?,
        }
        write!(formatter, "instances: {to} instead of {from}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calm,
    Busy {
        since: Moment,
    },
    Idle {
        since: Moment,
    },
    /// An operator decides.
    Paused,
}

/// The rule of one service at work. See the module for its states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaling {
    spec: ScalingSpec,
    state: State,
    instances: u32,
    changed_at: Option<Moment>,
    due: Moment,
}

impl Scaling {
    /// A rule that begins at `now`, with this many instances, within its bounds.
    pub fn new(spec: ScalingSpec, now: Moment, instances: u32) -> Self {
        let due = now.next_multiple(spec.every);
        Self { spec, state: State::Calm, instances, changed_at: None, due }
    }

    /// What follows from `event`.
    pub fn on_event(&mut self, now: Moment, event: Event) -> Option<Command> {
        match event {
            Event::Sampled(average) => self.on_sampled(now, average),
            Event::Refused { instances } => {
                self.instances = instances;
                None
            }
            Event::Fixed { instances } => {
                (self.instances, self.state) = (instances, State::Paused);
                None
            }
            Event::Resumed => self.resume(now),
            Event::DeadlineReached => self.on_deadline(now),
        }
    }

    /// When [`Event::DeadlineReached`] is due; never while an operator decides.
    pub fn next_deadline(&self) -> Option<Moment> {
        match self.state {
            State::Paused => None,
            State::Calm | State::Busy { .. } | State::Idle { .. } => Some(self.due),
        }
    }

    /// Whether an operator decides.
    pub fn is_paused(&self) -> bool {
        self.state == State::Paused
    }

    fn resume(&mut self, now: Moment) -> Option<Command> {
        if !self.is_paused() {
            return None;
        }
        (self.state, self.due) = (State::Calm, now.next_multiple(self.spec.every));
        let to = self.instances.clamp(self.spec.instances_min, self.spec.instances_max);
        (to != self.instances).then(|| self.change(now, to, Why::OutOfBounds))
    }

    fn on_deadline(&mut self, now: Moment) -> Option<Command> {
        let is_due = self.next_deadline().is_some_and(|due| due <= now);
        is_due.then(|| {
            self.due = now.next_multiple(self.spec.every);
            Command::Sample
        })
    }

    fn on_sampled(&mut self, now: Moment, average: Amount) -> Option<Command> {
        let since = match self.state {
            State::Paused => return None,
            State::Calm => Lasting::default(),
            State::Busy { since } => Lasting { busy: Some(since), idle: None },
            State::Idle { since } => Lasting { busy: None, idle: Some(since) },
        };
        if let Some((resource, thresholds)) = self.busy(average) {
            let since = since.busy.unwrap_or(now);
            self.state = State::Busy { since };
            let (window, average) = (now.since(since), average.of(resource));
            let why = Why::Busy { resource, average, above: thresholds.above, window };
            return self.grow(now, since, why);
        }
        if self.is_idle(average) {
            let since = since.idle.unwrap_or(now);
            self.state = State::Idle { since };
            return self.shrink(now, since, average);
        }
        self.state = State::Calm;
        None
    }

    fn busy(&self, average: Amount) -> Option<(Resource, Thresholds)> {
        let passed = |(resource, thresholds): &(Resource, Thresholds)| {
            average.of(*resource) > thresholds.above
        };
        self.spec.thresholds().find(passed)
    }

    fn is_idle(&self, average: Amount) -> bool {
        let is_below = |(resource, thresholds): (Resource, Thresholds)| {
            average.of(resource) < thresholds.below
        };
        self.spec.thresholds().all(is_below)
    }

    fn grow(&mut self, now: Moment, since: Moment, why: Why) -> Option<Command> {
        let is_time = self.is_time(now, since, self.spec.up_cooldown);
        let may = is_time && self.instances < self.spec.instances_max;
        may.then(|| self.change(now, self.instances + 1, why))
    }

    fn shrink(&mut self, now: Moment, since: Moment, average: Amount) -> Option<Command> {
        let is_time = self.is_time(now, since, self.spec.down_cooldown);
        let may = is_time
            && self.instances > self.spec.instances_min
            && self.busy(self.average_without_one(average)).is_none();
        let idleness = |resource, thresholds: Option<Thresholds>| {
            thresholds.map(|it| Idleness { average: average.of(resource), below: it.below })
        };
        let why = Why::Idle {
            cpu: idleness(Resource::Cpu, self.spec.cpu),
            memory: idleness(Resource::Memory, self.spec.memory),
            window: now.since(since),
        };
        may.then(|| self.change(now, self.instances - 1, why))
    }

    /// What those that stay would use, at most, if they took over the work of one. An average was
    /// rounded down: all together use up to one less than what would have made it one more.
    fn average_without_one(&self, average: Amount) -> Amount {
        let all = u64::from(self.instances.max(1));
        let staying = (all - 1).max(1);
        let whole = |average: u64| average.saturating_add(1).saturating_mul(all).saturating_sub(1);
        Amount::from_parts(|resource| whole(average.of(resource)) / staying)
    }

    fn is_time(&self, now: Moment, since: Moment, cooldown: Duration) -> bool {
        let has_cooled = self.changed_at.is_none_or(|at| now.since(at) >= cooldown);
        now.since(since) >= self.spec.window && has_cooled
    }

    /// What was measured before says nothing about the new number.
    fn change(&mut self, now: Moment, to: u32, why: Why) -> Command {
        let from = std::mem::replace(&mut self.instances, to);
        (self.state, self.changed_at) = (State::Calm, Some(now));
        Command::Scale(Change { from, to, why })
    }
}

/// Since when the service has been busy or idle.
#[derive(Debug, Clone, Copy, Default)]
struct Lasting {
    busy: Option<Moment>,
    idle: Option<Moment>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rule() -> ScalingSpec {
        ScalingSpec {
            instances_min: 1,
            instances_max: 3,
            cpu: Some(Thresholds { above: 800, below: 400 }),
            memory: None,
            every: SECOND,
            window: 2 * SECOND,
            up_cooldown: 4 * SECOND,
            down_cooldown: 6 * SECOND,
        }
    }

    /// One line for each change, while the averages, one a second, are as told.
    fn story(averages: impl IntoIterator<Item = u64>) -> String {
        let mut scaling = Scaling::new(rule(), Moment::ORIGIN, 1);
        let mut lines = Vec::new();
        for cpu_millis in averages {
            let now = scaling.next_deadline().expect("it goes on");
            assert_eq!(scaling.on_event(now, Event::DeadlineReached), Some(Command::Sample));
            let average = Amount { cpu_millis, ..Amount::ZERO };
            if let Some(Command::Scale(change)) = scaling.on_event(now, Event::Sampled(average)) {
                lines.push(format!("{now} {change}"));
            }
        }
        lines.join("\n")
    }

    #[test]
    fn a_load_that_stays_brings_instances_up_to_the_most_and_its_end_takes_them_away() {
        let averages = std::iter::repeat_n(950, 12).chain(std::iter::repeat_n(10, 16));
        insta::assert_snapshot!(story(averages), @"
        3.000 cpu 0.95 cpus on average for 2.0s, more than 0.8 cpus; instances: 2 instead of 1
        7.000 cpu 0.95 cpus on average for 3.0s, more than 0.8 cpus; instances: 3 instead of 2
        15.000 cpu 0.01 cpus on average for 2.0s, less than 0.4 cpus; instances: 2 instead of 3
        21.000 cpu 0.01 cpus on average for 5.0s, less than 0.4 cpus; instances: 1 instead of 2
        ");
    }

    #[test]
    fn a_load_that_comes_and_goes_changes_nothing() {
        assert_eq!(story((0..60).map(|second| if second % 3 == 0 { 10 } else { 950 })), "");
    }

    #[test]
    fn an_operator_is_obeyed_until_the_rule_is_wanted_again() {
        let mut scaling = Scaling::new(rule(), Moment::ORIGIN, 1);
        scaling.on_event(Moment::from_millis(1), Event::Fixed { instances: 7 });
        assert_eq!((scaling.is_paused(), scaling.next_deadline()), (true, None));
        let resumed = scaling.on_event(Moment::from_millis(2), Event::Resumed);
        let change = Change { from: 7, to: 3, why: Why::OutOfBounds };
        assert_eq!(resumed, Some(Command::Scale(change)));
        assert_eq!(scaling.next_deadline(), Some(Moment::from_millis(1000)));
    }

    #[test]
    fn nobody_leaves_whose_work_would_make_the_others_busy() {
        let thresholds = Thresholds { above: 500, below: 450 };
        let spec = ScalingSpec { cpu: Some(thresholds), ..rule() };
        let mut scaling = Scaling::new(spec, Moment::ORIGIN, 2);
        for second in 1..30 {
            let average = Amount { cpu_millis: 300, ..Amount::ZERO };
            let now = Moment::from_millis(second * 1000);
            assert_eq!(scaling.on_event(now, Event::Sampled(average)), None);
        }
    }

    #[test]
    fn a_change_that_was_refused_is_tried_again_after_the_cooldown() {
        let mut scaling = Scaling::new(rule(), Moment::ORIGIN, 1);
        let mut tried = Vec::new();
        for second in 1..12 {
            let now = Moment::from_millis(second * 1000);
            let average = Amount { cpu_millis: 900, ..Amount::ZERO };
            if scaling.on_event(now, Event::Sampled(average)).is_some() {
                tried.push(second);
                scaling.on_event(now, Event::Refused { instances: 1 });
            }
        }
        assert_eq!(tried, [3, 7, 11]);
    }

    #[test]
    fn while_an_operator_decides_no_load_changes_anything() {
        let mut scaling = Scaling::new(rule(), Moment::ORIGIN, 1);
        assert_eq!(
            scaling.on_event(Moment::from_millis(1), Event::Resumed),
            None,
            "nothing paused"
        );
        scaling.on_event(Moment::from_millis(2), Event::Fixed { instances: 2 });
        for second in 1..10 {
            let now = Moment::from_millis(second * 1000);
            let average = Amount { cpu_millis: 950, ..Amount::ZERO };
            assert_eq!(scaling.on_event(now, Event::Sampled(average)), None);
            assert_eq!(scaling.on_event(now, Event::DeadlineReached), None);
        }
        let resumed = scaling.on_event(Moment::from_millis(10_000), Event::Resumed);
        assert_eq!(resumed, None, "two are within the bounds");
        assert!(!scaling.is_paused());
    }

    #[test]
    fn a_change_says_why() {
        let mib = 1 << 20;
        let idle = |average, below| Some(Idleness { average, below });
        let (cpu, memory) = (idle(100, 200), idle(10 * mib, 20 * mib));
        let window = 3 * SECOND;
        let busy =
            Why::Busy { resource: Resource::Memory, average: 30 * mib, above: 25 * mib, window };
        let reasons = [busy, Why::Idle { cpu, memory, window }, Why::OutOfBounds];
        assert_eq!(reasons.map(Why::as_str), ["busy", "idle", "bounds"]);
        let texts = reasons.map(|why| Change { from: 3, to: 2, why }.to_string());
        insta::assert_snapshot!(texts.join("\n"), @"
        memory 30 MiB on average for 3.0s, more than 25 MiB; instances: 2 instead of 3
        cpu 0.1 cpus on average for 3.0s, less than 0.2 cpus; memory 10 MiB on average for 3.0s, less than 20 MiB; instances: 2 instead of 3
        the bounds of the rule; instances: 2 instead of 3
        ");
    }

    /// Two that use 759 between them are told to use 379 on average; one alone would be busy.
    #[test]
    fn nobody_leaves_because_an_average_was_rounded_down() {
        let spec = ScalingSpec {
            cpu: Some(Thresholds { above: 758, below: 386 }),
            window: Duration::ZERO,
            down_cooldown: Duration::ZERO,
            ..rule()
        };
        let mut scaling = Scaling::new(spec, Moment::ORIGIN, 2);
        let average = |cpu_millis| Event::Sampled(Amount { cpu_millis, ..Amount::ZERO });
        assert_eq!(scaling.on_event(Moment::from_millis(1000), average(759 / 2)), None);
        assert!(scaling.on_event(Moment::from_millis(2000), average(757 / 2)).is_some());
    }
}
