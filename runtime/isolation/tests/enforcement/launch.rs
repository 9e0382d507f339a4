//! Starts a program under a plan, as simply as the standard library can.

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use blackhole_isolation::{Host, Plan, Request, plan};

/// The fixture, told how to misbehave.
pub(crate) fn misbehave(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_misbehave"));
    command.args(arguments);
    command
}

/// The command under a plan; the caller spawns it.
pub(crate) fn under(plan: &Arc<Plan>, mut command: Command) -> Command {
    let plan = Arc::clone(plan);
    let apply = move || {
        let applied = plan.join_in_child().and_then(|()| plan.apply_in_child(None, None));
        applied.map_err(|refused| io::Error::from_raw_os_error(refused.errno))
    };
    // SAFETY: applying a plan is async-signal-safe, and on success the closure does nothing else.
    unsafe { command.pre_exec(apply) };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end under what is requested.
pub(crate) fn run(request: &Request, command: Command) -> Output {
    let plan = Arc::new(plan(request, &Host::detect()).expect("a plan"));
    under(&plan, command).output().expect("a start")
}

/// What the fixture printed under what is requested.
pub(crate) fn told(request: &Request, arguments: &[&str]) -> String {
    stdout(&run(request, misbehave(arguments)))
}

/// One field of a kernel status text.
pub(crate) fn status(request: &Request, field: &str) -> String {
    let mut cat = Command::new("/bin/cat");
    cat.arg("/proc/self/status");
    let text = stdout(&run(request, cat));
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().replace('\t', " ")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text").trim().to_owned()
}

/// Becoming somebody else takes root; elsewhere such a test says so and passes.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        say("skipped: needs root");
    }
    root
}

/// A private /tmp hides a fixture that was built below it; such a test says so and passes.
pub(crate) fn is_fixture_visible() -> bool {
    let visible = !env!("CARGO_BIN_EXE_misbehave").starts_with("/tmp/");
    if !visible {
        say("skipped: the fixture was built below /tmp, which this test hides");
    }
    visible
}

/// Past the test runner, which keeps to itself what a test that passes prints.
pub(crate) fn say(text: &str) {
    // In one piece: others print at the same time. A run whose errors go nowhere is nobody's to read.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
