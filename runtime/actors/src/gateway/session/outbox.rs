//! What is to be sent to one peer, and what its messages that are not done yet are worth. Any actor on any thread
//! adds to it; the session sends it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use blackhole_protocol::link::{
    EncodeError, append_value,
    gateway::{Failure, FromGateway, WINDOW, shortened},
};
use tokio::net::UnixStream;

use crate::{gateway::sessions::Share, wire::Outgoing};

/// How long a peer may take for its first frame.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of answers that a peer may leave unread; further answers become failures.
const UNREAD_BYTES_MAX: usize = 32 << 20;
/// Smaller messages, in bytes of memory, are not counted: the window bounds how many there can be.
const LARGE_MESSAGE_SIZE: usize = 4096;
/// A peer whose large messages take more memory, in bytes, is not read from until some of them are done.
pub(super) const HELD_SIZE_MAX: usize = 16 << 20;
/// How long a peer has to read what it is sent last, and to take leave once all it asked is done.
pub(in crate::gateway) const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);
/// Credits are granted whenever one of this many equal parts of the window is done.
pub(super) const GRANTS_PER_WINDOW: u32 = 4;

/// What is to be said to one peer, by any actor on any thread.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Outbox {
    pub(super) outgoing: Mutex<OutboxState>,
    pub(super) done_messages: AtomicU32,
    pub(super) done_bytes: AtomicU32,
    /// Messages that have arrived and are not done.
    pub(super) undone: AtomicU32,
    /// What the large ones of them take in memory, in bytes.
    pub(super) held: AtomicUsize,
    /// That was too much once.
    pub(super) filled: tokio::sync::Notify,
    pub(super) greeted: tokio::sync::Notify,
    pub(super) leaving: AtomicBool,
    pub(super) left_to: tokio::sync::Notify,
    pub(super) _share: Option<Share>,
}

#[derive(Debug, Default)]
pub(super) struct OutboxState {
    pub(super) outgoing: Outgoing,
    closed: bool,
    /// Wakes whoever waits for less to be held.
    pub(super) waits_for_room: Option<Waker>,
}

impl Outbox {
    /// For the peer at the other end of `socket`, which stays open until the outbox is closed.
    pub(super) fn over(socket: Arc<UnixStream>, share: Share) -> Self {
        let state = OutboxState { outgoing: Outgoing::over(socket), ..OutboxState::default() };
        Self { outgoing: Mutex::new(state), _share: Some(share), ..Self::default() }
    }

    /// Says something that always fits into a frame.
    pub(in crate::gateway) fn say(&self, message: &FromGateway) {
        self.append(|bytes| append_value(message, bytes)).expect("a frame of ours fits");
    }

    /// Takes leave.
    pub(in crate::gateway) fn leave(&self, reason: &str) {
        if self.lock().outgoing.is_finished() {
            return;
        }
        self.say(&FromGateway::Goodbye { reason: shortened(reason.to_owned()) });
        let mut state = self.lock();
        state.outgoing.finish();
        wake(state.outgoing.waker());
    }

    /// Sends the peer to the successor.
    pub(in crate::gateway) fn begin_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
        self.say(&FromGateway::Leaving);
        self.left_to.notify_one();
    }

    /// Resolves when the peer does not take leave, although it was sent away and has waited for nothing since a
    /// moment ago: until then it may still be reading its last answer.
    pub(super) async fn ignored(&self) {
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

    pub(super) fn is_idle(&self) -> bool {
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

    pub(super) fn is_full(&self) -> bool {
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
    pub(super) fn held_unread(&self) -> usize {
        self.lock().outgoing.held()
    }

    pub(super) fn unread(&self) -> usize {
        self.lock().outgoing.unsent()
    }

    /// Nothing more is sent, except the rest of what the peer has the beginning of.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.outgoing.close();
    }

    /// Resolves when the peer has not said its first frame in time.
    pub(super) async fn ungreeted(&self) {
        tokio::select! {
            () = self.greeted.notified() => std::future::pending().await,
            () = tokio::time::sleep(GREETING_TIMEOUT) => {}
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, OutboxState> {
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
    pub(super) fn of(outbox: &Arc<Outbox>, bytes: u32) -> Self {
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

/// A question whose answer is being written. If that panics, dropping this tells the caller.
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
        let portion = WINDOW.bytes / GRANTS_PER_WINDOW;
        let reached = before < portion && before.saturating_add(self.bytes) >= portion;
        let was_last = self.outbox.undone.fetch_sub(1, Ordering::Release) == 1;
        let is_over = was_last && self.outbox.leaving.load(Ordering::Acquire);
        if messages == WINDOW.messages / GRANTS_PER_WINDOW || reached || is_over {
            wake(self.outbox.lock().outgoing.waker());
        }
    }
}
