use std::{fs, os::unix::net::UnixListener, path::Path};

use crate::{
    bh::{bh, show, transcript},
    fake_node::FakeNode,
};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn without_a_node_there_is_a_hint_how_to_start_one() {
    insta::assert_snapshot!(transcript(home().path(), &["status"]));
}

#[test]
fn the_socket_of_a_killed_node_is_no_node() {
    let home = home();
    drop(UnixListener::bind(home.path().join("control.sock")).expect("a free path"));
    insta::assert_snapshot!(transcript(home.path(), &["status"]));
}

fn node_below(home: &Path, name: &str) -> FakeNode {
    let dir = home.join(name);
    fs::create_dir(&dir).expect("a new directory");
    FakeNode::listen(&dir)
}

#[test]
fn the_only_node_below_a_directory_is_meant() {
    let home = home();
    let _node = node_below(home.path(), "one");
    let shown = transcript(home.path(), &["stop", "api"]);
    assert!(shown.starts_with("exit code 0"), "{shown}");
}

#[test]
fn several_nodes_are_listed_to_choose_from() {
    let home = home();
    let _nodes = [node_below(home.path(), "one"), node_below(home.path(), "two")];
    insta::assert_snapshot!(transcript(home.path(), &["status"]));
    let two = home.path().join("two");
    let two = two.to_str().expect("text");
    let shown = transcript(home.path(), &["status", "--runtime-dir", two]);
    assert!(shown.starts_with("exit code 0"), "{shown}");
}

#[test]
fn a_node_is_found_by_its_name_below_the_default_directory() {
    if rustix::process::geteuid().is_root() {
        // Root's directory is that of the whole host, and not the test's to write to.
        return;
    }
    let home = home();
    fs::create_dir(home.path().join("blackhole")).expect("a new directory");
    let base = home.path().join("blackhole");
    let _nodes = [node_below(&base, "one"), node_below(&base, "two")];
    let status = bh(home.path())
        .env_remove("BLACKHOLE_RUNTIME_DIR")
        .env("XDG_RUNTIME_DIR", home.path())
        .args(["--node", "two", "status"])
        .status()
        .expect("bh runs");
    assert!(status.success());
}

#[test]
fn a_misspelt_command_is_told_apart() {
    insta::assert_snapshot!(transcript(home().path(), &["stauts"]));
}

#[test]
fn a_misspelt_option_is_told_apart() {
    insta::assert_snapshot!(transcript(home().path(), &["status", "--jsno"]));
}

#[test]
fn a_time_that_is_none_is_told_apart() {
    insta::assert_snapshot!(transcript(home().path(), &["logs", "--since", "yesterdya"]));
}

#[test]
fn a_number_of_instances_that_is_none_is_told_apart() {
    insta::assert_snapshot!(transcript(home().path(), &["scale", "api=many"]));
    insta::assert_snapshot!(transcript(home().path(), &["scale", "api=0"]));
    insta::assert_snapshot!(transcript(home().path(), &["scale", "api"]));
}

#[test]
fn an_output_that_is_full_is_an_error() {
    let home = home();
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = bh(home.path()).arg("version").stdout(full).output().expect("bh runs");
    insta::assert_snapshot!(show(home.path(), &output));
}
