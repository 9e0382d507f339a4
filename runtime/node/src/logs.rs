//! What services print: captured, stored, shown.
//!
//! ```text
//! pipes ──► reader thread ──► queue (bounded) ──► writer thread ──► files, watchers
//!           (intake)          full: drop, count   (split, parse)     └─► history, follow
//! ```
//!
//! A process never waits for a disk or a reader: its pipes are emptied whatever becomes of the output,
//! a millisecond after a line at the latest. Memory is bounded by bytes at every step, and what does not
//! fit is counted and reported where it is missing. Both threads sleep while nobody prints. The node's own log is not here but in `tracing`.

mod blocks;
mod captured;
mod escape;
mod files;
mod follow;
mod history;
mod intake;
mod json;
mod listing;
mod parse;
mod query;
mod queue;
mod record;
pub mod render;
mod split;
pub mod wire;
mod writer;

use std::{
    error::Error,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};

use blackhole_protocol::InstanceId;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

pub use self::{
    captured::LineWatch,
    follow::Subscription,
    history::ReadError,
    json::to_json,
    query::{Filter, Query, Selector},
    record::{Entry, Level, Origin, Record, Stream, UnknownLevel, parse_timestamp, timestamp},
};
use self::{
    captured::{Captured, Source},
    files::Files,
    follow::{Seat, Subscriber},
    history::Reading,
    intake::{Intake, Reader},
    queue::{Item, Queue},
    writer::{Counters, Request, Writer},
};

/// Its parsers, for [`crate::outside`].
pub(crate) mod peers {
    pub(crate) use super::{
        escape::is_harmful,
        json::{Decoder, peek_time},
        parse::{parse, parse_piece},
        split::{Piece, Rest},
    };
}

/// Readers and watchers at the same time; each costs a thread or a queue.
pub const READERS_MAX: usize = 32;

/// Entries on their way from a reading thread to its reader.
const READ_AHEAD_MAX: usize = 64;

/// Where and how much is kept.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Created if it is missing, now and whenever something is written.
    pub directory: PathBuf,
    /// Written into each record.
    pub node: Arc<str>,
    /// How much is kept of each instance.
    pub limits: blackhole_config::Logs,
}

/// Why the logs refused.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The directory is missing and cannot be made.
    #[error(
        "could not prepare the log directory\nhint: set `log_dir` in `[node]`, `--log-dir` or `BLACKHOLE_LOG_DIR` to a writable one"
    )]
    Directory(#[source] Box<dyn Error + Send + Sync>),
    /// No descriptor or no thread could be had.
    #[error("could not start the reading of services' output")]
    Start(#[source] io::Error),
    /// One of its pipes could not be watched.
    #[error("could not capture the output of `{instance}`")]
    Capture {
        /// Whose.
        instance: InstanceId,
        /// What the kernel said.
        source: io::Error,
    },
    /// More than [`READERS_MAX`].
    #[error(
        "could not read the logs: {READERS_MAX} readers do so already\nhint: end one of them, for example a `bh logs -f`"
    )]
    TooManyReaders,
    /// The disk may hang.
    #[error("could not write all output within {} s", .0.as_secs_f32())]
    FlushTimeout(Duration),
}

/// What became of records so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Stored in files.
    pub records_written: u64,
    /// Lines dropped because they were printed faster than they could be stored.
    pub lines_dropped: u64,
    /// Records lost because a file could not be written.
    pub records_unwritten: u64,
}

/// The logs of a node. Clones are cheap and the same logs.
///
/// They end, after what was printed so far is written, when the last clone and the last [`Capture`]
/// are gone.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

struct Shared {
    intake: Arc<Intake>,
    queue: Arc<Queue>,
    directory: PathBuf,
    counters: Arc<Counters>,
    readers: Arc<AtomicUsize>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.intake.stop();
    }
}

impl Logs {
    /// Creates the directory and starts two threads.
    ///
    /// # Errors
    /// When the directory cannot be created, or descriptors or threads are exhausted.
    pub fn open(settings: LogSettings) -> Result<Self, LogsError> {
        let LogSettings { directory, node, limits } = settings;
        files::create_directory(&directory)
            .map_err(|error| LogsError::Directory(Box::new(error)))?;
        let intake = Arc::new(Intake::new().map_err(LogsError::Start)?);
        let queue = Arc::new(Queue::default());
        let counters = Arc::new(Counters::default());
        let files = Files::new(directory.clone(), limits);
        let line_length_max = limits.line_length_max;
        let writer = Writer::new(node, line_length_max, queue.clone(), files, counters.clone());
        let reader = Reader::new(intake.clone(), queue.clone());
        start("bh-log-writer", || writer.run())?;
        start("bh-log-reader", || reader.run())?;
        let readers = Arc::default();
        Ok(Self { shared: Arc::new(Shared { intake, queue, directory, counters, readers }) })
    }

    /// Reads both outputs of a process from now on. Takes the reading ends of two pipes.
    ///
    /// # Errors
    /// When the kernel refuses to watch a descriptor; nothing is captured then.
    pub fn capture(
        &self,
        origin: Arc<Origin>,
        [stdout, stderr]: [OwnedFd; 2],
        watch: Option<LineWatch>,
    ) -> Result<Capture, LogsError> {
        let instance = origin.instance.clone();
        let captured = Arc::new(Captured::new(origin, watch));
        let intake = &self.shared.intake;
        let add = |descriptor, stream| {
            intake.add(descriptor, Source { captured: captured.clone(), stream })
        };
        let added = add(stdout, Stream::Stdout).and_then(|stdout_key| {
            let stderr_key = add(stderr, Stream::Stderr);
            let stderr_key = stderr_key.inspect_err(|_| intake.give_up(&[stdout_key]))?;
            Ok([stdout_key, stderr_key])
        });
        match added {
            Ok(keys) => Ok(Capture { captured, keys, logs: self.clone() }),
            Err(source) => Err(LogsError::Capture { instance, source }),
        }
    }

    /// Reads records back, in order of time.
    ///
    /// # Errors
    /// [`LogsError::TooManyReaders`], or when no thread can be started.
    pub fn read(&self, query: Query) -> Result<Records, LogsError> {
        self.start_reading(query, None)
    }

    /// Reads records back and goes on with new ones, without a gap and without repeating any.
    /// `since` and `tail` concern the past, the rest both.
    ///
    /// # Errors
    /// As [`Logs::read`].
    pub fn read_and_follow(&self, query: Query) -> Result<Records, LogsError> {
        let subscriber = Subscriber::new(query.instances.clone(), query.grep.clone());
        let live = Subscription::new(subscriber.clone(), self.seat()?);
        let records = self.start_reading(query, Some(subscriber))?;
        Ok(Records { live: Some(live), ..records })
    }

    /// Shows records as they are written, from now on.
    ///
    /// # Errors
    /// [`LogsError::TooManyReaders`].
    pub fn follow(&self, instances: Filter) -> Result<Subscription, LogsError> {
        let subscriber = Subscriber::new(instances, None);
        let subscription = Subscription::new(subscriber.clone(), self.seat()?);
        self.request(Request::Subscribe(subscriber));
        Ok(subscription)
    }

    /// Waits until everything that was read from the pipes so far is in the files.
    ///
    /// # Errors
    /// [`LogsError::FlushTimeout`].
    pub async fn flush(&self, deadline: Duration) -> Result<(), LogsError> {
        let (done, flushed) = oneshot::channel();
        self.request(Request::Flush(done));
        match timeout(deadline, flushed).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(LogsError::FlushTimeout(deadline)),
        }
    }

    /// What became of records so far.
    pub fn totals(&self) -> Totals {
        let counters = &self.shared.counters;
        Totals {
            records_written: counters.written.load(Relaxed),
            lines_dropped: counters.dropped.load(Relaxed),
            records_unwritten: counters.unwritten.load(Relaxed),
        }
    }

    fn request(&self, request: Request) {
        self.shared.queue.push(Item::Request(request));
    }

    fn seat(&self) -> Result<Seat, LogsError> {
        Seat::take(&self.shared.readers, READERS_MAX).ok_or(LogsError::TooManyReaders)
    }

    fn start_reading(
        &self,
        query: Query,
        subscriber: Option<Arc<Subscriber>>,
    ) -> Result<Records, LogsError> {
        let seat = self.seat()?;
        let (entries, history) = mpsc::channel(READ_AHEAD_MAX);
        let Shared { directory, queue, .. } = &*self.shared;
        let (directory, queue) = (directory.clone(), queue.clone());
        let reading = Reading { directory, queue, query, subscriber, entries };
        start("bh-log-query", move || {
            reading.run();
            drop(seat);
        })?;
        Ok(Records { history, live: None })
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LogsError> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop).map_err(LogsError::Start)
}

/// Records of the past and, where that was asked for, new ones: a stream.
pub struct Records {
    history: mpsc::Receiver<Result<Entry, ReadError>>,
    live: Option<Subscription>,
}

impl futures::Stream for Records {
    type Item = Result<Entry, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.history.poll_recv(context) {
            Poll::Ready(None) => match &mut self.live {
                Some(live) => Pin::new(live).poll_next(context).map(|entry| entry.map(Ok)),
                None => Poll::Ready(None),
            },
            entry_or_pending => entry_or_pending,
        }
    }
}

/// A process's output while it is read. Dropping it reads what is in the pipes and closes them.
pub struct Capture {
    captured: Arc<Captured>,
    keys: [u64; 2],
    logs: Logs,
}

/// How a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Closed {
    /// Everything was read and stored.
    Clean,
    /// Somebody still holds an output open, for example a descendant of the process.
    Leaked,
}

impl Capture {
    /// The last lines of stderr: at most 20 and 4 KiB.
    pub fn stderr_tail(&self) -> String {
        self.captured.stderr_tail()
    }

    /// After the process has exited, waits until both outputs are closed and stored.
    pub async fn closed(&self, deadline: Duration) -> Closed {
        let ended = self.captured.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if self.captured.has_ended() || timeout(deadline, ended).await.is_ok() {
            Closed::Clean
        } else {
            Closed::Leaked
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !self.captured.has_ended() {
            self.logs.shared.intake.give_up(&self.keys);
        }
    }
}
