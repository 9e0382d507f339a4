//! One row of the table, and what each change does to it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use blackhole_policy::{instance::Reason, supervision::Generation, usage_alert::Alert};
use blackhole_protocol::{InstanceId, Name};

use super::{Change, Exited, Histogram, Kind, State};

/// Ends of processes remembered for each instance.
const HISTORY_ENTRIES_MAX: usize = 64;

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which instance.
    pub instance: InstanceId,
    /// The group it is a member of.
    pub group: Option<Name>,
    /// What it is made of.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// Its process, when one lives.
    pub pid: Option<u32>,
    /// Its incarnation; 0 before the first.
    pub generation: Generation,
    /// When its process was spawned, when one lives.
    pub spawned_at: Option<Instant>,
    /// When the state was entered.
    pub since: Instant,
    /// When its health was last learnt, by a probe, a word of its own, or its end.
    pub checked_at: SystemTime,
    /// Restarts since the node started, by the reason of the exit before.
    pub restarts: BTreeMap<Reason, u64>,
    /// How the last process ended.
    pub last_exit: Option<Box<HistoryEntry>>,
    /// What it waits for or says about itself.
    pub note: String,
    /// What the file asks for and does not hold, each with its key and the reason.
    pub unenforced: Vec<String>,
    /// From spawn to ready.
    pub start_durations: Histogram,
    /// From asking to gone.
    pub stop_durations: Histogram,
    pub(super) history: VecDeque<HistoryEntry>,
    stopping_since: Option<Instant>,
    /// Why it is not ready, while the note says so.
    unready_why: Option<String>,
}

impl Entry {
    pub(super) fn new(instance: InstanceId, group: Option<Name>, kind: Kind, state: State) -> Self {
        Self {
            instance,
            group,
            kind,
            state,
            pid: None,
            generation: Generation(0),
            spawned_at: None,
            since: Instant::now(),
            checked_at: SystemTime::now(),
            restarts: BTreeMap::new(),
            last_exit: None,
            note: String::new(),
            unenforced: Vec::new(),
            start_durations: Histogram::default(),
            stop_durations: Histogram::default(),
            history: VecDeque::new(),
            stopping_since: None,
            unready_why: None,
        }
    }

    /// Restarts since the node started.
    pub fn restarts_total(&self) -> u64 {
        self.restarts.values().sum()
    }
}

impl Entry {
    /// Ends that are remembered, the latest first.
    pub(crate) fn ends(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.last_exit.as_deref().into_iter().chain(self.history.iter().rev())
    }
}

/// An [`Exited`] with its place in time and among instances.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// When.
    pub at: SystemTime,
    /// Whose process it was.
    pub instance: InstanceId,
    /// Which incarnation.
    pub generation: Generation,
    /// What the file asked for and did not hold, each with its key and the reason.
    pub unenforced: Vec<String>,
    /// How it ended.
    pub exited: Exited,
}

/// What an event will say, apart from where it stands.
pub(super) struct Draft {
    pub(super) event: Option<&'static str>,
    pub(super) pid: Option<u32>,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Draft {
    fn silent() -> Self {
        Self { event: None, pid: None, reason: String::new(), message: String::new() }
    }

    fn of(event: &'static str, message: impl Into<String>) -> Self {
        Self { event: Some(event), pid: None, reason: String::new(), message: message.into() }
    }
}

impl Entry {
    /// Takes note of what happened to the instance: what subscribers will be told of it.
    pub(super) fn apply(&mut self, generation: Generation, change: Change) -> Draft {
        let now = Instant::now();
        match change {
            Change::Pending(waits_for) => {
                self.enter(State::Pending);
                self.note = waiting_note(&waits_for);
                Draft::of("pending", self.note.clone())
            }
            Change::Spawned { pid } => {
                self.count_restart(generation);
                self.enter(State::Starting);
                (self.pid, self.generation, self.spawned_at) = (Some(pid), generation, Some(now));
                self.note.clear();
                self.unenforced.clear();
                Draft::of("spawned", "")
            }
            Change::Unenforced(lacking) => self.note_lacking(lacking),
            Change::Ready => {
                self.note_ready(now);
                self.enter(State::Ready);
                Draft::of("ready", "")
            }
            Change::Unready(why) => {
                self.enter(State::Unready);
                self.note.clone_from(&why);
                self.unready_why = Some(why.clone());
                Draft::of("unready", why)
            }
            Change::Stopping(why) => {
                self.enter(State::Stopping);
                self.stopping_since.get_or_insert(now);
                Draft::of("stopping", why)
            }
            Change::Exited(exited) => self.note_exit(generation, exited, now),
            Change::Read(stderr) => {
                self.note_stderr(generation, &stderr);
                Draft::silent()
            }
            Change::BackingOff(delay) => {
                self.enter(State::BackingOff);
                self.note = format!("starts again in {delay:.1?}");
                Draft::of("backing_off", self.note.clone())
            }
            Change::Stopped => {
                self.enter(State::Stopped);
                self.note.clear();
                Draft::of("stopped", "")
            }
            Change::Completed => {
                self.enter(State::Completed);
                self.note.clear();
                Draft::of("completed", "")
            }
            Change::Failed(why) => {
                self.enter(State::Failed);
                self.note = self.with_last_end(why);
                Draft::of("failed", self.note.clone())
            }
            Change::NearDiskLimit(text) => Draft::of("near_disk_limit", text),
            Change::Starved(silence) => starved(silence),
            Change::Noted(note) => {
                self.note = note;
                Draft::silent()
            }
            Change::Leaked(what) => Draft::of("leaked", what),
            Change::Alerted(alert) => alerted(alert),
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.since = Instant::now();
        self.checked_at = SystemTime::now();
    }

    /// What a service says of itself stays; why it was not ready is over.
    fn note_ready(&mut self, now: Instant) {
        if let (State::Starting, Some(spawned_at)) = (self.state, self.spawned_at) {
            self.start_durations.observe(now - spawned_at);
        }
        if self.unready_why.take().is_some_and(|why| why == self.note) {
            self.note.clear();
        }
    }

    /// A start that follows an exit which nobody asked for is a restart, counted by that exit's reason.
    fn count_restart(&mut self, generation: Generation) {
        if let Some(last) = &self.last_exit
            && last.generation < generation
            && last.exited.reason != Reason::Stop
        {
            *self.restarts.entry(last.exited.reason).or_default() += 1;
        }
    }

    /// How often it ended says nothing without how it ended.
    fn with_last_end(&self, why: String) -> String {
        let last = self.last_exit.as_ref().map(|last| &last.exited);
        match last.filter(|exited| exited.reason != Reason::Stop) {
            Some(exited) => {
                let cause = exited.message.split("\nhint:").next().unwrap_or_default();
                format!("{why}; the last time: {cause}")
            }
            None => why,
        }
    }

    fn note_lacking(&mut self, lacking: Vec<String>) -> Draft {
        self.unenforced = lacking;
        Draft::of("unenforced", self.unenforced.join("; "))
    }

    fn note_exit(&mut self, generation: Generation, exited: Exited, now: Instant) -> Draft {
        if let Some(asked_at) = self.stopping_since.take() {
            self.stop_durations.observe(now - asked_at);
        }
        if self.pid.is_none() && exited.pid.is_none() {
            // A start that failed never told its generation by `Spawned`.
            self.count_restart(generation);
        }
        (self.pid, self.spawned_at, self.generation) = (None, None, generation);
        // What follows is the supervisor's to say; until it does, this is what follows most often.
        self.state = if exited.reason == Reason::Stop { State::Stopped } else { State::BackingOff };
        (self.since, self.checked_at) = (now, SystemTime::now());
        let draft = Draft {
            event: Some("exited"),
            pid: exited.pid,
            reason: exited.reason.to_string(),
            message: exited.message.clone(),
        };
        let unenforced = std::mem::take(&mut self.unenforced);
        self.last_exit = Some(Box::new(self.keep(generation, unenforced, exited)));
        draft
    }

    /// Remembers an end in the history, where it is the latest now.
    pub(super) fn keep(
        &mut self,
        generation: Generation,
        unenforced: Vec<String>,
        exited: Exited,
    ) -> HistoryEntry {
        let (at, instance) = (SystemTime::now(), self.instance.clone());
        let record = HistoryEntry { at, instance, generation, unenforced, exited };
        if self.history.len() == HISTORY_ENTRIES_MAX {
            self.history.pop_front();
        }
        self.history.push_back(record.clone());
        record
    }

    /// The end may be forgotten by now.
    fn note_stderr(&mut self, generation: Generation, stderr: &str) {
        let ends = self.history.iter_mut().chain(self.last_exit.as_deref_mut());
        for end in ends.filter(|end| end.generation == generation) {
            end.exited.stderr = Some(stderr.to_owned());
        }
    }
}

fn waiting_note(waits_for: &[String]) -> String {
    if waits_for.is_empty() { String::new() } else { format!("waits for {}", waits_for.join(", ")) }
}

fn starved(silence: Duration) -> Draft {
    let silence = silence.as_millis();
    Draft::of("starved", format!("was silent on its link for {silence} ms, but waits for a CPU"))
}

/// Part of a sentence.
pub(crate) fn killed_for_memory(processes: u64) -> String {
    format!("the kernel killed {processes} of its processes for want of memory")
}

fn alerted(alert: Alert) -> Draft {
    match alert {
        Alert::NearMemoryLimit { bytes, limit } => {
            Draft::of("near_memory_limit", format!("uses {} of {} MiB", bytes >> 20, limit >> 20))
        }
        Alert::OomKilled { processes } => Draft::of("oom_killed", killed_for_memory(processes)),
        Alert::TasksRefused(refused) => Draft::of("tasks_refused", refused.to_string()),
        Alert::Throttled { percent } => Draft::of(
            "throttled",
            format!("was held back by its CPU quota for {percent} % of the time"),
        ),
    }
}
