//! Secrets reach their service as files in memory, and nobody and nothing else.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use blackhole_tests::{TestNode, pid, processes, send, skipped, until};
use rustix::process::Signal;

const VALUE: &str = "correct-horse-battery-staple";

const FILE: &str = r#"
[services.api]
command = ["{fixture}", "--print", "{secrets_dir}/db", "--sleep"]
[services.api.secrets]
db = { file = "{directory}/db.secret" }
token = { env = "BLACKHOLE_TEST_TOKEN" }
key = { credential = "tls-key" }

[services.neighbour]
command = ["{fixture}", "--sleep"]
"#;

/// A node with a secret of each kind.
fn start() -> TestNode {
    let directory = tempfile::Builder::new().prefix("bh").tempdir().expect("a directory");
    fs::write(directory.path().join("db.secret"), VALUE).expect("it is written");
    fs::write(directory.path().join("tls-key"), "key-of-the-node").expect("it is written");
    let text = FILE
        .replace("{fixture}", &blackhole_tests::fixture().display().to_string())
        .replace("{directory}", &directory.path().display().to_string());
    let path = directory.path().join("config.toml");
    fs::write(&path, text).expect("the file is written");
    let credentials = directory.path().to_owned();
    let node = TestNode::launch_file(directory, &path, |command| {
        command.env("BLACKHOLE_TEST_TOKEN", "token-of-the-node");
        command.env("CREDENTIALS_DIRECTORY", credentials);
    });
    node.until("the node runs", |status| status["node"]["state"] == "running");
    node
}

fn environment(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    String::from_utf8_lossy(&bytes).split('\0').map(str::to_owned).collect()
}

fn secrets_directory(node: &TestNode) -> PathBuf {
    let environment = environment(pid(&node.service("api")));
    let found = environment.iter().find_map(|entry| entry.strip_prefix("CREDENTIALS_DIRECTORY="));
    found.expect("it is told").into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn secrets_are_files_in_memory_for_their_service_alone() {
    let node = start();
    let directory = secrets_directory(&node);
    assert_eq!(read(&directory.join("db")), VALUE);
    assert_eq!(read(&directory.join("token")), "token-of-the-node");
    assert_eq!(read(&directory.join("key")), "key-of-the-node");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!((mode(&directory), mode(&directory.join("db"))), (0o500, 0o400));
    let mounts = read(Path::new("/proc/self/mounts"));
    let of = |path: &Path| {
        let on = mounts.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        });
        let on = on.filter(|(mount, _)| path.starts_with(mount));
        on.max_by_key(|(mount, _)| mount.len()).map(|(_, kind)| kind)
    };
    assert_eq!(of(&directory), Some("tmpfs"));

    let printed =
        until("the path was printed", || node.bh(&["logs", "api"]).stdout, |text| !text.is_empty());
    assert!(printed.contains(&directory.join("db").display().to_string()), "{printed}");
    for service in ["api", "neighbour"] {
        let environment = environment(pid(&node.service(service)));
        let told = |value: &str| environment.iter().any(|entry| entry.contains(value));
        assert!(!told("token-of-the-node") && !told(VALUE), "{service}: {environment:?}");
        assert_eq!(told("CREDENTIALS_DIRECTORY="), service == "api");
    }
    for words in [&["status", "--json"][..], &["events", "--no-follow"], &["history"], &["logs"]] {
        let said = node.bh(words);
        let all = format!("{}{}{}", said.stdout, said.stderr, node.output());
        for value in [VALUE, "token-of-the-node", "key-of-the-node"] {
            assert!(!all.contains(value), "{words:?} tells a secret");
        }
    }
}

/// What the node was started with stays readable in `/proc`, unless it is overwritten.
#[test]
fn a_variable_that_is_a_secret_is_in_no_environment_of_the_node() {
    let node = start();
    let told = |pid| environment(pid).iter().any(|entry| entry.contains("token-of-the-node"));
    let mut own = vec![node.node_pid()];
    own.extend(node.processes().iter().map(|process| process.pid));
    assert!(own.len() >= 3 && own.iter().all(|pid| !told(*pid)), "{own:?}");
    until("the guardian forgets it", || told(node.guardian_pid()), |told| !told);
    let kept = |pid| environment(pid).iter().any(|entry| entry.starts_with("PATH=/"));
    assert!(kept(node.guardian_pid()) && kept(node.node_pid()), "nothing else is lost");

    let before = node.service("api");
    send(pid(&before), Signal::KILL);
    node.until_reborn(&before);
    assert_eq!(read(&secrets_directory(&node).join("token")), "token-of-the-node");
}

#[test]
fn a_changed_secret_is_read_at_the_next_start_and_a_missing_one_stops_it() {
    let node = start();
    let directory = secrets_directory(&node);
    fs::write(node.path("db.secret"), "changed").expect("it is written");
    assert_eq!(read(&directory.join("db")), VALUE, "not before");
    let before = node.service("api");
    send(pid(&before), Signal::KILL);
    node.until_reborn(&before);
    assert_eq!(read(&secrets_directory(&node).join("db")), "changed");

    fs::remove_file(node.path("db.secret")).expect("it is removed");
    send(pid(&node.service("api")), Signal::KILL);
    let failed = |ends: &Vec<serde_json::Value>| ends.iter().any(|end| end["reason"] == "spawn");
    let ends = until("a start has failed", || node.history("api"), failed);
    let end = ends.iter().find(|end| end["reason"] == "spawn").expect("just seen");
    assert_eq!(end["stage"], "delivering its secrets", "{end}");
    let message = end["message"].as_str().expect("a message");
    assert!(message.contains("could not get the secret `db`: could not read `"), "{message}");
    assert!(message.contains("hint: "), "{message}");
    assert!(!directory.join("token").exists(), "what was there is withdrawn");
}

#[test]
fn secrets_go_with_their_service_and_with_the_node_whoever_is_killed() {
    for victim in ["service", "nobody", "node", "guardian"] {
        let mut node = start();
        let directory = secrets_directory(&node);
        let root = directory.parent().expect("it has one").to_owned();
        match victim {
            "service" => {
                let done = node.bh(&["stop", "api"]);
                assert_eq!(done.code, 0, "{done:?}");
                assert!(!directory.exists(), "it goes with its service");
                continue;
            }
            "node" => send(node.node_pid(), Signal::KILL),
            "guardian" => node.signal(Signal::KILL),
            _ => node.signal(Signal::TERM),
        }
        node.ended();
        node.nothing_left();
        until(&format!("{victim}: the secrets are gone"), || root.exists(), |there| !there);
    }
}

#[test]
fn a_service_of_another_user_owns_its_secrets_even_in_a_sandbox() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root may start services as somebody else");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("secret");
    fs::write(&secret, VALUE).expect("it is written");
    let node = TestNode::start_all(&format!(
        r#"
        [services.other]
        command = ["sh", "-c", "cat $CREDENTIALS_DIRECTORY/db; echo; exec sleep 1000"]
        user = "65534:65534"
        sandbox = {{ preset = "standard", paths = {{ execute = ["/usr", "/lib", "/lib64", "/bin"] }} }}
        secrets = {{ db = {{ file = "{}" }} }}
        "#,
        secret.display()
    ));
    let said = || node.bh(&["logs", "other"]).stdout;
    until("it has read its secret", said, |text| text.contains(VALUE));
    let environment = environment(pid(&node.service("other")));
    let found = environment.iter().find_map(|entry| entry.strip_prefix("CREDENTIALS_DIRECTORY="));
    let owner =
        fs::metadata(Path::new(found.expect("it is told")).join("db")).expect("it is there");
    assert_eq!((owner.uid(), owner.gid()), (65534, 65534));
    assert!(processes::lives(pid(&node.service("other"))));
}
