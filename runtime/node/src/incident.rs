//! An incident as it was decided: what supervisors were told, at which moments, and what they decided.
//!
//! While nobody records, a supervisor looks at one flag for each event. A recording is a text of JSON
//! lines: first [`Line::Incident`]; for each supervisor [`Line::Checkpoint`] before the first event that it
//! is told, so that a recording may begin at any time; then [`Line::Decided`] for every event.
//! [`replay`](replay::replay) lets fresh machines decide the same events and compares.

pub mod replay;
mod wire;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use blackhole_actors::supervisor::{ChildId, Witness};
use blackhole_policy::{
    moment::Moment,
    supervision::{self, Command, Supervisor},
};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The version of the lines.
pub const VERSION: u32 = 1;

/// Lines that the reader of a recording may fall behind before the recording is given up.
const LINES_LAG_MAX: usize = 4096;

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// The first one.
    Incident {
        /// [`VERSION`].
        version: u32,
        /// The node's name.
        node: String,
    },
    /// Where a supervisor stood when it was first heard of.
    Checkpoint {
        /// `root` or `group NAME`, and which incarnation: `group web #2`.
        supervisor: String,
        /// What it remembers.
        remembers: wire::Checkpoint,
    },
    /// What a supervisor was told, and decided.
    Decided {
        /// As in its checkpoint.
        supervisor: String,
        /// Nanoseconds since the node's origin.
        at_ns: u64,
        /// What it was told.
        event: wire::Event,
        /// Its commands, in order.
        commands: Vec<String>,
        /// When it wants to be asked again.
        deadline_ns: Option<u64>,
    },
}

/// Why a recording did not begin or go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// One at a time.
    #[error("somebody records this node already")]
    AlreadyRecorded,
    /// It was not read fast enough, and has a hole that no replay survives.
    #[error("the recording was given up: its reader fell more than {LINES_LAG_MAX} lines behind")]
    FellBehind,
}

/// Where supervisors leave what is recorded; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_on: AtomicBool,
    recording: Mutex<Option<Recording>>,
    recordings_total: AtomicU64,
    supervisors_total: AtomicU64,
}

#[derive(Debug)]
struct Recording {
    number: u64,
    lines: mpsc::Sender<String>,
    fell_behind: Arc<AtomicBool>,
}

impl Recorder {
    /// Begins a recording: its lines, without line ends, until it is dropped or the node ends.
    ///
    /// # Errors
    /// When there is one already.
    pub fn record(
        &self,
        node: &str,
    ) -> Result<impl Stream<Item = Result<String, RecordError>> + Send + 'static, RecordError> {
        let mut recording = self.recording();
        if recording.as_ref().is_some_and(|current| !current.lines.is_closed()) {
            return Err(RecordError::AlreadyRecorded);
        }
        let (lines, coming) = mpsc::channel(LINES_LAG_MAX);
        let fell_behind = Arc::new(AtomicBool::new(false));
        let number = self.0.recordings_total.fetch_add(1, Ordering::Relaxed) + 1;
        *recording = Some(Recording { number, lines, fell_behind: fell_behind.clone() });
        self.0.is_on.store(true, Ordering::Relaxed);
        let first = text(&Line::Incident { version: VERSION, node: node.to_owned() });
        let end = futures::stream::once(async move {
            fell_behind.load(Ordering::Relaxed).then_some(Err(RecordError::FellBehind))
        });
        let lines = futures::stream::iter([first]).chain(ReceiverStream::new(coming));
        Ok(lines.map(Ok).chain(end.filter_map(std::future::ready)))
    }

    /// Ends the recording: there is nothing more to decide.
    pub(crate) fn end(&self) {
        *self.recording() = None;
        self.0.is_on.store(false, Ordering::Relaxed);
    }

    /// The place of one incarnation of a supervisor.
    pub(crate) fn place(&self, supervisor: &str) -> Place {
        let incarnation = self.0.supervisors_total.fetch_add(1, Ordering::Relaxed) + 1;
        Place {
            recorder: self.clone(),
            supervisor: format!("{supervisor} #{incarnation}"),
            known_in: AtomicU64::new(0),
            heard: Mutex::new(None),
        }
    }

    fn write(&self, line: &Line) {
        let mut recording = self.recording();
        let Some(current) = recording.as_ref() else { return };
        let sent = current.lines.try_send(text(line));
        if let Err(mpsc::error::TrySendError::Full(_)) = &sent {
            current.fell_behind.store(true, Ordering::Relaxed);
        }
        if sent.is_err() {
            *recording = None;
            self.0.is_on.store(false, Ordering::Relaxed);
        }
    }

    /// The number of the recording that is under way.
    fn number(&self) -> Option<u64> {
        self.recording().as_ref().map(|recording| recording.number)
    }

    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.0.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(line: &Line) -> String {
    serde_json::to_string(line).expect("a line has no keys but texts, and no floats but numbers")
}

/// Where one incarnation of a supervisor leaves what is recorded.
pub(crate) struct Place {
    recorder: Recorder,
    supervisor: String,
    /// The recording that has its checkpoint.
    known_in: AtomicU64,
    heard: Mutex<Option<(Moment, wire::Event)>>,
}

impl Place {
    /// Itself, while somebody records.
    pub(crate) fn if_recorded(&self) -> Option<&Self> {
        self.recorder.0.is_on.load(Ordering::Relaxed).then_some(self)
    }

    fn heard(&self) -> MutexGuard<'_, Option<(Moment, wire::Event)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Id: ChildId + std::fmt::Display> Witness<Id> for Place {
    fn hear(&self, now: Moment, policy: &Supervisor<Id>, event: &supervision::Event<Id>) {
        let Some(number) = self.recorder.number() else { return };
        if self.known_in.swap(number, Ordering::Relaxed) != number {
            let Some(checkpoint) = policy.checkpoint() else { return };
            let remembers = wire::Checkpoint(checkpoint.renamed(&ToString::to_string));
            let supervisor = self.supervisor.clone();
            self.recorder.write(&Line::Checkpoint { supervisor, remembers });
        }
        *self.heard() = Some((now, wire::Event(event.renamed(&ToString::to_string))));
    }

    fn see(&self, commands: &[Command<Id>], next_deadline: Option<Moment>) {
        let Some((at, event)) = self.heard().take() else { return };
        self.recorder.write(&Line::Decided {
            supervisor: self.supervisor.clone(),
            at_ns: wire::nanoseconds(at),
            event,
            commands: commands.iter().map(|command| format!("{command:?}")).collect(),
            deadline_ns: next_deadline.map(wire::nanoseconds),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Line {
        Line::Incident { version: VERSION, node: "test".into() }
    }

    #[tokio::test]
    async fn a_recording_whose_reader_falls_behind_ends_with_that_and_another_may_begin() {
        let recorder = Recorder::default();
        let place = recorder.place("root");
        let lines = recorder.record("test").expect("nobody records");
        for _ in 0..LINES_LAG_MAX {
            recorder.write(&incident());
        }
        assert!(place.if_recorded().is_some(), "it is as far behind as it may be");
        recorder.write(&incident());
        assert!(place.if_recorded().is_none(), "supervisors have nothing to tell any more");

        let again = recorder.record("test").expect("the one before is given up");
        recorder.write(&incident());
        // What was taken down before the hole is there, and the hole is told.
        let lines: Vec<_> = lines.collect().await;
        let (last, before) = lines.split_last().expect("there are lines");
        assert_eq!(before.len(), 1 + LINES_LAG_MAX);
        assert!(before.iter().all(|line| *line == Ok(text(&incident()))));
        let error = last.as_ref().expect_err("it has a hole").to_string();
        assert_eq!(
            error,
            "the recording was given up: its reader fell more than 4096 lines behind"
        );

        recorder.end();
        let again: Vec<_> = again.collect().await;
        assert!(again.len() == 2 && again.iter().all(Result::is_ok), "{again:?}");
    }
}
