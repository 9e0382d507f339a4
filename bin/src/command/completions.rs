//! `bh completions`.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::{cli, error::Error, exit_code::ExitCode, output};

/// Prints a completion script for a shell
///
/// The script completes commands and options.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh completions bash > ~/.local/share/bash-completion/completions/bh
  bh completions zsh > ~/.zfunc/_bh
  bh completions fish > ~/.config/fish/completions/bh.fish")]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn execute(self) -> Result<ExitCode, Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli::build(), "bh", &mut script);
        output::stdout().write_all(&script)?;
        Ok(ExitCode::Ok)
    }
}
