//! Services that run as another user, and directories that are somebody else's.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use blackhole_tests::{TestNode, fixture, is_installed};

/// The user `nobody` on every Linux distribution.
const NOBODY: u32 = 65534;

/// Only root can start a process as another user, or give a directory away.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        blackhole_tests::skipped("only root may start services as somebody else");
    }
    root
}

/// A node below a directory that everybody may pass through, as `/run` is.
fn launch(file: &str) -> TestNode {
    let everybody = fs::Permissions::from_mode(0o755);
    let mut builder = tempfile::Builder::new();
    let directory = builder.prefix("bh").permissions(everybody).tempdir().expect("a directory");
    let program = directory.path().join("fixture");
    fs::copy(fixture(), &program).expect("the fixture is copied");
    let path = directory.path().join("config.toml");
    let text = file
        .replace("{fixture}", &program.display().to_string())
        .replace("{directory}", &directory.path().display().to_string());
    fs::write(&path, text).expect("the file is written");
    TestNode::launch_file(directory, &path, |_| {})
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

#[test]
fn a_service_of_another_user_says_that_it_is_ready_and_finds_its_own_home() {
    if !is_root() {
        return;
    }
    let node = launch(
        r#"
        [services.other]
        command = ["{fixture}", "--notify", "READY=1", "--sleep"]
        ready = "notify"
        user = "nobody"
        [services.own]
        command = ["{fixture}", "--notify", "READY=1", "--sleep"]
        ready = "notify"
        "#,
    );
    node.until("the node answers", |status| !status.is_null());
    let pid = node.until_state("other", "ready")["pid"].as_i64().expect("a pid");
    node.until_state("own", "ready");
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("root may read it");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(environment.split('\0').any(|entry| entry == "USER=nobody"), "{environment}");
    assert_eq!(mode(&node.path("run")), 0o711, "passable, and not to be listed");
    assert_eq!(mode(&node.path("run/control.sock")), 0o600);
    assert_eq!(mode(&node.path("run/node.lock")), 0o600, "nobody else may hold it");
    let mine = |name: &str| fs::metadata(node.path(name)).expect("it is there").uid();
    assert_eq!((mine("run/notify/other-1.1"), mine("run/notify/own-1.1")), (NOBODY, 0));
}

#[test]
fn without_services_of_others_nobody_else_gets_in() {
    let node = TestNode::start_all("[services.a]\ncommand = [\"{fixture}\", \"--sleep\"]\n");
    assert_eq!(mode(&node.path("run")), 0o700);
}

#[test]
fn a_runtime_directory_that_others_control_is_refused() {
    if !is_root() {
        return;
    }
    let file = "[services.a]\ncommand = [\"{fixture}\", \"--sleep\"]\n";
    for (mode_before, owner, words) in
        [(0o700, NOBODY, "belongs to another user (65534)"), (0o1777, 0, "is shared by all users")]
    {
        let mut node = {
            let directory = tempfile::tempdir().expect("a directory");
            let run = directory.path().join("run");
            fs::create_dir(&run).expect("it is made");
            fs::set_permissions(&run, fs::Permissions::from_mode(mode_before)).expect("changed");
            chown(&run, Some(owner), None).expect("it is given away");
            let path = directory.path().join("config.toml");
            let text = file.replace("{fixture}", &fixture().display().to_string());
            fs::write(&path, text).expect("the file is written");
            TestNode::launch_file(directory, &path, |_| {})
        };
        assert_eq!(node.ended().code(), Some(73));
        let output = node.output();
        assert!(output.contains(words) && output.contains("hint:"), "{output}");
        assert_eq!(mode(&node.path("run")), mode_before, "it stays as it was");
    }
}

/// Says what a client of HTTP/2 says first, and prints how many bytes come back.
const GREETING: &str = r"
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
try:
    client.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    print(len(client.recv(64)))
except OSError:
    print(0)
";

/// The socket's mode keeps others out; whoever is past that is asked who they are.
#[test]
fn nobody_else_is_listened_to_on_the_control_socket() {
    if !is_root() || !is_installed("python3") {
        return;
    }
    let node = launch("[services.calm]\ncommand = [\"sleep\", \"1000\"]\n");
    node.until("the node runs", |status| status["node"]["state"] == "running");
    let socket = node.path("run/control.sock");
    for path in [&node.path("run"), &socket] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
    }
    let heard = |user| {
        let mut python = Command::new("python3");
        let told = python.args(["-c", GREETING]).arg(&socket).uid(user).output();
        String::from_utf8(told.expect("python3 runs").stdout).expect("a number")
    };
    assert_ne!(heard(0).trim(), "0", "its own user is greeted");
    assert_eq!(heard(NOBODY).trim(), "0");
    let is_told = |output: &String| output.contains("refused a control connection");
    blackhole_tests::until("the refusal is told", || node.output(), is_told);
}
