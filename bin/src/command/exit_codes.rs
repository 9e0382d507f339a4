//! `bh exit-codes`, and `bh help exit-codes` with the same text.

use std::io::Write;

use clap::Args;

use crate::{cli, error::Error, exit_code::ExitCode, output};

/// Lists the exit codes and what they mean
#[derive(Debug, Args)]
#[command(after_help = cli::exit_codes())]
pub(crate) struct ExitCodes;

impl ExitCodes {
    pub(crate) fn execute(self) -> Result<ExitCode, Error> {
        writeln!(output::stdout(), "{}", cli::exit_codes())?;
        Ok(ExitCode::Ok)
    }
}
