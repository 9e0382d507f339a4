//! Logs in a directory of their own, and processes that print into them.

use std::{
    fs,
    io::{PipeWriter, Write as _, pipe},
    num::NonZeroU32,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use blackhole_node::logs::{
    Capture, Closed, Entry, LogSettings, Logs, Origin, Query, Record, Subscription,
};
use blackhole_protocol::InstanceId;
use futures::StreamExt as _;
use tempfile::TempDir;
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn limits() -> blackhole_config::Logs {
    blackhole_config::Logs {
        file_size_max: 64 << 20,
        file_age_max: Duration::from_secs(86_400),
        files_max: 1000,
        retention: Duration::from_secs(7 * 86_400),
        line_length_max: 16 << 10,
    }
}

pub(crate) struct Fixture {
    pub(crate) logs: Logs,
    pub(crate) directory: PathBuf,
    _parent: TempDir,
}

impl Fixture {
    pub(crate) fn new(limits: blackhole_config::Logs) -> Self {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let directory = parent.path().join("log");
        let logs = open(&directory, limits);
        Self { logs, directory, _parent: parent }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Names of all files, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).expect("the log directory");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().into_string().expect("UTF-8")
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// The writing ends of both outputs.
    pub(crate) fn pipes(&self, service: &str) -> (Capture, PipeWriter, PipeWriter) {
        let (readers, [stdout, stderr]) = pipes();
        let capture = self.logs.capture(origin(service), readers, None).expect("two pipes");
        (capture, stdout, stderr)
    }

    /// Runs a shell script to its end and returns the end of its stderr.
    pub(crate) async fn run(&self, service: &str, script: &str) -> String {
        let mut child = shell(script);
        let capture = self.logs.capture(origin(service), outputs(&mut child), None);
        let capture = capture.expect("two pipes");
        let status = tokio::task::spawn_blocking(move || child.wait());
        status.await.expect("no panic").expect("our child");
        assert_eq!(capture.closed(DEADLINE).await, Closed::Clean);
        capture.stderr_tail()
    }

    pub(crate) fn echo(&self, service: &str) -> Echo {
        let mut child = shell("exec cat");
        let stdin = child.stdin.take().expect("piped");
        let capture = self.logs.capture(origin(service), outputs(&mut child), None);
        Echo { child, stdin: Some(stdin), capture: capture.expect("two pipes") }
    }

    pub(crate) async fn read(&self, query: Query) -> Vec<Arc<Record>> {
        let entries = self.logs.read(query).expect("a free seat").collect::<Vec<_>>();
        let entries = timeout(DEADLINE, entries).await.expect("an end of the past");
        entries.into_iter().map(|entry| record(entry.expect("readable files"))).collect()
    }

    pub(crate) async fn messages(&self, query: Query) -> Vec<String> {
        self.read(query).await.iter().map(|record| record.message.clone()).collect()
    }
}

pub(crate) fn open(directory: &std::path::Path, limits: blackhole_config::Logs) -> Logs {
    let settings = LogSettings { directory: directory.to_owned(), node: "dev".into(), limits };
    Logs::open(settings).expect("a writable directory")
}

/// A process that prints what it is told.
pub(crate) struct Echo {
    child: Child,
    stdin: Option<ChildStdin>,
    capture: Capture,
}

impl Echo {
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("not ended");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    pub(crate) async fn end(mut self) {
        self.stdin = None;
        assert_eq!(self.capture.closed(DEADLINE).await, Closed::Clean);
        self.child.wait().expect("our child");
    }
}

pub(crate) fn shell(script: &str) -> Child {
    Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell")
}

pub(crate) fn outputs(child: &mut Child) -> [OwnedFd; 2] {
    let stdout = child.stdout.take().expect("piped");
    let stderr = child.stderr.take().expect("piped");
    [stdout.into(), stderr.into()]
}

/// The reading ends and the writing ends of stdout and stderr.
pub(crate) fn pipes() -> ([OwnedFd; 2], [PipeWriter; 2]) {
    let (stdout, stdout_writer) = pipe().expect("a pipe");
    let (stderr, stderr_writer) = pipe().expect("a pipe");
    ([stdout.into(), stderr.into()], [stdout_writer, stderr_writer])
}

pub(crate) fn instance(service: &str) -> InstanceId {
    InstanceId { service: service.parse().expect("a name"), index: NonZeroU32::MIN }
}

pub(crate) fn origin(service: &str) -> Arc<Origin> {
    Arc::new(Origin { instance: instance(service), generation: 3, pid: 42 })
}

pub(crate) fn record(entry: Entry) -> Arc<Record> {
    match entry {
        Entry::Record(record) => record,
        Entry::Skipped(count) => panic!("{count} records skipped"),
    }
}

pub(crate) async fn next(subscription: &mut Subscription) -> Entry {
    timeout(DEADLINE, subscription.next()).await.expect("an entry in time").expect("no end")
}

/// Waits until the condition holds; the other side is a thread that is at work on it.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, holds).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A line of `/proc/self/status`.
pub(crate) fn memory_kib(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with(key)).expect(key);
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}
