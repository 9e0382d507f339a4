//! Who is low is squeezed for who matters, in the kernel's files, and released again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use blackhole_tests::{
    TestNode,
    control_groups::{group_file, number},
    pid, skipped, until,
};
use serde_json::Value;

const MEMORY: &str = r#"
[resources]
cpu = 8.0
memory = "120MiB"
every = "100ms"
window = "10s"

[services.db]
command = ["{fixture}", "--wait-for", "{directory}/grow", "--hold", "80", "{directory}/calm", "--sleep"]
tier = "critical"
guarantee = { memory = "30MiB" }

[services.batch]
command = ["{fixture}", "--hold", "70", "{directory}/never", "--sleep"]
guarantee = { memory = "10MiB" }
"#;

/// What they want is bounded by quotas: each fits alone, both do not.
const CPU: &str = r#"
[resources]
cpu = 0.13
memory = "1GiB"
every = "1s"
window = "10s"

[services.db]
command = ["{fixture}", "--wait-for", "{directory}/grow", "--spin-until", "{directory}/calm", "--sleep"]
tier = "critical"
guarantee = { cpu = 0.02 }
resources = { cpu = 0.06 }

[services.batch]
command = ["{fixture}", "--spin-until", "{directory}/calm", "--sleep"]
resources = { cpu = 0.1 }
"#;

const WEIGHTS: [&str; 2] = ["cpu.weight", "cpu.shares"];

fn told(event: &Value) -> &str {
    event["message"].as_str().expect("a message")
}

/// The file of an instance's group; `None`, and a word to the reader, where nobody may make groups.
fn file_of(node: &TestNode, service: &str, names: &[&str]) -> Option<PathBuf> {
    let found = group_file(&format!("{service}-1"), pid(&node.service(service)), names);
    if found.is_none() {
        skipped("this host lets nobody make control groups");
    }
    found
}

/// What was told of one resource: a slow machine lacks CPU time where only memory was meant to be short.
fn events(node: &TestNode, service: &str, event: &str, resource: &str) -> Vec<Value> {
    let mut events = node.events(service, event);
    events.retain(|event| event["reason"] == resource);
    events
}

/// While both want more than there is, the batch job is held back, in the kernel's file as well, and
/// until then; gives what was told of it.
fn squeezed_and_released(node: &TestNode, resource: &str, file: &Path, free: u64) -> [Value; 2] {
    let batch = pid(&node.service("batch"));
    let held_back = || node.status()["budget"][resource]["squeezed"].clone();
    until("it is held back", held_back, |names| *names == serde_json::json!(["batch-1"]));
    until("the kernel is told", || number(file), |now| *now < free);
    let squeezed = events(node, "batch", "squeezed", resource).pop().expect("it was said first");

    fs::write(node.path("calm"), "").expect("a file");
    until("the kernel is told", || number(file), |now| *now == free);
    let released = || events(node, "batch", "released", resource).pop();
    let released = until("it is told", released, Option::is_some).expect("it was waited for");
    assert_eq!(events(node, "db", "squeezed", resource), Vec::<Value>::new());
    assert_eq!(pid(&node.service("batch")), batch, "nobody was killed");
    let why = told(&squeezed);
    assert!(why.contains("all together want") && why.contains("it is standard"), "{why}");
    [squeezed, released]
}

#[test]
fn the_standard_one_may_hold_less_memory_while_the_critical_one_needs_it() {
    let node = TestNode::start_all(MEMORY);
    let Some(file) = file_of(&node, "batch", &["memory.high", "memory.soft_limit_in_bytes"]) else {
        return;
    };
    let free = number(&file);
    let holds = |bytes: &Option<u64>| bytes.is_some_and(|bytes| bytes > 60 << 20);
    until("it holds", || node.service("batch")["memory_bytes"].as_u64(), holds);
    let before = events(&node, "batch", "squeezed", "memory");
    assert_eq!(before, Vec::<Value>::new(), "nobody is held back yet");
    let sheltered = group_file("db-1", pid(&node.service("db")), &["memory.low"]);
    if let Some(file) = &sheltered {
        assert_eq!(number(file), 30 << 20, "the guarantee is the kernel's as well");
        let above = file.parent().and_then(Path::parent).expect("the node's own directory");
        assert_eq!(number(&above.join("memory.low")), u64::MAX);
    }
    fs::write(node.path("grow"), "").expect("a file");
    let guaranteed = || events(&node, "db", "guaranteed", "memory").pop();
    let guaranteed = until("it is told", guaranteed, Option::is_some).expect("it was waited for");
    assert_eq!(told(&guaranteed).contains("; memory_low is"), sheltered.is_some(), "{guaranteed}");
    let [squeezed, released] = squeezed_and_released(&node, "memory", &file, free);
    assert!(told(&squeezed).contains("of 120 MiB"), "{squeezed}");
    assert!(told(&squeezed).contains("memory_high is"), "{squeezed}");
    assert!(told(&released).ends_with("no memory_high"), "{released}");
}

#[test]
fn the_standard_one_yields_cpu_time_while_the_critical_one_needs_it() {
    let node = TestNode::start_all(CPU);
    let (Some(file), Some(critical)) =
        (file_of(&node, "batch", &WEIGHTS), file_of(&node, "db", &WEIGHTS))
    else {
        return;
    };
    let free = if file.ends_with(WEIGHTS[0]) { 100 } else { 1024 };
    assert_eq!(number(&critical), 931 * free / 100, "ten steps of `nice` more");
    fs::write(node.path("grow"), "").expect("a file");
    let [squeezed, released] = squeezed_and_released(&node, "cpu", &file, free);
    assert!(told(&squeezed).contains("of 0.13 cpus"), "{squeezed}");
    assert!(told(&squeezed).contains("cpu_weight is"), "{squeezed}");
    assert!(told(&released).ends_with("cpu_weight is 100"), "{released}");
}
