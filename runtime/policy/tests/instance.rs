//! Random lives of a process against what must hold whatever happens.

use std::{ops::RangeInclusive, time::Duration};

use blackhole_policy::{
    instance::{Command, Ended, Event, Instance, InstanceSpec, Reason, Startup},
    moment::Moment,
    supervision::Exit,
};
use proptest::{prelude::*, sample::select};

const KILLED: Ended = Ended::Signal(9);

/// In milliseconds: silences shorter and longer than the deadlines.
const PAUSES: RangeInclusive<u64> = 0..=3_000;

fn event() -> impl Strategy<Value = Event> {
    let seconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
    prop_oneof![
        2 => Just(Event::StartupPassed),
        4 => Just(Event::BecameReady),
        2 => Just(Event::BecameUnready("busy".into())),
        1 => Just(Event::LiveFailed("timed out".into())),
        4 => Just(Event::Kicked),
        1 => seconds(1..5).prop_map(Event::WatchdogSet),
        1 => Just(Event::Unresponsive("silent".into())),
        2 => seconds(1..5).prop_map(Event::StartExtended),
        1 => Just(Event::StoppingReported),
        1 => select(vec![Reason::Limit, Reason::Disk]).prop_map(Event::LimitExceeded),
        2 => Just(Event::StopAsked),
        1 => Just(Event::KillAsked),
        4 => Just(Event::DeadlineReached),
    ]
}

fn spec() -> impl Strategy<Value = InstanceSpec> {
    let startup = select(vec![Startup::Immediate, Startup::Probed]);
    (1u64..6, startup, proptest::option::of(1u64..5)).prop_map(|(start, startup, watchdog)| {
        InstanceSpec {
            start_deadline: Duration::from_secs(start),
            startup,
            watchdog: watchdog.map(Duration::from_secs),
        }
    })
}

/// What has been said about a process so far.
#[derive(Debug, Default)]
struct Said {
    started: bool,
    ready: bool,
    told_to_go: Option<Told>,
}

/// How it was told to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Asked,
    Killed,
}

impl Said {
    fn hear(&mut self, command: &Command) {
        let is_kill = matches!(command, Command::Kill(_));
        assert!(
            is_kill || self.told_to_go != Some(Told::Killed),
            "{command:?} about one that was killed"
        );
        match command {
            Command::AnnounceStarted => {
                assert!(!self.started && self.told_to_go.is_none(), "started once, before its end");
                self.started = true;
            }
            Command::AnnounceReady => {
                assert!(self.started && !self.ready && self.told_to_go.is_none(), "{self:?}");
                self.ready = true;
            }
            Command::AnnounceUnready(_) => {
                assert!(self.ready && self.told_to_go.is_none(), "{self:?}");
                self.ready = false;
            }
            Command::WatchLiveness => {
                assert!(self.started && self.told_to_go.is_none(), "{self:?}")
            }
            Command::WatchReadiness => {
                assert!(!self.started && self.told_to_go.is_none(), "{self:?}")
            }
            Command::Ask => {
                assert_eq!(self.told_to_go, None, "asked twice");
                self.told_to_go = Some(Told::Asked);
            }
            Command::Kill(_) => self.told_to_go = Some(Told::Killed),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_process_is_started_once_and_told_to_go_once(
        spec in spec(),
        steps in proptest::collection::vec((PAUSES, event()), 0..40),
    ) {
        let mut now = Moment::ORIGIN;
        let (mut instance, first) = Instance::spawned(spec, now);
        let mut said = Said::default();
        first.iter().for_each(|command| said.hear(command));
        for (pause, event) in steps {
            now = now + Duration::from_millis(pause);
            let was_asked = matches!(event, Event::StopAsked | Event::KillAsked);
            let was_going = said.told_to_go.is_some();
            instance.on_event(now, event).iter().for_each(|command| said.hear(command));
            let is_going = said.told_to_go.is_some();
            prop_assert!(is_going || !was_asked, "a wish to stop is carried out at once");
            prop_assert!(!is_going || instance.next_deadline().is_none(), "{:?}", instance);

            let (reason, exit) = instance.classify(KILLED, None);
            let is_ours = reason == Reason::Stop;
            prop_assert_eq!(is_ours, exit == Exit::Shutdown, "a stop alone is an orderly end");
            prop_assert!(!is_ours || is_going, "nobody wanted it to stop");
            let is_known = was_going || !is_going || is_ours == was_asked;
            prop_assert!(is_known, "what began the end is why it ended");
        }
    }

    /// However late its deadline is heard of.
    #[test]
    fn whoever_never_gets_ready_is_killed_in_the_end(spec in spec(), late in 0u64..3_000) {
        let (mut instance, _) = Instance::spawned(spec, Moment::ORIGIN);
        let late = Duration::from_millis(late);
        let first = instance.next_deadline().expect("a start has a deadline") + late;
        let mut told = instance.on_event(first, Event::DeadlineReached);
        if let Some(second) = instance.next_deadline() {
            prop_assert!(told.is_empty(), "it listens once more before it judges");
            told = instance.on_event(second, Event::DeadlineReached);
        }
        prop_assert!(matches!(told.as_slice(), [Command::Kill(_)]), "{:?}", told);
        prop_assert_eq!(instance.classify(KILLED, None).0, Reason::Startup);
    }
}
