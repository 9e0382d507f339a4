//! Readiness and liveness of real children.

use blackhole_tests::{TestNode, pid, send};
use rustix::process::Signal;

#[test]
fn a_dependent_waits_until_a_notification_has_come() {
    let node = TestNode::start(
        r#"
        [services.slow]
        command = ["{fixture}", "--wait-for", "{directory}/go", "--notify",
                   "READY=1\\nSTATUS=open for business", "--sleep"]
        ready = "notify"
        [services.waiting]
        command = ["{fixture}", "--sleep"]
        depends_on = ["slow"]
        "#,
    );
    node.until_state("slow", "starting");
    assert_eq!(node.service("waiting")["state"], "pending");
    std::fs::write(node.path("go"), "").expect("it is written");
    node.until_state("waiting", "ready");
    let table = node.bh(&["status"]).stdout;
    assert!(table.contains("open for business"), "{table}");
}

#[test]
fn a_socket_a_file_a_line_and_a_while_make_ready() {
    let node = TestNode::start_all(
        r#"
        [services.socket]
        command = ["{fixture}", "--listen", "{directory}/socket", "--sleep"]
        ready = { unix = "{directory}/socket", every = "20ms" }
        [services.exec]
        command = ["{fixture}", "--touch", "{directory}/made", "--sleep"]
        ready = { exec = ["test", "-e", "{directory}/made"], every = "20ms" }
        [services.line]
        command = ["{fixture}", "--print", "listening on 80", "--sleep"]
        ready = { log = "listening on \\d+" }
        [services.while]
        command = ["{fixture}", "--sleep"]
        ready = { up_for = "100ms" }
        "#,
    );
    for service in ["socket", "exec", "line", "while"] {
        assert_eq!(node.service(service)["state"], "ready");
    }
}

#[test]
fn a_failed_liveness_probe_kills_at_once_and_restarts_with_its_reason() {
    let node = TestNode::start_all(
        r#"
        [services.stuck]
        command = ["{fixture}", "--ignore-term", "--touch", "{directory}/alive", "--sleep"]
        live = { exec = ["test", "-e", "{directory}/alive"], every = "50ms", failures_max = 2 }
        stop = { grace = "10m" }
        "#,
    );
    let before = node.service("stuck");
    std::fs::remove_file(node.path("alive")).expect("it is removed");
    node.until_reborn(&before);
    let first = node.history("stuck").remove(0);
    assert_eq!((&first["reason"], &first["signal"]), (&"probe".into(), &"SIGKILL".into()));
    let message = first["message"].as_str().expect("a message");
    assert!(message.contains("failed its liveness probe 2 times in a row"), "{message}");
}

#[test]
fn a_stopped_child_is_found_by_its_watchdog() {
    let node = TestNode::start_all(
        r#"
        [services.dog]
        command = ["python3", "-c", """
import os, socket, time
to = os.environ['NOTIFY_SOCKET']
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b'READY=1', to)
while True:
    s.sendto(b'WATCHDOG=1', to)
    time.sleep(0.1)
"""]
        ready = "notify"
        live = { notify = true, timeout = "1s" }
        "#,
    );
    let before = node.service("dog");
    send(pid(&before), Signal::STOP);
    node.until_reborn(&before);
    assert_eq!(node.history("dog")[0]["reason"], "probe");
}
