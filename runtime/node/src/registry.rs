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

use blackhole_policy::supervision::Generation;
use blackhole_protocol::{InstanceId, Name};
use tokio::sync::{broadcast, watch};

mod adjustments;
mod change;
mod entry;
mod event;
mod histogram;
mod state;

pub(crate) use adjustments::ADMISSION;
pub use change::{Change, Exited};
pub(crate) use entry::killed_for_memory;
pub use entry::{Entry, HistoryEntry};
pub use event::{EVENT_LOG_TARGET, Event};
pub use histogram::Histogram;
pub use state::{Kind, NodeState, State};

/// Past events that a new subscriber still gets.
const EVENTS_HELD_MAX: usize = 1024;
/// Events that a slow subscriber may fall behind before it misses some.
const EVENTS_LAG_MAX: usize = 1024;

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
    /// A node of the tree has room for more rows than it holds, so they lie outside.
    entries: BTreeMap<InstanceId, Box<Entry>>,
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
        self.table().entries.entry(instance).or_insert(Box::new(entry));
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
        let draft = entry.apply(generation, change);
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
        self.table()
            .entries
            .values()
            .filter(|entry| wanted(entry))
            .map(|entry| Entry::clone(entry))
            .collect()
    }

    /// Something about one row, without copying it; nothing if there is no such row.
    pub(crate) fn look<T>(
        &self,
        instance: &InstanceId,
        look: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        self.table().entries.get(instance).map(|entry| look(entry))
    }

    /// One number or word about every row, without copying the rows.
    pub fn survey<T>(&self, look: impl FnMut(&Entry) -> T) -> Vec<T> {
        let mut look = look;
        self.table().entries.values().map(|entry| look(entry)).collect()
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
        let first = InstanceId { service: service.clone(), index: NonZeroU32::MIN };
        self.table()
            .entries
            .range(first..)
            .map(|(instance, _)| instance)
            .take_while(|instance| instance.service == *service)
            .map(|instance| instance.index)
            .collect()
    }

    fn publish(&self, table: &mut Table, event: impl FnOnce(u64, SystemTime) -> Event) {
        table.sequence += 1;
        let event = Arc::new(event(table.sequence, SystemTime::now()));
        event::narrate(&event);
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
