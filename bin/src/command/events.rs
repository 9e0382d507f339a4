//! `bh events`.

mod recording;

use std::{io::Write, path::PathBuf};

use anstyle::{AnsiColor, Style};
use blackhole_protocol::control::v1::{Event, StreamEventsRequest};
use clap::Args;

use crate::{
    cli::Global,
    client::Client,
    error::Error,
    json,
    output::{self, Form, Output},
    text,
};

/// Shows what happens, as it happens
///
/// First the recent events that the node still holds, then new ones until it ends or Ctrl-C is
/// pressed. On a terminal an event is a line for people; for programs, or with `--json`, a JSON
/// object a line. `sequence` counts up by one: a gap says that the reader was too slow.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh events
  bh events api --no-follow
  bh events --json | jq 'select(.event == \"exited\")'
  bh events --record incident.jsonl       until Ctrl-C, or the node's end
  bh events --replay incident.jsonl")]
pub(crate) struct Events {
    /// Services or groups; everything when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on with new events; this is the default
    #[arg(short, long, overrides_with = "no_follow")]
    follow: bool,
    /// End after the recent events
    #[arg(long)]
    no_follow: bool,
    /// Print one JSON object a line, also on a terminal
    #[arg(long)]
    json: bool,
    /// Instead: write what supervisors are told and decide into FILE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "no_follow", "json", "replay"])]
    record: Option<PathBuf>,
    /// Instead: let this program decide again what FILE recorded; needs no node
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "no_follow", "json"])]
    replay: Option<PathBuf>,
}

impl Events {
    pub(crate) async fn execute(self, global: &Global) -> Result<(), Error> {
        if let Some(file) = &self.record {
            return recording::record(file, global).await;
        }
        if let Some(file) = &self.replay {
            return recording::replay(file);
        }
        let form = Form::for_reader(self.json);
        let request = StreamEventsRequest { names: self.names, no_follow: self.no_follow };
        let mut client = Client::connect(&global.address()).await?;
        let mut events = client.events(request).await?;
        let mut stdout = output::stdout();
        while let Some(event) = events.next().await? {
            match form {
                Form::Json => output::write_json_line(&mut stdout, &json::Event::from(event))?,
                Form::Text => write_line(&mut stdout, &event)?,
            }
        }
        Ok(())
    }
}

fn write_line(stdout: &mut Output, event: &Event) -> Result<(), Error> {
    let dim = Style::new().dimmed();
    let at = text::local(event.at.as_ref());
    writeln!(stdout, "{dim}{at}{dim:#}  {}", phrase(event))?;
    stdout.flush()?;
    Ok(())
}

/// `api-1 ready: pid 42`, without the time.
pub(crate) fn phrase(event: &Event) -> String {
    let style = style(&event.event);
    let subject = match event.service.as_str() {
        "" => "node".to_owned(),
        service => format!("{}-{}", text::visible(service), event.instance),
    };
    let pid = event.pid.map(|pid| format!("pid {pid}"));
    let reason = (!event.reason.is_empty()).then(|| text::visible(&event.reason));
    let message = (!event.message.is_empty()).then(|| text::visible(&event.message));
    let details: Vec<_> = [pid, reason, message].into_iter().flatten().collect();
    let name = text::visible(&event.event);
    format!("{subject:<16} {style}{name:<11}{style:#} {}", details.join(", ")).trim_end().to_owned()
}

fn style(event: &str) -> Style {
    let color = match event {
        "ready" | "node_running" => AnsiColor::Green,
        "failed" => AnsiColor::Red,
        "unready" | "exited" | "backing_off" | "leaked" | "squeezed" | "refused"
        | "near_memory_limit" | "oom_killed" | "tasks_refused" | "throttled" | "starved" => {
            AnsiColor::Yellow
        }
        _ => return Style::new(),
    };
    Style::new().fg_color(Some(color.into()))
}
