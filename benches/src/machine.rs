//! Where and when something was measured.

use std::{fmt, fs, process::Command, thread};

/// What a reader needs to judge a figure.
#[derive(Debug, Clone)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    /// Of others, averaged over five minutes.
    load: String,
    scheduling: &'static str,
    compiler: String,
    /// Of `bh`.
    commit: String,
    date: String,
}

impl Machine {
    /// This one, now. What cannot be learnt stays empty.
    pub fn here() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processor: line_of("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(0, Into::into),
            memory: line_of("/proc/meminfo", "MemTotal"),
            kernel: said_by("uname", &["-sr"]),
            load: load.split(' ').nth(1).unwrap_or_default().to_owned(),
            scheduling: scheduling(),
            compiler: said_by("rustc", &["--version"]),
            commit: said_by("git", &["describe", "--always", "--dirty", "--exclude=*"]),
            date: said_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "- date: {}", self.date)?;
        let (processor, cores, memory) = (&self.processor, self.cores, &self.memory);
        writeln!(formatter, "- machine: {processor}, {cores} cores, {memory}")?;
        writeln!(formatter, "- load before the run: {}", self.load)?;
        writeln!(formatter, "- kernel: {}", self.kernel)?;
        writeln!(formatter, "- scheduling: {}", self.scheduling)?;
        writeln!(formatter, "- compiler: {}", self.compiler)?;
        write!(formatter, "- commit: {}", self.commit)
    }
}

fn scheduling() -> &'static str {
    if is_real_time() {
        "first in, first out, before all other processes of the machine"
    } else {
        "among all other processes of the machine"
    }
}

/// Whether this process runs before others, as `benches/run` makes it; by the 41st field of proc(5)'s `stat`,
/// whose second is a name in parentheses.
pub fn is_real_time() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let policy = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(41 - 2));
    policy == Some("1")
}

fn line_of(path: &str, key: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, it)| it.trim()).to_owned()
}

fn said_by(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()).unwrap_or_default()
}
