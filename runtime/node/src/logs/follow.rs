//! Records as they are written, for whoever watches.
//!
//! The writer never waits for a watcher: what does not fit into a watcher's queue is skipped, and
//! the watcher is told how much, in its place.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::{Stream, task::AtomicWaker};
use regex::Regex;

use super::{
    query::Filter,
    record::{Entry, Record},
};

/// Waiting for one watcher.
const FOLLOW_BYTES_MAX: usize = 512 << 10;

/// What a record costs besides its texts.
const RECORD_BYTES: usize = 192;

pub(crate) struct Subscriber {
    filter: Filter,
    grep: Option<Regex>,
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
    is_gone: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    skipped: u64,
    ended: bool,
}

impl Subscriber {
    pub(crate) fn new(filter: Filter, grep: Option<Regex>) -> Arc<Self> {
        Arc::new(Self {
            filter,
            grep,
            waiting: Mutex::default(),
            waker: AtomicWaker::new(),
            is_gone: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    pub(crate) fn offer(&self, record: &Arc<Record>) {
        if !self.filter.matches(&record.origin.instance) || !matches_grep(record, &self.grep) {
            return;
        }
        self.lock().push(record);
        self.waker.wake();
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, record: &Arc<Record>) {
        let cost = cost(record);
        if self.bytes + cost > FOLLOW_BYTES_MAX {
            self.skipped += 1;
            return;
        }
        let gap = self.take_gap();
        self.entries.extend(gap);
        self.entries.push_back(Entry::Record(record.clone()));
        self.bytes += cost;
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front().or_else(|| self.take_gap())?;
        if let Entry::Record(record) = &entry {
            self.bytes -= cost(record);
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        Some(entry)
    }

    fn take_gap(&mut self) -> Option<Entry> {
        let skipped = std::mem::take(&mut self.skipped);
        (skipped > 0).then_some(Entry::Skipped(skipped))
    }
}

fn cost(record: &Record) -> usize {
    RECORD_BYTES + record.message.len() + record.fields.len()
}

/// Whether the message or the fields match; without a pattern everything does.
pub(crate) fn matches_grep(record: &Record, grep: &Option<Regex>) -> bool {
    grep.as_ref().is_none_or(|grep| grep.is_match(&record.message) || grep.is_match(&record.fields))
}

/// Records as they are written: a stream that ends with the node.
pub struct Subscription {
    subscriber: Arc<Subscriber>,
    _seat: Seat,
}

impl Subscription {
    pub(crate) fn new(subscriber: Arc<Subscriber>, seat: Seat) -> Self {
        Self { subscriber, _seat: seat }
    }
}

impl Stream for Subscription {
    type Item = Entry;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Entry>> {
        // Registered before looking, so that an entry that comes in between wakes us.
        self.subscriber.waker.register(context.waker());
        let mut waiting = self.subscriber.lock();
        match waiting.pop() {
            Some(entry) => Poll::Ready(Some(entry)),
            None if waiting.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriber.is_gone.store(true, Ordering::Relaxed);
        *self.subscriber.lock() = Waiting { ended: true, ..Waiting::default() };
    }
}

/// One of a bounded number of readers at a time.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Seat {
    pub(crate) fn take(taken: &Arc<AtomicUsize>, seats_max: usize) -> Option<Self> {
        let free = |count| (count < seats_max).then_some(count + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Self(taken.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
