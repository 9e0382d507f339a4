//! One process's output while it is captured: what the reader, the writer and the owner share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use regex::Regex;
use tokio::sync::Notify;

use super::{
    queue::Share,
    record::{Origin, Stream},
    split::Rest,
};

/// Waits for a line of output, once.
pub struct LineWatch {
    pattern: Regex,
    matched: Box<dyn FnOnce(String) + Send>,
}

impl LineWatch {
    /// Calls `matched` with the first line of either output that matches, on the writer's thread:
    /// it should only send a message.
    pub fn new(pattern: Regex, matched: impl FnOnce(String) + Send + 'static) -> Self {
        Self { pattern, matched: Box::new(matched) }
    }
}

impl fmt::Debug for LineWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("LineWatch").field(&self.pattern.as_str()).finish()
    }
}

pub(crate) struct Captured {
    pub(crate) origin: Arc<Origin>,
    streams: [StreamState; 2],
    tail: Mutex<Tail>,
    watch: Mutex<Option<Box<LineWatch>>>,
    streams_open: AtomicU8,
    /// Told when the last stream has ended and all of it was written.
    pub(crate) ended: Notify,
}

#[derive(Default)]
struct StreamState {
    share: Share,
    rest: Mutex<Rest>,
}

impl Captured {
    pub(crate) fn new(origin: Arc<Origin>, watch: Option<LineWatch>) -> Self {
        Self {
            origin,
            streams: Default::default(),
            tail: Mutex::default(),
            watch: Mutex::new(watch.map(Box::new)),
            streams_open: AtomicU8::new(2),
            ended: Notify::new(),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.streams_open.load(Ordering::Acquire) == 0
    }

    pub(crate) fn stderr_tail(&self) -> String {
        lock(&self.tail).text.trim_end_matches('\n').to_owned()
    }
}

/// One output of one process.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) captured: Arc<Captured>,
    pub(crate) stream: Stream,
}

impl Source {
    pub(crate) fn origin(&self) -> &Arc<Origin> {
        &self.captured.origin
    }

    pub(crate) fn share(&self) -> &Share {
        &self.state().share
    }

    /// What of the last line has come. Used by the writer only.
    pub(crate) fn rest(&self) -> MutexGuard<'_, Rest> {
        lock(&self.state().rest)
    }

    /// Everything of this stream was written.
    pub(crate) fn end(&self) {
        if self.captured.streams_open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.captured.ended.notify_waiters();
        }
    }

    /// Whether each line has to be seen as text, by [`Source::observe`].
    pub(crate) fn is_observed(&self) -> bool {
        self.stream == Stream::Stderr || lock(&self.captured.watch).is_some()
    }

    /// Keeps the last lines of stderr and looks for the line that is waited for.
    pub(crate) fn observe(&self, line: &str) {
        if self.stream == Stream::Stderr {
            lock(&self.captured.tail).push(line);
        }
        let mut watch = lock(&self.captured.watch);
        if watch.as_ref().is_some_and(|watch| watch.pattern.is_match(line)) {
            let found = watch.take().expect("it has just matched");
            drop(watch);
            (found.matched)(line.to_owned());
        }
    }

    fn state(&self) -> &StreamState {
        &self.captured.streams[self.stream.index()]
    }
}

/// The last lines of stderr.
#[derive(Default)]
struct Tail {
    text: String,
    lines: usize,
}

const TAIL_LINES_MAX: usize = 20;
const TAIL_BYTES_MAX: usize = 4 << 10;

impl Tail {
    /// A line that is longer than the whole tail keeps its end.
    fn push(&mut self, line: &str) {
        let start = line.len().saturating_sub(TAIL_BYTES_MAX - 1);
        self.text.push_str(&line[line.ceil_char_boundary(start)..]);
        self.text.push('\n');
        self.lines += 1;
        while self.lines > TAIL_LINES_MAX || self.text.len() > TAIL_BYTES_MAX {
            let first = self.text.find('\n').expect("every line has its line feed");
            self.text.drain(..=first);
            self.lines -= 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::num::NonZeroU32;

    use blackhole_protocol::InstanceId;

    use super::*;

    pub(crate) fn instance(service: &str) -> InstanceId {
        InstanceId { service: service.parse().expect("a name"), index: NonZeroU32::MIN }
    }

    pub(crate) fn origin(service: &str) -> Arc<Origin> {
        Arc::new(Origin { instance: instance(service), generation: 1, pid: 42 })
    }

    pub(crate) fn source(service: &str, stream: Stream) -> Source {
        Source { captured: Arc::new(Captured::new(origin(service), None)), stream }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_lines_within_its_bounds() {
        let mut tail = Tail::default();
        for number in 0..100 {
            tail.push(&format!("line {number}"));
        }
        assert!(tail.text.starts_with("line 80\n") && tail.text.ends_with("line 99\n"));
        tail.push(&"é".repeat(TAIL_BYTES_MAX));
        assert!(tail.text.len() <= TAIL_BYTES_MAX && tail.text.ends_with("é\n"));
        assert_eq!(tail.lines, 1);
    }
}
