//! Supervisors of daemontools' family: a directory of directories, each with a `run`.
//!
//! Here `run` is the child itself. They wait up to a second before they restart what has lived
//! shorter than that, which nothing configures.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{Subject, debian_version, search};

struct ScanDirectory {
    name: &'static str,
    program: PathBuf,
    /// Before the directory.
    options: &'static [&'static str],
    stop_signal: Signal,
}

pub(super) fn installed() -> Vec<Box<dyn Subject>> {
    let known: [(_, _, &[&str], _); 2] = [
        ("runit", "runsvdir", &[], Signal::HUP),
        // It refuses more than 500 unless it is told to expect them.
        ("s6", "s6-svscan", &["-c2048"], Signal::TERM),
    ];
    let mut found: Vec<Box<dyn Subject>> = Vec::new();
    for (name, program, options, stop_signal) in known {
        if let Some(program) = search(program) {
            found.push(Box::new(ScanDirectory { name, program, options, stop_signal }));
        }
    }
    found
}

impl Subject for ScanDirectory {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> String {
        debian_version(self.name)
    }

    fn prepare(&self, directory: &Path, program: &Path, count: usize) -> anyhow::Result<Command> {
        for number in 0..count {
            let service = directory.join(format!("s{number}"));
            fs::create_dir(&service)?;
            symlink(program, service.join("run"))?;
        }
        let mut command = Command::new(&self.program);
        command.args(self.options).arg(directory);
        Ok(command)
    }

    fn stop_signal(&self) -> Signal {
        self.stop_signal
    }
}
