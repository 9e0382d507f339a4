//! The tour of README.md, word for word.

use std::{
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use blackhole_tests::{Finished, TestNode, bh};

use super::examples::run_example;

/// What each command block after the start of the demo must say, and whether it ends well.
const SAID: [(&[&str], bool); 6] = [
    (&["identity", "storage", "clock", "ready"], true),
    (&["clock", "signal", "SIGKILL"], true),
    (&["clock", "CPU"], true),
    (&["clock", "stopped"], true),
    (&["did you mean `command`", "\"always\" is \"permanent\" here", "databse"], false),
    (&[], true),
];

/// The command blocks of the tour.
fn blocks(readme: &str) -> Vec<&str> {
    let tour = readme.split("\n## ").find(|part| part.starts_with("A tour")).expect("a tour");
    let fenced = tour.split("```sh\n").skip(1);
    fenced.map(|rest| rest.split("```").next().expect("split gives one part at least")).collect()
}

fn run(node: &TestNode, block: &str, programs: &Path, root: &Path) -> Finished {
    let mut command = Command::new("bash");
    let path = std::env::var("PATH").expect("a path");
    command
        .args(["-euo", "pipefail", "-c"])
        .arg(block.replace("/tmp/bh-tour", &node.directory().display().to_string()))
        .current_dir(root)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("BLACKHOLE_RUNTIME_DIR", node.path("run"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    Finished::from(command.output().expect("bash runs"))
}

#[test]
fn the_tour_is_as_it_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("a README");
    let mut blocks = blocks(&readme).into_iter();
    assert!(blocks.next().expect("a build").starts_with("cargo build --release\n"));
    assert_eq!(blocks.next(), Some("bh run config/examples/demo.toml &\n"));

    let programs = tempfile::tempdir().expect("a directory");
    symlink(bh().get_program(), programs.path().join("bh")).expect("a link");
    let mut node = run_example("demo.toml");
    assert_eq!(blocks.len(), SAID.len(), "each block of the tour has its line here");
    for (block, (words, ends_well)) in blocks.zip(SAID) {
        let done = run(&node, block, programs.path(), &root);
        let said = done.stdout + &done.stderr;
        assert_eq!(done.code == 0, ends_well, "{block}\n{said}");
        for word in words {
            assert!(said.contains(word), "{block}\n{said}\nlacks {word}");
        }
    }
    assert_eq!(node.ended().code(), Some(0));
    node.nothing_left();
}
