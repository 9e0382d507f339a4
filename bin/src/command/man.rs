//! `bh man`.

use std::{fs, io::Write, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;

use crate::{cli, error::Error, exit_code::ExitCode, output};

/// Prints the manual page, or writes one page for each command
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh man | man -l -
  bh man --out ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Write bh.1, bh-run.1 and so on into this directory, which is created
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn execute(self) -> Result<ExitCode, Error> {
        let mut root = cli::Cli::command();
        root.build();
        match self.out {
            None => output::stdout().write_all(&page(&root, "bh")?)?,
            Some(dir) => write_pages(&root, &dir)?,
        }
        Ok(ExitCode::Ok)
    }
}

fn write_pages(root: &clap::Command, dir: &std::path::Path) -> Result<(), Error> {
    let create = |path: PathBuf| move |source| Error::Create { path, source };
    fs::create_dir_all(dir).map_err(create(dir.to_owned()))?;
    let commands = root.get_subcommands().filter(|command| !command.is_hide_set());
    let pages = commands
        .filter(|command| command.get_name() != "help")
        .map(|command| (command, format!("bh-{}", command.get_name())))
        .chain([(root, "bh".to_owned())]);
    for (command, name) in pages {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page(command, &name)?).map_err(create(path))?;
    }
    Ok(())
}

/// One page in roff, with the exit codes at its end.
fn page(command: &clap::Command, name: &str) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    Page::new(command.clone()).title(name).render(&mut text)?;
    writeln!(text, ".SH \"EXIT STATUS\"")?;
    for code in ExitCode::ALL {
        writeln!(text, ".TP\n{}\n{}", code as u8, code.meaning())?;
    }
    Ok(text)
}
