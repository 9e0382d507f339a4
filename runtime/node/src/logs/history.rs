//! Reads records back from the files: one thread per question.
//!
//! Memory is bounded: a forward reading holds one block per instance, a reading of the last
//! records holds these. Files are opened for each block and known by their identity, so that many
//! instances need few descriptors and a file that is renamed meanwhile is found again. Lines that
//! are not ours, above all torn ones, are passed over.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use blackhole_protocol::InstanceId;
use tokio::sync::mpsc::Sender;

use super::{
    blocks::{Backward, Forward},
    follow::{Subscriber, matches_grep},
    json::{Decoder, peek_timestamp},
    listing::{FileId, LogFile},
    parse::SKEW_MAX,
    query::Query,
    queue::{Item, Queue},
    record::{Entry, Record, timestamp},
    writer::{Request, Snapshot},
};

/// The writer answers after it has written what was captured before.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10);

/// The last records that are asked for are held in memory, with at most so many bytes of text.
const TAIL_BYTES_MAX: usize = 16 << 20;

/// Blocks of all instances together; each gets a part of it.
const BLOCKS_BYTES_MAX: usize = 4 << 20;
const BLOCK_BYTES_MIN: usize = 4 << 10;
const BLOCK_BYTES_MAX: usize = 64 << 10;

/// Why records could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk may hang.
    #[error("could not read the logs: their writer did not answer within {} s", SNAPSHOT_TIMEOUT.as_secs())]
    WriterSilent,
    /// The directory cannot be read.
    #[error("could not list the log directory `{}`", .0.display())]
    List(PathBuf, #[source] io::Error),
    /// A file cannot be read.
    #[error("could not read the log file `{}`", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// Why a reading ended early.
pub(crate) enum Stop {
    /// Nobody listens any more.
    Unwanted,
    Failed(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

pub(crate) struct Reading {
    pub(crate) directory: PathBuf,
    pub(crate) queue: Arc<Queue>,
    pub(crate) query: Query,
    /// Gets what is written from the end of the reading on.
    pub(crate) subscriber: Option<Arc<Subscriber>>,
    pub(crate) entries: Sender<Result<Entry, ReadError>>,
}

impl Reading {
    pub(crate) fn run(self) {
        let Err(stop) = self.read() else { return };
        if let Some(subscriber) = &self.subscriber {
            subscriber.end();
        }
        if let Stop::Failed(error) = stop {
            // Fails when nobody listens any more.
            let _gone = self.entries.blocking_send(Err(error));
        }
    }

    fn read(&self) -> Result<(), Stop> {
        let snapshot = self.snapshot(None)?;
        let lengths = lengths(&snapshot);
        match self.query.tail {
            Some(records_max) => self.send_last(snapshot, records_max)?,
            None => self.send_merged(snapshot, &HashMap::new())?,
        }
        // Reading may have taken long. What was written meanwhile is read as well before the
        // watching begins, so that the watcher's queue has to hold little.
        if let Some(subscriber) = &self.subscriber {
            let snapshot = self.snapshot(Some(subscriber.clone()))?;
            self.send_merged(snapshot, &lengths)?;
        }
        Ok(())
    }

    fn snapshot(&self, subscriber: Option<Arc<Subscriber>>) -> Result<Snapshot, ReadError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let filter = self.query.instances.clone();
        self.queue.push(Item::Request(Request::Snapshot { filter, subscriber, reply }));
        answer
            .recv_timeout(SNAPSHOT_TIMEOUT)
            .map_err(|_| ReadError::WriterSilent)?
            .map_err(|error| ReadError::List(self.directory.clone(), error))
    }

    fn send(&self, entry: Entry) -> Result<(), Stop> {
        self.entries.blocking_send(Ok(entry)).map_err(|_| Stop::Unwanted)
    }

    /// Sends all records in order of time, from these positions on.
    fn send_merged(
        &self,
        snapshot: Snapshot,
        positions: &HashMap<FileId, u64>,
    ) -> Result<(), Stop> {
        let block = BLOCKS_BYTES_MAX / snapshot.len().max(1);
        let block = block.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        let sieve = Sieve::new(&self.query);
        let mut cursors = Vec::new();
        for (instance, files) in snapshot {
            let files = self.recent(files).map(|file| {
                let start = positions.get(&file.id).copied().unwrap_or(0);
                (file, start)
            });
            let lines = Forward::new(self.directory.clone(), instance, files, block);
            cursors.push(Cursor { lines, decoder: Decoder::default(), next: None });
        }
        let mut order = BinaryHeap::new();
        for (position, cursor) in cursors.iter_mut().enumerate() {
            order.extend(cursor.advance(&sieve)?.map(|at| Reverse((at, position))));
        }
        while let Some(Reverse((_, position))) = order.pop() {
            let cursor = &mut cursors[position];
            let record = cursor.next.take().expect("only cursors with a record are in the heap");
            self.send(Entry::Record(Arc::new(record)))?;
            order.extend(cursor.advance(&sieve)?.map(|at| Reverse((at, position))));
        }
        Ok(())
    }

    /// Sends the last records in order of time.
    fn send_last(&self, snapshot: Snapshot, records_max: usize) -> Result<(), Stop> {
        let mut last = Last::new(records_max);
        for (position, (instance, files)) in snapshot.into_iter().enumerate() {
            let files: Vec<_> = self.recent(files).collect();
            self.collect_last(position, instance, files, &mut last)?;
        }
        if last.too_large > 0 {
            self.send(Entry::Skipped(last.too_large))?;
        }
        for record in last.records.into_values() {
            self.send(Entry::Record(Arc::new(record)))?;
        }
        Ok(())
    }

    fn collect_last(
        &self,
        position: usize,
        instance: InstanceId,
        files: Vec<LogFile>,
        last: &mut Last,
    ) -> Result<(), Stop> {
        let sieve = Sieve::new(&self.query);
        let mut lines = Backward::new(self.directory.clone(), instance, files, BLOCK_BYTES_MAX);
        let mut decoder = Decoder::default();
        let mut age = 0_u64;
        while let Some(line) = lines.next_line()? {
            let Some(record) = decoder.decode(line) else { continue };
            if sieve.is_long_before(&record) || last.is_settled_before(record.at) {
                break;
            }
            if sieve.accepts(&record) {
                last.insert((record.at, position, Reverse(age)), record);
            }
            age += 1;
            if age.is_multiple_of(LISTENING_CHECK_RECORDS) && self.entries.is_closed() {
                return Err(Stop::Unwanted);
            }
        }
        Ok(())
    }

    /// Without files that were changed for the last time before the time asked for.
    fn recent(&self, files: Vec<LogFile>) -> impl Iterator<Item = LogFile> {
        let since = self.query.since.and_then(|since| since.checked_sub(SKEW_MAX));
        files.into_iter().filter(move |file| since.is_none_or(|since| file.modified >= since))
    }
}

/// After so many records that nobody gets, a reading asks whether anybody still listens.
const LISTENING_CHECK_RECORDS: u64 = 1024;

fn lengths(snapshot: &Snapshot) -> HashMap<FileId, u64> {
    snapshot.values().flatten().map(|file| (file.id, file.length)).collect()
}

/// Which records were asked for.
struct Sieve<'a> {
    query: &'a Query,
    since_text: Option<String>,
}

impl<'a> Sieve<'a> {
    fn new(query: &'a Query) -> Self {
        Self { query, since_text: query.since.map(timestamp) }
    }

    /// Without decoding the line: times are texts that sort.
    fn may_accept(&self, line: &[u8]) -> bool {
        match (&self.since_text, peek_timestamp(line)) {
            (Some(since), Some(at)) => at >= since.as_bytes(),
            _ => true,
        }
    }

    fn accepts(&self, record: &Record) -> bool {
        self.query.since.is_none_or(|since| record.at >= since)
            && matches_grep(record, &self.query.grep)
    }

    /// Whether all records before this one in the file are too old, whatever times they tell.
    fn is_long_before(&self, record: &Record) -> bool {
        self.query.since.is_some_and(|since| record.at + 2 * SKEW_MAX < since)
    }
}

/// One instance's place in a forward reading.
struct Cursor {
    lines: Forward,
    decoder: Decoder,
    next: Option<Record>,
}

impl Cursor {
    /// Moves to the next record that was asked for and returns its time.
    fn advance(&mut self, sieve: &Sieve<'_>) -> Result<Option<SystemTime>, ReadError> {
        while let Some(line) = self.lines.next_line()? {
            if !sieve.may_accept(line) {
                continue;
            }
            let Some(record) = self.decoder.decode(line) else { continue };
            if sieve.accepts(&record) {
                let at = record.at;
                self.next = Some(record);
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

/// By time, then by instance, then the one that is farther from the end first.
type Place = (SystemTime, usize, Reverse<u64>);

/// The last records seen so far.
struct Last {
    records_max: usize,
    records: BTreeMap<Place, Record>,
    bytes: usize,
    too_large: u64,
}

impl Last {
    fn new(records_max: usize) -> Self {
        Self { records_max, records: BTreeMap::new(), bytes: 0, too_large: 0 }
    }

    fn insert(&mut self, place: Place, record: Record) {
        self.bytes += text_bytes(&record);
        self.records.insert(place, record);
        while self.records.len() > self.records_max || self.bytes > TAIL_BYTES_MAX {
            if self.records.len() <= self.records_max {
                self.too_large += 1;
            }
            let Some((_, oldest)) = self.records.pop_first() else { return };
            self.bytes -= text_bytes(&oldest);
        }
    }

    /// Whether no record of the instance before this time can be among the last ones.
    fn is_settled_before(&self, at: SystemTime) -> bool {
        let is_full = self.records.len() >= self.records_max || self.too_large > 0;
        let oldest = self.records.first_key_value().map(|((oldest, ..), _)| *oldest);
        is_full && oldest.is_none_or(|oldest| at + 2 * SKEW_MAX < oldest)
    }
}

fn text_bytes(record: &Record) -> usize {
    record.message.len() + record.fields.len()
}
