//! What a service is kept from: it tries all the same, and is refused.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
};

use blackhole_tests::{TestNode, pid, skipped, until};

/// Who runs the node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    /// Whoever runs the test.
    Ourselves,
    /// An ordinary user, where the test is root's.
    Nobody,
}

const NOBODY: u32 = 65534;

/// A node whose directories are not below /tmp, which some of its services do not see.
fn launch(file: &str) -> TestNode {
    launch_as(As::Ourselves, file)
}

fn launch_as(user: As, file: &str) -> TestNode {
    let folder = std::env::current_exe().expect("the test knows its own path");
    let folder =
        folder.ancestors().find(|path| path.ends_with("debug") || path.ends_with("release"));
    let mut builder = tempfile::Builder::new();
    let directory = builder.prefix("bh").tempdir_in(folder.expect("tests live in one of them"));
    let directory = directory.expect("a directory");
    let path = directory.path().join("config.toml");
    let text = file
        .replace("{misbehaving}", &blackhole_tests::misbehaving().display().to_string())
        .replace("{fixture}", &blackhole_tests::fixture().display().to_string())
        .replace("{directory}", &directory.path().display().to_string());
    fs::write(&path, text).expect("the file is written");
    let other = (user == As::Nobody && is_root()).then_some(NOBODY);
    if other.is_some() {
        chown(directory.path(), other, other).expect("it is given away");
    }
    let node = TestNode::launch_file(directory, &path, |command| {
        if let Some(other) = other {
            command.uid(other).gid(other);
        }
    });
    node.until("the node answers", |status| !status.is_null());
    node
}

fn section(name: &str, words: &str, keys: &str) -> String {
    format!(
        "[services.{name}]\ncommand = [\"{{misbehaving}}\", {words}]\nrestart = \"temporary\"\n{keys}\n"
    )
}

/// What a service of a node printed.
fn told(node: &TestNode, name: &str) -> String {
    let text = until(
        &format!("{name} has said something"),
        || node.bh(&["logs", name]).stdout,
        |text| !text.is_empty(),
    );
    text.trim().to_owned()
}

#[track_caller]
fn refused(node: &TestNode, name: &str) {
    let text = told(node, name);
    assert!(text.contains("refused: "), "{name} said: {text}");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A service of the same user, whose number it has found, is nothing that it may look into.
#[test]
fn a_service_cannot_trace_its_neighbour() {
    let neighbour = r#"[services.neighbour]
command = ["sh", "-c", "echo $$ > {directory}/pid; exec sleep 1000"]
ready = { exec = ["test", "-s", "{directory}/pid"] }
stop = { signal = "SIGKILL" }
"#;
    let tracer = |name: &str, keys: &str| {
        format!(
            "[services.{name}]\ncommand = [\"sh\", \"-c\", 'exec \"$0\" trace $(cat {{directory}}/pid)', \
             \"{{misbehaving}}\"]\ndepends_on = [\"neighbour\"]\nrestart = \"temporary\"\n{keys}\n"
        )
    };
    let free = tracer("free", "");
    let kept = tracer("kept", "sandbox = \"standard\"");
    let node = launch(&[neighbour, &free, &kept].concat());
    refused(&node, "kept");
    let free = told(&node, "free");
    assert!(free.contains("attached") || free.contains("refused: "), "{free}");
    node.until_state("neighbour", "ready");
}

#[test]
fn the_presets_refuse_what_an_ordinary_service_never_needs() {
    let neighbour = std::process::id();
    let trace = format!("\"trace\", \"{neighbour}\"");
    let strict = "sandbox = \"strict\"";
    let standard = "sandbox = \"standard\"";
    let node = launch(
        &[
            section("socket", r#""raw-socket""#, standard),
            section("tracer", &trace, standard),
            section("mounter", r#""mount""#, standard),
            section("ring", r#""io-uring""#, standard),
            section("listener", r#""bind", "127.0.0.1:0""#, strict),
            section("killed", r#""mount""#, strict),
            section("writer", r#""write", "/etc/blackhole-was-here""#, strict),
            section("keeper", r#""write", "{directory}/data/keeper/file""#, strict),
            section("free", r#""write", "{directory}/file""#, ""),
        ]
        .concat(),
    );
    for name in ["socket", "tracer", "mounter", "ring", "writer"] {
        refused(&node, name);
    }
    assert!(told(&node, "listener").contains("bound"));
    assert!(told(&node, "keeper").contains("written"), "its own directory is its own");
    assert!(told(&node, "free").contains("written"), "without a sandbox nothing changes");
    until("it has ended", || node.history("killed"), |ends| !ends.is_empty());
    let end = node.history("killed").remove(0);
    assert_eq!((&end["reason"], &end["signal"]), (&"signal".into(), &"SIGSYS".into()), "{end}");
    assert!(!Path::new("/etc/blackhole-was-here").exists());
}

#[test]
fn a_key_wins_over_the_preset_and_paths_hold() {
    fs::create_dir_all("/var/tmp").expect("it is there");
    let execute = r#"execute = ["/usr", "/lib", "/lib64", "/bin", "{misbehaving}"]"#;
    let node = launch(
        &[
            section(
                "reader",
                r#""read", "/etc/passwd""#,
                &format!("sandbox.paths = {{ {execute} }}"),
            ),
            section(
                "permitted",
                r#""read", "/etc/passwd""#,
                &format!("sandbox.paths = {{ read = [\"/etc\"], {execute} }}"),
            ),
            section("hidden", r#""read", "/etc/passwd""#, r#"sandbox.hidden = ["/etc"]"#),
            section(
                "fixed",
                r#""write", "{directory}/data/x""#,
                r#"sandbox.read_only = ["{data_dir}"]"#,
            ),
            section("offline", r#""connect", "127.0.0.1:1""#, r#"sandbox.network = "none""#),
            section(
                "raw",
                r#""raw-socket""#,
                "[services.raw.sandbox]\npreset = \"standard\"\ncapabilities = [\"net_raw\"]",
            ),
        ]
        .concat(),
    );
    refused(&node, "reader");
    assert!(told(&node, "permitted").contains("bytes"));
    refused(&node, "hidden");
    refused(&node, "fixed");
    refused(&node, "offline");
    if is_root() {
        assert!(told(&node, "raw").contains("opened"), "it keeps what it was given");
    }
}

#[test]
fn a_private_tmp_is_empty_and_its_own() {
    let marker = tempfile::NamedTempFile::new_in("/tmp").expect("a file");
    let node = launch(
        &[
            section(
                "looker",
                &format!("\"read\", \"{}\"", marker.path().display()),
                "sandbox.private_tmp = true",
            ),
            section("leaver", r#""write", "/tmp/blackhole-left""#, "sandbox.private_tmp = true"),
        ]
        .concat(),
    );
    refused(&node, "looker");
    assert!(told(&node, "leaver").contains("written"));
    assert!(!Path::new("/tmp/blackhole-left").exists());
}

#[test]
fn who_becomes_somebody_else_cannot_go_back() {
    if !is_root() {
        return skipped("only root may start services as somebody else");
    }
    let keys = "user = \"65534:65534\"\nsupplementary_groups = [\"4\"]\n";
    let node = launch(&section("climber", r#""become-root""#, keys));
    refused(&node, "climber");
    let node = TestNode::start_all(
        "[services.other]\ncommand = [\"sleep\", \"1000\"]\nuser = \"65534:65534\"\n\
         supplementary_groups = [\"4\", \"3\"]\n",
    );
    let pid = pid(&node.service("other"));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    assert_eq!(groups.split_whitespace().collect::<Vec<_>>(), ["3", "4"]);
}

#[test]
fn a_profile_of_ones_own_is_read_with_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let profile = directory.path().join("no-sockets.seccomp");
    fs::write(&profile, "deny\nsocket\n").expect("it is written");
    let keys = format!("sandbox.seccomp = \"{}\"", profile.display());
    let node = launch(&section("listener", r#""bind", "127.0.0.1:0""#, &keys));
    refused(&node, "listener");
}

#[test]
fn what_a_host_does_not_permit_stops_the_start_unless_it_is_optional() {
    // Nobody can give what he does not have, root included: this one is taken from the node.
    let lacking = fs::read_to_string("/proc/self/status").expect("it is there");
    let lacking = lacking.lines().find_map(|line| line.strip_prefix("CapPrm:")).map(str::trim);
    let permitted = u64::from_str_radix(lacking.unwrap_or_default(), 16).unwrap_or(0);
    const SYS_RESOURCE: u64 = 1 << 24;
    if permitted & SYS_RESOURCE != 0 {
        return skipped("this process lacks no capability that it could ask for");
    }
    let keys = "capabilities = [\"sys_resource\"]\n";
    let node = launch(&format!(
        "{}[services.stern.sandbox]\n{keys}{}[services.lax.sandbox]\n{keys}optional = [\"capabilities\"]\n",
        section("stern", r#""run", "/bin/true""#, "restarts_max = 0"),
        section("lax", r#""run", "/bin/true""#, ""),
    ));
    assert!(told(&node, "lax").contains("ran"));
    until("it has ended", || node.history("lax"), |ends| !ends.is_empty());
    let end = node.history("lax").remove(0);
    let lacking = end["unenforced"][0].as_str().expect("it says what does not hold");
    assert!(lacking.starts_with("capabilities: the node lacks CAP_SYS_RESOURCE"), "{lacking}");
    until("it has failed to start", || node.history("stern"), |ends| !ends.is_empty());
    let end = node.history("stern").remove(0);
    assert_eq!(end["stage"], "preparing what it may use", "{end}");
}

#[test]
fn an_ordinary_users_node_hides_things_in_namespaces_of_users() {
    let permitted = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if permitted.trim() == "0" {
        return skipped("this host lets ordinary users make no namespaces");
    }
    let marker = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in("/tmp")
        .expect("a file");
    let marker = marker.path().display();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let strict = "sandbox = \"strict\"";
    let node = launch_as(
        As::Nobody,
        &[
            section("looker", &format!("\"read\", \"{marker}\""), "sandbox.private_tmp = true"),
            section("seer", &format!("\"read\", \"{marker}\""), ""),
            section("hidden", r#""read", "/etc/passwd""#, r#"sandbox.hidden = ["/etc"]"#),
            section(
                "fixed",
                r#""write", "{directory}/data/x""#,
                r#"sandbox.read_only = ["{data_dir}"]"#,
            ),
            section(
                "offline",
                &format!("\"connect\", \"{address}\""),
                "sandbox.network = \"none\"",
            ),
            section("online", &format!("\"connect\", \"{address}\""), ""),
            section("keeper", r#""write", "{directory}/data/keeper/file""#, strict),
            section("writer", r#""write", "{directory}/file""#, strict),
            section("temporary", r#""write", "/tmp/blackhole-rootless""#, strict),
            section("tracer", &format!("\"trace\", \"{}\"", std::process::id()), strict),
        ]
        .concat(),
    );
    for name in ["looker", "hidden", "fixed", "offline", "writer", "tracer"] {
        refused(&node, name);
    }
    assert!(told(&node, "seer").contains("bytes"), "without the key it is seen");
    assert!(told(&node, "online").contains("connected"));
    assert!(told(&node, "keeper").contains("written"));
    assert!(told(&node, "temporary").contains("written"));
    assert!(!Path::new("/tmp/blackhole-rootless").exists());
}

#[test]
fn a_service_of_private_pids_sees_only_itself_and_leaves_nothing() {
    let unshare = "unshare --user --map-current-user --pid --fork --mount-proc true";
    let unshare = std::process::Command::new("sh").args(["-c", unshare]).status();
    if !unshare.is_ok_and(|status| status.success()) {
        return skipped("this host lets nobody make namespaces of processes");
    }
    // What it leaves has neither its session nor its environment.
    let lonely = r#"[services.lonely]
command = ["sh", "-c", "echo $$ /proc/[0-9]*; env -i setsid sleep 1000 & exec sleep 1000"]
sandbox = { private_pids = true, preset = "standard", seccomp = "none" }
"#;
    for user in [As::Ourselves, As::Nobody] {
        let node = launch_as(user, lonely);
        let seen = told(&node, "lonely");
        assert!(seen.ends_with(" 2 /proc/1 /proc/2"), "{seen}");
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid"));
        let own = namespace(&pid(&node.service("lonely")).to_string()).expect("it lives");
        let processes = || {
            let all = fs::read_dir("/proc").expect("it is there").filter_map(Result::ok);
            let all = all.filter_map(|entry| entry.file_name().into_string().ok());
            all.filter(|pid| namespace(pid).is_ok_and(|it| it == own)).collect::<Vec<_>>()
        };
        until("all three are there", processes, |pids| pids.len() == 3);
        let stopped = node.bh(&["stop", "lonely"]);
        assert_eq!(stopped.code, 0, "{}", stopped.stderr);
        assert_eq!(processes(), Vec::<String>::new());
    }
}
