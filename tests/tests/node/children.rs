//! Children that misbehave, and the text that the operator reads.

use std::{fs, os::unix::fs::PermissionsExt};

use blackhole_tests::{TestNode, pid, send};
use rustix::process::Signal;

/// The message of the last entry in a service's history, once it has failed.
fn why_it_failed(file: &str) -> String {
    let node = TestNode::start(file);
    node.until_state("bad", "failed");
    let last = node.history("bad").pop().expect("an entry");
    assert_eq!(last["reason"], "spawn", "{last}");
    assert_eq!(last["pid"], serde_json::Value::Null);
    let text = last["message"].as_str().expect("a message");
    text.replace(&node.directory().display().to_string(), "DIRECTORY")
}

const ONCE: &str = "restarts_max = 0\n";

#[test]
fn a_program_that_is_not_there() {
    let why = why_it_failed(&format!("[services.bad]\ncommand = [\"no-such-program\"]\n{ONCE}"));
    assert!(why.starts_with("looking up the program `no-such-program`: it is in none of"), "{why}");
    assert!(why.ends_with("hint: install it, or write its full path"), "{why}");
}

#[test]
fn a_program_that_may_not_be_executed() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("program");
    fs::write(&program, "#!/bin/sh\n").expect("it is written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).expect("it is changed");
    let program = program.display();
    let why = why_it_failed(&format!("[services.bad]\ncommand = [\"{program}\"]\n{ONCE}"));
    assert!(why.contains("executing") && why.contains("0644") && why.contains("hint:"), "{why}");
}

#[test]
fn a_working_directory_that_is_not_there() {
    let why = why_it_failed(&format!(
        "[services.bad]\ncommand = [\"true\"]\nworking_directory = \"/no/such/place\"\n{ONCE}"
    ));
    assert!(why.starts_with("changing directory to `/no/such/place`"), "{why}");
}

#[test]
fn a_port_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has an address");
    let why = why_it_failed(&format!(
        "[services.bad]\ncommand = [\"true\"]\nlisten = [\"tcp://{address}\"]\n{ONCE}"
    ));
    assert!(why.contains(&address.to_string()) && why.contains("in use"), "{why}");
}

#[test]
fn a_child_that_ignores_the_request_to_stop_is_killed_after_its_grace() {
    let node = TestNode::start_all(
        r#"
        [services.deaf]
        command = ["{fixture}", "--ignore-term", "--print", "deaf", "--sleep"]
        ready = { log = "deaf" }
        stop = { grace = "200ms" }
        "#,
    );
    let done = node.bh(&["stop", "deaf"]);
    assert_eq!(done.code, 0, "{done:?}");
    let last = node.history("deaf").pop().expect("an entry");
    assert_eq!((&last["reason"], &last["signal"]), (&"stop".into(), &"SIGKILL".into()));
    assert_eq!(node.service("deaf")["state"], "stopped");
}

#[test]
fn a_child_that_closes_its_output_and_stays_is_supervised_all_the_same() {
    let node = TestNode::start_all(
        "[services.quiet]\ncommand = [\"{fixture}\", \"--close-output\", \"--sleep\"]\n",
    );
    let before = node.service("quiet");
    send(pid(&before), Signal::KILL);
    node.until_reborn(&before);
}

#[test]
fn a_child_that_exits_in_the_face_of_its_probe_fails_its_start() {
    let node = TestNode::start(
        r#"
        [services.bad]
        command = ["{fixture}", "--print-error", "cannot go on", "--exit", "0"]
        ready = { tcp = "127.0.0.1:1", deadline = "20s" }
        restarts_max = 0
        "#,
    );
    node.until_state("bad", "failed");
    let last = node.history("bad").pop().expect("an entry");
    assert_eq!((&last["reason"], &last["code"]), (&"startup".into(), &0.into()));
    assert_eq!(last["stderr"], "cannot go on");
    assert_eq!(last["message"], "exited with 0 before it was ready");
}

#[test]
fn a_child_that_never_gets_ready_is_killed_at_its_deadline() {
    let node = TestNode::start(
        r#"
        [services.slow]
        command = ["{fixture}", "--sleep"]
        ready = { tcp = "127.0.0.1:1", deadline = "300ms" }
        restarts_max = 0
        "#,
    );
    node.until_state("slow", "failed");
    let last = node.history("slow").pop().expect("an entry");
    assert_eq!(last["reason"], "startup");
    let message = last["message"].as_str().expect("a message");
    assert!(message.starts_with("was not ready within 0.3 s"), "{message}");
}

#[test]
fn floods_binary_and_endless_lines_harm_nobody() {
    let node = TestNode::start_all(
        r#"
        [services.flood]
        command = ["{fixture}", "--flood", "300000", "--print", "flooded", "--sleep"]
        [services.binary]
        command = ["{fixture}", "--binary", "--print", "after the bytes", "--sleep"]
        [services.endless]
        command = ["{fixture}", "--no-newline", "3000000", "--print", "after the x", "--sleep"]
        [services.calm]
        command = ["{fixture}", "--print", "calm", "--sleep"]
        "#,
    );
    // What is printed faster than it can be stored is dropped and counted, never silently.
    let told = [("flood", ["flooded", "dropped"]), ("binary", ["after"; 2]), ("calm", ["calm"; 2])];
    for (service, words) in told {
        blackhole_tests::until(
            &format!("{service} has said one of {words:?}"),
            || node.bh(&["logs", "--tail", "5", service]).stdout,
            |text| words.iter().any(|word| text.contains(word)),
        );
    }
    let printed = node.bh(&["logs", "binary"]).stdout;
    assert!(!printed.contains('\u{1b}') && !printed.contains('\0'), "raw bytes reach the terminal");
    let states = node.status();
    let services = states["services"].as_array().expect("services");
    assert!(services.iter().all(|service| service["restarts"] == 0), "{states:#}");
}

#[test]
fn a_log_directory_that_vanishes_comes_back() {
    let node = TestNode::start_all(
        r#"
        [services.talker]
        command = ["sh", "-c", "while true; do echo word; sleep 0.05; done"]
        "#,
    );
    fs::remove_dir_all(node.path("log")).expect("it is removed");
    blackhole_tests::until(
        "lines are written again",
        || node.bh(&["logs", "talker"]).stdout,
        |text| text.contains("word") && node.path("log/talker-1.log").exists(),
    );
    assert_eq!(node.service("talker")["restarts"], 0);
}

#[test]
fn an_environment_file_that_cannot_be_read_is_refused_before_anything_starts() {
    let mut node = TestNode::launch(
        "[services.a]\ncommand = [\"true\"]\nenvironment_files = [\"/no/such/file\"]\n",
    );
    assert_eq!(node.ended().code(), Some(78));
    let output = node.output();
    assert!(output.contains("/no/such/file") && output.contains("config.toml:3:"), "{output}");
}

#[test]
fn a_child_that_eats_more_memory_than_it_may_is_ended_for_that() {
    let node = TestNode::start(
        r#"
        [services.glutton]
        command = ["sh", "-c", 'x=xxxxxxxxxxxxxxxx; while :; do x="$x$x"; done']
        resources = { memory = "32MiB" }
        restarts_max = 0
        "#,
    );
    let held = |service: &serde_json::Value| service["state"] == "failed";
    let lacks = |service: &serde_json::Value| {
        service["unenforced"].as_array().is_some_and(|lacking| !lacking.is_empty())
    };
    let seen = blackhole_tests::until(
        "it has failed, or nothing holds it",
        || node.service("glutton"),
        |service| held(service) || lacks(service),
    );
    if !held(&seen) {
        blackhole_tests::skipped("this host lets nobody limit memory");
        node.bh(&["stop", "glutton"]);
        return;
    }
    let last = node.history("glutton").pop().expect("an entry");
    assert_eq!((&last["reason"], &last["signal"]), (&"oom".into(), &"SIGKILL".into()));
    assert_eq!(last["message"], "ran out of memory; was ended by SIGKILL");
}
