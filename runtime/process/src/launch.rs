//! Everything a start needs, checked and laid out once and used again for every generation.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use blackhole_isolation::Plan;

use crate::environment::{Environment, Inherit};
use crate::lookup;
use crate::slots::TARGETS_MAX;

/// The first descriptor of a passed socket, as `sd_listen_fds(3)` has it.
pub const LISTEN_FDS_START: i32 = 3;

/// How many sockets one process can be passed, besides its link.
pub const SOCKETS_MAX: usize = TARGETS_MAX as usize - LISTEN_FDS_START as usize - 1;

/// How to start one process, ready to be used any number of times.
#[derive(Debug)]
pub struct Launch {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Environment,
    pub(crate) working_directory: Option<CString>,
    pub(crate) sockets: Vec<Arc<OwnedFd>>,
    pub(crate) token_variable: Option<String>,
    pub(crate) link_entry: Option<CString>,
    pub(crate) isolation: Arc<Plan>,
    resolved: Mutex<Option<CString>>,
}

/// What is different each time that a [`Launch`] is spawned.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpawnArguments<'a> {
    /// Names and values that go before the launch's own variables.
    pub variables: &'a [(&'a str, &'a str)],
    /// Unique to this generation; marks its descendants through [`LaunchBuilder::token_variable`].
    pub token: Option<&'a str>,
    /// The child's end of the link, passed after the listening sockets.
    pub link: Option<BorrowedFd<'a>>,
}

/// A launch that no process could be started from.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no program.
    #[error("the command is empty\nhint: its first word must be a program")]
    EmptyCommand,
    /// The kernel ends strings at a zero byte.
    #[error("{what} contains a zero byte")]
    ZeroByte {
        /// Where it stands.
        what: String,
    },
    /// A variable's name cannot be told from its value.
    #[error("`{name}` cannot be the name of an environment variable\nhint: leave out `=`")]
    VariableName {
        /// The name as given.
        name: String,
    },
    /// More sockets than one process can be passed.
    #[error("{count} sockets are more than the {SOCKETS_MAX} that one process can be passed")]
    TooManySockets {
        /// How many were given.
        count: usize,
    },
}

/// Collects what a [`Launch`] needs.
#[derive(Debug)]
pub struct LaunchBuilder {
    command: Vec<OsString>,
    inherit: Inherit,
    withheld: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    working_directory: Option<PathBuf>,
    sockets: Vec<(String, Arc<OwnedFd>)>,
    token_variable: Option<String>,
    link_variable: Option<String>,
    isolation: Arc<Plan>,
}

impl Launch {
    /// Starts with a command: a program, by path or by a name to search in `PATH`, and its arguments.
    pub fn builder(command: impl IntoIterator<Item = impl Into<OsString>>) -> LaunchBuilder {
        LaunchBuilder {
            command: command.into_iter().map(Into::into).collect(),
            inherit: Inherit::Everything,
            withheld: Vec::new(),
            variables: Vec::new(),
            working_directory: None,
            sockets: Vec::new(),
            token_variable: None,
            link_variable: None,
            isolation: Arc::default(),
        }
    }

    /// The file the program's name was last found to mean.
    pub(crate) fn resolved(&self) -> Option<CString> {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if resolved.is_none() {
            *resolved = lookup::resolve(&self.program, self.environment.value("PATH"));
        }
        resolved.clone()
    }

    /// Searches again, for a program that has moved.
    pub(crate) fn resolve_again(&self) -> Option<CString> {
        *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.resolved()
    }
}

impl LaunchBuilder {
    /// Gives the child none of this process's variables.
    #[must_use]
    pub fn clear_environment(mut self) -> Self {
        self.inherit = Inherit::Nothing;
        self
    }

    /// Does not hand on this variable of this process.
    #[must_use]
    pub fn withhold(mut self, name: impl Into<OsString>) -> Self {
        self.withheld.push(name.into());
        self
    }

    /// Sets a variable; the last of several values for one name counts.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    /// Where the child starts; a relative program is found from there.
    #[must_use]
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.working_directory = Some(path.into());
        self
    }

    /// Passes a listening socket under a name, counted up from [`LISTEN_FDS_START`] in the order of calls.
    #[must_use]
    pub fn socket(mut self, name: impl Into<String>, socket: Arc<OwnedFd>) -> Self {
        self.sockets.push((name.into(), socket));
        self
    }

    /// The variable that carries [`SpawnArguments::token`]. Without one, a descendant that left the session
    /// cannot be told from others.
    #[must_use]
    pub fn token_variable(mut self, name: impl Into<String>) -> Self {
        self.token_variable = Some(name.into());
        self
    }

    /// The variable that tells the child the number of [`SpawnArguments::link`].
    #[must_use]
    pub fn link_variable(mut self, name: impl Into<String>) -> Self {
        self.link_variable = Some(name.into());
        self
    }

    /// What the child may use.
    #[must_use]
    pub fn isolation(mut self, plan: Arc<Plan>) -> Self {
        self.isolation = plan;
        self
    }

    /// Checks everything that can be checked without starting; the program is looked up at the start.
    pub fn build(self) -> Result<Launch, LaunchError> {
        let program = self.command.first().filter(|it| !it.is_empty()).cloned();
        let program = program.ok_or(LaunchError::EmptyCommand)?;
        if self.sockets.len() > SOCKETS_MAX {
            return Err(LaunchError::TooManySockets { count: self.sockets.len() });
        }
        let words = self.command.into_iter().map(|word| without_zero("the command", word));
        let arguments = words.collect::<Result<_, _>>()?;
        let directory = self.working_directory.map(PathBuf::into_os_string);
        let directory =
            directory.map(|it| without_zero("the working directory", it)).transpose()?;
        let mut own = Vec::with_capacity(self.variables.len() + 2);
        for (name, value) in self.variables {
            own.push(entry(name, &value)?);
        }
        own.extend(listen_entries(&self.sockets)?);
        let link_target = LISTEN_FDS_START as usize + self.sockets.len();
        let link = self.link_variable.map(|it| entry(it.into(), link_target.to_string().as_ref()));
        Ok(Launch {
            program,
            arguments,
            environment: Environment::new(self.inherit, &self.withheld, own),
            working_directory: directory,
            sockets: self.sockets.into_iter().map(|(_, socket)| socket).collect(),
            token_variable: self.token_variable,
            link_entry: link.transpose()?,
            isolation: self.isolation,
            resolved: Mutex::new(None),
        })
    }
}

fn listen_entries(sockets: &[(String, Arc<OwnedFd>)]) -> Result<Vec<CString>, LaunchError> {
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = sockets.iter().map(|(name, _)| name.as_str()).collect();
    Ok(vec![
        entry("LISTEN_FDS".into(), sockets.len().to_string().as_ref())?,
        entry("LISTEN_FDNAMES".into(), names.join(":").as_ref())?,
    ])
}

/// `NAME=value` as the kernel wants it.
pub(crate) fn entry(name: OsString, value: &OsStr) -> Result<CString, LaunchError> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        return Err(LaunchError::VariableName { name: name.to_string_lossy().into_owned() });
    }
    let what = format!("the environment variable `{}`", name.to_string_lossy());
    let mut bytes = name.into_vec();
    bytes.push(b'=');
    bytes.extend_from_slice(value.as_bytes());
    without_zero(&what, OsString::from_vec(bytes))
}

fn without_zero(what: &str, text: OsString) -> Result<CString, LaunchError> {
    CString::new(text.into_vec()).map_err(|_| LaunchError::ZeroByte { what: what.to_owned() })
}
