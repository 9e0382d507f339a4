//! The command line as typed: the commands, in groups, and the options that all of them take.

use std::path::PathBuf;

use clap::{Args, ColorChoice, CommandFactory, Parser};

use crate::{command::Command, exit_code::ExitCode, locate::NodeAddress};

/// Runs services the way Erlang runs processes.
#[derive(Debug, Parser)]
#[command(
    name = "bh",
    version,
    about,
    long_about = "Runs services the way Erlang runs processes.\n\n\
        One file names the services. `bh run FILE` starts them in order, watches them by event, \
        restarts them by rule, and leaves no process behind when it stops. The other commands \
        look at a running node and change it.",
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that may stand anywhere.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The node's directory for sockets and state, if not the default one
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// The node's name, to tell several nodes apart; for `run` and `check` its new name
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) node: Option<String>,
    /// When to print colours: auto, always or never; NO_COLOR is heeded
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        default_value_t = ColorChoice::Auto,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub(crate) color: ColorChoice,
}

impl Global {
    /// Which node the command talks to.
    pub(crate) fn address(&self) -> NodeAddress {
        NodeAddress { runtime_dir: self.runtime_dir.clone(), node: self.node.clone() }
    }
}

/// The commands as `bh --help` shows them; a test holds that every visible one stands in one group.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Run services", &["run", "check", "init"]),
    ("Look at a node", &["status", "top", "logs", "events", "history"]),
    ("Change what runs", &["start", "stop", "restart", "scale"]),
    ("Other", &["completions", "man", "version", "exit-codes", "help"]),
];

/// The whole command line, with the help that people read: grouped commands, and for each command
/// its sentence, its paragraph, its options and examples.
pub(crate) fn build() -> clap::Command {
    let plain = Cli::command();
    let listing = GROUPS.map(|(title, names)| group(&plain, title, names)).concat();
    let template = format!(
        "{{about}}\n\n{{usage-heading}} bh [OPTIONS] COMMAND\n{listing}\n\
         Options:\n{{options}}{{after-help}}"
    );
    let command = tell_everything(plain).help_template(template).after_help(AFTER_HELP);
    command.mut_subcommands(tell_everything)
}

/// `-h` and `--help` say the same, in clap's compact form, which it uses for short texts only.
fn tell_everything(command: clap::Command) -> clap::Command {
    match command.get_long_about().cloned() {
        Some(text) => command.about(text).long_about(None),
        None => command,
    }
}

const AFTER_HELP: &str = "Two commands to begin with:
  bh init config.toml      writes a small file that runs as it is, with comments
  bh run config.toml       runs the services in it

Which node a command talks to: the one in --runtime-dir; else the one called --node; else the one in
BLACKHOLE_RUNTIME_DIR; else the only one below $XDG_RUNTIME_DIR/blackhole, for root /run/blackhole.";

fn group(command: &clap::Command, title: &str, names: &[&str]) -> String {
    let lines = names.iter().map(|name| {
        let about = command.find_subcommand(name).and_then(clap::Command::get_about);
        let about = about.map_or_else(|| HELP_ABOUT.to_owned(), ToString::to_string);
        format!("  {name:<12} {about}\n")
    });
    format!("\n{title}:\n{}", lines.collect::<String>())
}

/// clap adds the command `help` by itself, only when it parses.
const HELP_ABOUT: &str = "Tells more about a command";

/// The text of `bh help exit-codes`.
pub(crate) fn exit_codes() -> String {
    format!(
        "{}\nFrom 64 on the numbers are those of sysexits(3) where one fits. When the node is killed by signal N,\n`bh run` ends with 128+N.",
        ExitCode::table()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_visible_command_stands_in_one_group() {
        let mut command = Cli::command();
        command.build();
        let visible: Vec<_> = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        let grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        assert_eq!(BTreeSet::from_iter(visible.clone()), BTreeSet::from_iter(grouped.clone()));
        assert_eq!(visible.len(), grouped.len());
    }

    #[test]
    fn the_definition_has_no_contradictions() {
        build().debug_assert();
    }
}
