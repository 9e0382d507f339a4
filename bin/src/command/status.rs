//! `bh status`.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;

use crate::{
    cli::Global,
    client::Client,
    error::Error,
    json,
    output::{self, Form},
    status_table::{self, Columns},
};

/// Shows what runs, and how it does
///
/// One line for each instance: its state, whether it is ready, its process, how often it was
/// restarted and how it ended last. States are pending, starting, ready, unready, stopping,
/// backing_off, stopped, completed, failed and disabled. On a narrow terminal the less important
/// columns are left out; `--wide` adds what each uses, and `--json` always has everything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh status
  bh status api web             only the service `api` and the group `web`
  bh status --wide
  bh status --json | jq -r '.services[] | select(.state != \"ready\") | .name'")]
pub(crate) struct Status {
    /// Services or groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Also show peak memory, disk, threads, files, connections and what held it back
    #[arg(short, long, conflicts_with = "json")]
    wide: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Status {
    fn columns(&self) -> Columns {
        if self.wide { Columns::Wide } else { Columns::Usual }
    }

    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let mut client = Client::connect(&global.address()).await?;
        let status = client.status(&self.names).await?;
        let mut stdout = output::stdout();
        match Form::asked(self.json) {
            Form::Json => output::write_json_line(&mut stdout, &json::Status::from(status))?,
            Form::Text => {
                let now = Timestamp::now();
                let table =
                    status_table::render(&status, now, self.columns(), output::terminal_width());
                stdout.write_all(table.as_bytes())?;
            }
        }
        Ok(())
    }
}
