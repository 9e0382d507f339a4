//! What a real node decided is decided again from its recording.

use blackhole_node::{
    Wait,
    incident::{
        RecordError, Recorder,
        replay::{ReplayError, replay},
    },
    registry::State,
};
use futures::StreamExt;

use super::{PATIENCE, begin, kill, state, until};

const FILE: &str = r#"
[services.plain]
command = ["sleep", "1000"]
backoff = { initial = "1ms", jitter = 0.5 }
restarts_max = 100

[services.wide]
command = ["sleep", "1000"]
depends_on = ["plain"]

[groups.web]
strategy = "rest_for_one"
services = ["cache", "api", "front"]
restarts_max = 2

[services.cache]
command = ["sleep", "1000"]

[services.api]
command = ["sleep", "1000"]
backoff = { initial = "1ms", jitter = 0.5 }

[services.front]
command = ["sleep", "1000"]

[services.broken]
command = ["false"]
ready = { up_for = "10s" }
restarts_max = 4
backoff = { initial = "1ms", jitter = 0.5 }
"#;

/// Takes a recording down until it ends.
fn take_down(recorder: &Recorder) -> tokio::task::JoinHandle<Vec<String>> {
    let lines = recorder.record("test").expect("nobody records yet");
    tokio::spawn(lines.map(|line| line.expect("it does not fall behind")).collect())
}

#[tokio::test]
async fn an_incident_of_a_real_node_is_decided_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = begin(directory.path(), FILE).await;
    let (registry, operator) = (node.registry().clone(), node.operator().clone());
    let recorder = node.recorder().clone();
    let running = tokio::spawn(node.run());
    // The recording begins in the middle of things: with restarts that count already.
    kill(&registry, "plain").await;
    kill(&registry, "api").await;

    let lines = take_down(&recorder);
    let second = recorder.record("test").map(drop);
    assert_eq!(second, Err(RecordError::AlreadyRecorded));
    for _ in 0..3 {
        kill(&registry, "plain").await;
    }
    // Two more than the group allows: it gives up, and its parent starts it again.
    kill(&registry, "cache").await;
    kill(&registry, "api").await;
    kill(&registry, "front").await;
    until(&registry, "it has failed", |registry| state(registry, "broken") == State::Failed).await;
    let [broken, wide] =
        ["broken", "wide"].map(|name| operator.select(&[name.to_owned()]).expect("it is known"));
    operator.start(&broken, Wait::No).await.expect("it is asked to start");
    operator.scale("wide", 3, Wait::UntilDone).await.expect("it grows");
    operator.restart(&wide, Wait::UntilDone).await.expect("it restarts");
    operator.scale("wide", 1, Wait::UntilDone).await.expect("it shrinks");
    operator.shut_down();
    let ended = tokio::time::timeout(PATIENCE, running).await.expect("the node ends in time");
    ended.expect("the node does not panic").expect("the node ends well");
    drop((recorder, operator));

    let lines = tokio::time::timeout(PATIENCE, lines).await.expect("it ends with the node");
    let lines = lines.expect("it is taken down");
    let replayed = replay(lines.iter().map(String::as_str)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((replayed.node.as_str(), replayed.supervisors), ("test", 3));
    assert!(replayed.decisions > 40, "{replayed}");

    // A restart that had not been decided then is noticed now.
    let index = lines.iter().rposition(|line| line.contains("BackingOff")).expect("one waited");
    let mut falsified = lines.clone();
    falsified[index] = falsified[index].replace("BackingOff", "Stopped");
    let different = replay(falsified.iter().map(String::as_str)).expect_err("it is not the same");
    let ReplayError::Different { line, .. } = &different else { panic!("{different}") };
    assert_eq!(*line, index + 1);
    // So is an event that is missing.
    let event = lines.iter().position(|line| line.contains("\"exited\"")).expect("one ended");
    falsified = lines;
    falsified.remove(event);
    replay(falsified.iter().map(String::as_str)).expect_err("it is not the same");
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let begun = r#"{"incident":{"version":1,"node":"dev"}}"#;
    let told = r#"{"decided":{"supervisor":"root #1","at_ns":1,"event":"start_requested","commands":[],"deadline_ns":null}}"#;
    let refused =
        |lines: &[&str]| replay(lines.iter().copied()).expect_err("it is none").to_string();
    assert_eq!(refused(&[]), "the first line is not that of a recording");
    assert_eq!(refused(&[told]), "the first line is not that of a recording");
    assert_eq!(refused(&[begun, "", "{}"]), "line 3 is no line of a recording");
    assert_eq!(refused(&[begun, told]), "line 2: nothing is known of supervisor `root #1` before");
    let newer = begun.replace("\"version\":1", "\"version\":2");
    assert_eq!(
        refused(&[&newer]),
        "this recording has version 2, and this program reads version 1"
    );
}
