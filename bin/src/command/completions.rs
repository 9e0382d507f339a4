//! `bh completions`.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{cli::Cli, error::Error, exit_code::ExitCode, output};

/// Prints a completion script for a shell
///
/// The script completes commands, options and, in bash, zsh and fish, the names of the running
/// node's services and groups.
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
        // The help of a command is a page; a sentence of it fits beside its name.
        clap_complete::generate(self.shell, &mut Cli::command(), "bh", &mut script);
        let script = with_names(self.shell, &String::from_utf8_lossy(&script));
        output::stdout().write_all(script.as_bytes())?;
        Ok(ExitCode::Ok)
    }
}

/// Names of services come from the node, of which the generated script knows nothing.
fn with_names(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}{}", include_str!("completions/names.bash")),
        Shell::Fish => format!("{script}{}", include_str!("completions/names.fish")),
        Shell::Zsh => {
            let of_names = |line: &str| {
                line.starts_with("'*::names -- ") || line.starts_with("'*::targets -- ")
            };
            let asks = |line: &str| match of_names(line) {
                true => line.replace(":_default'", ":_bh_names'"),
                false => line.to_owned(),
            };
            let script: String = script.split_inclusive('\n').map(asks).collect();
            // Before the end, where the script is either loaded as a function or run as one.
            let end = script.rfind("\nif [ ").unwrap_or(script.len());
            let (functions, end) = script.split_at(end);
            format!("{functions}{}{end}", include_str!("completions/names.zsh"))
        }
        _ => script.to_owned(),
    }
}
