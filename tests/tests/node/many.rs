//! Many services in one file.

use std::fmt::Write;

use blackhole_tests::{TestNode, pid, send};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn five_hundred_services_start_show_and_stop() {
    let mut file = String::new();
    for number in 0..500 {
        write!(file, "[services.s{number}]\ncommand = [\"sleep\", \"10000\"]\n").expect("a string");
    }
    let mut node = TestNode::start_all(&file);
    let status = node.status();
    let services = status["services"].as_array().expect("services");
    assert_eq!(services.len(), 500);
    assert!(services.iter().all(|service| service["state"] == "ready"));
    let table = node.bh(&["status"]).stdout;
    assert!(table.lines().count() > 500, "{}", table.lines().count());
    node.signal(Signal::TERM);
    assert_eq!(node.ended().code(), Some(0));
    node.nothing_left();
}

#[test]
fn a_restart_storm_of_one_does_not_slow_another() {
    let node = TestNode::start_all(
        r#"
        [services.storm]
        command = ["{fixture}", "--exit", "1"]
        restarts_max = 100000
        backoff = { initial = 0 }
        [services.calm]
        command = ["{fixture}", "--sleep"]
        "#,
    );
    let stormy = |status: &Value| {
        let services = status["services"].as_array().map(Vec::as_slice).unwrap_or_default();
        services.iter().any(|service| {
            service["name"] == "storm" && service["restarts"].as_u64().unwrap_or(0) > 50
        })
    };
    node.until("the storm rages", stormy);
    for _ in 0..5 {
        let before = node.until_state("calm", "ready");
        send(pid(&before), Signal::KILL);
        node.until_reborn(&before);
    }
    assert_eq!(node.bh(&["stop", "storm"]).code, 0);
}
