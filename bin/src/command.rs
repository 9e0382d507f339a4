//! The commands, one file each, and what the clients among them share.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod events;
pub(crate) mod exit_codes;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod names;
pub(crate) mod restart;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod service;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod version;

use clap::Subcommand;

use crate::{cli::Global, error::Error, exit_code::ExitCode};

/// What `bh` is asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Run),
    Check(check::Check),
    Init(init::Init),
    Status(status::Status),
    Top(top::Top),
    Logs(logs::Logs),
    Events(events::Events),
    History(history::History),
    Start(start::Start),
    Stop(stop::Stop),
    Restart(restart::Restart),
    Scale(scale::Scale),
    Completions(completions::Completions),
    Man(man::Man),
    Version(version::Version),
    ExitCodes(exit_codes::ExitCodes),
    Service(service::Service),
    Names(names::Names),
}

impl Command {
    /// Carries the command out.
    pub(crate) fn execute(self, global: &Global) -> Result<std::process::ExitCode, Error> {
        let code = match self {
            Self::Run(command) => return command.execute(global),
            Self::Service(command) => return command.execute(),
            Self::Names(command) => client(command.execute()),
            Self::Check(command) => command.execute(global),
            Self::Init(command) => command.execute(),
            Self::Status(command) => client(command.execute(global)),
            Self::Top(command) => client(command.execute(global)),
            Self::Logs(command) => client(command.execute(global)),
            Self::Events(command) => client(command.execute(global)),
            Self::History(command) => client(command.execute(global)),
            Self::Start(command) => client(command.execute(global)),
            Self::Stop(command) => client(command.execute(global)),
            Self::Restart(command) => client(command.execute(global)),
            Self::Scale(command) => client(command.execute(global)),
            Self::Completions(command) => command.execute(),
            Self::Man(command) => command.execute(),
            Self::Version(command) => command.execute(),
            Self::ExitCodes(command) => command.execute(),
        };
        code.map(Into::into)
    }
}

/// Runs a client to its end. Only here is a runtime started, so that help and checks need none.
fn client(command: impl Future<Output = Result<(), Error>>) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(command).map(|()| ExitCode::Ok)
}
