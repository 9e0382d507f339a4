use crate::{
    bh::{bh, stdout, transcript},
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
fn a_wide_status_says_what_is_used() {
    let (home, _node) = node();
    let _redacted = redacted();
    insta::assert_snapshot!(stdout(home.path(), &["status", "--wide", "identity", "cron"]));
}

#[test]
fn top_for_programs_prints_once() {
    let (home, _node) = node();
    let arguments = ["top", "--interval", "100ms", "--sort", "memory"];
    let piped = stdout(home.path(), &arguments);
    assert_eq!(piped, stdout(home.path(), &[&arguments[..], &["--once"]].concat()));
    insta::assert_snapshot!(piped);
}

#[test]
fn top_as_json_is_one_object_a_look() {
    let (home, _node) = node();
    let _redacted = redacted();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r#""at":"[^"]+""#, r#""at":"[TIME]""#);
    let _bound = settings.bind_to_scope();
    let arguments = ["top", "identity", "--interval", "100ms", "--json", "--once"];
    insta::assert_snapshot!(stdout(home.path(), &arguments));
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
fn a_recording_is_kept_and_decided_again() {
    let (home, _node) = node();
    assert_eq!(stdout(home.path(), &["events", "--record", "incident.jsonl"]), "");
    assert_eq!(
        stdout(home.path(), &["events", "--replay", "incident.jsonl"]),
        "1 decisions of 1 supervisors of node dev, 1 commands: all the same\n"
    );
    let kept = home.path().join("incident.jsonl");
    let text = std::fs::read_to_string(&kept).expect("it was kept");
    std::fs::write(&kept, text.replace("\"Up\"", "")).expect("it is a file");
    assert_eq!(
        transcript(home.path(), &["events", "--replay", "incident.jsonl"]),
        "exit code 1\n--- stderr\nerror: could not replay `incident.jsonl`\n  caused by: line 3: \
         supervisor `root #1` decides otherwise now\n  recorded: nothing\n  replayed: Up\n"
    );
    let missing = transcript(home.path(), &["events", "--replay", "nothing.jsonl"]);
    assert!(missing.starts_with("exit code 66"), "{missing}");
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
