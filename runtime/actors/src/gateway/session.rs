//! The gateway's side of one connection.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use blackhole_protocol::link::{
    EncodeError, FRAME_LENGTH_MAX, append_value, end_of_values,
    gateway::{
        Failure, FromGateway, GREETING_LENGTH_MAX, NAME_LENGTH_MAX, Refusal, SCHEMA, ToGateway,
        VERSION, WINDOW, shortened,
    },
    greeting_of, take_value,
};
use tokio::{io::Interest, net::UnixStream, time::Instant};

use super::{
    Shared,
    hosted::WayIn,
    sessions::{Seat, Share},
};
use crate::{
    link::{LinkError, compare},
    reply::Asked,
    wire::{Collected, End, Outgoing, READ_SIZE_MAX, Wire},
};

/// Actors that one peer may have bound at a time.
const TARGETS_MAX: u32 = 1 << 14;
/// How long a peer may take for its first frame.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of answers that a peer may leave unread; further answers become failures.
const UNREAD_BYTES_MAX: usize = 32 << 20;
/// A peer that leaves so many bytes unread is not read from until it has read them.
const CONGESTED_BYTES: usize = 1 << 20;
/// A message that takes less memory, in bytes, is not counted: so many of them as fit into the window are few.
const LARGE_MESSAGE_SIZE: usize = 4096;
/// A peer whose large messages take more memory, in bytes, is not heard until some of them are done.
const HELD_SIZE_MAX: usize = 16 << 20;
/// After so many answers to wishes of a peer, which may be far longer than those, they go out before it is
/// heard again.
const ANSWERED_WISHES_MAX: u32 = 64;
/// How long a peer has to read what is said to it last, and to take leave when nothing of it is undone.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);
/// Credits are granted in portions: this share of the window.
const PORTIONS: u32 = 4;

/// One peer, from its first frame to its leave.
pub(super) async fn session(
    mut stream: UnixStream,
    seat: Arc<Seat>,
    share: Share,
    shared: Arc<Shared>,
) -> Result<(), LinkError> {
    let outbox = Arc::new(Outbox { _share: Some(share), ..Outbox::default() });
    outbox.say(&FromGateway::Welcome {
        version: VERSION,
        schema: SCHEMA,
        instance: shared.instance.clone(),
        generation: shared.generation,
        window: WINDOW,
    });
    shared.names.opened(&outbox);
    let mut session = Session {
        shared,
        seat: seat.clone(),
        outbox: outbox.clone(),
        greeted: false,
        said_goodbye: false,
        targets: Vec::new(),
        dirty: Vec::new(),
        undone: Undone::default(),
        answered_wishes: 0,
        read_size: 0,
        now: None,
    };
    let here = Here { seat: &seat, outbox: &outbox };
    let mut wire = Wire::default();
    let ended = {
        let mut driven = std::pin::pin!(wire.drive(&stream, &mut session));
        tokio::select! {
            ended = &mut driven => ended,
            () = outbox.ungreeted() => Err(LinkError::HandshakeTimeout { within: GREETING_TIMEOUT }),
            () = outbox.ignored() => Err(LinkError::Closed),
            () = here.left_unheard(&stream) => Err(LinkError::Closed),
        }
    };
    drop(here);
    match ended {
        Ok(()) | Err(LinkError::Closed) => Ok(()),
        Err(error) => {
            farewell(&mut stream, wire.unsent(), &error).await;
            Err(error)
        }
    }
}

/// A peer that is heard. Its drop, also by a panic in a message's own code, is its going.
struct Here<'a> {
    seat: &'a Seat,
    outbox: &'a Outbox,
}

impl Here<'_> {
    fn leave(&self) {
        self.seat.leave();
        self.outbox.close();
    }

    /// A peer that is not heard, because its messages take much memory, may go meanwhile: then they are for nobody,
    /// and what is left of them in the socket is read when some are done.
    async fn left_unheard(&self, stream: &UnixStream) {
        self.outbox.filled.notified().await;
        // Nothing but the end of what the peer says comes under this name.
        let _ended_or_failed = stream.ready(Interest::PRIORITY).await;
        self.leave();
        std::future::pending().await
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Tells a peer why it is cut, if it still reads: after what it has perhaps half, or it would take the one for
/// the rest of the other.
pub(super) async fn farewell(stream: &mut UnixStream, unsent: &[u8], error: &LinkError) {
    use tokio::io::AsyncWriteExt;
    let mut bytes = unsent.to_vec();
    let goodbye = FromGateway::Goodbye { reason: shortened(error.to_string()) };
    if blackhole_protocol::link::append_frame(&goodbye, &mut bytes).is_ok() {
        // A peer that does not listen learns from the closed connection.
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, stream.write_all(&bytes)).await;
    }
}

/// What is to be said to one peer, by any actor on any thread.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    outgoing: Mutex<OutboxState>,
    done_messages: AtomicU32,
    done_bytes: AtomicU32,
    /// Messages that have arrived and are not done.
    undone: AtomicU32,
    /// What the large ones of them take in memory, in bytes.
    held: AtomicUsize,
    /// That was too much once.
    filled: tokio::sync::Notify,
    greeted: tokio::sync::Notify,
    leaving: AtomicBool,
    left_to: tokio::sync::Notify,
    _share: Option<Share>,
}

#[derive(Debug, Default)]
struct OutboxState {
    outgoing: Outgoing,
    closed: bool,
    /// Who waits for less to be held.
    waits_for_room: Option<Waker>,
}

impl Outbox {
    /// Says something that always fits into a frame.
    pub(super) fn say(&self, message: &FromGateway) {
        self.append(|bytes| append_value(message, bytes)).expect("a frame of ours fits");
    }

    /// Takes leave.
    pub(super) fn leave(&self, reason: &str) {
        if self.lock().outgoing.is_finished() {
            return;
        }
        self.say(&FromGateway::Goodbye { reason: shortened(reason.to_owned()) });
        let mut state = self.lock();
        state.outgoing.finish();
        wake(state.outgoing.waker());
    }

    /// Sends the peer to the successor.
    pub(super) fn begin_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
        self.say(&FromGateway::Leaving);
        self.left_to.notify_one();
    }

    /// Resolves when the peer does not take leave, although it was sent away and has waited for nothing since a
    /// moment ago: until then it may still be reading its last answer.
    async fn ignored(&self) {
        self.left_to.notified().await;
        let mut was_idle = false;
        loop {
            tokio::time::sleep(FAREWELL_TIMEOUT).await;
            let is_idle = self.is_idle() && self.unread() == 0;
            if was_idle && is_idle {
                return;
            }
            was_idle = is_idle;
        }
    }

    fn is_idle(&self) -> bool {
        self.undone.load(Ordering::Acquire) == 0
    }

    fn append(
        &self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut state = self.lock();
        if state.closed {
            return Ok(());
        }
        state.outgoing.append(write)?;
        let waker = state.outgoing.waker();
        drop(state);
        wake(waker);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) > HELD_SIZE_MAX
    }

    /// A large message is done.
    fn release(&self, size: usize) {
        let before = self.held.fetch_sub(size, Ordering::Relaxed);
        if before > HELD_SIZE_MAX && before - size <= HELD_SIZE_MAX {
            let waker = self.lock().waits_for_room.take();
            wake(waker);
        }
    }

    /// Bytes that are held for a peer that does not read them.
    fn held_unread(&self) -> usize {
        self.lock().outgoing.held()
    }

    fn unread(&self) -> usize {
        self.lock().outgoing.unsent()
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.outgoing = Outgoing::default();
    }

    /// Resolves when the peer has not said its first frame in time.
    async fn ungreeted(&self) {
        tokio::select! {
            () = self.greeted.notified() => std::future::pending().await,
            () = tokio::time::sleep(GREETING_TIMEOUT) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What one message of a peer is worth; handed back when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    outbox: Arc<Outbox>,
    /// Of its frame.
    bytes: u32,
    /// What it takes in memory, if that is much, in bytes.
    size: usize,
}

impl Ticket {
    fn of(outbox: &Arc<Outbox>, bytes: u32) -> Self {
        outbox.undone.fetch_add(1, Ordering::Relaxed);
        Self { outbox: outbox.clone(), bytes, size: 0 }
    }

    /// What the message takes in memory, now that it is read, in bytes. A question does so until it is answered:
    /// what its actor keeps of it is not known here.
    pub(crate) fn weigh(&mut self, size: usize) {
        if size >= LARGE_MESSAGE_SIZE && self.size == 0 {
            self.size = size;
            self.outbox.held.fetch_add(size, Ordering::Relaxed);
        }
    }

    /// Is the peer still there?
    pub(crate) fn is_connected(&self) -> bool {
        !self.outbox.lock().closed
    }

    /// Answers a question of the peer.
    pub(crate) fn answer(
        &self,
        call: u64,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) {
        if self.outbox.held_unread() > UNREAD_BYTES_MAX {
            let why = format!("the caller has left {UNREAD_BYTES_MAX} bytes of answers unread");
            return self.fail(call, Failure::Unsendable(why));
        }
        let unanswered = Unanswered { ticket: self, call };
        let answered = self.outbox.append(|bytes| {
            append_value(&FromGateway::Answer { call }, bytes)?;
            encode(bytes)
        });
        std::mem::forget(unanswered);
        if let Err(error) = answered {
            self.fail(call, Failure::Unsendable(error.to_string()));
        }
    }

    /// Says that a question will not be answered.
    pub(crate) fn fail(&self, call: u64, failure: Failure) {
        self.outbox.say(&FromGateway::Failed { call, failure: failure.shortened() });
    }
}

/// A question whose answer is being written. Dropped by a panic of that, it says so to the caller.
struct Unanswered<'a> {
    ticket: &'a Ticket,
    call: u64,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.ticket.fail(self.call, Failure::Panicked);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.size > 0 {
            self.outbox.release(self.size);
        }
        let messages = self.outbox.done_messages.fetch_add(1, Ordering::Relaxed) + 1;
        let before = self.outbox.done_bytes.fetch_add(self.bytes, Ordering::Relaxed);
        let portion = WINDOW.bytes / PORTIONS;
        let reached = before < portion && before.saturating_add(self.bytes) >= portion;
        let was_last = self.outbox.undone.fetch_sub(1, Ordering::Release) == 1;
        let is_over = was_last && self.outbox.leaving.load(Ordering::Acquire);
        if messages == WINDOW.messages / PORTIONS || reached || is_over {
            wake(self.outbox.lock().outgoing.waker());
        }
    }
}

/// What a peer has sent and has not been granted again.
#[derive(Debug, Default)]
struct Undone {
    messages: u32,
    bytes: u32,
}

/// An actor that the peer has bound.
struct Target {
    actor: String,
    way_in: Box<dyn WayIn>,
    dirty: bool,
}

struct Session {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    outbox: Arc<Outbox>,
    greeted: bool,
    /// The peer will send nothing more, and waits for what is undone.
    said_goodbye: bool,
    targets: Vec<Option<Target>>,
    /// Targets that have collected messages.
    dirty: Vec<u32>,
    undone: Undone,
    /// Wishes to bind and to release that were answered since the last settlement.
    answered_wishes: u32,
    /// What was read since then, in bytes of memory, also of what was refused.
    read_size: usize,
    /// When the calls of the present read arrived.
    now: Option<Instant>,
}

impl Session {
    fn greet(&mut self, greeting: ToGateway) -> Result<(), LinkError> {
        let ToGateway::Hello { from, .. } = greeting else {
            return Err(LinkError::NotAHandshake);
        };
        tracing::debug!(from, "a peer of the gateway came");
        self.greeted = true;
        self.outbox.greeted.notify_one();
        Ok(())
    }

    fn bind(&mut self, target: u32, actor: String, belief: (&str, u64)) -> Result<(), LinkError> {
        self.answered_wishes += 1;
        if actor.len().max(belief.0.len()) > NAME_LENGTH_MAX {
            return Err(LinkError::Misuse("used a name that is too long"));
        }
        if target >= TARGETS_MAX {
            let refusal = Refusal::TooMany { targets_max: TARGETS_MAX };
            self.outbox.say(&FromGateway::Refused { target, refusal });
            return Ok(());
        }
        let place = target as usize;
        if place == self.targets.len() {
            self.targets.push(None);
        }
        // Numbers are dense, so that a large one costs its peer as much as it costs us.
        if self.targets.get(place).is_none_or(Option::is_some) {
            return Err(LinkError::Misuse("bound a number that is not free"));
        }
        match self.shared.names.bind(&actor, belief, &self.outbox, target) {
            Ok(door) => {
                let way_in = door.way_in(&self.seat);
                self.targets[place] = Some(Target { actor, way_in, dirty: false });
            }
            Err(refusal) => self.outbox.say(&FromGateway::Refused { target, refusal }),
        }
        Ok(())
    }

    fn release(&mut self, target: u32) -> Result<(), LinkError> {
        self.give_to_actors();
        self.answered_wishes += 1;
        let place = self.targets.get_mut(target as usize).and_then(Option::take);
        let released = place.ok_or(LinkError::Misuse("released a number that is not bound"))?;
        self.shared.names.release(&released.actor, &self.outbox, target);
        Ok(())
    }

    /// A message within the window, for a number that is bound.
    fn admit(&mut self, target: u32, length: usize) -> Result<(&mut Target, Ticket), LinkError> {
        let bytes = u32::try_from(length).expect("a frame is no longer than its most");
        if self.undone.messages >= WINDOW.messages || self.undone.bytes >= WINDOW.bytes {
            return Err(LinkError::Misuse("sent more than it had been granted"));
        }
        self.undone.messages += 1;
        self.undone.bytes += bytes;
        let ticket = Ticket::of(&self.outbox, bytes);
        let place = self.targets.get_mut(target as usize).and_then(Option::as_mut);
        let place = place.ok_or(LinkError::Misuse("spoke to a number that is not bound"))?;
        if !place.dirty {
            place.dirty = true;
            self.dirty.push(target);
        }
        Ok((place, ticket))
    }

    /// Actors get what was collected for them.
    fn give_to_actors(&mut self) {
        for target in self.dirty.drain(..) {
            if let Some(target) = self.targets[target as usize].as_mut() {
                target.dirty = false;
                target.way_in.settle();
            }
        }
    }

    /// Takes leave of a peer that has done so and waits for nothing any more.
    fn part(&self) {
        if self.said_goodbye && self.outbox.is_idle() {
            self.outbox.leave("everything is answered, and the process stops");
        }
    }

    /// What has been done since the last time, if it is worth a frame. A peer that was sent to the successor is
    /// granted nothing more: it would have us work for it as long as it likes.
    fn grant(&mut self) {
        if self.outbox.leaving.load(Ordering::Acquire) {
            return;
        }
        let (messages, bytes) = (&self.outbox.done_messages, &self.outbox.done_bytes);
        if messages.load(Ordering::Relaxed) < WINDOW.messages / PORTIONS
            && bytes.load(Ordering::Relaxed) < WINDOW.bytes / PORTIONS
        {
            return;
        }
        let messages = messages.swap(0, Ordering::Relaxed);
        let bytes = bytes.swap(0, Ordering::Relaxed);
        self.undone.messages -= messages;
        self.undone.bytes -= bytes;
        self.outbox.say(&FromGateway::Granted { messages, bytes });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for (target, bound) in (0..).zip(self.targets.drain(..)) {
            if let Some(bound) = bound {
                self.shared.names.forget(&bound.actor, &self.outbox, target);
            }
        }
    }
}

impl End for Session {
    fn frame_length_max(&self) -> usize {
        if self.greeted { FRAME_LENGTH_MAX } else { GREETING_LENGTH_MAX }
    }

    fn is_congested(&self) -> bool {
        self.outbox.held_unread() > CONGESTED_BYTES
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        let mut rest = frame;
        if !self.greeted {
            compare(greeting_of(frame)?, (VERSION, SCHEMA))?;
            let greeting = take_value(&mut rest)?;
            end_of_values(rest)?;
            return self.greet(greeting);
        }
        if self.said_goodbye {
            return Err(LinkError::Misuse("spoke after its goodbye"));
        }
        match take_value(&mut rest)? {
            ToGateway::Cast { target } => {
                let (target, ticket) = self.admit(target, frame.len())?;
                self.read_size += target.way_in.cast(rest, ticket)?;
                Ok(())
            }
            ToGateway::Call { target, call, within_us } => {
                let now = *self.now.get_or_insert_with(Instant::now);
                let deadline = now + Duration::from_micros(within_us.min(WITHIN_US_MAX));
                let (target, ticket) = self.admit(target, frame.len())?;
                self.read_size += target.way_in.call(rest, Asked { ticket, call, deadline });
                Ok(())
            }
            ToGateway::Bind { target, actor, message, schema } => {
                end_of_values(rest)?;
                self.bind(target, actor, (&message, schema))
            }
            ToGateway::Release { target } => {
                end_of_values(rest)?;
                self.release(target)
            }
            ToGateway::Goodbye { .. } => {
                end_of_values(rest)?;
                if self.outbox.leaving.load(Ordering::Acquire) {
                    self.said_goodbye = true;
                    return Ok(());
                }
                Err(LinkError::Closed)
            }
            ToGateway::Hello { .. } => Err(LinkError::Misuse("greeted twice")),
        }
    }

    fn needs_a_pause(&self) -> bool {
        self.answered_wishes >= ANSWERED_WISHES_MAX || self.read_size > READ_SIZE_MAX
    }

    fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    fn wait_for_room(&mut self, waker: &Waker) {
        self.outbox.lock().waits_for_room = Some(waker.clone());
        self.outbox.filled.notify_one();
    }

    fn settle(&mut self) {
        self.now = None;
        self.answered_wishes = 0;
        self.read_size = 0;
        self.give_to_actors();
    }

    fn sent(&mut self, length: usize) {
        self.outbox.lock().outgoing.sent(length);
    }

    fn collect(&mut self, sent: &mut Vec<u8>, waker: &Waker) -> Collected {
        self.grant();
        self.part();
        let collected = self.outbox.lock().outgoing.collect(sent, waker);
        if !sent.is_empty() || collected == Collected::Last {
            return collected;
        }
        // What was done before the waker was there has woken nobody.
        self.grant();
        self.part();
        self.outbox.lock().outgoing.collect(sent, waker)
    }
}

/// A year; who waits longer waits for ever.
const WITHIN_US_MAX: u64 = 365 * 24 * 3600 * 1_000_000;
const _: () = assert!(WINDOW.bytes as usize > FRAME_LENGTH_MAX);

#[cfg(test)]
mod tests;
