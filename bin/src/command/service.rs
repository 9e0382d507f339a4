//! `bh service`: a native service, in the child process that the node has started for it.

use std::{env, process::ExitCode};

use clap::Args;

use crate::{error::Error, native_services};

/// Runs a native service; only the node calls this
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Service {
    /// Which service
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// Serves where the words are the very ones with which a node starts a service: to learn all commands
/// only to find that out takes a good part of the time for which clients wait. `None` for every other
/// process, those among them whose words are nearly right.
pub(crate) fn begin() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    let [command, flag, name] = [words.next()?, words.next()?, words.next()?];
    let is_a_nodes = command == "service" && flag == "--name" && words.next().is_none();
    let contained = is_a_nodes.then(native_services::contained)?;
    Some(contained.find(name.to_str()?)?.serve().into())
}

impl Service {
    pub(crate) fn execute(self) -> Result<ExitCode, Error> {
        native_services::serve(&self.name)
    }
}
