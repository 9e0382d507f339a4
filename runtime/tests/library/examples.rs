//! Each example runs for real, and says what its page says.

use std::{
    io::Write as _,
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
        // As the tests of the workspace have them: nothing is left to build where those have been.
        cargo.args(["build", "--quiet", "--offline", "--examples", "--workspace"]);
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
    // Seconds are plenty; this is for a machine that is twenty times slower.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120"]).arg(built().join(example)).args(arguments);
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

#[test]
fn counter_goes_on_after_its_process_was_killed() {
    assert_eq!(
        printed("counter"),
        "generation Some(1) counted to 42\n\
         it went with its process, which was ended by SIGKILL\n\
         generation Some(2) counted to 0\n"
    );
}

#[test]
fn pool_loses_the_jobs_that_crash_and_no_others() {
    assert_eq!(
        printed("pool"),
        "below 10000: 1229\n\
         below 100000: 9592\n\
         a worker went with its process, which was ended by SIGABRT\n\
         a worker went with its process, which was ended by SIGSEGV\n\
         the job panicked: a number that is not one\n\
         the job was not done within 200ms\n\
         meanwhile: 4\n\
         4 workers: 25\n\
         1 worker: 168\n"
    );
}

#[test]
fn python_worker_answers_who_asked_while_it_was_away() {
    if Command::new("python3").arg("--version").output().is_err() {
        // Not by `eprintln!`, which the harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no python3");
        return;
    }
    assert_eq!(
        printed("python_worker"),
        "the way Erlang run processes (1)\n\
         once again (2)\n\
         this question waits in the backlog (1)\n"
    );
}

#[test]
fn snapshot_hands_the_total_on_over_a_kill() {
    assert_eq!(
        printed("snapshot"),
        "generation Some(1): 40\ngeneration Some(1): 41\ngeneration Some(2): 42\n"
    );
}
