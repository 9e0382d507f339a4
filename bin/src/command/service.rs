//! `bh service`: a native service, in the child process that the node has started for it.

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

impl Service {
    pub(crate) fn execute(self) -> Result<std::process::ExitCode, Error> {
        native_services::serve(&self.name)
    }
}
