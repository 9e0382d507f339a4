//! What is known about every instance: state, history, events.
//!
//! There is one way in, [`Registry::record`]: whatever happens to an instance is recorded as a
//! [`Change`], which updates the table, wakes whoever waits for a state, and becomes an event for
//! subscribers. Status, health and metrics are read from the table; nobody asks the actors.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use blackhole_config::{self as config, Mode, Service};
use blackhole_policy::{instance::Reason, supervision::Generation};
use blackhole_protocol::{InstanceId, Name};
use tokio::sync::{broadcast, watch};

mod adjustments;
mod histogram;

pub(crate) use adjustments::ADMISSION;
pub use histogram::Histogram;

/// Past events that a new subscriber still gets.
const EVENTS_HELD_MAX: usize = 1024;
/// Events that a slow subscriber may fall behind before it misses some.
const EVENTS_LAG_MAX: usize = 1024;
/// Ends of processes remembered for each instance.
const HISTORY_ENTRIES_MAX: usize = 64;

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits for what it depends on.
    Pending,
    /// Its process lives and is not ready yet.
    Starting,
    /// May be called.
    Ready,
    /// Was ready and is not now.
    Unready,
    /// Was asked to go.
    Stopping,
    /// Waits for the delay before its next start.
    BackingOff,
    /// An operator stopped it, or the node is ending.
    Stopped,
    /// It ended by itself, for good.
    Completed,
    /// It exceeded its limit.
    Failed,
    /// The file says `enabled = false`.
    Disabled,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Starting,
        Self::Ready,
        Self::Unready,
        Self::Stopping,
        Self::BackingOff,
        Self::Stopped,
        Self::Completed,
        Self::Failed,
        Self::Disabled,
    ];

    /// The word that status, events and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing_off",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }

    /// Nothing will change until somebody asks for it.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Ready | Self::Stopped | Self::Completed | Self::Failed | Self::Disabled => true,
            Self::Pending | Self::Starting | Self::Unready | Self::Stopping | Self::BackingOff => {
                false
            }
        }
    }
}

/// What a service is made of, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any program.
    Command,
    /// A service of this binary in a child process.
    Native,
    /// A service of this binary inside the node.
    Embedded,
}

impl Kind {
    /// What a service of the file is made of.
    pub fn of(service: &Service) -> Self {
        match &service.kind {
            config::Kind::Command(_) => Self::Command,
            config::Kind::Native { mode: Mode::Subprocess, .. } => Self::Native,
            config::Kind::Native { mode: Mode::Embedded, .. } => Self::Embedded,
        }
    }
}

/// What can happen to an instance.
#[derive(Debug, Clone)]
pub enum Change {
    /// It waits for its start; for whom, if for anybody.
    Pending(Vec<String>),
    /// Its process lives.
    Spawned {
        /// The process.
        pid: u32,
    },
    /// It may be called.
    Ready,
    /// It must not be called now, and why.
    Unready(String),
    /// It was asked to go, or will be killed; why.
    Stopping(String),
    /// Its process is gone, with all its descendants.
    Exited(Exited),
    /// What the process that is gone had printed last has been read: the end of its standard error.
    Read(String),
    /// It waits before its next start.
    BackingOff(Duration),
    /// It rests because somebody asked for that.
    Stopped,
    /// It rests because it finished.
    Completed,
    /// It rests because it exceeded its limit.
    Failed(String),
    /// It says so about itself.
    Noted(String),
    /// Something outlived its process or held on to its output.
    Leaked(String),
}

/// One end of one process, or one start that failed.
#[derive(Debug, Clone)]
pub struct Exited {
    /// Absent when no process came to be.
    pub pid: Option<u32>,
    /// Why, in the words of history.
    pub reason: Reason,
    /// Its exit code, when it had one.
    pub code: Option<i32>,
    /// The name of the signal that ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// What the start was doing when it failed.
    pub stage: Option<String>,
    /// How long it lived.
    pub uptime: Duration,
    /// The last lines of its standard error; absent while they are still being read.
    pub stderr: Option<String>,
    /// A sentence for people.
    pub message: String,
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
    /// How it ended.
    pub exited: Exited,
}

/// What subscribers are told.
#[derive(Debug, Clone)]
pub struct Event {
    /// Counts up by one.
    pub sequence: u64,
    /// When.
    pub at: SystemTime,
    /// Absent for events of the node itself.
    pub instance: Option<InstanceId>,
    /// Which incarnation.
    pub generation: Generation,
    /// A past participle.
    pub event: &'static str,
    /// Its process.
    pub pid: Option<u32>,
    /// Why, in the words of history where it is an exit.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

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
    pub last_exit: Option<HistoryEntry>,
    /// What it waits for or says about itself.
    pub note: String,
    /// From spawn to ready.
    pub start_durations: Histogram,
    /// From asking to gone.
    pub stop_durations: Histogram,
    history: VecDeque<HistoryEntry>,
    stopping_since: Option<Instant>,
    /// Why it is not ready, while the note says so.
    unready_why: Option<String>,
}

impl Entry {
    fn new(instance: InstanceId, group: Option<Name>, kind: Kind, state: State) -> Self {
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

/// What the node as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Not everything has been ready yet.
    Starting,
    /// Everything that should be has been started.
    Running,
    /// Everything is being stopped.
    Stopping,
}

/// The table and the events; clones share them.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    events: broadcast::Sender<Arc<Event>>,
    version: watch::Sender<u64>,
    started_at: Instant,
}

#[derive(Debug)]
struct Table {
    node_state: NodeState,
    entries: BTreeMap<InstanceId, Entry>,
    held: VecDeque<Arc<Event>>,
    sequence: u64,
}

/// Past events, then a channel of those to come.
pub type Subscription = (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>);

impl Registry {
    /// A table without instances.
    pub fn new() -> Self {
        let (events, _) = broadcast::channel(EVENTS_LAG_MAX);
        Self(Arc::new(Shared {
            table: Mutex::new(Table {
                node_state: NodeState::Starting,
                entries: BTreeMap::new(),
                held: VecDeque::new(),
                sequence: 0,
            }),
            events,
            version: watch::Sender::new(0),
            started_at: Instant::now(),
        }))
    }

    /// Adds an instance that has not been started.
    pub fn add(&self, instance: InstanceId, group: Option<Name>, kind: Kind, state: State) {
        let entry = Entry::new(instance.clone(), group, kind, state);
        self.table().entries.entry(instance).or_insert(entry);
        self.wake();
    }

    /// Forgets an instance that is no longer wanted.
    pub fn remove(&self, instance: &InstanceId) {
        self.table().entries.remove(instance);
        self.wake();
    }

    /// Takes note of what happened to an instance, tells subscribers, and wakes waiters.
    pub fn record(&self, instance: &InstanceId, generation: Generation, change: Change) {
        let mut table = self.table();
        let Some(entry) = table.entries.get_mut(instance) else {
            return;
        };
        let draft = apply(entry, generation, change);
        let pid = entry.pid.or(draft.pid);
        if let Some(event) = draft.event {
            self.publish(&mut table, |sequence, at| Event {
                sequence,
                at,
                instance: Some(instance.clone()),
                generation,
                event,
                pid,
                reason: draft.reason,
                message: draft.message,
            });
        }
        drop(table);
        self.wake();
    }

    /// Takes note of what the node as a whole is doing.
    pub fn record_node(&self, state: NodeState, message: impl Into<String>) {
        let event = match state {
            NodeState::Starting => "node_started",
            NodeState::Running => "node_running",
            NodeState::Stopping => "node_stopping",
        };
        let mut table = self.table();
        table.node_state = state;
        self.publish(&mut table, |sequence, at| Event {
            sequence,
            at,
            instance: None,
            generation: Generation(0),
            event,
            pid: None,
            reason: String::new(),
            message: message.into(),
        });
        drop(table);
        self.wake();
    }

    /// The latest incarnation of an instance; 0 before the first.
    pub fn generation(&self, instance: &InstanceId) -> Generation {
        self.table().entries.get(instance).map_or(Generation(0), |entry| entry.generation)
    }

    /// What the node as a whole is doing.
    pub fn node_state(&self) -> NodeState {
        self.table().node_state
    }

    /// How long the node has lived.
    pub fn uptime(&self) -> Duration {
        self.0.started_at.elapsed()
    }

    /// The rows that `wanted` accepts, ordered by service and index.
    pub fn entries(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.table().entries.values().filter(|entry| wanted(entry)).cloned().collect()
    }

    /// One number or word about every row, without copying the rows.
    pub fn survey<T>(&self, look: impl FnMut(&Entry) -> T) -> Vec<T> {
        self.table().entries.values().map(look).collect()
    }

    /// Ends of processes of the wanted instances, oldest first.
    pub fn history(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<HistoryEntry> {
        let mut entries: Vec<HistoryEntry> = self
            .table()
            .entries
            .values()
            .filter(|entry| wanted(entry))
            .flat_map(|entry| entry.history.iter().cloned())
            .collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// As [`Self::history`], complete: waits for what processes that are gone printed last.
    pub async fn complete_history(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<HistoryEntry> {
        let unread = || {
            let ends = self.history(&wanted).into_iter();
            let unread = ends.filter(|end| end.exited.stderr.is_none());
            unread.map(|end| (end.instance, end.generation)).collect::<Vec<_>>()
        };
        // Those that come meanwhile are not waited for: in a crash loop there is always another.
        let awaited = unread();
        self.wait_until(|_| unread().iter().all(|end| !awaited.contains(end))).await;
        self.history(wanted)
    }

    /// Events that are still held, and those to come.
    pub fn subscribe(&self) -> Subscription {
        let table = self.table();
        (table.held.iter().cloned().collect(), self.0.events.subscribe())
    }

    /// Counts up with every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Waits until `settled` says yes about the table, which is asked after every change.
    pub async fn wait_until(&self, settled: impl Fn(&Self) -> bool) {
        let mut changes = self.changes();
        while !settled(self) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The indices that a service has now.
    pub fn indices(&self, service: &Name) -> Vec<NonZeroU32> {
        self.table()
            .entries
            .keys()
            .filter(|instance| instance.service == *service)
            .map(|instance| instance.index)
            .collect()
    }

    fn publish(&self, table: &mut Table, event: impl FnOnce(u64, SystemTime) -> Event) {
        table.sequence += 1;
        let event = Arc::new(event(table.sequence, SystemTime::now()));
        narrate(&event);
        if table.held.len() == EVENTS_HELD_MAX {
            table.held.pop_front();
        }
        table.held.push_back(event.clone());
        // Nobody may be listening, which is no failure.
        let _ = self.0.events.send(event);
    }

    fn wake(&self) {
        self.0.version.send_modify(|version| *version += 1);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

/// The target of log lines that say what [`Registry`] tells subscribers as events.
pub const EVENT_LOG_TARGET: &str = "blackhole::events";

/// The line of the node's own log that goes with an event.
fn narrate(event: &Event) {
    let (service, instance) = match &event.instance {
        Some(instance) => (instance.service.as_str(), instance.index.get()),
        None => ("", 0),
    };
    let (generation, name, reason) = (event.generation.0, event.event, event.reason.as_str());
    let message = event.message.as_str();
    match name {
        "failed" | "leaked" => {
            tracing::error!(target: EVENT_LOG_TARGET, service, instance, generation, event = name, reason, "{message}");
        }
        "exited" if reason != Reason::Stop.as_str() => {
            tracing::warn!(target: EVENT_LOG_TARGET, service, instance, generation, event = name, reason, "{message}");
        }
        _ => {
            tracing::info!(target: EVENT_LOG_TARGET, service, instance, generation, event = name, reason, "{message}")
        }
    }
}

/// What an event will say, apart from where it stands.
struct Draft {
    event: Option<&'static str>,
    pid: Option<u32>,
    reason: String,
    message: String,
}

impl Draft {
    fn silent() -> Self {
        Self { event: None, pid: None, reason: String::new(), message: String::new() }
    }

    fn of(event: &'static str, message: impl Into<String>) -> Self {
        Self { event: Some(event), pid: None, reason: String::new(), message: message.into() }
    }
}

fn apply(entry: &mut Entry, generation: Generation, change: Change) -> Draft {
    let now = Instant::now();
    let enter = |entry: &mut Entry, state: State| {
        entry.state = state;
        entry.since = now;
        entry.checked_at = SystemTime::now();
    };
    match change {
        Change::Pending(waits_for) => {
            enter(entry, State::Pending);
            entry.note = waiting_note(&waits_for);
            Draft::of("pending", entry.note.clone())
        }
        Change::Spawned { pid } => {
            count_restart(entry, generation);
            enter(entry, State::Starting);
            (entry.pid, entry.generation, entry.spawned_at) = (Some(pid), generation, Some(now));
            entry.note.clear();
            Draft::of("spawned", "")
        }
        Change::Ready => {
            note_ready(entry, now);
            enter(entry, State::Ready);
            Draft::of("ready", "")
        }
        Change::Unready(why) => {
            enter(entry, State::Unready);
            entry.note.clone_from(&why);
            entry.unready_why = Some(why.clone());
            Draft::of("unready", why)
        }
        Change::Stopping(why) => {
            enter(entry, State::Stopping);
            entry.stopping_since.get_or_insert(now);
            Draft::of("stopping", why)
        }
        Change::Exited(exited) => note_exit(entry, generation, exited, now),
        Change::Read(stderr) => {
            note_stderr(entry, generation, &stderr);
            Draft::silent()
        }
        Change::BackingOff(delay) => {
            enter(entry, State::BackingOff);
            entry.note = format!("starts again in {delay:.1?}");
            Draft::of("backing_off", entry.note.clone())
        }
        Change::Stopped => {
            enter(entry, State::Stopped);
            entry.note.clear();
            Draft::of("stopped", "")
        }
        Change::Completed => {
            enter(entry, State::Completed);
            entry.note.clear();
            Draft::of("completed", "")
        }
        Change::Failed(why) => {
            enter(entry, State::Failed);
            entry.note.clone_from(&why);
            Draft::of("failed", why)
        }
        Change::Noted(note) => {
            entry.note = note;
            Draft::silent()
        }
        Change::Leaked(what) => Draft::of("leaked", what),
    }
}

/// What a service says of itself stays; why it was not ready is over.
fn note_ready(entry: &mut Entry, now: Instant) {
    if let (State::Starting, Some(spawned_at)) = (entry.state, entry.spawned_at) {
        entry.start_durations.observe(now - spawned_at);
    }
    if entry.unready_why.take().is_some_and(|why| why == entry.note) {
        entry.note.clear();
    }
}

fn waiting_note(waits_for: &[String]) -> String {
    if waits_for.is_empty() { String::new() } else { format!("waits for {}", waits_for.join(", ")) }
}

/// A start that follows an exit which nobody asked for is a restart, counted by that exit's reason.
fn count_restart(entry: &mut Entry, generation: Generation) {
    if let Some(last) = &entry.last_exit
        && last.generation < generation
        && last.exited.reason != Reason::Stop
    {
        *entry.restarts.entry(last.exited.reason).or_default() += 1;
    }
}

fn note_exit(entry: &mut Entry, generation: Generation, exited: Exited, now: Instant) -> Draft {
    if let Some(asked_at) = entry.stopping_since.take() {
        entry.stop_durations.observe(now - asked_at);
    }
    if entry.pid.is_none() && exited.pid.is_none() {
        // A start that failed never told its generation by `Spawned`.
        count_restart(entry, generation);
    }
    (entry.pid, entry.spawned_at, entry.generation) = (None, None, generation);
    // What follows is the supervisor's to say; until it does, this is what follows most often.
    entry.state = if exited.reason == Reason::Stop { State::Stopped } else { State::BackingOff };
    (entry.since, entry.checked_at) = (now, SystemTime::now());
    let draft = Draft {
        event: Some("exited"),
        pid: exited.pid,
        reason: exited.reason.to_string(),
        message: exited.message.clone(),
    };
    let record = HistoryEntry {
        at: SystemTime::now(),
        instance: entry.instance.clone(),
        generation,
        exited,
    };
    if entry.history.len() == HISTORY_ENTRIES_MAX {
        entry.history.pop_front();
    }
    entry.history.push_back(record.clone());
    entry.last_exit = Some(record);
    draft
}

/// The end may be forgotten by now.
fn note_stderr(entry: &mut Entry, generation: Generation, stderr: &str) {
    let ends = entry.history.iter_mut().chain(&mut entry.last_exit);
    for end in ends.filter(|end| end.generation == generation) {
        end.exited.stderr = Some(stderr.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_of_itself_outlives_why_it_was_not_ready() {
        let registry = Registry::new();
        let service = "a".parse().expect("a name");
        let instance = InstanceId { service, index: NonZeroU32::MIN };
        registry.add(instance.clone(), None, Kind::Command, State::Pending);
        let note = |change: Change| {
            registry.record(&instance, Generation(1), change);
            registry.entries(|_| true)[0].note.clone()
        };
        note(Change::Spawned { pid: 1 });
        assert_eq!(note(Change::Unready("reloads".into())), "reloads");
        assert_eq!(note(Change::Ready), "");
        note(Change::Unready("reloads".into()));
        note(Change::Noted("3 clients".into()));
        assert_eq!(note(Change::Ready), "3 clients");
    }
}
