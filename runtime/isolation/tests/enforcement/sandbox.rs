//! System calls, paths, views and the presets that bundle them.

use std::{fs, os::unix::process::ExitStatusExt, path::PathBuf, process::Command};

use blackhole_isolation::{
    Capabilities, Network, PathRules, Request, Sandbox, Seccomp, Temporary, View,
};

use crate::launch::{is_fixture_visible, is_root, misbehave, run, status, stdout, told};

const SIGSYS: i32 = 31;

fn refused(request: &Request, arguments: &[&str]) -> bool {
    told(request, arguments).starts_with("refused: ")
}

fn filtered(seccomp: Seccomp) -> Request {
    Request { seccomp: Some(seccomp), ..Request::default() }
}

#[test]
fn the_default_profile_refuses_what_only_administrators_do_and_lets_the_rest_pass() {
    let request = filtered(Seccomp::Default);
    let own_pid = std::process::id().to_string();
    assert_eq!(status(&request, "Seccomp"), "2");
    assert_eq!(status(&request, "NoNewPrivs"), "1");
    assert!(refused(&request, &["mount"]));
    assert!(refused(&request, &["trace", &own_pid]));
    assert!(refused(&request, &["io-uring"]));
    assert_eq!(told(&request, &["bind", "127.0.0.1:0"]), "bound");
    assert_eq!(told(&request, &["run", "/bin/true"]), "ran");
    assert_eq!(told(&request, &["fork-bomb", "3"]), "3 children");
}

#[test]
fn a_namespace_cannot_be_made_under_the_default_profile_in_any_way() {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "true"]);
    let output = run(&filtered(Seccomp::Default), unshare);
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn the_strict_profile_kills_who_mounts_and_refuses_raw_sockets() {
    let request = filtered(Seccomp::Strict);
    let output = run(&request, misbehave(&["mount"]));
    assert_eq!(output.status.signal(), Some(SIGSYS), "{output:?}");
    assert!(refused(&request, &["raw-socket"]));
    assert_eq!(told(&request, &["bind", "127.0.0.1:0"]), "bound");
    assert_eq!(told(&request, &["bind", "[::1]:0"]), "bound");
    assert_eq!(told(&request, &["run", "/bin/true"]), "ran");
}

#[test]
fn a_profile_of_ones_own_refuses_what_it_lists() {
    let profile = "deny kill\nsocket\n".parse().unwrap();
    let output = run(&filtered(Seccomp::Own(profile)), misbehave(&["bind", "127.0.0.1:0"]));
    assert_eq!(output.status.signal(), Some(SIGSYS), "{output:?}");
}

#[test]
fn a_profile_of_ones_own_permits_only_what_it_lists() {
    let profile = "allow kill\nread\nwrite\n".parse().unwrap();
    let output = run(&filtered(Seccomp::Own(profile)), Command::new("/bin/true"));
    assert_eq!(output.status.signal(), Some(SIGSYS), "not even its libraries: {output:?}");
}

#[test]
fn paths_that_no_rule_names_are_out_of_reach_even_for_root() {
    let directory = tempfile::tempdir().unwrap();
    let within = |name: &str| directory.path().join(name);
    for name in ["data", "notes"] {
        fs::create_dir(within(name)).unwrap();
        fs::write(within(name).join("file"), "text").unwrap();
    }
    let mut execute: Vec<PathBuf> = ["/usr", "/lib", "/lib64", "/bin", "/etc"]
        .iter()
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .collect();
    execute.push(PathBuf::from(env!("CARGO_BIN_EXE_misbehave")));
    let (read, write) = (vec![within("notes")], vec![within("data")]);
    let request = Request { paths: Some(PathRules { read, execute, write }), ..Request::default() };
    let at = |name: &str| within(name).to_str().unwrap().to_owned();
    assert_eq!(told(&request, &["read", &at("data/file")]), "4 bytes");
    assert_eq!(told(&request, &["write", &at("data/new")]), "written");
    assert_eq!(told(&request, &["read", &at("notes/file")]), "4 bytes");
    assert!(refused(&request, &["write", &at("notes/file")]));
    assert!(refused(&request, &["write", &at("other")]));
    assert!(refused(&request, &["read", "/proc/self/status"]));
    // Landlock itself can refuse this since Linux 6.2 only.
    assert!(refused(&request, &["truncate", &at("notes/file")]));
    assert!(refused(&request, &["truncate-by-opening", &at("notes/file")]));
    assert!(refused(&request, &["truncate-by-opening-for-nothing", &at("notes/file")]));
    assert_eq!(fs::read_to_string(within("notes/file")).unwrap(), "text");
}

#[test]
fn a_private_tmp_is_empty_and_leaves_nothing_behind() {
    if !is_root() || !is_fixture_visible() {
        return;
    }
    let marker = tempfile::Builder::new().tempfile_in("/tmp").unwrap();
    let view = View { temporary: Temporary::Private, ..View::default() };
    let request = Request { view, ..Request::default() };
    assert!(refused(&request, &["read", marker.path().to_str().unwrap()]));
    let name = format!("/tmp/blackhole-left-{}", std::process::id());
    assert_eq!(told(&request, &["write", &name]), "written");
    assert!(!PathBuf::from(name).exists());
}

#[test]
fn read_only_and_hidden_paths_hold_for_root_and_from_the_working_directory() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    fs::write(path.join("file"), "text").unwrap();
    let file = path.join("file").to_str().unwrap().to_owned();

    let view = View { read_only: vec![path.clone()], ..View::default() };
    let request = Request { view, ..Request::default() };
    assert_eq!(told(&request, &["read", &file]), "4 bytes");
    assert!(refused(&request, &["write", &file]));
    let mut inside = misbehave(&["write", "file"]);
    inside.current_dir(&path);
    assert!(stdout(&run(&request, inside)).starts_with("refused: "));

    let view = View { hidden: vec![path.clone()], ..View::default() };
    assert!(refused(&Request { view, ..Request::default() }, &["read", &file]));
    let view = View { hidden: vec![path.join("file")], ..View::default() };
    assert_eq!(told(&Request { view, ..Request::default() }, &["read", &file]), "0 bytes");
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "text");
}

#[test]
fn without_a_network_only_its_own_loopback_is_left() {
    if !is_root() {
        return;
    }
    let view = View { network: Network::None, ..View::default() };
    let request = Request { view, ..Request::default() };
    let mut grep = Command::new("/bin/grep");
    grep.args(["-c", ":", "/proc/self/net/dev"]);
    assert_eq!(stdout(&run(&request, grep)), "1", "one device");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert!(refused(&request, &["connect", &address]));
    assert_eq!(told(&request, &["bind", &address]), "bound", "a loopback of its own");
    assert_eq!(told(&Request::default(), &["connect", &address]), "connected");
}

#[test]
fn the_standard_sandbox_takes_roots_power_and_leaves_the_files() {
    let request = Request::default().sandboxed(Sandbox::Standard, &[]);
    assert_eq!(status(&request, "CapEff"), "0000000000000000");
    assert_eq!(status(&request, "NoNewPrivs"), "1");
    assert!(refused(&request, &["mount"]));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    assert_eq!(told(&request, &["write", file.to_str().unwrap()]), "written");
}

#[test]
fn the_strict_sandbox_writes_only_to_its_own_directories() {
    if !is_root() || !is_fixture_visible() {
        return;
    }
    // Not below /tmp, which becomes private.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (own, other) = (directory.path().join("own"), directory.path().join("other"));
    fs::create_dir(&own).unwrap();
    fs::create_dir(&other).unwrap();
    let request = Request::default().sandboxed(Sandbox::Strict, std::slice::from_ref(&own));
    let within = |path: &PathBuf| path.join("file").to_str().unwrap().to_owned();
    assert_eq!(told(&request, &["write", &within(&own)]), "written");
    assert!(refused(&request, &["write", &within(&other)]));
    assert_eq!(told(&request, &["write", "/tmp/file"]), "written");
    assert_eq!(told(&request, &["write", "/dev/null"]), "written");
    assert_eq!(told(&request, &["run", "/bin/true"]), "ran");
}

#[test]
fn what_a_request_says_itself_wins_over_the_preset() {
    let capabilities = Some(Capabilities::from_names(["net_raw"]).unwrap());
    let request = Request { capabilities, ..Request::default() };
    assert_eq!(request.sandboxed(Sandbox::Standard, &[]).capabilities, capabilities);
}
