//! Our side of one connection to a gateway.

mod binding;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use blackhole_protocol::{
    InstanceId,
    link::{
        EncodeError, LENGTH_PREFIX, append_frame, append_value, decode, end_of_values,
        gateway::{
            FromGateway, GREETING_LENGTH_MAX, NAME_LENGTH_MAX, Refusal, SCHEMA, ToGateway, VERSION,
            WINDOW, Window, shortened,
        },
        take_value,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{Notify, oneshot},
};

pub(super) use self::binding::Binding;

use self::binding::{UNANSWERED_MAX, Wish};
use super::{
    CastError, Lost, Unreachable,
    parting::{Parting, Stage, Undone},
    pending::{Calls, Targets, Wanted},
};
use crate::{
    CallError, Message,
    link::{Dialect, LinkError},
    message::Encoder,
    wire::{Collected, Endpoint, Outgoing, READ_SIZE_MAX, Sending, Wire},
};

/// What the gateway's greeting says.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) instance: InstanceId,
    pub(super) generation: u64,
    window: Window,
}

/// Exchanges the first frames. The gateway's may take as long as its process does to start.
pub(super) async fn greet(stream: &mut UnixStream, from: &str) -> Result<Opened, LinkError> {
    let mut bytes = Vec::new();
    let from = shortened(from.to_owned());
    let hello = ToGateway::Hello { version: VERSION, schema: SCHEMA, from };
    append_frame(&hello, &mut bytes)?;
    // A gateway that refuses may have closed its end before it was greeted; what it said is there.
    let sent = stream.write_all(&bytes).await;
    let mut prefix = [0; LENGTH_PREFIX];
    stream.read_exact(&mut prefix).await.map_err(closed)?;
    let length = u32::from_le_bytes(prefix) as usize;
    if length > GREETING_LENGTH_MAX {
        return Err(LinkError::FrameTooLong { length, length_max: GREETING_LENGTH_MAX });
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.map_err(closed)?;
    if let Ok(FromGateway::Goodbye { reason }) = decode(&frame) {
        return Err(LinkError::Goodbye(shortened(reason)));
    }
    Dialect { version: VERSION, schema: SCHEMA }.check(&frame)?;
    sent?;
    match decode(&frame)? {
        FromGateway::Welcome { instance, generation, window, .. } => {
            // A peer that grants more than ours do must not decide how much we hold for it.
            let (messages, bytes) = (WINDOW.messages, WINDOW.bytes);
            let window =
                Window { messages: window.messages.min(messages), bytes: window.bytes.min(bytes) };
            Ok(Opened { instance, generation, window })
        }
        _ => Err(LinkError::NotAHandshake),
    }
}

fn closed(error: std::io::Error) -> LinkError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => LinkError::Closed,
        _ => error.into(),
    }
}

/// One connection; it ends when its peer is forgotten, or goes.
pub(super) struct Connection {
    pub(super) instance: InstanceId,
    pub(super) generation: u64,
    window: Window,
    state: Mutex<State>,
    /// Somebody who waits for credit may look again.
    granted: Notify,
    binding: tokio::sync::Mutex<()>,
    parting: Parting,
}

struct State {
    outgoing: Outgoing,
    /// What may still be sent; bytes go below zero by at most one frame.
    messages: u32,
    bytes: i64,
    /// How many callers wait for that.
    waiting: u32,
    calls: Calls,
    targets: Targets,
    /// The gateway answers what it has been asked, and hears nothing more.
    leaving: bool,
    lost: Option<Lost>,
}

impl State {
    /// The gateway takes what is sent to it, and has not been told that this was the last.
    fn hears(&self) -> bool {
        self.lost.is_none() && !self.leaving && !self.outgoing.is_finished()
    }

    fn has_credit(&self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    fn undone(&self) -> Undone {
        Undone { is_awaited: self.calls.are_awaited(), unsent: self.outgoing.unsent() }
    }
}

/// Whether the sender wants an answer, and within how long.
enum Wants {
    Nothing,
    Answer { within_us: u64 },
}

impl Connection {
    /// Has a task of the present runtime drive the connection until it ends.
    pub(super) fn drive(stream: UnixStream, opened: Opened) -> Arc<Self> {
        let Opened { instance, generation, window } = opened;
        let stream = Arc::new(stream);
        let state = State {
            outgoing: Outgoing::over(stream.clone()),
            messages: window.messages,
            bytes: window.bytes.into(),
            waiting: 0,
            calls: Calls::default(),
            targets: Targets::default(),
            leaving: false,
            lost: None,
        };
        let connection = Arc::new(Self {
            instance,
            generation,
            window,
            state: Mutex::new(state),
            granted: Notify::new(),
            binding: tokio::sync::Mutex::default(),
            parting: Parting::default(),
        });
        let driven = connection.clone();
        let mut driver = Driver { connection: connection.clone(), read_size: 0 };
        tokio::spawn(async move {
            let mut wire = Wire::default();
            let why = tokio::select! {
                biased;
                // First, because a gateway that never stops speaking would starve what comes after it.
                () = driven.parting.overdue(|| driven.lock().undone()) => {
                    "the gateway did not close a link that was left".to_owned()
                }
                ended = wire.drive(&stream, &mut driver) => match ended {
                    Ok(()) => "this program closed the link".to_owned(),
                    Err(error) => error.to_string(),
                },
            };
            driven.lose(why);
        });
        connection
    }

    /// Nothing will come from it any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    /// Ends the connection, whoever waits for it.
    pub(super) fn cut(&self, why: String) {
        self.lose(why);
        self.parting.advance(Stage::Cut);
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().hears()
    }

    /// Takes leave of the gateway, when nobody needs the connection any more.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        if !state.hears() {
            return;
        }
        let reason = "nobody refers to its actors any more".to_owned();
        say(&mut state, &ToGateway::Goodbye { reason });
        state.outgoing.finish();
        wake(state);
        self.parting.advance(Stage::Left);
    }

    /// One binds at a time.
    pub(super) async fn binding_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.binding.lock().await
    }

    /// Gives an actor a number, once the gateway agrees.
    pub(super) async fn bind(
        self: &Arc<Self>,
        actor: &str,
        message: &str,
        schema: u64,
    ) -> Result<Binding, Unreachable> {
        if actor.len() > NAME_LENGTH_MAX {
            let refusal =
                Refusal::Unknown { actor: shortened(actor.to_owned()), known: Vec::new() };
            return Err(Unreachable::Refused { instance: self.instance.clone(), source: refusal });
        }
        let (agreed, agreement) = oneshot::channel();
        let mut wish = Wish { connection: self, agreement, answered: false };
        {
            let mut state = self.lock();
            if !state.hears() {
                return Err(self.loss(&state).into());
            }
            let target = state.targets.reserve(agreed);
            let (actor, message) = (actor.to_owned(), message.to_owned());
            say(&mut state, &ToGateway::Bind { target, actor, message, schema });
            wake(state);
        }
        let answer = (&mut wish.agreement).await;
        wish.answered = true;
        match answer {
            Ok(Ok(bound)) => Ok(Binding { connection: self.clone(), bound }),
            Ok(Err(source)) => {
                Err(Unreachable::Refused { instance: self.instance.clone(), source })
            }
            Err(_dropped) => Err(self.loss(&self.lock()).into()),
        }
    }

    /// A wish was given up before it was answered.
    fn forgo(&self) {
        let mut state = self.lock();
        if state.targets.forgo() > UNANSWERED_MAX {
            drop(state);
            self.cut("the gateway does not answer who wants to bind its actors".to_owned());
        }
    }

    /// An actor will not be spoken to any more by its number.
    fn give_back(&self, target: u32) {
        let mut state = self.lock();
        if state.hears() {
            state.targets.release(target);
            say(&mut state, &ToGateway::Release { target });
            wake(state);
        }
    }

    /// Waits until there is credit for a message.
    pub(super) async fn room(&self) -> Result<Room<'_>, Lost> {
        loop {
            if let Some(room) = self.credited()? {
                return Ok(room);
            }
            self.credit().await;
        }
    }

    /// Credit for a message, or why there is none.
    pub(super) fn room_now(&self) -> Result<Room<'_>, CastError> {
        if let Some(room) = self.credited().map_err(Unreachable::from)? {
            return Ok(room);
        }
        Err(self.full())
    }

    /// Why nothing more can be sent for now.
    pub(super) fn full(&self) -> CastError {
        let messages = self.window.messages - self.lock().messages;
        CastError::Full { instance: self.instance.clone(), messages }
    }

    /// Credit for a message, if there is any.
    pub(super) fn credited(&self) -> Result<Option<Room<'_>>, Lost> {
        let state = self.lock();
        if !state.hears() {
            return Err(self.loss(&state));
        }
        let has_credit = state.has_credit();
        Ok(has_credit.then_some(Room { connection: self, state }))
    }

    /// Waits until there may be credit, or will never be.
    async fn credit(&self) {
        let mut granted = std::pin::pin!(self.granted.notified());
        granted.as_mut().enable();
        {
            let mut state = self.lock();
            if !state.hears() || state.has_credit() {
                return;
            }
            state.waiting += 1;
        }
        let _waiting = Waiting(self);
        granted.await;
    }

    /// Why nothing can be sent.
    fn loss(&self, state: &State) -> Lost {
        let why = if state.leaving { "it is about to stop" } else { "the gateway did not answer" };
        state.lost.clone().unwrap_or_else(|| self.lost_by(why.to_owned()))
    }

    fn lost_by(&self, why: String) -> Lost {
        Lost { instance: self.instance.clone(), generation: self.generation, why }
    }

    /// Tells everybody who waits that the other side is gone.
    fn lose(&self, why: String) {
        let mut state = self.lock();
        if state.lost.is_some() {
            return;
        }
        let lost = self.lost_by(why);
        state.lost = Some(lost.clone());
        state.outgoing = Outgoing::default();
        let calls = std::mem::take(&mut state.calls);
        let targets = std::mem::take(&mut state.targets);
        drop(state);
        for awaited in calls.into_awaited() {
            awaited.resolve(Err(lost.clone().into()));
        }
        targets.lose();
        self.granted.notify_waiters();
    }

    /// The process is about to stop: what was sent will be answered, and whoever has more to send connects
    /// to the successor.
    fn retire(&self) {
        let mut state = self.lock();
        if !state.hears() {
            return;
        }
        let reason = "the rest is for the successor".to_owned();
        say(&mut state, &ToGateway::Goodbye { reason });
        state.leaving = true;
        state.targets.retire();
        wake(state);
        self.parting.advance(Stage::Retired);
        self.granted.notify_waiters();
    }

    fn grant(&self, messages: u32, bytes: u32) -> Result<(), LinkError> {
        let mut state = self.lock();
        let undone = self.window.messages - state.messages;
        let undone_bytes = i64::from(self.window.bytes) - state.bytes;
        if messages > undone || i64::from(bytes) > undone_bytes {
            return Err(LinkError::Misuse("granted more than it had been sent"));
        }
        // An answer comes before its grant; otherwise unanswered calls would pile up without end.
        if undone - messages < state.calls.waiting() {
            return Err(LinkError::Misuse("granted a call that it has not answered"));
        }
        state.messages += messages;
        state.bytes += i64::from(bytes);
        let woken = if state.has_credit() { state.waiting.min(state.messages) } else { 0 };
        drop(state);
        (0..woken).for_each(|_| self.granted.notify_one());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Credit for one message, and the connection to itself until that is sent.
pub(super) struct Room<'a> {
    connection: &'a Connection,
    state: MutexGuard<'a, State>,
}

impl Room<'_> {
    /// Sends a question.
    pub(super) fn ask<M: Message>(
        self,
        target: u32,
        message: M,
        within: Duration,
    ) -> Result<(), CallError> {
        let within_us = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        let sent = self.send(target, Wants::Answer { within_us }, message);
        sent.map_err(|error| CallError::Encode(error.into()))
    }

    /// Sends a statement.
    pub(super) fn tell<M: Message>(self, target: u32, message: M) -> Result<(), CastError> {
        let sent = self.send(target, Wants::Nothing, message);
        sent.map_err(|error| CastError::Encode(error.into()))
    }

    /// Appends a message in place; nothing is left of one that cannot be encoded.
    fn send<M: Message>(
        mut self,
        target: u32,
        wants: Wants,
        message: M,
    ) -> Result<(), EncodeError> {
        let State { outgoing, calls, .. } = &mut *self.state;
        let call = calls.next();
        let appended = outgoing.append(|bytes| {
            let header = match wants {
                Wants::Nothing => ToGateway::Cast { target },
                Wants::Answer { within_us } => ToGateway::Call { target, call, within_us },
            };
            append_value(&header, bytes)?;
            let mut encoder = Encoder::new(bytes);
            message.encode(&mut encoder)?;
            let awaited = encoder.into_awaited();
            match wants {
                Wants::Answer { .. } if awaited.is_none() => Err(EncodeError::NotAQuestion),
                Wants::Nothing if awaited.is_some() => Err(EncodeError::AQuestion),
                _ => Ok(awaited),
            }
        });
        let (awaited, length) = appended.inspect_err(|_| {
            // The credit was not used: wake another who waits for it.
            self.connection.granted.notify_one();
        })?;
        if let Some(awaited) = awaited {
            calls.insert(call, awaited);
        }
        self.state.messages -= 1;
        self.state.bytes -=
            i64::try_from(length - LENGTH_PREFIX).expect("a frame is no longer than its most");
        wake(self.state);
        Ok(())
    }
}

/// Counts one that waits for credit, until it is dropped.
struct Waiting<'a>(&'a Connection);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

fn say(state: &mut State, message: &ToGateway) {
    let said = state.outgoing.append(|bytes| append_value(message, bytes));
    said.expect("a frame of ours fits");
}

/// Lets the state go, and then wakes the task that sends.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.outgoing.waker();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The task that drives a connection hands it what arrives.
struct Driver {
    connection: Arc<Connection>,
    /// What was read since the last settlement, in bytes of memory.
    read_size: usize,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.connection.lose("the runtime that drove the link has ended".to_owned());
    }
}

impl Endpoint for Driver {
    fn frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        let mut rest = frame;
        let connection = &self.connection;
        let message = take_value(&mut rest)?;
        // An answer is followed by its value, and nothing else by anything.
        if !matches!(message, FromGateway::Answer { .. }) {
            end_of_values(rest)?;
        }
        match message {
            FromGateway::Answer { call } => {
                let awaited = connection.lock().calls.remove(call)?;
                self.read_size += awaited.resolve(Ok(rest));
                Ok(())
            }
            FromGateway::Failed { call, failure } => {
                let awaited = connection.lock().calls.remove(call)?;
                awaited.resolve(Err(failure.shortened().into()));
                Ok(())
            }
            FromGateway::Granted { messages, bytes } => connection.grant(messages, bytes),
            FromGateway::Bound { target } => {
                let mut state = connection.lock();
                let wanted = state.targets.bound(target)?;
                if state.leaving {
                    // The two crossed on their way: the successor's is wanted.
                    state.targets.retire();
                } else if wanted == Wanted::NoMore && state.hears() {
                    say(&mut state, &ToGateway::Release { target });
                    wake(state);
                }
                Ok(())
            }
            FromGateway::Refused { target, refusal } => {
                connection.lock().targets.refused(target, refusal.shortened())
            }
            FromGateway::Released { target } => connection.lock().targets.released(target),
            FromGateway::Down { target, reason } => {
                connection.lock().targets.down(target, reason.shortened())
            }
            FromGateway::Leaving => {
                connection.retire();
                Ok(())
            }
            FromGateway::Goodbye { reason } => Err(LinkError::Goodbye(shortened(reason))),
            FromGateway::Welcome { .. } => Err(LinkError::Misuse("greeted twice")),
        }
    }

    fn needs_a_pause(&self) -> bool {
        self.read_size > READ_SIZE_MAX
    }

    fn settle(&mut self) {
        self.read_size = 0;
    }

    fn sent(&mut self, length: usize) {
        self.connection.lock().outgoing.sent(length);
    }

    fn collect(&mut self, sending: &mut Sending, waker: &Waker) -> Collected {
        self.connection.lock().outgoing.collect(sending, waker)
    }
}
