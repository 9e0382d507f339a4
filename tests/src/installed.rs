//! Programs that tests use and that a machine may lack.

use std::path::Path;

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
#[expect(clippy::print_stdout, reason = "a test that is skipped must say so")]
pub fn skipped(why: &str) {
    println!("SKIPPED: {why}");
}
