//! A node that divides what there is: who is refused, who is squeezed, and who grows.

use std::{fs, path::PathBuf};

use blackhole_tests::{TestNode, json_lines, pid, until};
use serde_json::Value;

/// What happened to a service under this name, so far.
fn events(node: &TestNode, service: &str, event: &str) -> Vec<Value> {
    let told = json_lines(&node.bh(&["events", service, "--no-follow", "--json"]).stdout);
    told.into_iter().filter(|line| line["event"] == event).collect()
}

/// The first such event that there is.
#[track_caller]
fn until_event(node: &TestNode, service: &str, event: &str) -> Value {
    let what = format!("{service} is {event}");
    until(&what, || events(node, service, event), |told| !told.is_empty()).remove(0)
}

fn text(event: &Value) -> &str {
    event["message"].as_str().expect("a message")
}

fn instances(status: &Value, service: &str) -> usize {
    let services = status["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    services.iter().filter(|entry| entry["name"] == service && entry["state"] == "ready").count()
}

/// One of the kernel's files of a process's own control group, in v1 or in v2.
fn group_file(pid: i32, controller: &str, v1: &str, v2: &str) -> Option<PathBuf> {
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let found = membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let is_it = parts.next()?.split(',').any(|name| name == controller);
        is_it.then(|| parts.next())?
    });
    let own = |path: &str, root: &str| PathBuf::from(format!("{root}{path}"));
    let candidates = [
        found.map(|path| own(path, &format!("/sys/fs/cgroup/{controller}")).join(v1)),
        membership
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .map(|path| own(path, "/sys/fs/cgroup").join(v2)),
    ];
    candidates.into_iter().flatten().find(|path| path.exists())
}

fn number(path: &PathBuf) -> u64 {
    let text = fs::read_to_string(path).expect("the kernel's file is there");
    // v2 writes `max` where v1 writes more than any memory.
    text.trim().parse().unwrap_or(u64::MAX)
}

const SQUEEZE: &str = r#"
[resources]
cpu = 8.0
memory = "120MiB"
every = "100ms"
window = "10s"

[services.db]
command = ["{fixture}", "--wait-for", "{directory}/grow", "--hold", "80", "{directory}/shrink", "--sleep"]
tier = "critical"
guarantee = { memory = "30MiB" }

[services.batch]
command = ["{fixture}", "--hold", "70", "{directory}/never", "--sleep"]
guarantee = { memory = "10MiB" }
"#;

#[test]
fn the_standard_one_is_squeezed_for_the_critical_one_in_the_kernels_files_and_released_again() {
    let node = TestNode::start_all(SQUEEZE);
    let batch = pid(&node.service("batch"));
    let files = ("memory.soft_limit_in_bytes", "memory.high");
    let Some(file) = group_file(batch, "memory", files.0, files.1) else {
        blackhole_tests::skipped("no memory controller that this user may use");
        return;
    };
    until(
        "batch holds its memory",
        || node.service("batch")["memory_bytes"].as_u64(),
        |bytes| bytes.is_some_and(|bytes| bytes > 60 << 20),
    );
    assert!(number(&file) > 1 << 40, "nobody is held back yet: {}", number(&file));

    fs::write(node.path("grow"), "").expect("a file");
    let squeezed = until_event(&node, "batch", "squeezed");
    assert_eq!(squeezed["reason"], "memory");
    let told = text(&squeezed);
    assert!(told.contains("all together want") && told.contains("of 120 MiB"), "{told}");
    assert!(told.contains("it is standard") && told.contains("memory_high is"), "{told}");
    until("the kernel is told", || number(&file), |bytes| *bytes < 100 << 20);
    assert_eq!(events(&node, "db", "squeezed"), Vec::<Value>::new());

    fs::write(node.path("shrink"), "").expect("a file");
    let released = until_event(&node, "batch", "released");
    assert!(text(&released).ends_with("no memory_high"), "{released}");
    until("the kernel is told", || number(&file), |bytes| *bytes > 1 << 40);
    assert_eq!(pid(&node.service("batch")), batch, "nobody was killed");
}

/// By memory: how much CPU time somebody gets is for the host to say, and it may be overloaded.
const GROWING: &str = r#"
[services.busy]
command = ["{fixture}", "--hold", "40", "{directory}/calm", "--sleep"]

[services.busy.scale]
max = 3
memory_above = "20MiB"
memory_below = "10MiB"
every = "100ms"
window = "200ms"
up_cooldown = "300ms"
down_cooldown = "300ms"
"#;

#[test]
fn a_busy_service_grows_to_its_most_and_shrinks_when_it_is_calm() {
    let node = TestNode::start_all(GROWING);
    node.until("there are three", |status| instances(status, "busy") == 3);
    fs::write(node.path("calm"), "").expect("a file");
    node.until("there is one", |status| instances(status, "busy") == 1);
    let scaled = events(&node, "busy", "scaled");
    let told: Vec<(&str, bool)> = scaled
        .iter()
        .map(|event| {
            let sentence = text(event).starts_with("memory ");
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
    let before = events(&node, "busy", "scaled").len();
    let paused = events(&node, "busy", "scaled").pop().expect("just said");
    assert!(text(&paused).ends_with("its rule rests until `bh scale busy=auto`"), "{paused}");
    assert_eq!(node.bh(&["scale", "busy=auto"]).code, 0);
    node.until("it grows again", |status| instances(status, "busy") == 3);
    assert_eq!(events(&node, "busy", "scaled").len(), before + 2);
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
    assert_eq!(events(&node, "api", "refused")[0]["reason"], "limit");

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
