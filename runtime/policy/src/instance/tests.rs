use super::*;

const SPEC: InstanceSpec = InstanceSpec {
    start_deadline: Duration::from_secs(30),
    startup: Startup::Immediate,
    watchdog: None,
};

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

fn running(spec: InstanceSpec) -> Instance {
    let (mut instance, _) = Instance::spawned(spec, at(0));
    instance.on_event(at(1), Event::BecameReady);
    instance
}

#[test]
fn readiness_ends_the_start_and_begins_liveness() {
    let (mut instance, first) = Instance::spawned(SPEC, at(0));
    assert_eq!(first, [Command::WatchReadiness]);
    assert_eq!(instance.next_deadline(), Some(at(30)));
    assert_eq!(
        instance.on_event(at(1), Event::BecameReady),
        [Command::AnnounceStarted, Command::AnnounceReady, Command::WatchLiveness],
    );
    assert_eq!(instance.next_deadline(), None);
}

#[test]
fn a_startup_probe_holds_back_readiness_that_came_early() {
    let spec = InstanceSpec { startup: Startup::Probed, ..SPEC };
    let (mut instance, first) = Instance::spawned(spec, at(0));
    assert!(first.is_empty());
    assert!(instance.on_event(at(1), Event::BecameReady).is_empty());
    assert!(instance.on_event(at(2), Event::StartupPassed).contains(&Command::AnnounceStarted));
}

#[test]
fn a_start_that_takes_too_long_is_killed_and_counts_as_startup() {
    let (mut instance, _) = Instance::spawned(SPEC, at(0));
    assert!(instance.on_event(at(29), Event::DeadlineReached).is_empty());
    let commands = instance.on_event(at(30), Event::DeadlineReached);
    assert_eq!(commands, [Command::Kill("was not ready within 30 s".into())]);
    assert_eq!(instance.classify(Ended::Signal(SIGKILL), None), (Reason::Startup, Exit::Abnormal),);
}

#[test]
fn a_start_can_be_extended_by_the_child() {
    let (mut instance, _) = Instance::spawned(SPEC, at(0));
    instance.on_event(at(20), Event::StartExtended(Duration::from_secs(60)));
    assert!(instance.on_event(at(30), Event::DeadlineReached).is_empty());
    assert_eq!(instance.next_deadline(), Some(at(80)));
}

#[test]
fn a_clean_exit_before_readiness_is_a_failed_start() {
    let (instance, _) = Instance::spawned(SPEC, at(0));
    assert_eq!(instance.classify(Ended::Code(0), None), (Reason::Startup, Exit::Abnormal));
    assert_eq!(instance.classify(Ended::Code(3), None), (Reason::Exit, Exit::Abnormal));
}

#[test]
fn a_failed_liveness_check_kills_without_asking() {
    let mut instance = running(SPEC);
    let commands = instance.on_event(at(2), Event::LiveFailed("timed out".into()));
    assert_eq!(commands, [Command::Kill("timed out".into())]);
    assert_eq!(instance.classify(Ended::Signal(SIGKILL), None).0, Reason::Probe);
}

#[test]
fn a_watchdog_is_kept_off_by_kicks_only() {
    let mut instance = running(InstanceSpec { watchdog: Some(Duration::from_secs(5)), ..SPEC });
    instance.on_event(at(4), Event::Kicked);
    assert!(instance.on_event(at(6), Event::DeadlineReached).is_empty());
    assert_eq!(instance.next_deadline(), Some(at(9)));
    assert_eq!(instance.on_event(at(9), Event::DeadlineReached).len(), 1);
    assert_eq!(instance.classify(Ended::Signal(SIGKILL), None).0, Reason::Probe);
}

#[test]
fn a_node_that_was_held_up_listens_before_it_judges() {
    let watchdog = Some(Duration::from_secs(2));
    let mut instance = running(InstanceSpec { watchdog, ..SPEC });
    assert!(instance.on_event(at(60), Event::DeadlineReached).is_empty());
    assert_eq!(instance.next_deadline(), Some(at(60) + HELD_UP));
    instance.on_event(at(60), Event::Kicked);
    assert_eq!(instance.next_deadline(), Some(at(62)));
    assert_eq!(instance.on_event(at(62), Event::DeadlineReached).len(), 1);

    let (mut starting, _) = Instance::spawned(SPEC, at(0));
    assert!(starting.on_event(at(60), Event::DeadlineReached).is_empty());
    assert!(starting.on_event(at(60), Event::BecameReady).contains(&Command::AnnounceStarted));
    let (mut starting, _) = Instance::spawned(SPEC, at(0));
    starting.on_event(at(60), Event::DeadlineReached);
    let over = starting.next_deadline().expect("it is still awaited");
    assert_eq!(starting.on_event(over, Event::DeadlineReached).len(), 1);
}

#[test]
fn exits_of_a_running_process_are_told_apart() {
    let instance = running(SPEC);
    let classify = |ended, oom| instance.classify(ended, oom);
    let just_before = Some(Duration::from_millis(300));
    assert_eq!(classify(Ended::Code(0), None), (Reason::Exit, Exit::Normal));
    assert_eq!(classify(Ended::Code(1), None), (Reason::Exit, Exit::Abnormal));
    assert_eq!(classify(Ended::Signal(11), None), (Reason::Signal, Exit::Abnormal));
    assert_eq!(classify(Ended::Signal(SIGKILL), None), (Reason::Signal, Exit::Killed));
    assert_eq!(classify(Ended::Signal(SIGKILL), just_before), (Reason::Oom, Exit::Abnormal));
    assert_eq!(classify(Ended::Code(137), just_before), (Reason::Oom, Exit::Abnormal));
    assert_eq!(classify(Ended::Code(137), None), (Reason::Exit, Exit::Abnormal));
    assert_eq!(classify(Ended::Code(1), just_before), (Reason::Exit, Exit::Abnormal), "its own");
    let before = Some(Duration::from_secs(5));
    let killed = (Reason::Signal, Exit::Killed);
    assert_eq!(classify(Ended::Signal(SIGKILL), before), killed, "another one ran out of memory");
}

#[test]
fn whatever_ends_it_after_a_stop_was_the_stop() {
    let mut instance = running(SPEC);
    assert_eq!(instance.on_event(at(2), Event::StopAsked), [Command::Ask]);
    assert_eq!(instance.on_event(at(3), Event::KillAsked).len(), 1);
    assert_eq!(instance.classify(Ended::Signal(SIGKILL), None), (Reason::Stop, Exit::Shutdown),);
}

#[test]
fn readiness_may_come_and_go() {
    let mut instance = running(SPEC);
    let gone = instance.on_event(at(2), Event::BecameUnready("busy".into()));
    assert_eq!(gone, [Command::AnnounceUnready("busy".into())]);
    assert!(instance.on_event(at(3), Event::BecameUnready("busy".into())).is_empty());
    assert_eq!(instance.on_event(at(4), Event::BecameReady), [Command::AnnounceReady]);
}

#[test]
fn readiness_that_comes_and_goes_before_the_startup_probe_is_looked_at_anew() {
    let (mut instance, first) =
        Instance::spawned(InstanceSpec { startup: Startup::Probed, ..SPEC }, at(0));
    assert!(first.is_empty());
    assert!(instance.on_event(at(1), Event::BecameReady).is_empty());
    assert!(instance.on_event(at(2), Event::BecameUnready("busy".into())).is_empty());
    let passed = instance.on_event(at(3), Event::StartupPassed);
    assert_eq!(passed, [Command::WatchReadiness]);
    assert!(
        instance.on_event(at(4), Event::BecameReady).contains(&Command::AnnounceStarted),
        "it has not been started before"
    );
}

/// Whatever the process is killed for is why it ended, starting or running; nothing follows then.
#[test]
fn a_condemned_process_ends_for_the_reason_it_was_condemned_for() {
    let condemnations = [
        (Event::LiveFailed("no".into()), Reason::Probe, "no"),
        (Event::Unresponsive("silent".into()), Reason::Unresponsive, "silent"),
        (Event::LimitExceeded(Reason::Disk), Reason::Disk, "exceeded its disk limit"),
    ];
    for (event, reason, why) in condemnations {
        let starting = Instance::spawned(SPEC, at(0)).0;
        for mut instance in [starting, running(SPEC)] {
            let commands = instance.on_event(at(2), event.clone());
            assert_eq!(commands, [Command::Kill(why.into())]);
            assert_eq!(instance.next_deadline(), None);
            for late in [Event::StopAsked, Event::KillAsked, Event::BecameReady] {
                assert!(instance.on_event(at(3), late).is_empty(), "it is killed already");
            }
            let ended = instance.classify(Ended::Signal(SIGKILL), None);
            assert_eq!(ended, (reason, Exit::Abnormal));
        }
    }
}

#[test]
fn one_that_is_starting_or_running_is_stopped_as_its_supervisor_asks() {
    for (event, command) in [
        (Event::StopAsked, Command::Ask),
        (Event::KillAsked, Command::Kill("did not stop within its grace".into())),
    ] {
        let starting = Instance::spawned(SPEC, at(0)).0;
        for mut instance in [starting, running(SPEC)] {
            assert_eq!(instance.on_event(at(2), event.clone()), std::slice::from_ref(&command));
            assert_eq!(instance.next_deadline(), None, "its supervisor keeps the time");
            assert!(instance.on_event(at(3), Event::LiveFailed("no".into())).is_empty());
            assert_eq!(instance.classify(Ended::Code(1), None), (Reason::Stop, Exit::Shutdown));
        }
    }
}

#[test]
fn a_watchdog_set_later_holds_from_then_on_and_one_set_early_from_the_start_on() {
    let every = Duration::from_secs(5);
    let mut instance = running(SPEC);
    assert_eq!(instance.next_deadline(), None);
    assert!(instance.on_event(at(10), Event::WatchdogSet(every)).is_empty());
    assert_eq!(instance.next_deadline(), Some(at(15)));

    let (mut early, _) = Instance::spawned(SPEC, at(0));
    assert!(early.on_event(at(1), Event::WatchdogSet(every)).is_empty());
    assert_eq!(early.next_deadline(), Some(at(30)), "the start's, as before");
    early.on_event(at(2), Event::BecameReady);
    assert_eq!(early.next_deadline(), Some(at(7)));
}

#[test]
fn one_that_stops_by_itself_must_not_be_called_and_need_not_give_signs_of_life() {
    let watchdog = Some(Duration::from_secs(5));
    let mut instance = running(InstanceSpec { watchdog, ..SPEC });
    let stopping = instance.on_event(at(2), Event::StoppingReported);
    assert_eq!(stopping, [Command::AnnounceUnready("stops by itself".into())]);
    assert_eq!(instance.next_deadline(), None);
    assert!(instance.on_event(at(3), Event::StoppingReported).is_empty(), "that is known");
    assert_eq!(instance.classify(Ended::Code(0), None), (Reason::Exit, Exit::Normal));
}

#[test]
fn reasons_have_words_of_their_own_that_tables_can_align() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::as_str).into();
    assert_eq!(words.len(), Reason::ALL.len());
    assert_eq!(format!("{:<8}|{:>5}", Reason::Startup, Reason::Oom), "startup |  oom");
    assert_eq!(
        Reason::ALL.map(|reason| reason.to_string()).join(" "),
        "exit signal oom probe startup limit disk spawn stop replace unresponsive"
    );
}
