//! A start that failed: at which stage, on what, and what can be seen there.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use blackhole_isolation::{Part, Step as IsolationStep};

use crate::child::{Failure, Step};
use crate::launch::Launch;
use crate::lookup;

const UNREACHABLE: &str =
    "the service's user must be able to reach each of `paths` and the service's own directory";
const COVERED: &str = "a private or hidden path covers it: choose another `working_directory`";

/// What was being done when a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The program's name was searched for.
    Lookup,
    /// A variable of this generation was put into the environment.
    Environment,
    /// Pipes and slots were opened.
    Pipes,
    /// The new process was made.
    Clone,
    /// The new process became a session of its own.
    Session,
    /// Passed descriptors were put into their places.
    Descriptors,
    /// Signals were set to their defaults.
    Signals,
    /// The working directory was entered.
    Directory,
    /// A limit, a user or a filter was applied; the phrase says which.
    Isolation(IsolationStep),
    /// The program replaced the new process.
    Execute,
    /// The new process was registered for its exit.
    Watch,
}

impl Stage {
    /// The word between the stage and what it was done to.
    fn preposition(self) -> &'static str {
        match self {
            Self::Lookup | Self::Execute => "",
            Self::Pipes | Self::Session | Self::Isolation(_) => " for",
            Self::Directory => " to",
            Self::Environment | Self::Clone | Self::Descriptors | Self::Signals | Self::Watch => {
                " of"
            }
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phrase = match self {
            Self::Lookup => "looking up the program",
            Self::Environment => "preparing the environment",
            Self::Pipes => "creating pipes",
            Self::Clone => "creating the process",
            Self::Session => "starting a session",
            Self::Descriptors => "arranging the descriptors",
            Self::Signals => "resetting the signals",
            Self::Directory => "changing directory",
            Self::Isolation(step) => return step.fmt(out),
            Self::Execute => "executing",
            Self::Watch => "watching the process",
        };
        out.write_str(phrase)
    }
}

/// A process that could not be started. Reads as
/// ``executing `/srv/api`: it is mode 0644, owned by 0:0`` with the kernel's answer as its source and,
/// where the reader can act, a last line `hint: …`.
#[derive(Debug, thiserror::Error)]
pub struct SpawnError {
    /// What was being done.
    pub stage: Stage,
    /// The path or program it was done to.
    pub subject: String,
    /// What can be seen there.
    pub facts: Option<String>,
    /// What the reader can do.
    pub hint: Option<String>,
    /// The kernel's answer.
    pub source: io::Error,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{} `{}`", self.stage, self.stage.preposition(), self.subject)?;
        if let Some(facts) = &self.facts {
            write!(out, ": {facts}")?;
        }
        match &self.hint {
            Some(hint) => write!(out, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl SpawnError {
    pub(crate) fn new(stage: Stage, launch: &Launch, source: io::Error) -> Self {
        let subject = launch.program.to_string_lossy().into_owned();
        Self { stage, subject, facts: None, hint: None, source }
    }

    pub(crate) fn not_found(launch: &Launch) -> Self {
        let source = io::Error::from_raw_os_error(libc::ENOENT);
        let searched = lookup::searched(launch.environment.value("PATH"));
        let mut error = Self::new(Stage::Lookup, launch, source);
        error.facts = Some(format!("it is in none of {searched}"));
        error.hint = Some("install it, or write its full path".to_owned());
        error
    }

    pub(crate) fn is_missing_program(&self) -> bool {
        self.stage == Stage::Execute && self.source.raw_os_error() == Some(libc::ENOENT)
    }

    /// Whether somebody has removed the control group that the process was to begin in, or the right to
    /// change it.
    pub fn is_group_gone(&self) -> bool {
        let gone = [libc::ENODEV, libc::ENOENT, libc::EROFS]
            .map(Some)
            .contains(&self.source.raw_os_error());
        let entering = Stage::Isolation(IsolationStep::EnterGroup);
        gone && [Stage::Clone, entering].contains(&self.stage)
    }

    /// What the child reported.
    pub(crate) fn reported(launch: &Launch, program: &CStr, failure: Failure) -> Self {
        let source = io::Error::from_raw_os_error(failure.errno);
        let stage = match failure.step {
            Step::Unshare | Step::Descriptors => Stage::Descriptors,
            Step::Session => Stage::Session,
            Step::Signals => Stage::Signals,
            Step::Isolation(IsolationStep::ChangeDirectory) => Stage::Directory,
            Step::Isolation(step) => Stage::Isolation(step),
            Step::Execute => Stage::Execute,
        };
        let mut error = Self::new(stage, launch, source);
        match stage {
            Stage::Directory => error.look_at_directory(launch),
            Stage::Execute => error.look_at_program(launch, program),
            Stage::Isolation(IsolationStep::ReturnToDirectory) => {
                error.subject = ".".to_owned();
                error.hint = Some(COVERED.to_owned());
            }
            Stage::Isolation(IsolationStep::RestrictPaths) => {
                error.hint = Some(UNREACHABLE.to_owned());
            }
            _ => {}
        }
        error
    }

    fn look_at_directory(&mut self, launch: &Launch) {
        let path = launch.working_directory.as_deref().map(path_of).unwrap_or(Path::new("."));
        self.subject = path.display().to_string();
        let (refused, found) = (self.source.raw_os_error(), path.metadata());
        self.facts = match &found {
            Err(_) => None,
            Ok(it) if !it.is_dir() => Some("it is not a directory".to_owned()),
            Ok(it) => Some(permissions(it)),
        };
        let hint = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "create it, or change `working_directory`"
            }
            Ok(_) if refused == Some(libc::ENOENT) => COVERED,
            _ if refused == Some(libc::EACCES) => {
                "the service's user must be able to enter it, and each directory above it"
            }
            _ => return,
        };
        self.hint = Some(hint.to_owned());
    }

    fn look_at_program(&mut self, launch: &Launch, program: &CStr) {
        let relative = path_of(program);
        let base = launch.working_directory.as_deref().map(path_of);
        let path = base.map_or(relative.to_owned(), |base| base.join(relative));
        self.subject = path.display().to_string();
        let Ok(metadata) = path.metadata() else {
            self.hint = Some("check the path of the program".to_owned());
            return;
        };
        if metadata.is_dir() {
            self.facts = Some("it is a directory".to_owned());
        } else if let Some(part) = launch.isolation.forbids_executing(&path) {
            self.facts = Some(match part {
                Part::Paths => "no path of `paths.execute` holds it".to_owned(),
                part => format!("the service does not see it, which has `{}`", part.key()),
            });
        } else if self.source.raw_os_error() == Some(libc::EPERM)
            && launch.isolation.filters_calls()
        {
            self.facts = Some("`seccomp` forbids the service to execute programs".to_owned());
        } else if self.source.raw_os_error() == Some(libc::ENOENT) {
            self.facts = Some(match interpreter(&path) {
                Some(name) => format!("its interpreter `{name}` does not exist"),
                None => "the loader it asks for does not exist".to_owned(),
            });
        } else if self.source.raw_os_error() == Some(libc::ETXTBSY) {
            self.facts = Some("somebody is still writing to it".to_owned());
        } else if self.source.raw_os_error() == Some(libc::ENOEXEC) {
            self.facts = Some("it is neither a binary nor a script".to_owned());
            self.hint = Some("a script's first line names its interpreter: #!/bin/sh".to_owned());
        } else {
            self.facts = Some(permissions(&metadata));
            if metadata.permissions().mode() & 0o111 == 0 {
                self.hint = Some(format!("chmod +x {}", path.display()));
            }
        }
    }
}

fn path_of(path: &CStr) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()))
}

fn permissions(metadata: &std::fs::Metadata) -> String {
    let mode = metadata.permissions().mode() & 0o7777;
    format!("it is mode {mode:04o}, owned by {}:{}", metadata.uid(), metadata.gid())
}

/// The interpreter a script's first line names. What the path leads to by now may be anything, and nothing is
/// waited for.
fn interpreter(path: &Path) -> Option<String> {
    use std::{io::Read, os::unix::fs::OpenOptionsExt};
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = std::fs::File::options().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = [0; 256];
    let length = file.read(&mut head).ok()?;
    let line = head[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split_whitespace().next().map(str::to_owned)
}
