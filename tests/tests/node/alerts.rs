//! What the node says of services that come near their limits, without being asked.

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use blackhole_tests::{TestNode, json_lines, until};
use serde_json::Value;

/// The events of a kind that the node still holds.
fn events(node: &TestNode, kind: &str) -> Vec<Value> {
    let held = json_lines(&node.bh(&["events", "--no-follow", "--json"]).stdout);
    held.into_iter().filter(|event| event["event"] == kind).collect()
}

/// Whether this host lets the node limit and tell, which the usage of a service with limits shows.
fn is_enforced(node: &TestNode, service: &str) -> bool {
    node.service(service)["usage"]["scope"] == "group"
}

/// A shell that runs out of memory in a command and then does this, `$1` being `end` in the node's
/// directory; nothing where nobody limits memory.
fn start_shell(then: &str) -> Option<TestNode> {
    let node = TestNode::start_all(&format!(
        r#"
        [services.shell]
        command = ["sh", "-c", '"$0" eat-memory 512; {then}', "{{misbehaving}}", "{{directory}}/end"]
        resources = {{ memory = "64MiB" }}
        restart = "temporary"
        "#
    ));
    if !is_enforced(&node, "shell") {
        blackhole_tests::skipped("this host lets nobody limit memory");
        return None;
    }
    Some(node)
}

/// A shell whose command the kernel kills for want of memory lives on, and ends as it likes.
#[test]
fn a_process_killed_for_want_of_memory_is_told_though_its_service_lives_on() {
    let Some(node) = start_shell(r#"until [ -e "$1" ]; do sleep 0.1; done; exit 3"#) else {
        return;
    };
    let killed = until("it is told", || events(&node, "oom_killed"), |it| !it.is_empty());
    let sentence = "the kernel killed 1 of its processes for want of memory";
    assert_eq!((&killed[0]["service"], &killed[0]["message"]), (&"shell".into(), &sentence.into()));
    std::fs::write(node.path("end"), "").expect("a file");
    let ends = until("it has ended", || node.history("shell"), |ends| !ends.is_empty());
    assert_eq!(ends[0]["reason"], "exit", "{ends:?}");
    assert_eq!(ends[0]["message"], format!("exited with 3; {sentence}"));
}

/// Whatever ends it later, it was not the process that ran out of memory.
#[test]
fn a_service_that_is_killed_long_after_another_process_of_it_was_is_not_said_to_have_run_out_of_memory()
 {
    let Some(node) = start_shell("exec sleep 1000") else { return };
    until("it is told", || events(&node, "oom_killed"), |it| !it.is_empty());
    let told = Instant::now();
    until("a while has passed", || told.elapsed(), |passed| *passed > Duration::from_secs(2));
    let pid = node.service("shell")["pid"].as_i64().expect("it lives");
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("a start");
    assert!(killed.success());
    let ends = until("it has ended", || node.history("shell"), |ends| !ends.is_empty());
    assert_eq!(ends[0]["reason"], "signal", "{ends:?}");
}

#[test]
fn tasks_that_a_limit_refused_are_told_at_once_and_at_the_end() {
    let node = TestNode::start_all(
        r#"
        [services.forker]
        command = ["sh", "-c", 'sh -c "sleep 1000 & sleep 1000 & sleep 1000 &"; until [ -e "$0" ]; do sleep 0.1; done; exit 2', "{directory}/end"]
        resources = { tasks_max = 4 }
        restart = "temporary"
        "#,
    );
    if !is_enforced(&node, "forker") {
        blackhole_tests::skipped("this host lets nobody limit tasks");
        return;
    }
    let told = until("it is told", || events(&node, "tasks_refused"), |it| !it.is_empty());
    let sentence = told[0]["message"].as_str().expect("a message");
    assert_eq!(sentence, "its limit of 4 tasks refused it a process once");
    std::fs::write(node.path("end"), "").expect("a file");
    let ends = until("it has ended", || node.history("forker"), |ends| !ends.is_empty());
    assert_eq!(ends[0]["message"], format!("exited with 2; {sentence}"));
}

#[test]
fn each_of_many_that_start_together_is_watched() {
    let node = TestNode::start_all(
        r#"
        [services.shell]
        command = ["sh", "-c", '"$0" eat-memory 64; exec sleep 1000', "{misbehaving}"]
        instances = 8
        resources = { memory = "16MiB" }
        "#,
    );
    if !is_enforced(&node, "shell") {
        blackhole_tests::skipped("this host lets nobody limit memory");
        return;
    }
    let told = || {
        let events = events(&node, "oom_killed");
        events.iter().filter_map(|event| event["instance"].as_u64()).collect::<BTreeSet<_>>()
    };
    until("all are told", told, |instances| instances.len() == 8);
}

#[test]
fn memory_near_its_limit_and_a_quota_that_holds_back_are_said_once() {
    let node = TestNode::start_all(
        r#"
        [services.eater]
        command = ["python3", "-c", "import time; b = bytearray(62 << 20); b[::4096] = b'x' * len(b[::4096]); time.sleep(1000)"]
        resources = { memory = "72MiB" }
        [services.spinner]
        command = ["sh", "-c", "while :; do :; done"]
        resources = { cpu = 0.02 }
        [services.calm]
        command = ["sleep", "1000"]
        resources = { cpu = 1.0, memory = "64MiB" }
        "#,
    );
    if !is_enforced(&node, "eater") {
        blackhole_tests::skipped("this host lets nobody limit memory");
        return;
    }
    let near =
        until("it is near its limit", || events(&node, "near_memory_limit"), |it| !it.is_empty());
    assert_eq!(near[0]["service"], "eater");
    assert!(
        near[0]["message"].as_str().is_some_and(|text| text.ends_with("of 72 MiB")),
        "{near:?}"
    );
    let held = until("it is held back", || events(&node, "throttled"), |it| !it.is_empty());
    assert_eq!(held[0]["service"], "spinner");
    assert_eq!((near.len(), held.len()), (1, 1));
}
