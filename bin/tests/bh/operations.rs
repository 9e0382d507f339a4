use std::process::Stdio;

use crate::{
    bh::{bh, show, transcript},
    fake_node::FakeNode,
};

fn node() -> (tempfile::TempDir, FakeNode) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = FakeNode::listen(home.path());
    (home, node)
}

#[test]
fn what_has_started_is_listed() {
    let (home, node) = node();
    insta::assert_snapshot!(transcript(home.path(), &["start", "identity"]), @r"
    exit code 0
    --- stdout
    identity-1 ready (pid 4250)
    ");
    assert_eq!(node.requests(), [r#"start ["identity"] no_wait=false"#]);
}

#[test]
fn a_start_that_does_not_succeed_fails_and_says_where_to_look() {
    let (home, _node) = node();
    insta::assert_snapshot!(transcript(home.path(), &["restart", "api"]));
}

#[test]
fn nobody_is_blamed_for_what_was_not_waited_for() {
    let (home, node) = node();
    let shown = transcript(home.path(), &["restart", "api", "--no-wait"]);
    assert!(shown.starts_with("exit code 0"), "{shown}");
    assert_eq!(node.requests(), [r#"restart ["api"] no_wait=true"#]);
}

#[test]
fn services_stop_by_name() {
    let (home, _node) = node();
    insta::assert_snapshot!(transcript(home.path(), &["stop", "api", "cron"]), @r"
    exit code 0
    --- stdout
    api-1 stopped
    cron-1 stopped
    ");
}

#[test]
fn stopping_nothing_in_particular_is_a_usage_error_that_names_all() {
    let (home, node) = node();
    insta::assert_snapshot!(transcript(home.path(), &["stop"]));
    assert!(node.requests().is_empty());
}

#[test]
fn stop_all_waits_until_the_guardian_has_ended() {
    let (home, node) = node();
    insta::assert_snapshot!(transcript(home.path(), &["stop", "--all"]), @r"
    exit code 0
    --- stdout
    node dev has ended
    ");
    assert_eq!(node.requests(), ["shutdown"]);
}

#[test]
fn services_are_scaled_one_after_the_other() {
    let (home, node) = node();
    insta::assert_snapshot!(transcript(home.path(), &["scale", "api=2", "cron=1"]), @r"
    exit code 0
    --- stdout
    api-1 ready
    api-2 ready
    cron-1 ready
    ");
    assert_eq!(node.requests(), ["scale api 2", "scale cron 1"]);
}

#[test]
fn a_service_is_left_to_its_rule_again() {
    let (home, node) = node();
    assert!(transcript(home.path(), &["scale", "api=auto"]).starts_with("exit code 0"));
    assert_eq!(node.requests(), ["scale api auto"]);
}

#[test]
fn an_unknown_service_is_refused_with_the_known_ones() {
    let (home, _node) = node();
    insta::assert_snapshot!(transcript(home.path(), &["stop", "apo"]));
}

#[test]
fn a_node_that_dies_before_it_answers_is_unavailable() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let listener = std::os::unix::net::UnixListener::bind(home.path().join("control.sock"))
        .expect("a free path");
    let client = bh(home.path())
        .arg("status")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bh runs");
    // The first connection only asks whether somebody listens.
    drop(listener.accept().expect("a connection"));
    drop(listener.accept().expect("a connection"));
    drop(listener);
    let output = client.wait_with_output().expect("bh ends");
    assert_eq!(output.status.code(), Some(69), "{}", show(home.path(), &output));
}
