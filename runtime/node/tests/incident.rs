//! What a real node decided is decided again from its recording.

use std::{path::Path, sync::Arc, time::Duration};

use blackhole_config::{HostFacts, Overrides, Source, load};
use blackhole_node::{
    Node, Options, Patience, Signals,
    incident::{
        RecordError, Recorder,
        replay::{ReplayError, replay},
    },
    native::{Embedded, NativeServices},
    registry::{Registry, State},
};
use blackhole_protocol::{Name, link::Assignment};
use futures::StreamExt;

/// A condition that has not come true by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

struct NoServices;

impl NativeServices for NoServices {
    fn command(&self, service: &Name) -> Vec<std::ffi::OsString> {
        panic!("no test has a native service, and {service} is one");
    }

    fn embed(
        &self,
        service: &Name,
        _: blackhole_process::sockets::NativeListeners,
        _: blackhole_process::sockets::EmbeddedEnds,
        _: &Assignment,
    ) -> std::io::Result<Arc<dyn Embedded>> {
        panic!("no test has a native service, and {service} is one");
    }
}

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

async fn begin(place: &Path) -> Node {
    let text = format!(
        "[node]\nname = \"test\"\nruntime_dir = \"{0}/run\"\ndata_dir = \"{0}/data\"\n\
         log_dir = \"{0}/log\"\n{FILE}",
        place.display()
    );
    let source = Source::Text { name: "test.toml".into(), text, folder: place.into() };
    let host = HostFacts {
        hostname: "test".into(),
        current_dir: place.into(),
        path: std::env::var("PATH").ok(),
        ..HostFacts::default()
    };
    let loaded = load(source, &Overrides::default(), &host).unwrap_or_else(|e| panic!("{e}"));
    let options = Options { native: Arc::new(NoServices), lifeline: None, signals: Signals::Left };
    Node::begin(loaded.config, options).await.expect("the node begins")
}

async fn until(registry: &Registry, what: &str, condition: impl Fn(&Registry) -> bool) {
    if tokio::time::timeout(PATIENCE, registry.wait_until(condition)).await.is_err() {
        panic!("{what} never came true; last seen:\n{:#?}", registry.entries(|_| true));
    }
}

fn state(registry: &Registry, service: &str) -> State {
    registry.entries(|entry| entry.instance.service.as_str() == service)[0].state
}

/// Kills a service's process, and waits until another one is ready.
async fn kill(registry: &Registry, service: &str) {
    let look = |registry: &Registry| {
        registry.entries(|entry| entry.instance.service.as_str() == service)[0].clone()
    };
    until(registry, "it is ready", |registry| look(registry).state == State::Ready).await;
    let before = look(registry);
    let pid = before.pid.expect("it lives").cast_signed();
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is killed");
    until(registry, "it has a successor", |registry| {
        look(registry).state == State::Ready && look(registry).pid != before.pid
    })
    .await;
}

/// Takes a recording down until it ends.
fn take_down(recorder: &Recorder) -> tokio::task::JoinHandle<Vec<String>> {
    let lines = recorder.record("test").expect("nobody records yet");
    tokio::spawn(lines.map(|line| line.expect("it does not fall behind")).collect())
}

#[tokio::test]
async fn an_incident_of_a_real_node_is_decided_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = begin(directory.path()).await;
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
    operator.start(&broken, Patience::Hasten).await.expect("it is asked to start");
    operator.scale("wide", 3, Patience::Wait).await.expect("it grows");
    operator.restart(&wide, Patience::Wait).await.expect("it restarts");
    operator.scale("wide", 1, Patience::Wait).await.expect("it shrinks");
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
