//! Every example does what its comments promise.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use blackhole_tests::{TestNode, is_installed, pid, send, until};
use rustix::process::Signal;

const SERVICES: [&str; 3] = ["identity", "storage", "clock"];
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples").join(name)
}

pub(super) fn run_example(name: &str) -> TestNode {
    let directory = tempfile::Builder::new().prefix("bh").tempdir().expect("a directory");
    let node = TestNode::launch_file(directory, &example(name), |_| {});
    node.until("everything is up", |status| status["node"]["state"] == "running");
    node
}

#[test]
fn demo_comes_up_in_order_and_survives_the_death_of_each() {
    let mut node = run_example("demo.toml");
    let output = until(
        "all are shown ready",
        || node.output(),
        |text| {
            ["identity-1", "storage-1", "clock-1"].iter().all(|name| {
                text.lines().any(|line| line.starts_with(name) && line.contains(" ready "))
            })
        },
    );
    let position = |name: &str| {
        output.lines().position(|line| line.starts_with(name) && line.contains(" ready "))
    };
    assert!(position("identity-1") < position("storage-1"), "{output}");
    assert!(position("storage-1") < position("clock-1"), "{output}");
    for order in ORDERS {
        for service in order.map(|position| SERVICES[position]) {
            let before = node.until_state(service, "ready");
            send(pid(&before), Signal::KILL);
            node.until_reborn(&before);
            // Restarts of one service are rare in life: its count begins anew with an operator's.
            assert_eq!(node.bh(&["restart", service]).code, 0);
        }
    }
    assert_eq!(node.bh(&["stop", "--all"]).code, 0);
    assert_eq!(node.ended().code(), Some(0));
    node.nothing_left();
}

#[test]
fn demo_leaves_nothing_whatever_is_killed_first() {
    for order in ORDERS {
        let mut node = run_example("demo.toml");
        for service in order.map(|position| SERVICES[position]) {
            send(pid(&node.service(service)), Signal::KILL);
        }
        send(node.node_pid(), Signal::KILL);
        node.ended();
        node.nothing_left();
    }
}

#[test]
fn groups_restart_by_their_strategy() {
    let node = run_example("groups.toml");
    let names = ["database", "queue", "worker", "heartbeat"];
    let before = names.map(|name| node.service(name));
    send(pid(&before[1]), Signal::KILL);
    node.until_reborn(&before[2]);
    let after = names.map(|name| node.service(name));
    let is_new = |position: usize| after[position]["pid"] != before[position]["pid"];
    assert_eq!([0, 1, 2, 3].map(is_new), [false, true, true, false], "{after:#?}");
}

/// The example with ports that are free here, and the one on which it serves.
fn run_web() -> (TestNode, u16) {
    let directory = tempfile::Builder::new().prefix("bh").tempdir().expect("a directory");
    let web = directory.path().join("web");
    std::fs::create_dir(&web).expect("a directory");
    let ports = ["8080", "8000", "9091"].map(|written| (written, free_port()));
    for name in ["web.toml", "web/api.py", "web/nginx.conf"] {
        let mut text = std::fs::read_to_string(example(name)).expect("the example is there");
        for (written, free) in &ports {
            text = text.replace(&format!("127.0.0.1:{written}"), &format!("127.0.0.1:{free}"));
        }
        std::fs::write(directory.path().join(name), text).expect("it is written");
    }
    let file = directory.path().join("web.toml");
    let node = TestNode::launch_file(directory, &file, |_| {});
    node.until("everything is up", |status| status["node"]["state"] == "running");
    (node, ports[0].1)
}

#[test]
fn web_serves_through_nginx_python_and_redis() {
    let programs = ["redis-server", "nginx", "python3"];
    if !programs.iter().all(|program| is_installed(program)) {
        return;
    }
    let (node, port) = run_web();
    let get = || -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            // A refused or broken connection shows in the answer, which is looked at again.
            let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
            let _ = stream.read_to_string(&mut answer);
        }
        answer
    };
    until("nginx answers", get, |answer| answer.contains(" 200 OK"));
    let status = node.status();
    let services = status["services"].as_array().expect("services").clone();
    for before in services {
        send(pid(&before), Signal::KILL);
        let name = before["name"].as_str().expect("a name").to_owned();
        until(
            &format!("{name} is back"),
            || {
                let status = node.status();
                let all = status["services"].as_array().cloned().unwrap_or_default();
                all.into_iter().find(|s| s["name"] == *name && s["instance"] == before["instance"])
            },
            |now| {
                now.as_ref().is_some_and(|now| now["ready"] == true && now["pid"] != before["pid"])
            },
        );
    }
    until("nginx answers again", get, |answer| answer.contains(" 200 OK"));
}

#[test]
fn prometheus_accepts_the_metrics() {
    if !is_installed("promtool") {
        return;
    }
    let port = free_port();
    let node = TestNode::start_all(&format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n[resources]\nmemory = \"1GiB\"\n[services.a]\n\
         guarantee = {{ memory = \"64MiB\" }}\ncommand = [\"sleep\", \"1000\"]\n"
    ));
    let page = http_get(port, "/metrics");
    assert!(
        page.contains("blackhole_instance_state{service=\"a\",instance=\"1\",state=\"ready\"} 1")
    );
    for line in [
        "blackhole_budget_memory_bytes 1073741824",
        "blackhole_budget_memory_guaranteed_bytes 67108864",
        "blackhole_instance_memory_guaranteed_bytes{service=\"a\",instance=\"1\"} 67108864",
        "blackhole_instance_squeezed{service=\"a\",instance=\"1\",resource=\"cpu\"} 0",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line}: {page}");
    }
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let body = page.split_once("\r\n\r\n").expect("a body").1;
    check.stdin.take().expect("a pipe").write_all(body.as_bytes()).expect("promtool reads");
    let done = check.wait_with_output().expect("promtool ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let health = http_get(port, "/health");
    assert!(health.contains(" 200 OK") && health.contains("\"healthy\""), "{health}");
    assert!(http_get(port, "/ready").contains(" 200 OK"));
    drop(node);
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("it has an address").port()
}

fn http_get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the node listens");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
