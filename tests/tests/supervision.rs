//! The policy machine tells the stories that OTP's own supervisor tells.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use blackhole_tests::{
    say, skipped,
    supervision::{
        comparison::{self, Plan},
        erlang,
    },
};

/// Enough to have found every difference that was ever found, several times over.
const PROMPT: usize = 3_000;
const TIMED: usize = 100;

#[test]
fn random_scenarios_are_told_as_otp_tells_them() {
    if !erlang::is_installed() {
        return skipped("no `erl` here to compare with; apt-get install erlang-base");
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = since.as_secs();
    say(&format!("comparing {PROMPT} prompt and {TIMED} timed scenarios, seed {seed}"));
    let difference =
        comparison::compare(Plan { seed, prompt: PROMPT, timed: TIMED }).expect("Erlang runs");
    if let Some(difference) = difference {
        panic!("seed {seed}\n{difference}");
    }
}

fn trace(scenario: &str) -> Output {
    run(&[], scenario)
}

fn run(arguments: &[&str], scenario: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_supervision-trace"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(scenario.as_bytes()).expect("it reads what it is given");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn story(scenario: &str) -> String {
    let output = trace(scenario);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("JSON is text")
}

#[test]
fn the_trace_tool_tells_one_scenario() {
    let scenario = r#"{
        "strategy": "rest_for_one", "intensity": 2,
        "children": [
            {"id": "a", "behaviour": {"fail_from": 3}},
            {"id": "s", "type": "supervisor",
             "spec": {"children": [{"id": "x", "restart": "transient"}, {"id": "i", "behaviour": "ignore"}]}},
            {"id": "t", "restart": "temporary", "shutdown": "brutal"}
        ],
        "steps": [
            {"at_ms": 10, "exit": "x", "reason": "normal"},
            {"at_ms": 20, "exit": "a", "reason": "killed"},
            {"at_ms": 30, "exit": "nobody", "reason": "crash"},
            {"at_ms": 40, "call": "which_children"},
            {"at_ms": 50, "call": "terminate_child", "id": "s"},
            {"at_ms": 60, "call": "delete_child", "id": "s"},
            {"at_ms": 70, "call": "restart_child", "id": "s"},
            {"at_ms": 80, "call": "start_child", "id": "n", "shutdown": "infinity"},
            {"at_ms": 90, "call": "count_children"},
            {"at_ms": 100, "exit": "a", "reason": "crash"},
            {"at_ms": 110, "call": "count_children"}
        ]
    }"#;
    let expected = r#"{"started":"a","n":1}
{"started":"x","n":1}
{"ignored":"i"}
{"started":"s","n":1}
{"started":"t","n":1}
{"exited":"x","reason":"normal"}
{"exited":"a","reason":"killed"}
{"stopped":"t"}
{"stopped":"s"}
{"started":"a","n":2}
{"started":"x","n":2}
{"ignored":"i"}
{"started":"s","n":2}
{"result":[{"id":"s","state":"running","type":"supervisor"},{"id":"a","state":"running","type":"worker"}]}
{"stopped":"x"}
{"stopped":"s"}
{"result":"ok"}
{"result":"ok"}
{"result":{"error":"not_found"}}
{"started":"n","n":1}
{"result":"ok"}
{"result":{"active":2,"specs":2,"supervisors":0,"workers":2}}
{"exited":"a","reason":"crash"}
{"stopped":"n"}
{"start_failed":"a","n":3}
{"supervisor_exited":"shutdown"}
{"result":{"error":"noproc"}}
"#;
    assert_eq!(story(scenario), expected);
}

#[test]
fn graces_and_whole_seconds_pass_in_a_time_of_their_own() {
    let scenario = r#"{
        "intensity": 1, "period_s": 1,
        "children": [
            {"id": "a", "shutdown": 100, "behaviour": {"slow_stop_ms": 86400000}},
            {"id": "b", "shutdown": "infinity", "behaviour": {"slow_stop_ms": 86400000}}
        ],
        "steps": [
            {"at_ms": 900, "exit": "a", "reason": "crash"},
            {"at_ms": 2000, "exit": "a", "reason": "crash"},
            {"at_ms": 2100, "call": "stop"},
            {"at_ms": 2200, "exit": "a", "reason": "crash"},
            {"at_ms": 2300, "call": "count_children"}
        ]
    }"#;
    let expected = r#"{"started":"a","n":1}
{"started":"b","n":1}
{"exited":"a","reason":"crash"}
{"started":"a","n":2}
{"exited":"a","reason":"crash"}
{"started":"a","n":3}
{"exited":"a","reason":"crash"}
{"stopped":"b"}
{"result":{"error":"noproc"}}
{"supervisor_exited":"shutdown"}
"#;
    assert_eq!(story(scenario), expected);
}

/// Erlang: who starts a supervisor waits until it is up or has failed.
#[test]
fn steps_wait_for_a_start_that_fails_slowly() {
    let scenario = r#"{
        "children": [
            {"id": "a", "behaviour": {"slow_stop_ms": 300}},
            {"id": "b", "behaviour": {"fail_from": 1}}
        ],
        "steps": [{"at_ms": 100, "call": "count_children"}]
    }"#;
    let expected = r#"{"started":"a","n":1}
{"start_failed":"b","n":1}
{"stopped":"a"}
{"supervisor_exited":"shutdown"}
{"result":{"error":"noproc"}}
"#;
    assert_eq!(story(scenario), expected);
}

/// Erlang: the pid of a nested supervisor is not known before it is up.
#[test]
fn a_supervisor_that_is_starting_cannot_be_asked() {
    let scenario = r#"{
        "children": [{"id": "s", "type": "supervisor", "spec": {"children": [
            {"id": "a", "behaviour": {"slow_stop_ms": 300}},
            {"id": "b", "behaviour": {"fail_from": 2}}
        ]}}],
        "steps": [
            {"at_ms": 100, "exit": "s", "reason": "crash"},
            {"at_ms": 500, "call": "count_children", "supervisor": "s"}
        ]
    }"#;
    let expected = r#"{"started":"a","n":1}
{"started":"b","n":1}
{"started":"s","n":1}
{"stopped":"b"}
{"stopped":"a"}
{"exited":"s","reason":"crash"}
{"started":"a","n":2}
{"start_failed":"b","n":2}
{"result":{"error":"noproc"}}
{"stopped":"a"}
{"start_failed":"s","n":2}
{"supervisor_exited":"shutdown"}
"#;
    assert_eq!(story(scenario), expected);
}

/// Erlang: a supervisor that is told to end a second time is at it.
#[test]
fn a_second_stop_does_not_hurry() {
    let scenario = r#"{
        "children": [{"id": "a", "behaviour": {"slow_stop_ms": 500}}],
        "steps": [
            {"at_ms": 100, "call": "stop"},
            {"at_ms": 200, "call": "stop"},
            {"at_ms": 300, "call": "count_children"}
        ]
    }"#;
    let expected = r#"{"started":"a","n":1}
{"stopped":"a"}
{"result":{"error":"noproc"}}
{"supervisor_exited":"shutdown"}
"#;
    assert_eq!(story(scenario), expected);
}

/// Erlang: ids are unique under one supervisor, and `n` counts there.
#[test]
fn children_of_two_supervisors_may_have_the_same_id() {
    let scenario = r#"{
        "intensity": 3,
        "children": [
            {"id": "s", "type": "supervisor",
             "spec": {"children": [{"id": "x", "behaviour": {"fail_from": 3}}]}},
            {"id": "y"}
        ],
        "steps": [
            {"call": "start_child", "id": "x", "restart": "temporary"},
            {"exit": "x", "reason": "crash"},
            {"exit": "x", "reason": "crash"},
            {"exit": "x", "reason": "crash"},
            {"call": "count_children"}
        ]
    }"#;
    let expected = r#"{"started":"x","n":1}
{"started":"s","n":1}
{"started":"y","n":1}
{"started":"x","n":1}
{"result":"ok"}
{"exited":"x","reason":"crash"}
{"exited":"x","reason":"crash"}
{"started":"x","n":2}
{"exited":"x","reason":"crash"}
{"exited":"s","reason":"shutdown"}
{"start_failed":"x","n":3}
{"start_failed":"s","n":2}
{"start_failed":"x","n":4}
{"start_failed":"s","n":3}
{"start_failed":"x","n":5}
{"start_failed":"s","n":4}
{"stopped":"y"}
{"supervisor_exited":"shutdown"}
{"result":{"error":"noproc"}}
"#;
    assert_eq!(story(scenario), expected);
}

/// Erlang: the exit of a process comes before those of the processes linked to it.
#[test]
fn a_supervisor_that_is_killed_is_dead_before_its_children() {
    let scenario = r#"{
        "children": [
            {"id": "s", "type": "supervisor", "restart": "temporary", "spec": {"children": [
                {"id": "a"},
                {"id": "t", "type": "supervisor", "spec": {"children": [{"id": "b"}]}}
            ]}}
        ],
        "steps": [{"exit": "s", "reason": "killed"}]
    }"#;
    let expected = r#"{"started":"a","n":1}
{"started":"b","n":1}
{"started":"t","n":1}
{"started":"s","n":1}
{"exited":"s","reason":"killed"}
{"stopped":"b"}
{"stopped":"t"}
{"stopped":"a"}
{"supervisor_exited":"shutdown"}
"#;
    assert_eq!(story(scenario), expected);
}

/// Erlang: an instance has no id.
#[test]
fn an_instance_without_an_id_is_called_after_the_template() {
    let scenario = r#"{
        "strategy": "simple_one_for_one", "children": [{"id": "w"}],
        "steps": [
            {"call": "start_child"},
            {"call": "start_child", "id": "mine"},
            {"call": "start_child"},
            {"exit": "w", "reason": "crash"},
            {"call": "terminate_child", "id": "w"}
        ]
    }"#;
    let expected = r#"{"started":"w","n":1}
{"result":"ok"}
{"started":"mine","n":1}
{"result":"ok"}
{"started":"w","n":2}
{"result":"ok"}
{"exited":"w","reason":"crash"}
{"started":"w","n":3}
{"stopped":"w"}
{"result":"ok"}
{"stopped":"w"}
{"stopped":"mine"}
{"supervisor_exited":"shutdown"}
"#;
    assert_eq!(story(scenario), expected);
}

/// Scenarios that the machine, or who rehearses it, once told otherwise, and what OTP makes of them.
const ONCE_TOLD_OTHERWISE: [(&str, &str); 8] = [
    (
        "a call that waits starts the child it asks for, not that of a later call",
        r#"{"children": [{"id": "slow", "behaviour": {"slow_stop_ms": 500}}], "steps": [
            {"at_ms": 100, "call": "terminate_child", "id": "slow"},
            {"at_ms": 200, "call": "start_child", "child": {"id": "x"}},
            {"at_ms": 300, "call": "start_child", "child": {"id": "x", "behaviour": "ignore"}},
            {"at_ms": 1000, "call": "which_children"}]}"#,
    ),
    (
        "nor that of one who is removed before",
        r#"{"children": [{"id": "x", "behaviour": {"slow_stop_ms": 300}}], "steps": [
            {"at_ms": 50, "call": "terminate_child", "id": "x"},
            {"at_ms": 100, "call": "delete_child", "id": "x"},
            {"at_ms": 150, "call": "start_child",
             "child": {"id": "x", "type": "supervisor", "spec": {"children": [{"id": "y"}]}}},
            {"at_ms": 700, "call": "which_children"}]}"#,
    ),
    (
        "a supervisor without anything under it is one",
        r#"{"steps": [
            {"at_ms": 50, "call": "start_child", "id": "s", "type": "supervisor", "spec": {}},
            {"at_ms": 100, "call": "start_child", "id": "t", "restart": "temporary",
             "type": "supervisor", "spec": {"auto_shutdown": "any_significant"}},
            {"at_ms": 150, "call": "which_children"}]}"#,
    ),
    (
        "a supervisor of instances may be added",
        r#"{"steps": [
            {"at_ms": 50, "call": "start_child", "id": "s", "type": "supervisor",
             "spec": {"strategy": "simple_one_for_one", "children": [{"id": "w"}]}},
            {"at_ms": 100, "call": "start_child", "supervisor": "s", "id": "i1"},
            {"at_ms": 150, "call": "start_child", "supervisor": "s"},
            {"at_ms": 200, "call": "terminate_child", "supervisor": "s", "id": "i1"},
            {"at_ms": 250, "call": "count_children", "supervisor": "s"}]}"#,
    ),
    (
        "instances have no ids that could be taken",
        r#"{"strategy": "simple_one_for_one", "children": [{"id": "w", "shutdown": "brutal"}], "steps": [
            {"at_ms": 50, "call": "start_child", "id": "i"},
            {"at_ms": 100, "call": "start_child", "id": "i"},
            {"at_ms": 150, "exit": "i", "reason": "crash"},
            {"at_ms": 200, "call": "count_children"}]}"#,
    ),
    (
        "instances are listed as they were started last",
        r#"{"strategy": "simple_one_for_one", "children": [{"id": "w"}], "steps": [
            {"at_ms": 50, "call": "start_child", "id": "i1"},
            {"at_ms": 100, "call": "start_child", "id": "i2"},
            {"at_ms": 150, "call": "start_child", "id": "i3"},
            {"at_ms": 200, "exit": "i1", "reason": "crash"},
            {"at_ms": 250, "call": "which_children"},
            {"at_ms": 300, "call": "terminate_child", "id": "i2"},
            {"at_ms": 350, "call": "terminate_child", "id": "i3"}]}"#,
    ),
    (
        "the type is a label",
        r#"{"children": [{"id": "a", "type": "worker", "spec": {"children": [{"id": "b"}]}}],
            "steps": [{"at_ms": 50, "call": "which_children"}]}"#,
    ),
    (
        "any number of restarts may be allowed",
        r#"{"intensity": 5000000000, "children": [{"id": "a"}],
            "steps": [{"at_ms": 50, "exit": "a", "reason": "crash"}]}"#,
    ),
];

#[test]
fn what_was_once_told_otherwise_is_told_as_otp_tells_it() {
    if !erlang::is_installed() {
        return skipped("no `erl` here to compare with; apt-get install erlang-base");
    }
    for (what, scenario) in ONCE_TOLD_OTHERWISE {
        let otp = run(&["--erl"], scenario);
        assert!(otp.status.success(), "{what}: {}", String::from_utf8_lossy(&otp.stderr));
        assert_eq!(story(scenario), String::from_utf8_lossy(&otp.stdout), "{what}");
    }
}

/// However long a stop takes, it is told to its end.
#[test]
fn a_story_is_told_to_its_end() {
    let scenario = r#"{"children": [
        {"id": "a", "shutdown": "infinity", "behaviour": {"slow_stop_ms": 40000000000}}]}"#;
    let expected = r#"{"started":"a","n":1}
{"stopped":"a"}
{"supervisor_exited":"shutdown"}
"#;
    assert_eq!(story(scenario), expected);
}

#[test]
fn a_scenario_that_makes_no_sense_is_refused() {
    for (scenario, refusal) in [
        ("{", "could not read the scenario as JSON"),
        (r#"{"strategy": "all_for_one"}"#, "invalid_strategy: all_for_one"),
        (r#"{"intensity": -1}"#, "invalid_intensity"),
        (r#"{"period_s": 0}"#, "invalid_period"),
        (r#"{"children": [{}]}"#, "missing_id"),
        (
            r#"{"children": [{"id": "a", "restart": "sometimes"}]}"#,
            "invalid_restart_type: sometimes",
        ),
        (r#"{"children": [{"id": "a", "shutdown": "soon"}]}"#, "invalid_shutdown"),
        (
            r#"{"children": [{"id": "a", "behaviour": {"explode": 1}}]}"#,
            "unknown behaviour: explode",
        ),
        (r#"{"children": [{"id": "a", "behaviour": "odd"}]}"#, "unknown behaviour: \"odd\""),
        (r#"{"steps": [{"exit": "a", "reason": "banana"}]}"#, "unknown reason: banana"),
        (r#"{"steps": [{"exit": null}]}"#, "`exit` names no child"),
        (r#"{"steps": [{"call": "terminate_child"}]}"#, "the call names no child"),
        (r#"{"steps": [{"call": "start_child"}]}"#, "missing_id"),
        (
            r#"{"steps": [{"call": "count_children", "supervisor": 1}]}"#,
            "`supervisor` is no string",
        ),
    ] {
        let output = trace(scenario);
        assert_eq!(output.status.code(), Some(2), "{scenario}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(refusal), "{scenario}: {stderr}");
    }
    let significant = r#"{"children": [{"id": "a", "restart": "transient", "significant": true}]}"#;
    assert_eq!(story(significant), "{\"supervisor_exited\":\"start_spec\"}\n");
}
