//! `bh top`.

use std::{io::Write, time::Duration};

use clap::Args;
use jiff::SignedDuration;

use crate::{
    cli::Global,
    client::Client,
    error::Error,
    output::{self, Form},
    terminal::{self, Input, Page},
    top::{Order, Reaction, Sort, Table},
};

/// A pace below this measures nothing but the sampling.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Shows what services use, as it changes
///
/// A live table: processor, memory, disk, threads, files, connections and what held the service
/// back, each with a sparkline of the last samples. A service with a control group is counted with all
/// that it has started; one without, with its descendants and its session. The node measures only
/// while somebody asks. Keys: q quits, ← and → or a letter choose the order (c cpu, m memory, r
/// read, w write, t threads, f files, o connections, h throttled, p pressure, s restarts, n name),
/// R reverses it, space pauses. Where the output is no terminal, it prints the table once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh top
  bh top web --sort memory
  bh top --once | head
  bh top --json | jq -c '.services[] | [.name, .cpu_percent]'")]
pub(crate) struct Top {
    /// Services or groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// By what to order: name, or one of the columns
    #[arg(
        long,
        value_name = "COLUMN",
        value_enum,
        default_value = "cpu",
        hide_default_value = true
    )]
    sort: Sort,
    /// The smallest first, or names from the last on
    #[arg(short, long)]
    reverse: bool,
    /// The time from sample to sample; 1s if not said
    #[arg(
        short,
        long,
        value_name = "TIME",
        default_value = "1s",
        hide_default_value = true,
        value_parser = parse_interval
    )]
    interval: Duration,
    /// Measure one interval, print the table, and end
    #[arg(long)]
    once: bool,
    /// Print one JSON object for each sample
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let mut client = Client::connect(&global.address()).await?;
        let order = if self.reverse { Order::Reversed } else { Order::Usual };
        let mut table = Table::new(self.sort, order);
        // An unknown name is told before the terminal is taken.
        table.take(client.status(&self.names).await?);
        match Form::asked(self.json) {
            Form::Json => self.print_records(&mut client, table).await,
            Form::Text if self.once || !terminal::is_interactive() => {
                self.sample(&mut client, &mut table).await?;
                let listing = table.listing(output::terminal_width());
                Ok(output::stdout().write_all(listing.as_bytes())?)
            }
            Form::Text => self.live(&mut client, table).await,
        }
    }

    async fn sample(&self, client: &mut Client, table: &mut Table) -> Result<(), Error> {
        tokio::time::sleep(self.interval).await;
        table.take(client.status(&self.names).await?);
        Ok(())
    }

    async fn print_records(&self, client: &mut Client, mut table: Table) -> Result<(), Error> {
        let mut stdout = output::stdout();
        loop {
            self.sample(client, &mut table).await?;
            output::write_json_line(&mut stdout, &table.record())?;
            if self.once {
                return Ok(());
            }
        }
    }

    async fn live(&self, client: &mut Client, mut table: Table) -> Result<(), Error> {
        let mut page = Page::enter()?;
        let mut due = terminal::after(self.interval);
        loop {
            page.draw(&table.page(page.size()))?;
            match page.input(due).await {
                Input::Key(key) => match table.press(key, page.size()) {
                    Reaction::Draw => {}
                    Reaction::Quit => return Ok(()),
                },
                Input::Resized => {}
                Input::Terminated => return Ok(()),
                Input::Due => {
                    table.take(client.status(&self.names).await?);
                    due = terminal::after(self.interval);
                }
            }
        }
    }
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = text.parse::<SignedDuration>().ok().and_then(|it| it.try_into().ok());
    match interval {
        Some(interval) if interval >= INTERVAL_MIN => Ok(interval),
        _ => Err("expected a time of at least 100ms, such as `2s` or `500ms`".to_owned()),
    }
}
