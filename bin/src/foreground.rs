//! What `bh run` shows while the node runs: the services' output and what happens to them.
//!
//! Printing is done on a thread of its own, because a terminal may make it wait for ever (Ctrl-S, a
//! full pipe) and the node must not. What the terminal is too slow for is skipped and counted by
//! the logs; events that are too many are counted here. While items come all the time, the thread
//! lets them collect for a moment that no reader notices, and is not woken for each of them.

use std::{
    io::{self, Write},
    sync::{Arc, mpsc},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use anstream::adapter::strip_str;
use blackhole_node::{
    Node,
    logs::{Entry, Filter, render::Timestamps},
    pace::Pace,
    registry::Event,
};
use blackhole_protocol::control::v1 as proto;
use futures::{FutureExt, Stream, StreamExt, executor::block_on, stream};
use tokio::sync::oneshot;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use crate::{
    command::events,
    error::Error,
    log_lines::LogLines,
    output::{self, Form},
};

/// How long a terminal may take for what is still to be printed when the node has ended.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long items collect while they come all the time.
const PAUSE: Duration = Duration::from_millis(2);

/// So much is written at a time, in bytes, and one line more.
const WRITE_LENGTH_MAX: usize = 64 << 10;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    Events,
    EventsAndLogs,
    LogsAsJson,
}

/// One thing to print.
enum Item {
    Event(Arc<Event>),
    EventsMissed(u64),
    Log(Entry),
    /// The node has ended: what is left is printed, and nothing more.
    End,
}

type Items = stream::BoxStream<'static, Item>;

/// The printing thread, until it is told to finish.
pub(crate) struct Foreground {
    end: oneshot::Sender<()>,
    printed: mpsc::Receiver<()>,
    thread: Thread,
}

impl Foreground {
    /// Shows everything from the node's first event on.
    pub(crate) fn start(node: &Node, shown: Shown) -> Result<Self, Error> {
        let (end, ended) = oneshot::channel();
        let (done, printed) = mpsc::channel();
        let end_item = stream::once(ended.map(|_| Item::End));
        let items = stream::select(subscribe(node, shown)?, end_item).boxed();
        let screen = Screen::new(shown);
        let print = move || {
            // A reader that has closed the output wants to see no more; the node runs on.
            let _ = screen.show(items);
            let _ = done.send(());
        };
        let thread = thread::Builder::new().name("bh-screen".into());
        let thread = thread.spawn(print).map_err(Error::Runtime)?.thread().clone();
        Ok(Self { end, printed, thread })
    }

    /// Waits until everything is printed, but not for a terminal that takes no more.
    pub(crate) fn finish(self) {
        let _ = self.end.send(());
        self.thread.unpark();
        let _ = self.printed.recv_timeout(FINISH_TIMEOUT);
    }
}

fn subscribe(node: &Node, shown: Shown) -> Result<Items, Error> {
    let all_logs = || Ok::<_, Error>(node.logs().follow(Filter::all())?.map(Item::Log));
    Ok(match shown {
        Shown::Nothing => stream::empty().boxed(),
        Shown::Events => node_events(node).boxed(),
        Shown::EventsAndLogs => stream::select(node_events(node), all_logs()?).boxed(),
        Shown::LogsAsJson => all_logs()?.boxed(),
    })
}

fn node_events(node: &Node) -> impl Stream<Item = Item> + Send + use<> {
    let (held, coming) = node.registry().subscribe();
    let coming = BroadcastStream::new(coming).map(|event| match event {
        Ok(event) => Item::Event(event),
        Err(BroadcastStreamRecvError::Lagged(count)) => Item::EventsMissed(count),
    });
    stream::iter(held.into_iter().map(Item::Event)).chain(coming)
}

/// Turns items into lines.
struct Screen {
    log_lines: LogLines,
    is_coloured: bool,
}

impl Screen {
    fn new(shown: Shown) -> Self {
        let form = Form::asked(shown == Shown::LogsAsJson);
        let log_lines = LogLines::new(form, Timestamps::Hidden);
        Self { log_lines, is_coloured: output::is_coloured() }
    }

    /// Prints until the end. What is there at once is written at once, in one piece.
    fn show(mut self, mut items: Items) -> io::Result<()> {
        let mut lines = String::new();
        let mut pace = Pace::new(PAUSE);
        loop {
            let began = Instant::now();
            let Some(item) = block_on(items.next()) else { break };
            let pause = pace.after(began.elapsed());
            let is_end = matches!(item, Item::End);
            self.render(&item, &mut lines);
            while lines.len() < WRITE_LENGTH_MAX || is_end {
                let Some(Some(item)) = items.next().now_or_never() else { break };
                self.render(&item, &mut lines);
            }
            io::stdout().lock().write_all(lines.as_bytes())?;
            let is_behind = lines.len() >= WRITE_LENGTH_MAX;
            lines.clear();
            if is_end {
                break;
            }
            if is_behind {
                pace.hurry();
            } else if let Some(pause) = pause {
                thread::park_timeout(pause);
            }
        }
        Ok(())
    }

    fn render(&mut self, item: &Item, lines: &mut String) {
        match item {
            Item::Log(entry) => self.log_lines.append(entry, lines),
            Item::Event(event) => self.note(&events::phrase(&to_wire(event)), lines),
            Item::EventsMissed(count) => self.note(&format!("{count} events missed"), lines),
            Item::End => {}
        }
    }

    /// A line that no service wrote.
    fn note(&self, text: &str, lines: &mut String) {
        if self.is_coloured {
            lines.push_str(text);
        } else {
            lines.push_str(&strip_str(text).to_string());
        }
        lines.push('\n');
    }
}

fn to_wire(event: &Event) -> proto::Event {
    let instance = event.instance.as_ref();
    proto::Event {
        at: Some(event.at.into()),
        event: event.event.to_owned(),
        service: instance.map(|instance| instance.service.to_string()).unwrap_or_default(),
        instance: instance.map_or(0, |instance| instance.index.get()),
        generation: event.generation.0,
        pid: event.pid,
        reason: event.reason.clone(),
        message: event.message.clone(),
        sequence: event.sequence,
    }
}
