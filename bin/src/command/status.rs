//! `bh status`.

use std::{io::Write, time::Duration};

use blackhole_protocol::control::v1::{GetStatusResponse, StreamEventsRequest};
use clap::Args;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    cli::Global,
    client::Client,
    error::Error,
    json,
    output::{self, Form},
    status_table::{self, Columns},
    terminal::{self, Input, Key, Page},
    text,
};

/// What happens so close together is shown together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A page is drawn anew after so long.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

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
  bh status --watch
  bh status --json | jq -r '.services[] | select(.state != \"ready\") | .name'")]
pub(crate) struct Status {
    /// Services or groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Also show peak memory, disk, threads, files, connections and what held it back
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// Show it again whenever something changes; q quits
    #[arg(short, long)]
    watch: bool,
    /// Print one JSON object; with --watch one for each change
    #[arg(long)]
    json: bool,
}

impl Status {
    fn columns(&self) -> Columns {
        if self.wide { Columns::Wide } else { Columns::Usual }
    }

    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let begun = Timestamp::now();
        let mut client = Client::connect(&global.address()).await?;
        let status = client.status(&self.names).await?;
        match (self.watch, self.json) {
            (true, false) if terminal::is_interactive() => {
                self.watch_live(client, status, begun).await
            }
            (true, _) => self.print_changes(client, status, begun).await,
            (false, _) => self.print(status),
        }
    }

    fn print(&self, status: GetStatusResponse) -> Result<(), Error> {
        let mut stdout = output::stdout();
        match Form::asked(self.json) {
            Form::Json => output::write_json_line(&mut stdout, &json::Status::from(status))?,
            Form::Text => {
                let text = self.table(&status, output::terminal_width());
                stdout.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn table(&self, status: &GetStatusResponse, width: Option<usize>) -> String {
        status_table::render(status, Timestamp::now(), self.columns(), width)
    }

    /// For a file or a pipe: the whole listing after each change, tables apart by an empty line.
    async fn print_changes(
        &self,
        mut client: Client,
        mut status: GetStatusResponse,
        begun: Timestamp,
    ) -> Result<(), Error> {
        let mut changes = changes(&mut client, &self.names, begun).await?;
        loop {
            self.print(status)?;
            if changes.changed().await.is_err() {
                return Ok(());
            }
            tokio::time::sleep(TOGETHER).await;
            status = client.status(&self.names).await?;
            if !self.json {
                writeln!(output::stdout())?;
            }
        }
    }

    async fn watch_live(
        &self,
        mut client: Client,
        mut status: GetStatusResponse,
        begun: Timestamp,
    ) -> Result<(), Error> {
        let mut changes = changes(&mut client, &self.names, begun).await?;
        let mut page = Page::enter()?;
        loop {
            page.draw(&self.table(&status, Some(page.size().columns)))?;
            // Uptimes grow even when nothing happens.
            let due = terminal::after(REFRESH_INTERVAL);
            tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => tokio::time::sleep(TOGETHER).await,
                    Err(_) => return Ok(()),
                },
                input = page.input(due) => match input {
                    Input::Terminated
                    | Input::Key(Key::Interrupt | Key::Escape | Key::Character('q')) => {
                        return Ok(());
                    }
                    Input::Key(_) | Input::Resized | Input::Due => {}
                },
            }
            status = client.status(&self.names).await?;
        }
    }
}

/// Changes with every event since then, until the node ends.
async fn changes(
    client: &mut Client,
    names: &[String],
    since: Timestamp,
) -> Result<watch::Receiver<()>, Error> {
    let request = StreamEventsRequest { names: names.to_vec(), ..StreamEventsRequest::default() };
    let mut events = client.events(request).await?;
    let (change, changes) = watch::channel(());
    tokio::spawn(async move {
        // A node that breaks off is told by the next look.
        while let Ok(Some(event)) = events.next().await {
            let is_past = text::moment(event.at.as_ref()).is_some_and(|at| at < since);
            if !is_past && change.send(()).is_err() {
                return;
            }
        }
    });
    Ok(changes)
}
