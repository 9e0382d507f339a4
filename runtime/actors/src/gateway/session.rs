//! The gateway's side of one connection.

mod outbox;

use std::{
    sync::{Arc, atomic::Ordering},
    task::Waker,
    time::Duration,
};

use blackhole_protocol::link::{
    FRAME_LENGTH_MAX, end_of_values,
    gateway::{
        FromGateway, GREETING_LENGTH_MAX, NAME_LENGTH_MAX, Refusal, SCHEMA, ToGateway, VERSION,
        WINDOW, shortened,
    },
    take_value,
};
use tokio::{io::Interest, net::UnixStream, time::Instant};

pub(crate) use self::outbox::Ticket;
pub(super) use self::outbox::{FAREWELL_TIMEOUT, Outbox};

use self::outbox::{GRANTS_PER_WINDOW, GREETING_TIMEOUT};
use super::{
    Shared,
    hosted::{MessageType, WayIn},
    sessions::{Seat, Share},
};
use crate::{
    link::{Dialect, LinkError},
    reply::{Asked, WITHIN_MAX},
    wire::{Collected, Endpoint, READ_SIZE_MAX, Sending, Wire},
};

/// Actors that one peer may have bound at a time.
const TARGETS_MAX: u32 = 1 << 14;
/// A peer that leaves this many bytes unread is not read from until it has read them.
const CONGESTED_BYTES: usize = 1 << 20;
/// After this many answers to a peer's wishes, which may be far longer than the wishes, they are sent before more is
/// read from it.
const ANSWERED_WISHES_MAX: u32 = 64;

const _: () = assert!(WINDOW.bytes as usize > FRAME_LENGTH_MAX);

/// One peer, from its first frame to its leave.
pub(super) async fn session(
    stream: UnixStream,
    seat: Arc<Seat>,
    share: Share,
    shared: Arc<Shared>,
) -> Result<(), LinkError> {
    let stream = Arc::new(stream);
    let outbox = Arc::new(Outbox::over(stream.clone(), share));
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
        stage: Stage::Ungreeted,
        targets: Vec::new(),
        dirty_targets: Vec::new(),
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
    let begun = outbox.lock().outgoing.take();
    match ended {
        Ok(()) | Err(LinkError::Closed) => Ok(()),
        Err(error) => {
            farewell(&stream, [wire.unsent(), begun.rest()], &error).await;
            Err(error)
        }
    }
}

/// A peer that is served. When this is dropped, even by a panic in a message's own code, the peer counts as gone.
struct Here<'a> {
    seat: &'a Seat,
    outbox: &'a Outbox,
}

impl Here<'_> {
    fn leave(&self) {
        self.seat.leave();
        self.outbox.close();
    }

    /// A peer that is not read from, because its messages take much memory, may go meanwhile: then nobody needs their
    /// answers, and what is left in the socket is read when some are done.
    async fn left_unheard(&self, stream: &UnixStream) {
        self.outbox.filled.notified().await;
        // This readiness reports nothing but the end of the peer's side.
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

/// Tells a peer why it is cut, if it still reads: after the rest of what it may have in part, or it would take the
/// goodbye for that rest.
pub(super) async fn farewell(stream: &UnixStream, unsent: [&[u8]; 2], error: &LinkError) {
    let goodbye = FromGateway::Goodbye { reason: shortened(error.to_string()) };
    let mut last = Vec::new();
    if blackhole_protocol::link::append_frame(&goodbye, &mut last).is_err() {
        return;
    }
    let said = async {
        for bytes in [unsent[0], unsent[1], &last] {
            write_all(stream, bytes).await?;
        }
        std::io::Result::Ok(())
    };
    // A peer that does not listen learns from the closed connection.
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, said).await;
}

async fn write_all(stream: &UnixStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(full) if full.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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

/// What the peer has said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its first frame has not come.
    Ungreeted,
    Open,
    /// It will send nothing more, and waits for what is undone.
    SaidGoodbye,
}

struct Session {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    outbox: Arc<Outbox>,
    stage: Stage,
    targets: Vec<Option<Target>>,
    /// Those that have collected messages, and are marked as dirty.
    dirty_targets: Vec<u32>,
    undone: Undone,
    /// Wishes to bind and to release that were answered since the last settlement.
    answered_wishes: u32,
    /// What was read since then, in bytes of memory, also of what was refused.
    read_size: usize,
    /// When the calls of the present read arrived.
    now: Option<Instant>,
}

impl Session {
    fn on_greeting(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        Dialect { version: VERSION, schema: SCHEMA }.check(frame)?;
        let mut rest = frame;
        let greeting = take_value(&mut rest)?;
        end_of_values(rest)?;
        let ToGateway::Hello { from, .. } = greeting else {
            return Err(LinkError::NotAHandshake);
        };
        tracing::debug!(from, "a peer of the gateway came");
        self.stage = Stage::Open;
        self.outbox.greeted.notify_one();
        Ok(())
    }

    fn on_message(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        let mut rest = frame;
        match take_value(&mut rest)? {
            ToGateway::Cast { target } => {
                let (target, ticket) = self.admit(target, frame.len())?;
                self.read_size += target.way_in.cast(rest, ticket)?;
                Ok(())
            }
            ToGateway::Call { target, call, within_us } => {
                let now = *self.now.get_or_insert_with(Instant::now);
                let deadline = now + Duration::from_micros(within_us).min(WITHIN_MAX);
                let (target, ticket) = self.admit(target, frame.len())?;
                self.read_size += target.way_in.call(rest, Asked { ticket, call, deadline });
                Ok(())
            }
            ToGateway::Bind { target, actor, message, schema } => {
                end_of_values(rest)?;
                self.bind(target, actor, MessageType { name: &message, schema })
            }
            ToGateway::Release { target } => {
                end_of_values(rest)?;
                self.release(target)
            }
            ToGateway::Goodbye { .. } => {
                end_of_values(rest)?;
                if self.outbox.leaving.load(Ordering::Acquire) {
                    self.stage = Stage::SaidGoodbye;
                    return Ok(());
                }
                Err(LinkError::Closed)
            }
            ToGateway::Hello { .. } => Err(LinkError::Misuse("greeted twice")),
        }
    }

    fn bind(
        &mut self,
        target: u32,
        actor: String,
        believed: MessageType<'_>,
    ) -> Result<(), LinkError> {
        self.answered_wishes += 1;
        if actor.len().max(believed.name.len()) > NAME_LENGTH_MAX {
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
        match self.shared.names.bind(&actor, believed, &self.outbox, target) {
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
            self.dirty_targets.push(target);
        }
        Ok((place, ticket))
    }

    /// Actors get what was collected for them.
    fn give_to_actors(&mut self) {
        for target in self.dirty_targets.drain(..) {
            if let Some(target) = self.targets[target as usize].as_mut() {
                target.dirty = false;
                target.way_in.settle();
            }
        }
    }

    /// Takes leave of a peer that has done so and waits for nothing any more.
    fn part(&self) {
        if self.stage == Stage::SaidGoodbye && self.outbox.is_idle() {
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
        if messages.load(Ordering::Relaxed) < WINDOW.messages / GRANTS_PER_WINDOW
            && bytes.load(Ordering::Relaxed) < WINDOW.bytes / GRANTS_PER_WINDOW
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

impl Endpoint for Session {
    fn frame_length_max(&self) -> usize {
        match self.stage {
            Stage::Ungreeted => GREETING_LENGTH_MAX,
            Stage::Open | Stage::SaidGoodbye => FRAME_LENGTH_MAX,
        }
    }

    fn is_congested(&self) -> bool {
        self.outbox.held_unread() > CONGESTED_BYTES
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        match self.stage {
            Stage::Ungreeted => self.on_greeting(frame),
            Stage::Open => self.on_message(frame),
            Stage::SaidGoodbye => Err(LinkError::Misuse("spoke after its goodbye")),
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

    fn collect(&mut self, sending: &mut Sending, waker: &Waker) -> Collected {
        self.grant();
        self.part();
        let collected = self.outbox.lock().outgoing.collect(sending, waker);
        if !sending.rest().is_empty() || collected == Collected::Last {
            return collected;
        }
        // What was done before the waker was there has woken nobody.
        self.grant();
        self.part();
        self.outbox.lock().outgoing.collect(sending, waker)
    }
}

#[cfg(test)]
mod tests;
