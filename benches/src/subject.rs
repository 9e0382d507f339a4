//! What is measured: a supervisor with its children, from its files to the proof that it is gone.

pub(crate) mod blackhole;
mod circus;
mod limit;
mod pm2;
mod scan_directory;
mod supervisord;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::{clock, family::Setting, processes, stamps::Stamps};

/// No subject takes longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where `benches/run` says who cannot be measured and why: a line `NAME: why` for each.
const LEFT_OUT: &str = "BENCH_LEFT_OUT";

/// What users would pick instead, and the program of each.
const PEERS: [(&str, &str); 6] = [
    ("runit", "runsvdir"),
    ("s6", "s6-svscan"),
    ("daemontools", "svscan"),
    ("supervisord", "supervisord"),
    ("circus", "circusd"),
    ("pm2", "pm2-runtime"),
];

/// The limit's name.
pub(crate) const LIMIT: &str = "bare loop";

/// What the children do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Stay,
    /// Exit with 1 at once.
    Exit,
    /// Print so many lines in each of [`PRINT_SECONDS`], and stay.
    Print {
        per_second: usize,
    },
}

/// How long a child prints, and what is in each line: as `stamp` has it.
pub(crate) const PRINT_SECONDS: usize = 2;
pub(crate) const PRINTED: &str = "a request was answered";

/// The directory that is empty for a supervisor.
const SITE: &str = "site";

/// How a supervisor is asked to stop everything.
pub(crate) type StopSignal = Signal;

/// A supervisor, before it runs.
pub(crate) trait Subject {
    /// As it stands in tables.
    fn name(&self) -> &'static str;
    /// As it says itself.
    fn version(&self) -> String;
    /// Writes its files for `count` children into an empty directory; returns what starts it.
    fn prepare(&self, directory: &Path, program: &Path, count: usize) -> anyhow::Result<Command>;
    /// What makes it stop all children and go.
    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }
    /// What is to be run before that signal.
    fn stop_command(&self, _directory: &Path) -> Option<Command> {
        None
    }
    /// With how many children it can be measured, and why not with more.
    fn count_max(&self) -> Option<(usize, &'static str)> {
        None
    }
    /// How it was set up, where that decides what it can reach.
    fn remark(&self) -> Option<&'static str> {
        None
    }
    /// Whose loss is to be tried, by what it is called, of the processes that are not children; the
    /// first is the one that was started.
    fn vital(&self) -> Vec<&'static str> {
        vec!["the supervisor"]
    }
}

/// Those that are installed and wanted: the limit first, then `bh`, then peers.
pub(crate) fn installed(setting: &Setting<'_>) -> anyhow::Result<Vec<Box<dyn Subject>>> {
    let mut subjects: Vec<Box<dyn Subject>> = vec![
        Box::new(limit::Limit { program: setting.program("limit-spawn")? }),
        Box::new(blackhole::Blackhole { bh: setting.program("bh")? }),
    ];
    subjects.extend(scan_directory::installed());
    subjects.extend(supervisord::installed());
    subjects.extend(circus::installed());
    subjects.extend(pm2::installed());
    subjects.retain(|subject| subject.name() == LIMIT || setting.wants(subject.name()));
    Ok(subjects)
}

/// All peers there are, and why some of those that are wanted are not measured.
pub(crate) fn not_measured(setting: &Setting<'_>) -> Vec<String> {
    let left_out = std::env::var(LEFT_OUT).unwrap_or_default();
    let left_out: Vec<(&str, &str)> =
        left_out.lines().filter_map(|line| line.split_once(": ")).collect();
    let unknown = ["dinit", "nitro", "process-compose", "systemd"].map(|name| (name, None));
    let known = PEERS.map(|(name, program)| (name, search(program)));
    let missing = known.into_iter().chain(unknown).filter(|(_, found)| found.is_none());
    let wanted = missing.filter(|(name, _)| setting.wants(name));
    let remark = |(name, _): (&str, Option<PathBuf>)| {
        let why = left_out.iter().find(|(of, _)| *of == name).map(|(_, why)| *why);
        format!("`{name}` is not measured: {}", why.unwrap_or("it is not installed"))
    };
    wanted.map(remark).collect()
}

/// Where an installed program is.
fn search(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|it| it.is_file())
}

/// The last word that a program says of its version.
fn said_version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let said = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    said.unwrap_or_default().split_whitespace().last().unwrap_or_default().to_owned()
}

/// The version of the Debian package that has a program.
fn debian_version(package: &str) -> String {
    let output = Command::new("dpkg-query").args(["-W", "-f=${Version}", package]).output();
    let version = output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    version.unwrap_or_default()
}

/// A supervisor that runs. Dropping it ends every process of it.
pub(crate) struct Running {
    pub(crate) name: &'static str,
    pub(crate) stamps: Stamps,
    /// When it was started.
    pub(crate) since: Duration,
    root: Child,
    stop_signal: StopSignal,
    stop_command: Option<Command>,
    program: PathBuf,
    mark: String,
    directory: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(
        subject: &dyn Subject,
        program: &Path,
        count: usize,
        behaviour: Behaviour,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("bench").tempdir()?;
        let stamps = Stamps::open(directory.path().join("stamps"))?;
        let site = directory.path().join(SITE);
        std::fs::create_dir(&site)?;
        let mut command = subject.prepare(&site, program, count)?;
        command
            .env("BENCH_STAMPS", stamps.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("errors"))?);
        match behaviour {
            Behaviour::Stay => &mut command,
            Behaviour::Exit => command.env("BENCH_EXIT", "1"),
            Behaviour::Print { per_second } => command.env("BENCH_LINES", per_second.to_string()),
        };
        let mark = format!("BENCH_STAMPS={}", stamps.path().display());
        let since = clock::now();
        let root = command.spawn().with_context(|| format!("starting {}", subject.name()))?;
        Ok(Self {
            name: subject.name(),
            stamps,
            since,
            root,
            stop_signal: subject.stop_signal(),
            stop_command: subject.stop_command(&site),
            program: program.to_path_buf(),
            mark,
            directory,
        })
    }

    /// That it could not do something, with the last that it complained of.
    pub(crate) fn failed_to(&self, what: &str) -> String {
        let complaints = std::fs::read_to_string(self.directory.path().join("errors"));
        let complaints = complaints.unwrap_or_default();
        let last = complaints.lines().rev().find(|line| !line.trim().is_empty());
        format!("it could not {what} (it said: {})", last.unwrap_or("nothing"))
    }

    /// Where its files are.
    pub(crate) fn site(&self) -> PathBuf {
        self.directory.path().join(SITE)
    }

    /// The processes that are not children: the first is the one that was started.
    pub(crate) fn own_processes(&self) -> Vec<i32> {
        processes::tree(self.root.id().cast_signed(), &self.program)
    }

    /// From the request until the last child and the supervisor are gone.
    pub(crate) fn stop(mut self) -> anyhow::Result<Duration> {
        let asked = clock::now();
        if let Some(command) = &mut self.stop_command {
            command.status()?;
        }
        signal(self.root.id().cast_signed(), self.stop_signal);
        let gone = self.stamps.all_gone(PATIENCE)?;
        anyhow::ensure!(gone, "{} has not stopped its children within {PATIENCE:?}", self.name);
        self.root.wait()?;
        Ok(clock::now() - asked)
    }

    /// Kills one of its own processes; how many of all processes but the killed one live on after a
    /// while, the supervisor's own included.
    pub(crate) fn left_without(mut self, victim: i32, after: Duration) -> anyhow::Result<usize> {
        let deadline = clock::now() + after;
        signal(victim, Signal::KILL);
        self.stamps.all_gone(after)?;
        std::thread::sleep(deadline.saturating_sub(clock::now()));
        let reaped = self.root.try_wait()?.is_some();
        let left = processes::carrying(&self.mark);
        let root = self.root.id().cast_signed();
        Ok(left.into_iter().filter(|pid| !(reaped && *pid == root)).count())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.root.kill();
        let _ = self.root.wait();
        // Those that restart others are among them, so one look may not be enough.
        let deadline = clock::now() + PATIENCE;
        loop {
            let left = processes::carrying(&self.mark);
            if left.is_empty() || clock::now() > deadline {
                return;
            }
            left.into_iter().for_each(|pid| signal(pid, Signal::KILL));
            std::thread::yield_now();
        }
    }
}

/// Whoever is gone does not mind.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}
