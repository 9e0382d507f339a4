//! Whoever is killed, whenever: nothing is left, and what should be back is back.

use std::{
    thread,
    time::{Duration, Instant},
};

use blackhole_tests::{TestNode, pid, processes, send, until};
use rustix::process::Signal;

const THREE: &str = r#"
[services.plain]
command = ["{fixture}", "--print", "here", "--sleep"]
[services.parent]
command = ["{fixture}", "--fork", "--fork", "--sleep"]
[services.daemon]
command = ["{fixture}", "--daemon", "{directory}/daemons", "--sleep"]
"#;

/// Whether a set of signals has this one.
fn has(set: u64, signal: Signal) -> bool {
    set & (1 << (signal.as_raw() - 1)) != 0
}

fn daemons(node: &TestNode) -> Vec<i32> {
    let text = std::fs::read_to_string(node.path("daemons")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Somewhat more than the node takes for one and the same signal.
const ECHO_MAX: Duration = Duration::from_millis(400);

#[test]
fn every_process_may_be_killed_and_its_service_comes_back_whole() {
    let node = TestNode::start_all(THREE);
    for service in ["plain", "parent", "daemon"] {
        let before = node.until_state(service, "ready");
        send(pid(&before), Signal::KILL);
        let after = node.until_reborn(&before);
        assert_ne!(before["pid"], after["pid"]);
        assert_eq!(after["restarts"], 1);
        let last = node.history(service).pop().expect("an entry");
        assert_eq!((&last["reason"], &last["signal"]), (&"signal".into(), &"SIGKILL".into()));
        assert_eq!(last["pid"], before["pid"]);
    }
}

#[test]
fn what_a_killed_service_had_started_goes_with_it() {
    let node = TestNode::start_all(THREE);
    let parent = node.service("parent");
    let children: Vec<i32> = until(
        "the parent has forked twice",
        || processes::children(pid(&parent)),
        |children| children.len() == 2,
    )
    .into_iter()
    .map(|child| child.pid)
    .collect();
    send(pid(&parent), Signal::KILL);
    node.until_reborn(&parent);
    assert!(children.iter().all(|child| !processes::lives(*child)), "{children:?}");

    let first = until("a daemon has written its pid", || daemons(&node), |all| all.len() == 1)[0];
    assert!(processes::lives(first));
    let daemon = node.service("daemon");
    send(pid(&daemon), Signal::KILL);
    node.until_reborn(&daemon);
    assert!(!processes::lives(first), "the daemon outlived its service");
}

/// What is left in a control group is killed with it; the group must let the successor live.
#[test]
fn a_limited_service_that_leaves_others_behind_comes_back() {
    let node = TestNode::start_all(
        r#"
        [services.parent]
        command = ["{fixture}", "--fork", "--daemon", "{directory}/daemons", "--sleep"]
        resources = { tasks_max = 50 }
        backoff = { initial = "10ms" }
        "#,
    );
    for generation in 1..=2 {
        until("its daemon is there", || daemons(&node).len(), |count| *count == generation);
        let before = node.until_state("parent", "ready");
        send(pid(&before), Signal::KILL);
        node.until_reborn(&before);
    }
    until("the last daemon is there", || daemons(&node).len(), |count| *count == 3);
    assert_eq!(node.service("parent")["restarts"], 2);
}

#[test]
fn a_child_that_dies_leaves_its_service_alone() {
    let node = TestNode::start_all(THREE);
    let parent = node.service("parent");
    let children = until(
        "the parent has forked",
        || processes::children(pid(&parent)),
        |children| children.len() == 2,
    );
    send(children[0].pid, Signal::KILL);
    until("it is gone", || processes::lives(children[0].pid), |lives| !lives);
    assert_eq!(node.service("parent")["generation"], parent["generation"]);
}

#[test]
fn a_killed_node_leaves_nothing() {
    let mut node = TestNode::start_all(THREE);
    until("the daemon is there", || daemons(&node), |all| !all.is_empty());
    send(node.node_pid(), Signal::KILL);
    let status = node.ended();
    assert_eq!(status.code(), Some(137), "128 and SIGKILL");
    assert!(node.output().contains("the node was killed by SIGKILL"), "{}", node.output());
    assert!(node.processes().is_empty(), "{:?}", node.processes());
}

#[test]
fn a_killed_guardian_takes_the_node_and_everything_along() {
    let mut node = TestNode::start_all(THREE);
    until("the daemon is there", || daemons(&node), |all| !all.is_empty());
    node.signal(Signal::KILL);
    node.ended();
    node.nothing_left();
}

/// Twenty moments from the first instruction to long after everything is up, for both victims.
#[test]
fn node_and_guardian_may_die_at_any_moment() {
    for moment in 0..20_u64 {
        let delay = Duration::from_millis(moment * moment);
        for victim in ["guardian", "node"] {
            let mut node = TestNode::launch(THREE);
            let due = Instant::now() + delay;
            let child = until(
                "the victim is there or it is due",
                || processes::children(node.guardian_pid()).into_iter().next(),
                |child| child.is_some() || Instant::now() >= due,
            );
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match (victim, child) {
                ("node", Some(child)) => send(child.pid, Signal::KILL),
                _ => node.signal(Signal::KILL),
            }
            node.ended();
            node.nothing_left();
        }
    }
}

#[test]
fn terminate_stops_everything_once_and_a_second_one_skips_the_grace() {
    let mut node = TestNode::start_all(
        r#"
        [services.deaf]
        command = ["{fixture}", "--ignore-term", "--print", "deaf", "--sleep"]
        ready = { log = "deaf" }
        stop = { grace = "10m" }
        "#,
    );
    node.signal(Signal::TERM);
    let asked_at = Instant::now();
    node.until_state("deaf", "stopping");
    until("a second one is no echo of the first", || asked_at.elapsed(), |since| *since > ECHO_MAX);
    node.signal(Signal::TERM);
    let status = node.ended();
    assert_eq!(status.code(), Some(0), "{}", node.output());
    node.nothing_left();
}

/// As systemd asks, unless told to leave the node's processes to the guardian.
#[test]
fn a_signal_to_guardian_and_node_at_once_is_one() {
    let mut node = TestNode::start_all(
        r#"
        [services.slow]
        command = ["sh", "-c", "trap 'sleep 1; echo finished; exit 0' TERM; while :; do sleep 0.1; done"]
        ready = { up_for = "300ms" }
        stop = { grace = "10m" }
        "#,
    );
    let inner = processes::children(node.guardian_pid()).into_iter().next().expect("the node");
    // Held up until both have come. They differ, because the kernel itself makes one of two that are the same.
    send(inner.pid, Signal::STOP);
    until("it stands still", || processes::is_stopped(inner.pid), |stopped| *stopped);
    send(inner.pid, Signal::TERM);
    node.signal(Signal::INT);
    let both = |waiting: &u64| [Signal::TERM, Signal::INT].iter().all(|it| has(*waiting, *it));
    until("both wait for the node", || processes::signals_pending(inner.pid), both);
    send(inner.pid, Signal::CONT);
    let status = node.ended();
    assert_eq!(status.code(), Some(0), "{}", node.output());
    assert!(node.output().contains("finished"), "{}", node.output());
    node.nothing_left();
}
