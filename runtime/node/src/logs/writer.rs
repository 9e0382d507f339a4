//! Turns output into records, writes them to the files and shows them to watchers: one thread.
//!
//! Whatever takes time is here, so that neither supervision nor the reading of pipes waits for a
//! disk. Work comes in the order in which it happened. When a file cannot be written, the records
//! are counted as lost, the node's log says so once, and the file says how many when it can be
//! written again.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    error::Error as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::SyncSender,
    },
    time::SystemTime,
};

use blackhole_protocol::InstanceId;
use tokio::sync::oneshot;

use super::{
    captured::Source,
    escape::visible,
    files::{FileError, Files},
    follow::Subscriber,
    json::{self, Common},
    listing::{self, LogFile},
    parse::{Line, parse, parse_piece},
    query::Filter,
    queue::{Item, Loss, Queue},
    record::{Level, Record, timestamp},
    split::Piece,
};

/// Records are collected up to this size for one write.
const WRITE_BYTES: usize = 64 << 10;

/// Incomplete lines of all streams together; beyond this they are cut.
const RESTS_BYTES_MAX: usize = 2 << 20;

/// What somebody wants of the writer, after everything that was captured before.
pub(crate) enum Request {
    /// Show this watcher all that follows.
    Subscribe(Arc<Subscriber>),
    /// Tell which files there are, and from the same moment show this watcher all that follows.
    Snapshot {
        filter: Filter,
        subscriber: Option<Arc<Subscriber>>,
        reply: SyncSender<io::Result<Snapshot>>,
    },
    /// Tell when all was written.
    Flush(oneshot::Sender<()>),
}

/// Every chosen instance's files, the oldest first, with the lengths that they had.
pub(crate) type Snapshot = BTreeMap<InstanceId, Vec<LogFile>>;

/// What the writer did so far.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) written: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) unwritten: AtomicU64,
}

pub(crate) struct Writer {
    node: Arc<str>,
    line_length_max: usize,
    queue: Arc<Queue>,
    files: Files,
    failures: Failures,
    subscribers: Vec<Arc<Subscriber>>,
    counters: Arc<Counters>,
    rests_bytes: usize,
    lines: String,
}

/// Instances whose files cannot be written, with the number of records lost.
#[derive(Default)]
struct Failures {
    lost: HashMap<InstanceId, u64>,
    reported: Vec<io::ErrorKind>,
}

impl Writer {
    pub(crate) fn new(
        node: Arc<str>,
        line_length_max: usize,
        queue: Arc<Queue>,
        files: Files,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            node,
            line_length_max: line_length_max.max(1),
            queue,
            files,
            failures: Failures::default(),
            subscribers: Vec::new(),
            counters,
            rests_bytes: 0,
            lines: String::new(),
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        if let Err(error) = self.files.prune_all(SystemTime::now()) {
            let directory = self.files.directory().display();
            tracing::warn!(%directory, %error, "could not look for old log files");
        }
        let queue = self.queue.clone();
        let mut batch = VecDeque::new();
        while queue.take(&mut batch) {
            for item in batch.drain(..) {
                self.handle(item);
            }
            self.lines = String::new();
        }
        self.subscribers.iter().for_each(|subscriber| subscriber.end());
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::Chunk { source, arrived, bytes } => {
                self.write_chunk(&source, arrived, &bytes);
                self.queue.release(&source, bytes.len());
            }
            Item::Lost(source) => {
                let loss = source.share().take_loss();
                self.counters.dropped.fetch_add(loss.lines, Relaxed);
                let mut page = Page::new(self, &source, SystemTime::now());
                page.flush_rest(Piece::Cut);
                page.push(loss_note(loss));
                page.write_out();
            }
            Item::Ended(source) => {
                let mut page = Page::new(self, &source, SystemTime::now());
                page.flush_rest(Piece::Whole);
                page.write_out();
                source.end();
            }
            Item::Request(request) => self.answer(request),
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Subscribe(subscriber) => self.subscribe(subscriber),
            Request::Snapshot { filter, subscriber, reply } => {
                let directory = self.files.directory();
                let snapshot = listing::list(directory, |instance| filter.matches(instance));
                subscriber.into_iter().for_each(|subscriber| self.subscribe(subscriber));
                // Fails when the reader has gone away, which is its right.
                let _gone = reply.send(snapshot);
            }
            Request::Flush(done) => {
                // As above.
                let _gone = done.send(());
            }
        }
    }

    fn subscribe(&mut self, subscriber: Arc<Subscriber>) {
        self.subscribers.retain(|subscriber| !subscriber.is_gone());
        self.subscribers.push(subscriber);
    }

    fn write_chunk(&mut self, source: &Source, arrived: SystemTime, bytes: &[u8]) {
        let length_max = self.line_length_max;
        let mut rest = source.rest();
        let length_before = rest.len();
        let mut page = Page::new(self, source, arrived);
        rest.feed(bytes, length_max, |line, piece| page.line(line, piece));
        let rests_bytes = &mut page.writer.rests_bytes;
        *rests_bytes = *rests_bytes + rest.len() - length_before;
        let is_too_much = *rests_bytes > RESTS_BYTES_MAX;
        drop(rest);
        if is_too_much {
            page.flush_rest(Piece::Cut);
        }
        page.write_out();
    }

    fn publish(&mut self, record: Record) {
        let record = Arc::new(record);
        self.subscribers.retain(|subscriber| !subscriber.is_gone());
        self.subscribers.iter().for_each(|subscriber| subscriber.offer(&record));
    }
}

impl Failures {
    fn add(&mut self, instance: &InstanceId, records: u64, error: &FileError) {
        if !self.reported.contains(&error.kind()) {
            self.reported.push(error.kind());
            let reason = error.source().map(|cause| format!("{error}: {cause}"));
            let reason = reason.unwrap_or_else(|| error.to_string());
            tracing::warn!(%instance, "output is not stored, the services run on: {reason}");
        }
        *self.lost.entry(instance.clone()).or_default() += records;
    }

    /// The number of records that were lost before a write succeeded again.
    fn recover(&mut self, instance: &InstanceId) -> Option<u64> {
        let lost = self.lost.remove(instance)?;
        self.reported.clear();
        tracing::info!(%instance, records_lost = lost, "output is stored again");
        Some(lost)
    }
}

fn loss_note(loss: Loss) -> Line<'static> {
    let Loss { lines, bytes } = loss;
    let text = format!(
        "{lines} lines ({bytes} bytes) dropped: they were printed faster than they could be stored"
    );
    note(text, format!(r#"{{"lines_dropped":{lines},"bytes_dropped":{bytes}}}"#))
}

fn unwritten_note(records: u64) -> Line<'static> {
    let text = format!("{records} records lost: the log file could not be written");
    note(text, format!(r#"{{"records_lost":{records}}}"#))
}

fn note(text: String, fields: String) -> Line<'static> {
    Line { at: None, level: Level::Warn, message: text.into(), fields }
}

/// The records of one stream that arrived together.
struct Page<'a> {
    writer: &'a mut Writer,
    source: &'a Source,
    arrived: SystemTime,
    arrived_text: String,
    common: Common,
    is_observed: bool,
    records: u64,
}

impl<'a> Page<'a> {
    fn new(writer: &'a mut Writer, source: &'a Source, arrived: SystemTime) -> Self {
        let common = Common::new(&writer.node, source.origin(), source.stream);
        let is_observed = source.is_observed();
        let arrived_text = timestamp(arrived);
        Self { writer, source, arrived, arrived_text, common, is_observed, records: 0 }
    }

    fn line(&mut self, line: &[u8], piece: Piece) {
        if self.is_observed {
            self.source.observe(&visible(line));
        }
        self.push(match piece {
            Piece::Whole => parse(line, self.arrived),
            Piece::Cut => parse_piece(line),
        });
    }

    /// Ends the line that is waiting for its end.
    fn flush_rest(&mut self, piece: Piece) {
        let source = self.source;
        let mut rest = source.rest();
        self.writer.rests_bytes -= rest.len();
        rest.flush(piece, |line, piece| self.line(line, piece));
    }

    fn push(&mut self, line: Line<'_>) {
        let told = line.at.map(timestamp);
        let at = told.as_deref().unwrap_or(&self.arrived_text);
        let texts = (&*line.message, &*line.fields);
        json::push_record(&mut self.writer.lines, (at, line.level), &self.common, texts);
        self.records += 1;
        if !self.writer.subscribers.is_empty() {
            self.writer.publish(Record {
                at: line.at.unwrap_or(self.arrived),
                node: self.writer.node.clone(),
                origin: self.source.origin().clone(),
                stream: self.source.stream,
                level: line.level,
                message: line.message.into_owned(),
                fields: line.fields,
            });
        }
        if self.writer.lines.len() >= WRITE_BYTES {
            self.write_out();
        }
    }

    fn write_out(&mut self) {
        let records = std::mem::take(&mut self.records);
        if records == 0 {
            return;
        }
        let instance = &self.source.origin().instance;
        let Writer { files, lines, counters, failures, .. } = &mut *self.writer;
        let written = files.append(instance, lines.as_bytes(), SystemTime::now());
        lines.clear();
        match written {
            Ok(()) => {
                counters.written.fetch_add(records, Relaxed);
                if let Some(lost) = failures.recover(instance) {
                    self.push(unwritten_note(lost));
                    self.write_out();
                }
            }
            Err(error) => {
                counters.unwritten.fetch_add(records, Relaxed);
                failures.add(instance, records, &error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::logs::captured::testing::instance;

    const LIMITS: blackhole_config::Logs = blackhole_config::Logs {
        file_size_max: 1 << 20,
        file_age_max: std::time::Duration::MAX,
        files_max: 1,
        retention: std::time::Duration::MAX,
        line_length_max: 1 << 10,
    };

    #[test]
    fn a_full_disk_is_reported_once_and_again_after_it_had_room() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let web = instance("web");
        let path = directory.path().join("web-1.log");
        symlink("/dev/full", &path).expect("ours");
        let told = directory.path().join("told");
        let told_file = Arc::new(fs::File::create(&told).expect("room"));
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(told_file)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut failures = Failures::default();
            let mut files = Files::new(directory.path().to_owned(), LIMITS);
            let mut fail = |failures: &mut Failures| {
                let error = files.append(&web, b"{}\n", SystemTime::now()).expect_err("it is full");
                failures.add(&web, 2, &error);
            };
            fail(&mut failures);
            fail(&mut failures);
            assert_eq!(failures.recover(&web), Some(4));
            assert_eq!(failures.recover(&web), None);
            fail(&mut failures);
        });
        let told = fs::read_to_string(&told).expect("just written");
        let told = told.replace(directory.path().to_str().expect("UTF-8"), "LOG_DIR");
        insta::assert_snapshot!(told, @"
        WARN output is not stored, the services run on: could not write to the log file `LOG_DIR/web-1.log`: No space left on device (os error 28) instance=web-1
        INFO output is stored again instance=web-1 records_lost=4
        WARN output is not stored, the services run on: could not write to the log file `LOG_DIR/web-1.log`: No space left on device (os error 28) instance=web-1
        ");
    }
}
