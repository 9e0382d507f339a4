//! What waits between reading the pipes and writing the files: bounded by bytes, shared fairly.
//!
//! The reader never waits for the writer. A chunk that finds no room is dropped and counted. A
//! stream may fill the queue only up to the room that it leaves free (the dynamic threshold of
//! shared switch buffers), so that one flooding stream takes half, two take a third each, and there
//! is always room for a quiet one.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use super::{captured::Source, writer::Request};

/// All chunks that wait, together.
const QUEUE_BYTES_MAX: usize = 8 << 20;

/// What a waiting chunk costs besides its bytes.
const ITEM_BYTES: usize = 128;

/// A queue that grew beyond this is shrunk when it was emptied.
const ITEMS_KEPT_MAX: usize = 256;

/// One thing for the writer to do, in the order in which it happened.
pub(crate) enum Item {
    /// Output.
    Chunk { source: Source, arrived: SystemTime, bytes: Box<[u8]> },
    /// Output of this stream was dropped here.
    Lost(Source),
    /// Nothing more comes from this stream.
    Ended(Source),
    /// Somebody wants something of the writer.
    Request(Request),
}

/// A stream's share of the queue, and what did not fit.
#[derive(Default)]
pub(crate) struct Share {
    queued: AtomicUsize,
    lines_lost: AtomicU64,
    bytes_lost: AtomicU64,
    loss_queued: AtomicBool,
}

/// How much was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

impl Share {
    /// What was dropped since the last call.
    pub(crate) fn take_loss(&self) -> Loss {
        self.loss_queued.store(false, Relaxed);
        Loss { lines: self.lines_lost.swap(0, Relaxed), bytes: self.bytes_lost.swap(0, Relaxed) }
    }
}

#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    closed: bool,
}

impl Queue {
    /// Queues output, or drops and counts it. Called by one thread only.
    pub(crate) fn push_chunk(&self, source: &Source, bytes: &[u8]) {
        let share = source.share();
        let cost = bytes.len() + ITEM_BYTES;
        let free = QUEUE_BYTES_MAX.saturating_sub(self.bytes.load(Relaxed));
        if share.queued.load(Relaxed) + cost > free {
            self.drop_chunk(source, bytes);
            return;
        }
        self.bytes.fetch_add(cost, Relaxed);
        share.queued.fetch_add(cost, Relaxed);
        let arrived = SystemTime::now();
        self.push(Item::Chunk { source: source.clone(), arrived, bytes: bytes.into() });
    }

    fn drop_chunk(&self, source: &Source, bytes: &[u8]) {
        let share = source.share();
        // A plain loop over bytes is vectorised, which a search from one line feed to the next is
        // not; most of a flood ends here.
        let lines: u64 = bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum();
        share.lines_lost.fetch_add(lines, Relaxed);
        share.bytes_lost.fetch_add(bytes.len() as u64, Relaxed);
        if !share.loss_queued.swap(true, Relaxed) {
            self.push(Item::Lost(source.clone()));
        }
    }

    /// Queues anything but output. The number of these is bounded by the number of streams and
    /// of readers.
    pub(crate) fn push(&self, item: Item) {
        let mut waiting = self.lock();
        let was_empty = waiting.items.is_empty();
        waiting.items.push_back(item);
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Lets the writer end when it has done everything.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits for items and moves them all into the empty batch; `false` after the end.
    pub(crate) fn take(&self, batch: &mut VecDeque<Item>) -> bool {
        debug_assert!(batch.is_empty(), "the last batch was handled");
        batch.shrink_to(ITEMS_KEPT_MAX);
        let mut waiting = self.lock();
        while waiting.items.is_empty() && !waiting.closed {
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        mem::swap(batch, &mut waiting.items);
        !batch.is_empty()
    }

    /// Frees the room of a chunk that was handled.
    pub(crate) fn release(&self, source: &Source, length: usize) {
        let cost = length + ITEM_BYTES;
        source.share().queued.fetch_sub(cost, Relaxed);
        self.bytes.fetch_sub(cost, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the queue when the reader ends, however it ends.
pub(crate) struct CloseOnDrop(pub(crate) Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{captured::testing, record::Stream};

    #[test]
    fn a_flood_leaves_room_for_a_quiet_stream_and_is_counted() {
        let queue = Queue::default();
        let flood = testing::source("flood", Stream::Stdout);
        let chunk = b"y\n".repeat(32 << 10);
        let pushes = 2 * QUEUE_BYTES_MAX / chunk.len();
        for _ in 0..pushes {
            queue.push_chunk(&flood, &chunk);
        }
        let held = queue.bytes.load(Relaxed);
        assert!(held.abs_diff(QUEUE_BYTES_MAX / 2) <= chunk.len(), "{held}");

        let quiet = testing::source("quiet", Stream::Stdout);
        queue.push_chunk(&quiet, &chunk);
        assert_eq!(quiet.share().take_loss(), Loss { lines: 0, bytes: 0 });

        let mut batch = VecDeque::new();
        assert!(queue.take(&mut batch));
        let losses = batch.iter().filter(|item| matches!(item, Item::Lost(_))).count();
        assert_eq!(losses, 1, "one note for all that was dropped in one go");
        let kept = batch.iter().filter(|item| matches!(item, Item::Chunk { .. })).count() - 1;
        let lost = flood.share().take_loss();
        assert_eq!(lost.lines as usize, (pushes - kept) * chunk.len() / 2);

        for item in batch.drain(..) {
            if let Item::Chunk { source, bytes, .. } = item {
                queue.release(&source, bytes.len());
            }
        }
        assert_eq!(queue.bytes.load(Relaxed), 0);
    }
}
