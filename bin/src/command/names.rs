//! `bh names`: what the completion scripts ask.

use std::{collections::BTreeSet, io::Write};

use clap::{Args, CommandFactory, FromArgMatches};

use crate::{
    cli::{Cli, Global},
    client::Client,
    error::Error,
    output,
};

/// Prints names of services and groups; only completion scripts call this
///
/// One a line: those that may follow on the command line so far, which are none where the last word
/// is an option that wants a value.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Names {
    /// The words that have been typed, without the first and the last
    #[arg(last = true)]
    words: Vec<String>,
}

impl Names {
    pub(crate) async fn execute(self) -> Result<(), Error> {
        let Some(asked) = Asked::by(&self.words) else { return Ok(()) };
        let mut client = Client::connect(&asked.global.address()).await?;
        let status = client.status(&[]).await?;
        let services = status.instances.iter().map(|instance| &instance.service);
        let groups = status.instances.iter().map(|instance| &instance.group);
        let names: BTreeSet<String> = match asked.wants_number {
            true => services.map(|name| format!("{name}=")).collect(),
            false => services.chain(groups.filter(|name| !name.is_empty())).cloned().collect(),
        };
        let mut stdout = output::stdout();
        names.iter().try_for_each(|name| writeln!(stdout, "{name}"))?;
        Ok(())
    }
}

/// What the words so far say.
struct Asked {
    global: Global,
    wants_number: bool,
}

impl Asked {
    /// `None` where no name follows.
    fn by(words: &[String]) -> Option<Self> {
        let program = std::iter::once("bh").chain(words.iter().map(String::as_str));
        let found = Cli::command().ignore_errors(true).try_get_matches_from(program).ok()?;
        let (name, given) = found.subcommand()?;
        let cli = Cli::command();
        let command = cli.find_subcommand(name)?;
        let is_finished = words.last().is_none_or(|word| !wants_value(&cli, command, word));
        let global = Global::from_arg_matches(given).ok()?;
        is_finished.then_some(Self { global, wants_number: name == "scale" })
    }
}

/// Whether a word is an option without the value that it takes, or a name without its number.
fn wants_value(cli: &clap::Command, command: &clap::Command, word: &str) -> bool {
    let is_meant = |option: &&clap::Arg| {
        let long = word.strip_prefix("--").is_some_and(|name| option.get_long() == Some(name));
        let short = word.strip_prefix('-').and_then(|rest| rest.chars().last());
        long || !word.starts_with("--") && short.is_some() && option.get_short() == short
    };
    let mut options = command.get_arguments().chain(cli.get_arguments());
    word.ends_with('=')
        || options.find(is_meant).is_some_and(|option| option.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Option<Asked> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Asked::by(&words)
    }

    #[test]
    fn names_follow_where_they_may_stand() {
        for line in ["stop", "stop api", "logs -f", "logs --follow", "logs --tail 3", "scale"] {
            assert!(asked(line).is_some(), "{line}");
        }
        for line in ["", "logs --tail", "logs -fn", "scale api=", "stop --runtime-dir", "--node"] {
            assert!(asked(line).is_none(), "{line}");
        }
        assert!(asked("scale").is_some_and(|it| it.wants_number));
    }

    #[test]
    fn the_node_is_the_one_that_was_typed() {
        for line in ["--runtime-dir /x stop", "stop --runtime-dir=/x", "stop api --runtime-dir /x"]
        {
            let global = asked(line).expect(line).global;
            assert_eq!(global.runtime_dir.as_deref(), Some("/x".as_ref()), "{line}");
        }
    }
}
