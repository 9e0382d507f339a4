//! What an operator does all day.

use std::{fs, process::Child};

use blackhole_tests::{TestNode, bh, json_lines, pid, send};
use rustix::process::Signal;
use serde_json::Value;

const PAIR: &str = r#"
[services.first]
command = ["{fixture}", "--print", "one", "--sleep"]
[services.second]
command = ["{fixture}", "--print", "two", "--sleep"]
depends_on = ["first"]
"#;

#[test]
fn status_has_the_documented_shape() {
    let node = TestNode::start_all(PAIR);
    let status = node.status();
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let mut node_keys = keys(&status["node"]);
    node_keys.sort();
    assert_eq!(node_keys, ["guardian_pid", "name", "pid", "state", "uptime_seconds", "version"]);
    let mut service_keys = keys(&status["services"][0]);
    service_keys.sort();
    assert_eq!(
        service_keys,
        [
            "cpu_percent",
            "generation",
            "group",
            "instance",
            "kind",
            "last_exit",
            "memory_bytes",
            "name",
            "pid",
            "ready",
            "restarts",
            "state",
            "unenforced",
            "uptime_seconds",
            "usage"
        ]
    );
    assert_eq!(pid(&status["node"]), node.node_pid());
    assert_eq!(status["node"]["guardian_pid"], node.guardian_pid());
}

#[test]
fn what_a_service_has_started_counts_with_it() {
    let node = TestNode::start_all(
        "[services.family]\ncommand = [\"sh\", \"-c\", \"setsid sleep 1000 & sleep 1000 & wait\"]\n\
         [services.alone]\ncommand = [\"sleep\", \"1000\"]\n",
    );
    let usage = |status: &Value, place: usize| status["services"][place]["usage"].clone();
    let status = node.until("the family is complete", |status| usage(status, 1)["processes"] == 3);
    let (alone, family) = (usage(&status, 0), usage(&status, 1));
    assert_eq!((&alone["processes"], &alone["scope"]), (&1.into(), &"processes".into()));
    let memory = |usage: &Value| usage["memory_bytes"].as_u64().expect("it is known");
    assert!(memory(&family) > memory(&alone), "{family} {alone}");
    assert!(family["descriptors"].as_u64() > alone["descriptors"].as_u64(), "{family} {alone}");
}

#[test]
fn stop_start_restart_and_scale_do_what_they_say() {
    let node = TestNode::start_all(PAIR);
    assert_eq!(node.bh(&["stop", "second"]).code, 0);
    assert_eq!(node.service("second")["state"], "stopped");
    assert_eq!(node.bh(&["start", "second"]).code, 0);
    assert_eq!(node.service("second")["state"], "ready");
    assert_eq!(node.bh(&["restart", "second"]).code, 0);
    let second = node.service("second");
    assert_eq!((&second["generation"], &second["restarts"]), (&3.into(), &0.into()));
    assert_eq!(node.bh(&["scale", "first", "3"]).code, 0);
    let count = |status: &Value| {
        let services = status["services"].as_array().expect("services");
        services.iter().filter(|service| service["name"] == "first").count()
    };
    assert_eq!(count(&node.status()), 3);
    assert_eq!(node.bh(&["scale", "first", "1"]).code, 0);
    assert_eq!(count(&node.status()), 1);
}

#[test]
fn a_stopped_service_stays_stopped() {
    let node = TestNode::start_all(PAIR);
    assert_eq!(node.bh(&["stop", "first"]).code, 0);
    let second = node.service("second");
    send(pid(&second), Signal::KILL);
    let pending = node.until_state("second", "pending");
    assert_eq!(node.service("first")["state"], "stopped");
    assert_eq!(pending["pid"], Value::Null);
}

#[test]
fn logs_follow_select_and_search() {
    let node = TestNode::start_all(
        r#"
        [services.json]
        command = ["{fixture}", "--print", '{"level":"warn","message":"low","free":3}', "--sleep"]
        [services.text]
        command = ["{fixture}", "--print", "alpha", "--print", "beta", "--sleep"]
        "#,
    );
    let lines = |words: &[&str]| json_lines(&node.bh(words).stdout);
    let records = blackhole_tests::until(
        "both lines are stored",
        || lines(&["logs", "--json", "text"]),
        |records| records.len() == 2,
    );
    assert_eq!(records[0]["message"], "alpha");
    assert_eq!(records[0]["service"], "text");
    assert_eq!(lines(&["logs", "--json", "--grep", "bet", "text"]).len(), 1);
    let parsed = blackhole_tests::until(
        "the JSON line is stored",
        || lines(&["logs", "--json", "json"]),
        |records| records.len() == 1,
    );
    assert_eq!((&parsed[0]["level"], &parsed[0]["message"]), (&"warn".into(), &"low".into()));
    assert_eq!(parsed[0]["fields"]["free"], 3);
}

#[test]
fn a_second_node_in_the_same_place_is_refused() {
    let node = TestNode::start_all(PAIR);
    let refused = bh()
        .args(["run", &node.path("config.toml").display().to_string()])
        .args(["--runtime-dir", &node.path("run").display().to_string()])
        .args(["--data-dir", &node.path("data").display().to_string()])
        .args(["--log-dir", &node.path("log").display().to_string()])
        .output()
        .expect("bh runs");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("a node already runs in") && text.contains("hint:"), "{text}");
    assert_ne!(refused.status.code(), Some(0));
}

#[test]
fn a_crash_loop_of_one_disturbs_nobody_and_escalation_ends_the_node() {
    let node = TestNode::start(
        r#"
        [services.loop]
        command = ["{fixture}", "--exit", "7"]
        restarts_max = 3
        backoff = { initial = 0 }
        [services.calm]
        command = ["{fixture}", "--sleep"]
        "#,
    );
    node.until_state("loop", "failed");
    let history = node.history("loop");
    assert_eq!(history.len(), 4, "{history:#?}");
    assert!(history.iter().all(|entry| entry["code"] == 7 && entry["reason"] == "exit"));
    assert_eq!(node.service("calm")["state"], "ready");

    let mut node = TestNode::launch(
        "[services.vital]\ncommand = [\"{fixture}\", \"--exit\", \"7\"]\nrestarts_max = 0\n\
         on_failed = \"escalate\"\n",
    );
    assert_eq!(node.ended().code(), Some(1));
    let output = node.output();
    assert!(output.contains("vital-1") && output.contains("restarted too often"), "{output}");
}

#[test]
fn a_group_is_restarted_by_its_strategy() {
    let node = TestNode::start_all(
        r#"
        [groups.web]
        strategy = "rest_for_one"
        services = ["a", "b", "c"]
        [services.a]
        command = ["{fixture}", "--sleep"]
        [services.b]
        command = ["{fixture}", "--sleep"]
        [services.c]
        command = ["{fixture}", "--sleep"]
        "#,
    );
    let before = ["a", "b", "c"].map(|name| node.service(name));
    send(pid(&before[1]), Signal::KILL);
    let c = node.until_reborn(&before[2]);
    assert_eq!(c["group"], "web");
    assert_eq!(node.service("a")["generation"], before[0]["generation"]);
    assert_ne!(node.service("b")["generation"], before[1]["generation"]);
    assert_eq!(node.history("c").pop().expect("an entry")["reason"], "stop");
}

#[test]
fn clients_that_hold_connections_open_leave_descriptors_to_services() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = free.expect("a port");
    let node = TestNode::start_all(&format!("{PAIR}[http]\nlisten = \"{address}\"\n"));
    let listing = format!("/proc/{}/fd", node.node_pid());
    let descriptors = || std::fs::read_dir(&listing).expect("the node lives").count();
    let before = descriptors();
    let pages = (0..400).map(|_| std::net::TcpStream::connect(address).expect("it listens"));
    let pages: Vec<_> = pages.collect();
    let path = node.path("run/control.sock");
    let calls = (0..400).map(|_| std::os::unix::net::UnixStream::connect(&path).expect("it too"));
    let calls: Vec<_> = calls.collect();
    blackhole_tests::until(
        "the node has taken some of both, and not all",
        || descriptors().saturating_sub(before),
        |more| (300..350).contains(more),
    );
    drop((pages, calls));
    node.until("the node answers again", |status| status["node"]["state"] == "running");
    blackhole_tests::until("they are given back", descriptors, |now| *now < before + 20);
}

/// A recording that has begun; it ends with the node.
fn record(node: &TestNode, file: &str) -> Child {
    let recorder = bh()
        .args(["events", "--record", file])
        .env("BLACKHOLE_RUNTIME_DIR", node.path("run"))
        .spawn()
        .expect("bh runs");
    let begun = || fs::read_to_string(file).unwrap_or_default();
    blackhole_tests::until("the recording has begun", begun, |text| text.contains('\n'));
    recorder
}

#[test]
fn an_incident_is_recorded_and_decided_again_when_the_node_is_gone() {
    let mut node = TestNode::start_all(PAIR);
    let file = node.path("incident.jsonl").display().to_string();
    let mut recorder = record(&node, &file);
    let first = node.service("first");
    send(pid(&first), Signal::KILL);
    node.until_reborn(&first);
    node.signal(Signal::TERM);
    node.ended();
    let is_over = || recorder.try_wait().expect("it can be waited for");
    blackhole_tests::until("the recording has ended", is_over, Option::is_some);

    let replayed = node.bh(&["events", "--replay", &file]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    assert!(replayed.stdout.ends_with("commands: all the same\n"), "{replayed:?}");

    let recording = fs::read_to_string(&file).expect("it was written");
    let mut lines = json_lines(&recording);
    let is_exit = |line: &Value| line["decided"]["event"]["exited"].is_object();
    let exit = lines.iter().position(is_exit).expect("the kill is in it");
    lines[exit]["decided"]["commands"] = Value::Array(Vec::new());
    let mut falsified: Vec<&str> = recording.lines().collect();
    let line = lines[exit].to_string();
    falsified[exit] = &line;
    fs::write(&file, falsified.join("\n")).expect("it is written");
    let refused = node.bh(&["events", "--replay", &file]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("decides otherwise now"), "{refused:?}");
}
