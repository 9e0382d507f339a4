//! `bh logs`.

use std::io::{self, Write};

use blackhole_node::logs::{Entry, render::Timestamps};
use blackhole_protocol::control::v1::StreamLogsRequest;
use clap::{Args, builder::NonEmptyStringValueParser};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use crate::{cli::Global, client::Client, error::Error, log_lines::LogLines, output::Form};

/// Shows what services wrote to their output
///
/// Standard output and standard error of every named instance, oldest first, from the files that
/// the node keeps; with `-f` also what is written from now on. JSON lines of a service are taken
/// apart into level, message and fields.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh logs -f
  bh logs api --tail 100
  bh logs api worker --since 10m --grep 'timed? ?out'
  bh logs api --since 2026-11-21T08:00:00Z --json")]
pub(crate) struct Logs {
    /// Services or groups; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on with new lines as they are written
    #[arg(short, long)]
    follow: bool,
    /// Only lines since then: `10m`, `2h 30m`, `2026-11-21T08:00:00Z`, or a local date and time
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    since: Option<Timestamp>,
    /// Only lines whose message or fields match this regular expression
    #[arg(long, value_name = "REGEX", value_parser = NonEmptyStringValueParser::new())]
    grep: Option<String>,
    /// Only the last N lines that match
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tail: Option<u32>,
    /// Begin each line with its time
    #[arg(short, long, conflicts_with = "json")]
    timestamps: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        let timestamps = if self.timestamps { Timestamps::Shown } else { Timestamps::Hidden };
        let mut lines = LogLines::new(Form::asked(self.json), timestamps);
        let mut client = Client::connect(&global.address()).await?;
        let mut records = client.logs(self.into_request()).await?;
        let mut stdout = io::stdout().lock();
        let mut text = String::new();
        while let Some(record) = records.next().await? {
            lines.append(&Entry::try_from(record)?, &mut text);
            stdout.write_all(text.as_bytes())?;
            text.clear();
        }
        Ok(())
    }

    fn into_request(self) -> StreamLogsRequest {
        let since = self.since.map(|since| prost_types::Timestamp {
            seconds: since.as_second(),
            nanos: since.subsec_nanosecond(),
        });
        StreamLogsRequest {
            names: self.names,
            follow: self.follow,
            since,
            grep: self.grep.unwrap_or_default(),
            tail: self.tail.unwrap_or(0),
        }
    }
}

fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(duration) = text.parse::<SignedDuration>() {
        let ago = duration.unsigned_abs();
        return Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let local = text.parse::<DateTime>().and_then(|at| at.to_zoned(TimeZone::system()));
    local.map(|at| at.timestamp()).map_err(|_| {
        "expected how long ago (`10m`, `2h 30m`) or a time (`2026-11-21T08:00:00Z`)".to_owned()
    })
}
