//! The abuser for a moment: seeds that have found something before, and one that nobody has tried.
//! `tests/chaos --minutes 60` goes on for longer.

use std::{
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

/// The round that runs then is ended.
const SECONDS: &str = "8";

fn abuse(seed: u64) {
    let record = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}.events"));
    let done = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--seconds", SECONDS, "--seed", &seed.to_string(), "--record"])
        .arg(&record)
        .output()
        .expect("the abuser runs");
    let told = [&*done.stdout, &*done.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(done.status.success(), "{told}");
    if told.contains("SKIPPED") {
        blackhole_tests::skipped("no disk was filled: no mount namespace can be made here");
    }
}

#[test]
fn known_seeds() {
    [1, 6].into_iter().for_each(abuse);
}

#[test]
fn a_seed_that_nobody_has_tried() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    abuse(u64::from(since.subsec_micros()));
}
