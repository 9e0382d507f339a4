use crate::{
    bh::{bh, stdout},
    fake_node::FakeNode,
};

fn node() -> (tempfile::TempDir, FakeNode) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = FakeNode::listen(home.path());
    (home, node)
}

/// The guardian is a real process of the test, and exits are of a moment ago.
fn redacted() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"guardian \d+", "guardian [PID]");
    settings.add_filter(r#""guardian_pid":\d+"#, r#""guardian_pid":"[PID]""#);
    settings.add_filter(r#""at":"[^"]+""#, r#""at":"[TIME]""#);
    settings.bind_to_scope()
}

#[test]
fn status_is_a_table() {
    let (home, _node) = node();
    let _redacted = redacted();
    insta::assert_snapshot!(stdout(home.path(), &["status"]));
}

#[test]
fn status_shows_only_what_was_named() {
    let (home, _node) = node();
    let _redacted = redacted();
    insta::assert_snapshot!(stdout(home.path(), &["status", "cron"]));
}

#[test]
fn status_colours_states_when_told_to() {
    let (home, _node) = node();
    let text = stdout(home.path(), &["status", "--color", "always"]);
    assert!(text.contains("\u{1b}[32mready\u{1b}[0m"), "{text:?}");
    assert!(text.contains("\u{1b}[33mbacking_off\u{1b}[0m"), "{text:?}");
    assert!(!text.contains("\u{1b}[31m"), "a service coloured the table: {text:?}");
}

#[test]
fn status_as_json_has_the_documented_shape() {
    let (home, _node) = node();
    let _redacted = redacted();
    let text = stdout(home.path(), &["status", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
    assert!(value["node"]["guardian_pid"].is_u64());
    insta::assert_snapshot!(text);
}

#[test]
fn history_for_programs_is_json_lines() {
    let (home, _node) = node();
    insta::assert_snapshot!(stdout(home.path(), &["history"]));
}

#[test]
fn events_for_programs_are_json_lines() {
    let (home, _node) = node();
    let plain = stdout(home.path(), &["events"]);
    assert_eq!(plain, stdout(home.path(), &["events", "--json", "--no-follow"]));
    insta::assert_snapshot!(plain);
}

#[test]
fn logs_have_a_prefix_for_each_instance() {
    let (home, _node) = node();
    insta::assert_snapshot!(stdout(home.path(), &["logs", "api", "--timestamps"]));
}

#[test]
fn logs_as_json_have_the_fields_of_the_files() {
    let (home, _node) = node();
    insta::assert_snapshot!(stdout(home.path(), &["logs", "api", "--json"]));
}

#[test]
fn logs_are_chosen_by_the_node() {
    let (home, node) = node();
    let filters = ["--since", "2026-11-21T08:00:00Z", "--grep", "a|b", "--tail", "5", "-f"];
    stdout(home.path(), &[&["logs", "api"], &filters[..]].concat());
    insta::assert_snapshot!(node.requests().join("\n"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (home, _node) = node();
    for arguments in [&["status"][..], &["events"], &["--help"], &["man"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = bh(home.path()).args(arguments).stdout(writer).output().expect("bh runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
    }
}
