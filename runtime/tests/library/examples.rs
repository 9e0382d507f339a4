//! Each example runs for real, and says what its page says.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::OnceLock,
};

/// Builds the examples, once, and gives the folder that they are in.
fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let own = std::env::current_exe().expect("a test knows its file");
        let profile = own.parent().and_then(|deps| deps.parent()).expect("deps is in a profile");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--offline", "--examples", "--package", "blackhole"]);
        if profile.file_name().is_some_and(|name| name == "release") {
            cargo.arg("--release");
        }
        let target = profile.parent().expect("a profile is in the target folder");
        let status = cargo.env("CARGO_TARGET_DIR", target).status().expect("cargo runs");
        assert!(status.success(), "the examples do not build");
        profile.join("examples")
    })
}

fn run(example: &str, arguments: &[&str]) -> Output {
    // Half a minute is plenty, also on a busy machine.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60"]).arg(built().join(example)).args(arguments);
    command.output().expect("the example runs")
}

fn printed(example: &str) -> String {
    let output = run(example, &[]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stdout}\n{stderr}", output.status);
    stdout
}

#[test]
fn tree_restarts_what_comes_after_the_one_that_was_killed() {
    assert_eq!(
        printed("tree"),
        "up:        database 1, heartbeat 1, queue 1, resize 1, upload 1\n\
         restarted: database 1, heartbeat 1, queue 2, resize 2, upload 2\n\
         stopped\n"
    );
}
