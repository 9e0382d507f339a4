//! One `bh run`, from its file to the proof that nothing of it is left.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{processes, until};

/// A command of the binary under test, with no terminal and no colours.
pub fn bh() -> Command {
    let mut command = Command::new(binary("bh-under-test"));
    command.env("NO_COLOR", "1").env_remove("RUST_BACKTRACE");
    command
}

/// A group that was handed to whoever runs the tests (cgroup v2), without processes of its own.
const DELEGATED: &str = "BLACKHOLE_TEST_DELEGATED";

/// Where the tests have a group to divide: the command in a new group below it, as a service manager
/// would start a node, because no group that also holds the test can be divided by a node.
fn in_own_group(command: Command) -> Command {
    let Some(delegated) = std::env::var_os(DELEGATED) else { return command };
    let enter = r#"mkdir "$0/node-$$" && echo 0 > "$0/node-$$/cgroup.procs" && exec "$@""#;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(enter).arg(delegated).arg(command.get_program());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// The path of the misbehaving child; see its source for the flags.
pub fn fixture() -> PathBuf {
    binary("fixture-service")
}

/// The path of the child that does what it may not; see its source for the words.
pub fn misbehaving() -> PathBuf {
    binary("misbehaving-service")
}

/// A binary of this package: cargo builds them with the tests, one folder above.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("tests live in a folder of a folder");
    folder.join(name)
}

/// A node that lives as long as this value. Dropping it ends the node and fails the test if any
/// process of it is left.
#[derive(Debug)]
pub struct TestNode {
    guardian: Child,
    directory: tempfile::TempDir,
}

/// What a client command said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl TestNode {
    /// Starts a node for the text of a file, and waits until it answers. `{fixture}` in the text is
    /// the misbehaving child, `{directory}` the test's own directory.
    pub fn start(text: &str) -> Self {
        let node = Self::launch(text);
        until("the node answers", || node.bh(&["status", "--json"]), |done| done.code == 0);
        node
    }

    /// As [`Self::start`], and waits until everything is up.
    pub fn start_all(text: &str) -> Self {
        let node = Self::start(text);
        node.until("the node runs", |status| status["node"]["state"] == "running");
        node
    }

    /// Starts a node and waits for nothing.
    pub fn launch(text: &str) -> Self {
        Self::launch_with(text, |_| {})
    }

    /// As [`Self::launch`], with the command changed.
    pub fn launch_with(text: &str, change: impl FnOnce(&mut Command)) -> Self {
        let directory = own_directory();
        let file = write_file(directory.path(), text);
        Self::launch_file(directory, &file, change)
    }

    /// Starts a node for a file that is there, such as an example.
    pub fn launch_file(
        directory: tempfile::TempDir,
        file: &Path,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let output = fs::File::create(directory.path().join("output")).expect("a file");
        let mut command = in_own_group(bh());
        command
            .args(["run".as_ref(), file.as_os_str()])
            .args(placed(directory.path()))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .process_group(0);
        change(&mut command);
        let guardian = command.spawn().expect("bh starts");
        Self { guardian, directory }
    }

    /// A node in the place of this one, which has ended; waits until everything is up.
    pub fn succeeded_by(mut self, text: &str) -> Self {
        self.ended();
        let directory = std::mem::replace(&mut self.directory, own_directory());
        let file = write_file(directory.path(), text);
        let node = Self::launch_file(directory, &file, |_| {});
        node.until("the node runs", |status| status["node"]["state"] == "running");
        node
    }

    /// The test's own directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path below the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a client command for this node.
    pub fn bh(&self, words: &[&str]) -> Finished {
        let runtime_dir = self.path("run");
        let output = bh()
            .args(words)
            .env("BLACKHOLE_RUNTIME_DIR", runtime_dir)
            .stdin(Stdio::null())
            .output();
        output.expect("bh runs").into()
    }

    /// `bh status --json`, or null when the node does not answer.
    pub fn status(&self) -> Value {
        let done = self.bh(&["status", "--json"]);
        serde_json::from_str(&done.stdout).unwrap_or(Value::Null)
    }

    /// The first instance of a service in `bh status --json`.
    pub fn service(&self, name: &str) -> Value {
        find(&self.status(), name).clone()
    }

    /// Waits for something to be true of `bh status --json`.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl FnMut(&Value) -> bool) -> Value {
        until(what, || self.status(), wanted)
    }

    /// Waits until the first instance of a service is in a state, and gives it back.
    #[track_caller]
    pub fn until_state(&self, service: &str, state: &str) -> Value {
        let what = format!("{service} is {state}");
        let status = self.until(&what, |status| find(status, service)["state"] == state);
        find(&status, service).clone()
    }

    /// Waits until the first instance of a service is ready in another generation than `before`.
    #[track_caller]
    pub fn until_reborn(&self, before: &Value) -> Value {
        let name = before["name"].as_str().expect("a name");
        let status = self.until(&format!("{name} is back"), |status| {
            let now = find(status, name);
            now["state"] == "ready" && now["generation"] != before["generation"]
        });
        find(&status, name).clone()
    }

    /// `bh history NAME`, one JSON object a line.
    pub fn history(&self, service: &str) -> Vec<Value> {
        json_lines(&self.bh(&["history", service, "--json"]).stdout)
    }

    /// What has happened to a service under this name, from `bh events --json`.
    pub fn events(&self, service: &str, event: &str) -> Vec<Value> {
        let told = json_lines(&self.bh(&["events", service, "--no-follow", "--json"]).stdout);
        told.into_iter().filter(|line| line["event"] == event).collect()
    }

    /// Waits until that has happened, and gives the first time that it did.
    #[track_caller]
    pub fn until_event(&self, service: &str, event: &str) -> Value {
        let what = format!("{service} is {event}");
        until(&what, || self.events(service, event), |told| !told.is_empty()).remove(0)
    }

    /// What `bh run` has printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.path("output")).unwrap_or_default()
    }

    /// The guardian's process.
    pub fn guardian_pid(&self) -> i32 {
        self.guardian.id().cast_signed()
    }

    /// The node's process.
    pub fn node_pid(&self) -> i32 {
        pid(&self.status()["node"])
    }

    /// Everything that lives and was started by this node, the node itself excepted.
    pub fn processes(&self) -> Vec<processes::Process> {
        processes::carrying(&format!("BLACKHOLE_RUNTIME_DIR={}", self.path("run").display()))
    }

    /// Sends a signal to `bh run`, as a terminal or an init system would.
    pub fn signal(&self, signal: Signal) {
        send(self.guardian_pid(), signal);
    }

    /// Waits until `bh run` has ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let guardian = &mut self.guardian;
        let look = || guardian.try_wait().expect("it can be waited for");
        until("bh run has ended", look, Option::is_some).expect("just seen")
    }

    /// Waits until nothing of the node is left.
    #[track_caller]
    pub fn nothing_left(&self) {
        until("nothing is left", || self.processes(), Vec::is_empty);
    }
}

impl Drop for TestNode {
    #[expect(clippy::print_stderr, reason = "a test that fails shows what the node said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("bh run printed:\n{}", self.output());
            let _ = self.guardian.kill();
            let _ = self.guardian.wait();
            return;
        }
        let pid = self.guardian_pid();
        let guardian = &mut self.guardian;
        let hurried = || {
            let ended = guardian.try_wait().expect("it can be waited for");
            if ended.is_none() {
                // Again and again: one that follows another at once is taken for its echo.
                send(pid, Signal::INT);
            }
            ended
        };
        until("bh run has ended", hurried, Option::is_some);
        self.nothing_left();
    }
}

fn own_directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("bh").tempdir().expect("a directory")
}

fn write_file(directory: &Path, text: &str) -> PathBuf {
    let text = text
        .replace("{fixture}", &fixture().display().to_string())
        .replace("{misbehaving}", &misbehaving().display().to_string())
        .replace("{directory}", &directory.display().to_string());
    let file = directory.join("config.toml");
    fs::write(&file, text).expect("the file is written");
    file
}

/// The flags that place a node below a directory.
fn placed(directory: &Path) -> [String; 3] {
    ["run", "data", "log"].map(|name| {
        let flag = if name == "run" { "runtime" } else { name };
        format!("--{flag}-dir={}", directory.join(name).display())
    })
}

/// The first instance of a service; null when there is none.
fn find<'a>(status: &'a Value, name: &str) -> &'a Value {
    let services = status["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    services.iter().find(|service| service["name"] == name).unwrap_or(&Value::Null)
}

/// The `pid` of a JSON object.
///
/// # Panics
/// When it has none.
pub fn pid(object: &Value) -> i32 {
    let pid = object["pid"].as_i64().unwrap_or_else(|| panic!("no pid in {object}"));
    i32::try_from(pid).expect("a pid")
}

/// Sends a signal to a process that the test knows to be its own.
pub fn send(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a pid");
    // It may just have ended, which is what the signal is for.
    let _ = kill_process(pid, signal);
}

/// One JSON object a line.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}
