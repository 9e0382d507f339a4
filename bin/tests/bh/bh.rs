//! Runs the binary in an environment of its own.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// `bh` as it behaves for this very test: no colours, UTC, no node but the ones in `home`.
pub(crate) fn bh(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bh"));
    command
        .env_clear()
        .env("TZ", "UTC")
        .env("BLACKHOLE_RUNTIME_DIR", home)
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// Runs it to its end and shows everything that came out, with the paths of the test replaced.
pub(crate) fn transcript(home: &Path, arguments: &[&str]) -> String {
    let output = bh(home).args(arguments).output().expect("bh runs");
    show(home, &output)
}

/// Exit code, standard output, standard error.
pub(crate) fn show(home: &Path, output: &Output) -> String {
    let code = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
    let mut text = format!("exit code {code}\n");
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            text.push_str(&format!("--- {name}\n{}", String::from_utf8_lossy(bytes)));
        }
    }
    text.replace(&home.display().to_string(), "[HOME]")
}

/// What came out on the standard output of a run that succeeded.
pub(crate) fn stdout(home: &Path, arguments: &[&str]) -> String {
    let output = bh(home).args(arguments).output().expect("bh runs");
    assert!(output.status.success(), "{}", show(home, &output));
    String::from_utf8(output.stdout).expect("text")
}
