//! When use is worth reporting: memory near its limit, and a processor quota that holds an instance back.
//!
//! | machine | state   | is left when                                              | and says           |
//! |---------|---------|-----------------------------------------------------------|--------------------|
//! | memory  | calm    | 90 % of the limit is in use                               | near the limit     |
//! | memory  | near    | less than 80 % is in use                                  |                    |
//! | quota   | calm    | held back for a quarter of the time between two looks     | throttled          |
//! | quota   | held    | held back for less than a tenth of the time               |                    |
//! | tasks   | any     | a task was refused since the last word                    | refused            |
//!
//! The gap between entering and leaving, and a pause between two reports, keep use that hovers around a
//! threshold from flooding the log. While a machine is calm it asks for no look: the kernel reports.

use std::{fmt, time::Duration};

use crate::moment::Moment;

/// From this share of the limit on, use is near it.
pub const NEAR_PERCENT: u64 = 90;
const CALM_PERCENT: u64 = 80;
/// The share of the time between two looks that an instance is held back.
const HELD_PERCENT: u128 = 25;
const RELEASED_PERCENT: u128 = 10;
/// From one look to the next while something is going on.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Looks closer together say nothing about a quota.
const SPAN_MIN: Duration = Duration::from_secs(1);
/// The kernel may tell of a kill before it has counted it: a second look comes after this.
const OOM_SETTLES_WITHIN: Duration = Duration::from_millis(250);
/// The same is not reported again sooner.
const PAUSE_MIN: Duration = Duration::from_secs(60);

/// What a look has found to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// Memory is near its limit.
    NearMemoryLimit {
        /// In use, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The kernel killed processes of the instance for lack of memory.
    OomKilled {
        /// How many since the last look.
        processes: u64,
    },
    /// The processor quota holds the instance back.
    Throttled {
        /// Of the time, in percent.
        percent: u8,
    },
    /// The instance has as many tasks as it may.
    TasksRefused(TasksRefused),
}

/// Processes and threads that an instance wanted and did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TasksRefused {
    /// So many it may have.
    pub limit: u64,
    /// So often it wanted one more.
    pub times: u64,
}

impl fmt::Display for TasksRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, times } = self;
        let often = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
        write!(formatter, "its limit of {limit} tasks refused it a process {often}")
    }
}

/// Whether the same was said lately.
#[derive(Debug, Clone, Copy, Default)]
struct Said(Option<Moment>);

impl Said {
    fn may_say(&mut self, now: Moment) -> bool {
        let may = self.0.is_none_or(|at| now.since(at) >= PAUSE_MIN);
        if may {
            self.0 = Some(now);
        }
        may
    }
}

/// Memory of one instance.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryAlert {
    state: Memory,
    said: Said,
    next_look: Option<Moment>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Memory {
    #[default]
    Calm,
    Near,
}

impl MemoryAlert {
    /// `charged` counts page cache as well: the kernel watches that, while only `in_use` cannot be reclaimed at no
    /// cost.
    pub fn on_look(&mut self, now: Moment, in_use: u64, charged: u64, limit: u64) -> Option<Alert> {
        let share = |bytes: u64| bytes.saturating_mul(100) / limit.max(1);
        // The kernel only reports the way up: while use is up, the rest is found by looking.
        self.next_look = (share(charged) >= CALM_PERCENT).then(|| now + LOOK_INTERVAL);
        match self.state {
            Memory::Calm if share(in_use) >= NEAR_PERCENT => {
                self.state = Memory::Near;
                let alert = Alert::NearMemoryLimit { bytes: in_use, limit };
                self.said.may_say(now).then_some(alert)
            }
            Memory::Near if share(in_use) < CALM_PERCENT => {
                self.state = Memory::Calm;
                None
            }
            Memory::Calm | Memory::Near => None,
        }
    }

    /// When to look again even if the kernel says nothing.
    pub fn next_look(&self) -> Option<Moment> {
        self.next_look
    }
}

/// Processes of one instance that the kernel killed for lack of memory: each is reported, from the first that
/// its control group has counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct OomAlert {
    counted: u64,
    next_look: Option<Moment>,
}

impl OomAlert {
    /// The kernel has told of a kill, which it may not have counted yet.
    pub fn on_notice(&mut self, now: Moment, kills: u64) -> Option<Alert> {
        let alert = self.on_look(kills);
        self.next_look = Some(now + OOM_SETTLES_WITHIN);
        alert
    }

    /// `kills` is how many there were so far.
    pub fn on_look(&mut self, kills: u64) -> Option<Alert> {
        self.next_look = None;
        let processes = kills.saturating_sub(self.counted);
        self.counted = kills;
        (processes > 0).then_some(Alert::OomKilled { processes })
    }

    /// When to look again even if the kernel says nothing.
    pub fn next_look(&self) -> Option<Moment> {
        self.next_look
    }
}

/// Tasks of one instance that its limit refused, from the first that its control group has counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct TasksAlert {
    counted: u64,
    told: u64,
    said: Said,
    next_look: Option<Moment>,
}

impl TasksAlert {
    /// `times` is how often there was a refusal so far.
    pub fn on_look(&mut self, now: Moment, times: u64, limit: u64) -> Option<Alert> {
        let goes_on = times > self.counted;
        self.counted = times;
        let untold = times.saturating_sub(self.told);
        let says = untold > 0 && self.said.may_say(now);
        if says {
            self.told = times;
        }
        self.next_look = (goes_on || self.told < times).then(|| now + LOOK_INTERVAL);
        says.then_some(Alert::TasksRefused(TasksRefused { limit, times: untold }))
    }

    /// When to look again even if the kernel says nothing.
    pub fn next_look(&self) -> Option<Moment> {
        self.next_look
    }
}

/// The processor quota of one instance.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaAlert {
    state: Quota,
    said: Said,
    before: Option<(Moment, Duration)>,
    next_look: Option<Moment>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Quota {
    #[default]
    Calm,
    Held,
}

impl QuotaAlert {
    /// `throttled` is the whole time that it was held back so far, by all processors together.
    pub fn on_look(&mut self, now: Moment, throttled: Duration) -> Option<Alert> {
        let (at, counted) = *self.before.get_or_insert((now, throttled));
        let (span, held) = (now.since(at), throttled.saturating_sub(counted));
        if span < SPAN_MIN {
            self.next_look = Some(at + LOOK_INTERVAL);
            return None;
        }
        self.before = Some((now, throttled));
        let percent = held.as_micros() * 100 / span.as_micros().max(1);
        let was = self.state;
        self.state = match was {
            Quota::Calm if percent >= HELD_PERCENT => Quota::Held,
            Quota::Held if percent < RELEASED_PERCENT => Quota::Calm,
            same => same,
        };
        match self.state {
            Quota::Held => self.next_look = Some(now + LOOK_INTERVAL),
            Quota::Calm => (self.next_look, self.before) = (None, None),
        }
        let begins = was == Quota::Calm && self.state == Quota::Held;
        let percent = u8::try_from(percent).unwrap_or(100).min(100);
        (begins && self.said.may_say(now)).then_some(Alert::Throttled { percent })
    }

    /// When to look again even if the kernel says nothing.
    pub fn next_look(&self) -> Option<Moment> {
        self.next_look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn memory_that_hovers_about_its_limit_is_said_once() {
        let mut alert = MemoryAlert::default();
        let mut look = |second, used| alert.on_look(at(second), used, used, 100).is_some();
        assert!(!look(0, 89));
        assert!(look(1, 90));
        assert!(!look(2, 85) && !look(3, 95) && !look(4, 81) && !look(5, 99));
        assert!(!look(6, 79), "it has fallen");
        assert!(!look(7, 95), "it was said a moment ago");
        assert!(!look(70, 79));
        assert!(look(71, 95), "after a while it is worth another word");
    }

    #[test]
    fn page_cache_is_no_alarm_and_is_watched() {
        let mut alert = MemoryAlert::default();
        assert_eq!(alert.on_look(at(0), 10, 100, 100), None);
        assert_eq!(alert.next_look(), Some(at(10)));
        assert_eq!(
            alert.on_look(at(10), 92, 100, 100),
            Some(Alert::NearMemoryLimit { bytes: 92, limit: 100 })
        );
        alert.on_look(at(20), 10, 10, 100);
        assert_eq!(alert.next_look(), None, "nobody looks while it is calm");
    }

    #[test]
    fn a_quota_is_judged_by_the_time_between_two_looks() {
        let mut alert = QuotaAlert::default();
        let mut look =
            |second, throttled| alert.on_look(at(second), Duration::from_secs(throttled));
        assert_eq!(look(0, 100), None, "what was before is not known");
        assert_eq!(look(10, 105), Some(Alert::Throttled { percent: 50 }));
        assert_eq!(look(20, 110), None, "it goes on");
        assert_eq!(look(30, 110), None);
        assert_eq!(alert.next_look(), None, "nobody looks while it is calm");
    }

    #[test]
    fn a_kill_that_was_told_before_it_was_counted_is_found_a_moment_later() {
        let mut alert = OomAlert::default();
        assert_eq!(alert.on_look(0), None);
        assert_eq!(alert.next_look(), None, "nobody looks while it is calm");
        assert_eq!(alert.on_notice(at(0), 0), None);
        assert_eq!(alert.next_look(), Some(at(0) + OOM_SETTLES_WITHIN));
        assert_eq!(alert.on_notice(at(0), 0), None, "another, in the same moment");
        assert!(alert.next_look().is_some());
        assert_eq!(alert.on_look(1), Some(Alert::OomKilled { processes: 1 }));
        assert_eq!(alert.next_look(), None, "all is told");
    }

    #[test]
    fn tasks_that_are_refused_again_and_again_are_said_once_in_a_while() {
        let mut alert = TasksAlert::default();
        let mut look = |second, times| alert.on_look(at(second), times, 8);
        let told = |times| Some(Alert::TasksRefused(TasksRefused { limit: 8, times }));
        assert_eq!(look(0, 0), None);
        assert_eq!(look(1, 2), told(2));
        assert_eq!(look(11, 25), None, "it was said a moment ago");
        assert_eq!(look(61, 25), told(23), "nothing is forgotten");
        assert_eq!(look(71, 25), None);
        assert_eq!(alert.next_look(), None, "nobody looks while it is calm");
    }

    #[test]
    fn several_processors_are_not_more_than_all_of_the_time() {
        let mut alert = QuotaAlert::default();
        alert.on_look(at(0), Duration::ZERO);
        let alert = alert.on_look(at(10), Duration::from_secs(80));
        assert_eq!(alert, Some(Alert::Throttled { percent: 100 }));
    }
}
