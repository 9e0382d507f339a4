//! `bh`: one binary that is the node, its native services, and the client of a running node.
//!
//! It reads the command line, carries one command out, and turns the result into an exit code.

mod cli;
mod client;
mod command;
mod error;
mod exit_code;
mod file;
mod foreground;
mod holding_table;
mod journal;
mod json;
mod locate;
mod log_lines;
mod native_services;
mod node_process;
mod outcome;
mod output;
mod progress;
mod selection;
mod status_table;
mod table;
mod terminal;
mod text;
mod top;

use clap::{CommandFactory, FromArgMatches};

use crate::{cli::Cli, exit_code::ExitCode};

/// The whole program: the shipped binary is this call and nothing else.
pub fn main() -> std::process::ExitCode {
    if let Some(code) = command::run::guard().or_else(command::service::begin) {
        return code;
    }
    // Help is put together for who reads it: whatever is not understood at first is read again with it.
    let parsed = Cli::command().try_get_matches().or_else(|_| cli::build().try_get_matches());
    let Cli { global, command } = match parsed.and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error).into(),
    };
    output::set_color(global.color);
    match command.execute(&global) {
        Ok(code) => code,
        Err(error) => {
            error.report();
            error.exit_code().into()
        }
    }
}

/// Help and version arrive as errors as well; they are printed to the standard output and are a
/// success, also when the reader has closed it.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (true, _) => ExitCode::Usage,
        (false, Err(failure)) => error::Error::Output(failure).exit_code(),
        (false, Ok(())) => ExitCode::Ok,
    }
}
