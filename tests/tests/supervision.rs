//! The policy machine tells the stories that OTP's own supervisor tells.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use blackhole_tests::supervision::{
    comparison::{self, Plan},
    erlang,
};

/// Enough to have found every difference that was ever found, several times over.
const PROMPT: usize = 3_000;
const TIMED: usize = 100;

#[test]
fn random_scenarios_are_told_as_otp_tells_them() {
    if !erlang::is_installed() {
        println!("SKIPPED: no `erl` here to compare with; apt-get install erlang-base");
        return;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = since.as_secs();
    println!("comparing {PROMPT} prompt and {TIMED} timed scenarios, seed {seed}");
    let difference =
        comparison::compare(Plan { seed, prompt: PROMPT, timed: TIMED }).expect("Erlang runs");
    if let Some(difference) = difference {
        panic!("seed {seed}\n{difference}");
    }
}

fn trace(scenario: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_supervision-trace"))
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
        (r#"{"steps": [{"call": "terminate_child"}]}"#, "the call names no child"),
    ] {
        let output = trace(scenario);
        assert_eq!(output.status.code(), Some(2), "{scenario}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(refusal), "{scenario}: {stderr}");
    }
    let significant = r#"{"children": [{"id": "a", "restart": "transient", "significant": true}]}"#;
    assert_eq!(story(significant), "{\"supervisor_exited\":\"start_spec\"}\n");
}
