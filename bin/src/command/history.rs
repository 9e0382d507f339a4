//! `bh history`.

use std::io::Write;

use blackhole_protocol::control::v1::HistoryEntry;
use clap::Args;

use crate::{
    cli::Global,
    client::Client,
    error::Error,
    json,
    output::{self, Form, Output},
    status_table::{how_it_ended, note, optional},
    table::{self, Align, Column},
    text,
};

/// Shows how processes ended and why they were restarted
///
/// One entry for each end of a process and each start that failed, oldest first. Reasons are
/// exit, signal, oom, probe, startup, limit, disk, spawn, stop, replace and unresponsive. On a
/// terminal it is a table; for programs, or with `--json`, one JSON object a line, with the last
/// lines of the standard error as well.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh history
  bh history api
  bh history --json | jq 'select(.reason == \"oom\")'")]
pub(crate) struct History {
    /// Services or groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON object a line, also on a terminal
    #[arg(long)]
    json: bool,
}

impl History {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let mut client = Client::connect(&global.address()).await?;
        let entries = client.history(&self.names).await?;
        let mut stdout = output::stdout();
        match Form::for_reader(self.json) {
            Form::Json => write_lines(&mut stdout, entries),
            Form::Text if entries.is_empty() => Ok(writeln!(stdout, "nothing has ended yet")?),
            Form::Text => {
                let table = table::render(columns(&entries), output::terminal_width());
                Ok(stdout.write_all(table.as_bytes())?)
            }
        }
    }
}

fn write_lines(stdout: &mut Output, entries: Vec<HistoryEntry>) -> Result<(), Error> {
    for entry in entries {
        output::write_json_line(stdout, &json::HistoryEntry::from(entry))?;
    }
    Ok(())
}

fn columns(entries: &[HistoryEntry]) -> Vec<Column> {
    let times = entries.iter().map(|entry| text::local(entry.at.as_ref()));
    let services = entries.iter().map(|entry| entry.service.as_str());
    let instances = entries.iter().map(|entry| entry.instance.to_string());
    let generations = entries.iter().map(|entry| entry.generation.to_string());
    let pids = entries.iter().map(|entry| optional(entry.pid));
    let uptimes = entries.iter().map(|entry| text::duration(entry.uptime.as_ref()));
    let reasons = entries
        .iter()
        .map(|entry| how_it_ended(&entry.reason, entry.code, entry.signal.as_deref()));
    let messages = entries.iter().map(|entry| note(&entry.message, &entry.unenforced));
    vec![
        Column::new("AT", Align::Left, 0, times),
        Column::new("SERVICE", Align::Left, 0, services),
        Column::new("INSTANCE", Align::Right, 1, instances),
        Column::new("GENERATION", Align::Right, 3, generations),
        Column::new("PID", Align::Right, 4, pids),
        Column::new("UPTIME", Align::Right, 2, uptimes),
        Column::new("REASON", Align::Left, 0, reasons),
        Column::new("MESSAGE", Align::Left, 1, messages),
    ]
}
