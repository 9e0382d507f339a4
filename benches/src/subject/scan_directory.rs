//! Supervisors of daemontools' family: a directory of directories, each with a `run`.
//!
//! Here `run` is the child itself. They wait up to a second before they restart what has lived
//! shorter than that, which nothing configures. s6 counts from when the child was ready, and always
//! waits where it does not say so: there the child does, after its stamp.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use rustix::process::Signal;

use super::{Subject, debian_version, search};

/// A child of s6 says on this descriptor that it is ready.
const READY_DESCRIPTOR: &str = "3";

const FEW_PLACES: &str = "`svscan` has places for 1,000 directories and needs some for itself";

/// runsvdir does not start before the second is over in which its directory was changed: with a user, that was long ago.
const AGE: Duration = Duration::from_secs(3600);

struct ScanDirectory {
    name: &'static str,
    program: PathBuf,
    /// Before the directory.
    options: &'static [&'static str],
    stop_signal: Signal,
    /// Tells the supervisors of single services to end.
    stop_program: Option<&'static str>,
    /// A child may say when it is ready.
    hears_readiness: bool,
    count_max: Option<(usize, &'static str)>,
}

pub(super) fn installed() -> Vec<Box<dyn Subject>> {
    let known: [(_, _, &[&str], _, _, _); 3] = [
        ("runit", "runsvdir", &[], Signal::HUP, None, None),
        // It refuses more than 500 unless it is told to expect them.
        ("s6", "s6-svscan", &["-c2048"], Signal::TERM, None, None),
        // Its scanner ends alone: the supervisors are told before.
        ("daemontools", "svscan", &[], Signal::TERM, Some("svc"), Some((900, FEW_PLACES))),
    ];
    let mut found: Vec<Box<dyn Subject>> = Vec::new();
    for (name, program, options, stop_signal, stop_program, count_max) in known {
        if let Some(program) = search(program) {
            found.push(Box::new(ScanDirectory {
                name,
                program,
                options,
                stop_signal,
                stop_program,
                hears_readiness: name == "s6",
                count_max,
            }));
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
            if self.hears_readiness {
                fs::write(service.join("notification-fd"), READY_DESCRIPTOR)?;
            }
        }
        fs::File::open(directory)?.set_modified(SystemTime::now() - AGE)?;
        let mut command = Command::new(&self.program);
        command.args(self.options).arg(directory);
        if self.hears_readiness {
            command.env("BENCH_READY", READY_DESCRIPTOR);
        }
        Ok(command)
    }

    fn stop_signal(&self) -> Signal {
        self.stop_signal
    }

    fn stop_command(&self, directory: &Path) -> Option<Command> {
        let mut command = Command::new(search(self.stop_program?)?);
        command.arg("-dx");
        let services = fs::read_dir(directory).into_iter().flatten().flatten();
        command.args(services.map(|service| service.path()));
        Some(command)
    }

    fn count_max(&self) -> Option<(usize, &'static str)> {
        self.count_max
    }

    fn remark(&self) -> Option<&'static str> {
        self.hears_readiness.then_some(
            "its children say that they are ready (`notification-fd`), without which it waits a second before each \
             restart; that it does so after a child which was ready for less than a second, as in the crash loop, \
             nothing changes",
        )
    }
}
