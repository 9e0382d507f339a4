//! TCP, Unix sockets and HTTP.

use std::{
    io::{BufRead, BufReader},
    num::NonZeroU32,
    process::{Child, Command, Stdio},
    time::Duration,
};

use blackhole_config::{Check, HttpCheck};
use blackhole_node::probe::{Assumed, Verdict};
use tokio::net::{TcpListener, UnixListener};

use super::{probe, text, watch};

#[tokio::test]
async fn a_tcp_port_is_healthy_while_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut probe = probe(Check::Tcp(text(&address.to_string())));
    probe.failures_max = NonZeroU32::new(3).unwrap();
    let mut watched = watch(&probe, Assumed::Unhealthy);
    watched.becomes_healthy().await;
    drop(listener);
    let Verdict::Unhealthy { failures, reason } = watched.next().await else {
        panic!("it became healthy again")
    };
    assert_eq!(failures.get(), 3);
    assert_eq!(&*reason, format!("connection refused by {address}"));
}

#[tokio::test]
async fn a_unix_socket_that_comes_late_becomes_healthy_and_says_what_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let mut watched = watch(&probe(Check::Unix(text(path.to_str().unwrap()))), Assumed::Unhealthy);
    let expected = format!("there is no socket at `{}`", path.display());
    super::eventually(|| {
        let last = watched.prober.last_failure();
        (last.as_deref() == Some(&expected), last)
    })
    .await;
    let _listener = UnixListener::bind(&path).unwrap();
    watched.becomes_healthy().await;
}

/// Answers `/<status>` with that status; `/slow` never, `/endless` without end.
const SERVER: &str = "
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/slow':
            while self.rfile.read(1): pass
            return
        if self.path == '/garbage':
            self.wfile.write(b'SSH-2.0-OpenSSH_9.2\\r\\n')
            return
        self.send_response(200 if self.path == '/endless' else int(self.path[1:]))
        self.send_header('Location', '/500')
        self.end_headers()
        while self.path == '/endless':
            self.wfile.write(b'x' * 65536)
    def log_message(self, *arguments): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
";

struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new("python3")
            .args(["-c", SERVER])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, port: line.trim().parse().unwrap() }
    }

    fn check(&self, path: &str) -> Check {
        Check::Http(HttpCheck {
            url: text(&format!("http://127.0.0.1:{}{path}", self.port)),
            tls: None,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn http_is_healthy_from_200_to_399_and_redirects_are_not_followed() {
    let server = Server::start();
    for path in ["/200", "/204", "/302", "/endless"] {
        watch(&probe(server.check(path)), Assumed::Unhealthy).becomes_healthy().await;
    }
    for path in ["/404", "/503"] {
        let mut watched = watch(&probe(server.check(path)), Assumed::Healthy);
        let expected = format!("HTTP {} from http://127.0.0.1:{}{path}", &path[1..], server.port);
        assert_eq!(watched.becomes_unhealthy().await, expected);
    }
}

#[tokio::test]
async fn http_that_does_not_answer_in_time_or_in_http_says_so() {
    let server = Server::start();
    let mut slow = probe(server.check("/slow"));
    slow.timeout = Duration::from_millis(100);
    let reason = watch(&slow, Assumed::Healthy).becomes_unhealthy().await;
    assert_eq!(reason, "timed out after 100ms");
    let garbage = probe(server.check("/garbage"));
    let reason = watch(&garbage, Assumed::Healthy).becomes_unhealthy().await;
    let reason = reason.replace(&server.port.to_string(), "[port]");
    insta::assert_snapshot!(reason, @"could not get an answer from http://127.0.0.1:[port]/garbage: invalid HTTP version parsed");
}
