//! The first line of `main`: one program that is its own guardian, its node, and each of its children.

use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use blackhole_process::{
    Lifeline,
    guardian::{self, GuardianError, Outcome, Role},
};
use blackhole_protocol::environment;
use blackhole_sdk::Service;

use crate::{
    HostedActor, NodeBuilder, Work,
    hosted::Hosting,
    native::{Contained, ContainedServices},
    pool::Working,
};

/// The first argument of a child process; the second is which service it is.
const CHILD: &str = "--blackhole-service";

/// The exit code of a program that could not become what it should be: `EX_OSERR`.
const EXIT_OS_ERROR: i32 = 71;
/// The exit code of a child that the program does not know: `EX_USAGE`.
const EXIT_USAGE: i32 = 64;

/// Begins the first line of `main`: says which services this program contains.
///
/// ```no_run
/// # struct Api;
/// # impl blackhole::service::Service for Api {
/// #     const NAME: &'static str = "api";
/// #     type Settings = std::collections::BTreeMap<String, String>;
/// #     async fn start(_: blackhole::service::Context<Self::Settings>)
/// #         -> Result<Self, blackhole::service::ServiceError> { Ok(Self) }
/// #     fn register(&self, _: &mut blackhole::service::Routes) {}
/// # }
/// fn main() {
///     let program = blackhole::program().service::<Api>().enter();
///     // From here on this is the node's process, and nothing else.
///     # drop(program);
/// }
/// ```
#[must_use = "nothing happens until `enter`"]
pub fn program() -> ProgramBuilder {
    ProgramBuilder { services: Vec::new() }
}

/// What a program contains, before it is known which of its processes this is.
#[derive(Debug)]
pub struct ProgramBuilder {
    services: Vec<Contained>,
}

impl ProgramBuilder {
    /// The program contains this service, which its node may run in child processes.
    #[must_use = "nothing happens until `enter`"]
    pub fn service<S: Service>(mut self) -> Self {
        self.services.push(Contained::of::<S>());
        self
    }

    /// The program contains this actor, which its node may run in child processes.
    #[must_use = "nothing happens until `enter`"]
    pub fn actor<A: HostedActor>(self) -> Self {
        self.service::<Hosting<A>>()
    }

    /// The program contains these workers, which its node may run in child processes.
    #[must_use = "nothing happens until `enter`"]
    pub fn pool<W: Work>(self) -> Self {
        self.service::<Working<W>>()
    }

    /// Finds out which of its processes this is, and returns in one of them only.
    ///
    /// * In a child process it runs the service, and ends the process when that has ended.
    /// * In the process that was started by hand it starts the same program again with the same
    ///   arguments, guards it until it has ended, leaves nothing behind of what it had started, and ends
    ///   the process with the same exit code.
    /// * In that second process it returns: carry on with [`Program::node`].
    ///
    /// To be called first in `main`, before any thread starts (`#[tokio::main]` starts threads). A
    /// program that cannot be guarded says why on stderr and ends with 71.
    pub fn enter(self) -> Program {
        if let Some(name) = child_role() {
            end(self.serve(&name))
        }
        match self.try_enter() {
            Ok(program) => program,
            Err(Entry::Over(outcome)) => end(leave(&outcome)),
            Err(Entry::Failed(error)) => {
                complain(&error);
                end(EXIT_OS_ERROR)
            }
        }
    }

    fn serve(&self, name: &str) -> i32 {
        match self.services.iter().find(|service| service.name() == name) {
            Some(service) => service.serve().into(),
            None => {
                let known: Vec<&str> = self.services.iter().map(Contained::name).collect();
                let known = known.join(", ");
                say(&format!("error: this program contains no service `{name}` (known: {known})"));
                EXIT_USAGE
            }
        }
    }

    fn try_enter(self) -> Result<Program, Entry> {
        let threads = threads().map_err(|error| Entry::Failed(EnterError::Threads(error)))?;
        if threads > 1 {
            return Err(Entry::Failed(EnterError::TooLate { threads }));
        }
        match guardian::init(environment::GUARDIAN_FD) {
            Ok(Role::Node(lifeline)) => Ok(Program {
                services: self.services,
                lifeline: Arc::new(Mutex::new(Some(lifeline))),
            }),
            Ok(Role::Guardian(outcome)) => Err(Entry::Over(outcome)),
            Err(error) => Err(Entry::Failed(error.into())),
        }
    }
}

/// Why a process does not carry on.
enum Entry {
    /// It was the guardian, and the node has ended.
    Over(Outcome),
    Failed(EnterError),
}

#[derive(Debug, thiserror::Error)]
enum EnterError {
    #[error("could not count this process's threads")]
    Threads(#[source] io::Error),
    #[error(
        "this program has {threads} threads already, and its guardian must not have any\n\
         hint: let `enter` be the first line of `main`, and start async runtimes after it"
    )]
    TooLate { threads: usize },
    #[error(transparent)]
    Guardian(#[from] GuardianError),
}

/// The program in the process that goes on: it knows what it contains, and is guarded.
#[derive(Debug, Clone)]
pub struct Program {
    services: Vec<Contained>,
    /// Of the one node that owns this process.
    lifeline: Arc<Mutex<Option<Lifeline>>>,
}

impl Program {
    /// A node of this program. The first one that starts owns the process: it handles the signals that ask
    /// the process to end, and ends when the guardian does.
    pub fn node(&self) -> NodeBuilder {
        NodeBuilder::of(Some(self.clone()))
    }

    /// Runs a future on a runtime of its own on this thread, to its end. A program that has a runtime
    /// makes it after [`ProgramBuilder::enter`] and does not need this.
    ///
    /// # Panics
    /// When the kernel grants no runtime: no descriptors are left.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a process that has just begun has descriptors left").block_on(future)
    }

    pub(crate) fn contained(&self) -> ContainedServices {
        ContainedServices::new(self.services.iter().copied(), command_of)
    }

    pub(crate) fn contains(&self, service: &Contained) -> bool {
        self.services.iter().any(|known| known.name() == service.name())
    }

    /// For the first node that starts.
    pub(crate) fn take_lifeline(&self) -> Option<Lifeline> {
        self.lifeline.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The very file that runs here, whatever has become of its path since.
pub(crate) fn command_of(service: &str) -> Vec<OsString> {
    ["/proc/self/exe", CHILD, service].map(OsString::from).to_vec()
}

/// A guardian and a child are over here: their services are gone, and nothing of the program has begun.
#[expect(clippy::disallowed_methods, reason = "nothing is left that a destructor would clean up")]
fn end(exit_code: i32) -> ! {
    std::process::exit(exit_code)
}

fn child_role() -> Option<String> {
    let mut arguments = std::env::args_os().skip(1);
    let is_child = arguments.next().is_some_and(|first| first == CHILD);
    is_child.then(|| arguments.next().unwrap_or_default().to_string_lossy().into_owned())
}

fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

fn leave(outcome: &Outcome) -> i32 {
    outcome.complaints().iter().for_each(|complaint| say(&format!("error: {complaint}")));
    outcome.exit_code().into()
}

fn complain(error: &dyn Error) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\ncaused by: {error}"));
        cause = error.source();
    }
    say(&text);
}

/// Nobody is left to be told when stderr is closed.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
