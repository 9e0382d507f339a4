//! `bh run`: the node in the foreground, and its guardian.

use std::{
    env,
    panic::resume_unwind,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use blackhole_config::Config;
use blackhole_node::{Ending, Node, Options, Signals};
use blackhole_process::{
    Lifeline,
    guardian::{self, Outcome, Role},
};
use blackhole_protocol::environment;
use clap::{Args, ValueEnum};

use crate::{
    cli::Global,
    error::Error,
    exit_code::ExitCode,
    file::{self, FileOptions},
    foreground::{Foreground, Shown},
    journal, native_services, selection,
};

/// Threads for blocking calls, such as looking up a host; each is started when it is needed.
const BLOCKING_THREADS_MAX: usize = 8;
/// A thread that the kernel holds fast, as on a network file system that is gone, keeps nobody from ending
/// for longer.
const BLOCKED_WAIT_MAX: Duration = Duration::from_secs(1);

/// Of the node's thread, as the first thread of a process has it.
const STACK_SIZE: usize = 8 << 20;

/// Runs the services of a file
///
/// Starts them in the order of their dependencies, shows what they write and what happens to
/// them, and supervises them until Ctrl-C, SIGTERM or `bh stop --all`. Then everything stops in
/// reverse order; a second Ctrl-C skips the grace. No process is left behind, whatever ends first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh run config.toml
  bh run config.toml --services api,worker        with what these depend on
  bh run config.toml --set services.api.instances=3 --set http.listen=127.0.0.1:9091
  bh run config.toml --quiet --runtime-dir /run/my-node

Environment:
  BLACKHOLE_NODE, BLACKHOLE_RUNTIME_DIR, BLACKHOLE_DATA_DIR, BLACKHOLE_LOG_DIR
                                as `name` and the directories in [node]
  BLACKHOLE_A__B__C=VALUE       as --set a.b.c=VALUE
  BLACKHOLE_LOG                 what the node itself says: `debug`, or `warn,blackhole_node=debug`

Services do not inherit these. Each is told its own BLACKHOLE_NODE, _SERVICE, _INSTANCE,
_GENERATION, _RUNTIME_DIR and _DATA_DIR. One that is a `bh run` itself takes none of them for its
configuration: BLACKHOLE_TOLD repeats what was told, and only another value counts.")]
pub(crate) struct Run {
    /// The file of services
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Run only these services or groups, and what they depend on
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    services: Vec<String>,
    #[command(flatten)]
    options: FileOptions,
    /// Do not show what services write; the log files have it
    #[arg(long)]
    no_logs: bool,
    /// Show nothing but errors of the node itself
    #[arg(short, long)]
    quiet: bool,
    /// How to show what services write: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true,
        hide_default_value = true
    )]
    log_format: LogFormat,
}

/// How the output of services is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// The node's end of the lifeline, from the first line of `main` until the command is understood.
static LIFELINE: Mutex<Option<Lifeline>> = Mutex::new(None);

/// Becomes the guardian before anything else is done, where the first word is `run`: it lives as
/// long as the node, and would keep in memory what reading the command line has touched. A wrong
/// command line is the node's to complain of. `None` for every other process.
pub(crate) fn guard() -> Option<std::process::ExitCode> {
    let is_run = env::args_os().nth(1).is_some_and(|word| word == "run");
    if !is_run || env::var_os(environment::GUARDIAN_FD).is_some() {
        return None;
    }
    match guardian::init(environment::GUARDIAN_FD) {
        Ok(Role::Guardian(outcome)) => Some(leave(&outcome)),
        Ok(Role::Node(lifeline)) => {
            *LIFELINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(lifeline);
            None
        }
        Err(error) => {
            let error = Error::from(error);
            error.report();
            Some(error.exit_code().into())
        }
    }
}

impl Run {
    /// Comes back twice, where [`guard`] did not see that this is the command: in the guardian when the
    /// node has ended, and in the node.
    pub(crate) fn execute(self, global: &Global) -> Result<std::process::ExitCode, Error> {
        let lifeline = LIFELINE.lock().unwrap_or_else(PoisonError::into_inner).take();
        let role = match lifeline {
            Some(lifeline) => Role::Node(lifeline),
            None => guardian::init(environment::GUARDIAN_FD)?,
        };
        match role {
            Role::Guardian(outcome) => Ok(leave(&outcome)),
            Role::Node(lifeline) => self.run_on_thread(global, lifeline).map(Into::into),
        }
    }

    /// Not on the first thread, to which orphans fall: what starts children has a short list of them then.
    fn run_on_thread(&self, global: &Global, lifeline: Lifeline) -> Result<ExitCode, Error> {
        blackhole_process::share_one_heap();
        thread::scope(|scope| {
            let run = || {
                blackhole_process::live_on_this_thread();
                self.run_node(global, lifeline)
            };
            let thread = thread::Builder::new().name("bh-node".into()).stack_size(STACK_SIZE);
            let node = thread.spawn_scoped(scope, run).map_err(Error::Runtime)?;
            node.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn run_node(&self, global: &Global, lifeline: Lifeline) -> Result<ExitCode, Error> {
        let config = self.read(global)?;
        journal::start(match self.shown() {
            Shown::Events | Shown::EventsAndLogs => journal::Events::Shown,
            Shown::Nothing | Shown::LogsAsJson => journal::Events::Written,
        })?;
        let options = Options {
            native: Arc::new(native_services::contained()),
            lifeline: Some(lifeline),
            signals: Signals::Heeded,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()
            .map_err(Error::Runtime)?;
        let ending = runtime.block_on(async {
            let node = Node::begin(config, options).await?;
            let foreground = Foreground::start(&node, self.shown())?;
            // Nothing has been started yet: what starts services is read in again, and nothing else.
            blackhole_process::let_go_of_the_beginning();
            let ending = node.run().await?;
            foreground.finish();
            Ok::<_, Error>(ending)
        });
        runtime.shutdown_timeout(BLOCKED_WAIT_MAX);
        match ending? {
            Ending::Stopped => Ok(ExitCode::Ok),
            Ending::GaveUp { name } => Err(gave_up(&name)),
        }
    }

    /// What the file means. How it says so, and where, is not kept.
    fn read(&self, global: &Global) -> Result<Config, Error> {
        let mut loaded = self.options.load(&self.file, global)?;
        if !self.services.is_empty() {
            selection::select(&mut loaded.config, &self.services).map_err(Error::Usage)?;
        }
        file::print_warnings(&loaded);
        Ok(loaded.config)
    }

    fn shown(&self) -> Shown {
        match (self.quiet, self.no_logs, self.log_format) {
            (true, _, _) => Shown::Nothing,
            (false, true, _) => Shown::Events,
            (false, false, LogFormat::Text) => Shown::EventsAndLogs,
            (false, false, LogFormat::Json) => Shown::LogsAsJson,
        }
    }
}

fn leave(outcome: &Outcome) -> std::process::ExitCode {
    outcome.complaints().into_iter().for_each(|complaint| Error::Failed(complaint).report());
    outcome.exit_code().into()
}

fn gave_up(name: &str) -> Error {
    Error::Failed(format!(
        "the node gave up: `{name}` was restarted too often\n\
         hint: its log files tell more; `restarts_max`, `restarts_window` and `on_failed` decide \
         how often is too often and what follows"
    ))
}
