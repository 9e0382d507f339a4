//! A node that divides what there is: who is refused, and who grows. Who is squeezed is tested beside
//! the control groups.

use std::fs;

use blackhole_tests::TestNode;
use serde_json::Value;

fn text(event: &Value) -> &str {
    event["message"].as_str().expect("a message")
}

fn instances(status: &Value, service: &str) -> usize {
    let services = status["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    services.iter().filter(|entry| entry["name"] == service && entry["state"] == "ready").count()
}

/// Whoever spins is busy, however many want the CPU at that moment.
const GROWING: &str = r#"
[services.busy]
command = ["{fixture}", "--spin-until", "{directory}/calm", "--sleep"]

[services.busy.scale]
max = 3
cpu_above = 0.02
cpu_below = 0.01
every = "500ms"
window = "2s"
up_cooldown = "300ms"
down_cooldown = "300ms"
"#;

#[test]
fn a_busy_service_grows_to_its_most_and_shrinks_when_it_is_calm() {
    let node = TestNode::start_all(GROWING);
    node.until("there are three", |status| instances(status, "busy") == 3);
    fs::write(node.path("calm"), "").expect("a file");
    node.until("there is one", |status| instances(status, "busy") == 1);
    let scaled = node.events("busy", "scaled");
    let told: Vec<(&str, bool)> = scaled
        .iter()
        .map(|event| {
            let sentence = text(event).contains("cpus on average for");
            (event["reason"].as_str().expect("a reason"), sentence)
        })
        .collect();
    assert_eq!(told, [("busy", true), ("busy", true), ("idle", true), ("idle", true)]);
    assert!(text(&scaled[0]).ends_with("instances: 2 instead of 1"), "{}", scaled[0]);
}

#[test]
fn an_operators_number_holds_until_the_rule_is_wanted_again() {
    let node = TestNode::start_all(GROWING);
    assert_eq!(node.bh(&["scale", "busy=1"]).code, 0);
    let before = node.events("busy", "scaled").len();
    let paused = node.events("busy", "scaled").pop().expect("just said");
    assert!(text(&paused).ends_with("its rule rests until `bh scale busy=auto`"), "{paused}");
    assert_eq!(node.bh(&["scale", "busy=auto"]).code, 0);
    node.until("it grows again", |status| instances(status, "busy") == 3);
    assert_eq!(node.events("busy", "scaled").len(), before + 2);
    fs::write(node.path("calm"), "").expect("a file");
    let refused = node.bh(&["scale", "nothing=auto"]);
    assert_ne!(refused.code, 0);
}

const FULL: &str = r#"
[resources]
memory = "100MiB"
cpu = 1.0

[services.db]
command = ["{fixture}", "--sleep"]
guarantee = { memory = "50MiB" }

[services.api]
command = ["{fixture}", "--sleep"]
guarantee = { memory = "20MiB" }
"#;

#[test]
fn what_does_not_fit_is_refused_with_the_arithmetic_and_fits_when_there_is_room() {
    let node = TestNode::start_all(FULL);
    let refused = node.bh(&["scale", "api=5"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let sum = "not enough memory: 80 MiB are needed (4 × 20 MiB), 30 MiB of 100 MiB are free; \
               held: db-1 50 MiB, api-1 20 MiB";
    assert!(refused.stderr.contains(sum) && refused.stderr.contains("hint:"), "{refused:?}");
    assert_eq!(instances(&node.status(), "api"), 1);
    let last = node.history("api").pop().expect("an entry");
    assert_eq!(last["reason"], "limit", "{last}");
    assert!(last["message"].as_str().is_some_and(|text| text.contains(sum)), "{last}");
    assert_eq!(node.events("api", "refused")[0]["reason"], "limit");

    assert_eq!(node.bh(&["scale", "api=2"]).code, 0);
    assert_eq!(node.bh(&["stop", "db"]).code, 0);
    assert_eq!(node.bh(&["scale", "api=4"]).code, 0);
    let refused = node.bh(&["start", "db"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("50 MiB are needed, 20 MiB of 100 MiB are free"),
        "{refused:?}"
    );
    assert_eq!(node.service("db")["state"], "stopped");
    assert_eq!(node.bh(&["scale", "api=1"]).code, 0);
    assert_eq!(node.bh(&["start", "db"]).code, 0);
}

/// What the host has is not known when the file is checked: the start itself is refused.
#[test]
fn a_guarantee_that_the_host_does_not_have_fails_with_the_reason_limit() {
    let node = TestNode::start(
        "[resources]\n[services.huge]\ncommand = [\"{fixture}\", \"--sleep\"]\nrestarts_max = 0\n\
         guarantee = { memory = \"900TiB\" }\n",
    );
    node.until_state("huge", "failed");
    let last = node.history("huge").pop().expect("an entry");
    assert_eq!(
        (&last["reason"], &last["stage"]),
        (&"limit".into(), &"asking for its guarantee".into())
    );
    let told = last["message"].as_str().expect("a message");
    assert!(told.contains("not enough memory: 900 TiB are needed"), "{told}");
}
