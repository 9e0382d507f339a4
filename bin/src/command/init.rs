//! `bh init`.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use blackhole_config::STARTER;
use clap::Args;

use crate::{error::Error, exit_code::ExitCode, output};

/// Writes a file to begin with
///
/// It runs as it is, with services that need nothing installed, and explains what it says. Asks
/// nothing; a file that exists is left alone unless `--force` is given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh init                       writes config.toml
  bh init services/dev.toml
  bh init - | less              prints it")]
pub(crate) struct Init {
    /// Where to; `-` is the standard output
    #[arg(value_name = "PATH", default_value = "config.toml")]
    path: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(crate) fn execute(self) -> Result<ExitCode, Error> {
        let mut stdout = output::stdout();
        if self.path == Path::new("-") {
            stdout.write_all(STARTER.as_bytes())?;
            return Ok(ExitCode::Ok);
        }
        let path = &self.path;
        self.write().map_err(|source| Error::Create { path: path.clone(), source })?;
        let path = path.display();
        writeln!(stdout, "wrote {path}; next: `bh run {path}`")?;
        Ok(ExitCode::Ok)
    }

    fn write(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(!self.force).create(self.force).truncate(self.force);
        options.open(&self.path)?.write_all(STARTER.as_bytes())
    }
}
