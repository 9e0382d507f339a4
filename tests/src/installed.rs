//! Programs that tests use and that a machine may lack; what the reader of a test run must know though
//! nothing failed.

use std::{io::Write as _, path::Path};

/// Whether a program is there; says so loudly when it is not, because the test then proves nothing.
pub fn is_installed(program: &str) -> bool {
    let found = ["/usr/bin", "/usr/sbin", "/bin", "/usr/local/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        skipped(&format!("{program} is not installed; tests/run installs it"));
    }
    found
}

/// Says that a test proved nothing, and why.
pub fn skipped(why: &str) {
    say(&format!("SKIPPED: {why}"));
}

/// Says something that is seen when the test passes too: the harness keeps to itself what `print!` and
/// its kin write, and nothing else.
pub fn say(text: &str) {
    // In one piece: others print at the same time. A run whose errors go nowhere is nobody's to read.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
