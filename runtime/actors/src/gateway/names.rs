//! Which actors there are, and who wants to know when they end.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use blackhole_protocol::link::gateway::{
    ExitReason, FromGateway, KNOWN_MAX, NAME_LENGTH_MAX, Refusal,
};
use ractor::ActorId;

use super::{
    HostError, Restart,
    hosted::{Door, MessageType},
    session::Outbox,
};
#[cfg(test)]
use super::{hosted::WayIn, sessions::Seat};

/// The table. An entry without an actor is a name that is being filled.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<String, Option<Entry>>,
    by_id: HashMap<ActorId, String>,
    sessions: Vec<Weak<Outbox>>,
    /// Peers are told to turn to the successor.
    leaving: bool,
}

/// An actor that is there.
#[derive(Debug)]
pub(super) struct Entry {
    id: ActorId,
    restart: Restart,
    door: Arc<dyn Door>,
    watchers: HashMap<Watcher, Weak<Outbox>>,
}

/// A session, by the address of its outbox, and the number that it has given the actor. It releases the
/// number before that address can be another's.
type Watcher = (usize, u32);

fn watcher(peer: &Arc<Outbox>, target: u32) -> Watcher {
    (Arc::as_ptr(peer).addr(), target)
}

impl Entry {
    pub(super) fn new(id: ActorId, restart: Restart, door: Arc<dyn Door>) -> Self {
        Self { id, restart, door, watchers: HashMap::new() }
    }
}

/// A name that is to be filled; free again if this is dropped before.
pub(super) struct Place<'a> {
    names: &'a Names,
    name: Option<String>,
}

impl Names {
    /// Keeps a name for an actor that is about to start.
    pub(super) fn reserve(&self, name: &str) -> Result<Place<'_>, HostError> {
        if name.len() > NAME_LENGTH_MAX {
            return Err(HostError::NameTooLong { length: name.len() });
        }
        let mut table = self.table();
        if table.entries.contains_key(name) {
            return Err(HostError::NameTaken(name.to_owned()));
        }
        table.entries.insert(name.to_owned(), None);
        Ok(Place { names: self, name: Some(name.to_owned()) })
    }

    /// Finds an actor for a peer that believes its messages to be of this type, tells the peer so, and later,
    /// by the number that the peer chose, when the actor has ended.
    pub(super) fn bind(
        &self,
        actor: &str,
        believed: MessageType<'_>,
        peer: &Arc<Outbox>,
        target: u32,
    ) -> Result<Arc<dyn Door>, Refusal> {
        let mut table = self.table();
        let Some(Some(entry)) = table.entries.get_mut(actor) else {
            drop(table);
            return Err(Refusal::Unknown { actor: actor.to_owned(), known: self.known(KNOWN_MAX) });
        };
        let hosted = entry.door.message_type();
        if hosted != believed {
            return Err(Refusal::Schema {
                actor: actor.to_owned(),
                their_message: hosted.name.to_owned(),
                their_schema: hosted.schema,
                our_message: believed.name.to_owned(),
                our_schema: believed.schema,
            });
        }
        entry.watchers.insert(watcher(peer, target), Arc::downgrade(peer));
        peer.say(&FromGateway::Bound { target });
        Ok(entry.door.clone())
    }

    /// A peer is no longer interested in an actor, and is told nothing of it after this is confirmed.
    pub(super) fn release(&self, actor: &str, peer: &Arc<Outbox>, target: u32) {
        let mut table = self.table();
        if let Some(Some(entry)) = table.entries.get_mut(actor) {
            entry.watchers.remove(&watcher(peer, target));
        }
        peer.say(&FromGateway::Released { target });
    }

    /// A peer is gone, and with it its interest in an actor.
    pub(super) fn forget(&self, actor: &str, peer: &Arc<Outbox>, target: u32) {
        if let Some(Some(entry)) = self.table().entries.get_mut(actor) {
            entry.watchers.remove(&watcher(peer, target));
        }
    }

    /// Frees the name of an actor that has ended, and tells those who had bound it.
    pub(super) fn ended(&self, id: ActorId, reason: &ExitReason) -> Option<(String, Restart)> {
        let mut table = self.table();
        let name = table.by_id.remove(&id)?;
        let entry = table.entries.remove(&name)??;
        let reason = reason.clone().shortened();
        for ((_, target), peer) in entry.watchers {
            if let Some(peer) = peer.upgrade() {
                peer.say(&FromGateway::Down { target, reason: reason.clone() });
            }
        }
        Some((name, entry.restart))
    }

    /// Some of the names.
    pub(super) fn known(&self, names_max: usize) -> Vec<String> {
        let table = self.table();
        let filled = table.entries.iter().filter(|(_, entry)| entry.is_some());
        filled.take(names_max).map(|(name, _)| name.clone()).collect()
    }

    /// A session that will be told when all of this ends.
    pub(super) fn opened(&self, peer: &Arc<Outbox>) {
        let mut table = self.table();
        table.sessions.retain(|session| session.strong_count() > 0);
        table.sessions.push(Arc::downgrade(peer));
        if table.leaving {
            peer.begin_leaving();
        }
    }

    /// Tells every peer to turn to the successor.
    pub(super) fn begin_leaving(&self) {
        let mut table = self.table();
        table.leaving = true;
        table.sessions.iter().filter_map(Weak::upgrade).for_each(|session| session.begin_leaving());
    }

    /// Tells every peer that this was all.
    pub(super) fn end(&self, reason: &str) {
        let sessions = std::mem::take(&mut self.table().sessions);
        for session in sessions.iter().filter_map(Weak::upgrade) {
            session.leave(reason);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Names {
    /// An actor that takes nothing.
    pub(super) fn watched_by_nobody(&self, name: &str) {
        #[derive(Debug)]
        struct Wall;

        impl Door for Wall {
            fn message_type(&self) -> MessageType<'static> {
                MessageType { name: "Nothing", schema: 0 }
            }

            fn way_in(&self, _: &Arc<Seat>) -> Box<dyn WayIn> {
                unreachable!("nobody goes in")
            }
        }

        let place = self.reserve(name).expect("the name is free");
        place.fill(Entry::new(ActorId::Local(u64::MAX), Restart::Temporary, Arc::new(Wall)));
    }
}

impl Place<'_> {
    /// The actor is there.
    pub(super) fn fill(mut self, entry: Entry) {
        let Some(name) = self.name.take() else { return };
        let mut table = self.names.table();
        table.by_id.insert(entry.id, name.clone());
        table.entries.insert(name, Some(entry));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.names.table().entries.remove(&name);
        }
    }
}
