//! What the node itself has to say, beside its services' output: lines on the standard error.
//!
//! Written by a thread of its own, because a terminal may make a writer wait for ever (Ctrl-S, a
//! full pipe) and the node must not.

use std::{
    env,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use anstream::AutoStream;
use blackhole_node::registry::EVENT_LOG_TARGET;
use blackhole_sdk::LOG_FILTER;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::error::Error;

/// Lines on their way to the thread; what is more is dropped, for nobody reads that fast.
const LINES_WAITING_MAX: usize = 256;

/// Whether the node's events are among what it says; they are not when the screen shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Events {
    Written,
    Shown,
}

/// Begins to write down what the node says.
pub(crate) fn start(events: Events) -> Result<(), Error> {
    let filter = filter()?;
    let filter = match events {
        Events::Written => filter,
        Events::Shown => filter.with_target(EVENT_LOG_TARGET, LevelFilter::OFF),
    };
    let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
    let write = move || write(&waiting);
    thread::Builder::new().name("bh-journal".into()).spawn(write).map_err(Error::Runtime)?;
    let is_coloured = AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let layer = tracing_subscriber::fmt::layer().with_ansi(is_coloured);
    let layer = layer.with_target(false).with_writer(Journal(lines));
    tracing_subscriber::registry().with(filter).with(layer).init();
    Ok(())
}

fn filter() -> Result<Targets, Error> {
    let Some(text) = env::var(LOG_FILTER).ok().filter(|text| !text.is_empty()) else {
        return Ok(Targets::new().with_default(LevelFilter::WARN));
    };
    text.parse().map_err(|_| {
        Error::Usage(format!(
            "`{text}` in {LOG_FILTER} is not a choice of log records\n\
             hint: `debug`, or `warn,blackhole_node=debug`"
        ))
    })
}

fn write(lines: &Receiver<Vec<u8>>) {
    for line in lines {
        // Nobody is left to be told that the standard error is gone.
        let _ = io::stderr().lock().write_all(&line);
    }
}

struct Journal(SyncSender<Vec<u8>>);

impl<'a> MakeWriter<'a> for Journal {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Each write is one whole line.
impl Write for &Journal {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
