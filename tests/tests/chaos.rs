//! The abuser for a moment, by seeds that have found something before: what fails here fails again.
//! `tests/chaos --minutes 60` goes on for longer, by seeds that nobody has tried.

use std::process::Command;

/// The round that runs then is ended.
const SECONDS: &str = "8";

fn abuse(seed: u64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let done = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--seconds", SECONDS, "--seed", &seed.to_string(), "--record"])
        .arg(folder.path().join(format!("chaos-{seed}.events")))
        .output()
        .expect("the abuser runs");
    let told = [&*done.stdout, &*done.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    if !done.status.success() {
        panic!("{told}\nkept in {}", folder.keep().display());
    }
    if told.contains("SKIPPED") {
        blackhole_tests::skipped("no disk was filled: no mount namespace can be made here");
    }
}

#[test]
fn seeds_that_once_found_a_bug_leave_nothing_behind() {
    [1, 6].into_iter().for_each(abuse);
}
