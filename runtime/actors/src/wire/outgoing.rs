//! What is to be sent over one connection: frames that wait, and those that its task is sending.

use std::{io, mem, sync::Arc, task::Waker};

use blackhole_protocol::link::{EncodeError, append_frame_with};
use tokio::net::UnixStream;

use super::{Collected, FREED_LENGTH};

/// Whoever makes the waiting bytes this many writes them: they are still in the processor's cache, and the peer has
/// something to do while more are made.
const PUSHED_LENGTH: usize = 256 * 1024;

/// Bytes of which the socket has taken the first ones.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    bytes: Vec<u8>,
    sent: usize,
}

impl Sending {
    /// What the socket has not taken.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The socket has taken this many more.
    pub(crate) fn advance(&mut self, length: usize) {
        self.sent += length;
    }

    /// How many there are, with those that the socket has taken.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Starts over, in the same memory unless that is much.
    pub(crate) fn clear(&mut self) {
        if self.capacity() > FREED_LENGTH {
            *self = Self::default();
        }
        self.bytes.clear();
        self.sent = 0;
    }
}

/// What waits to be sent. Frames are appended under the lock of whoever owns it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    waiting: Sending,
    /// Where it goes; absent when nobody reads there any more, or only the task that drives the connection writes.
    socket: Option<Arc<UnixStream>>,
    /// Bytes that were collected last, and that the socket has not taken.
    collected: usize,
    /// Bytes that were collected last, which are held until all of them are sent.
    held: usize,
    waker: Option<Waker>,
    last: bool,
}

impl Outgoing {
    /// Holds the socket open, for as long as it lives.
    pub(crate) fn over(socket: Arc<UnixStream>) -> Self {
        Self { socket: Some(socket), ..Self::default() }
    }

    /// Appends one frame. Returns what `write` gives, and the length of the frame in bytes with its prefix.
    pub(crate) fn append<T>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<T, EncodeError>,
    ) -> Result<(T, usize), EncodeError> {
        let before = self.waiting.bytes.len();
        let written = append_frame_with(&mut self.waiting.bytes, write)?;
        let length = self.waiting.bytes.len() - before;
        self.push();
        Ok((written, length))
    }

    /// Writes what waits, if it is much and nothing goes before it. What the socket does not take, and what it
    /// says of an error, is for the task that drives the connection.
    fn push(&mut self) {
        if self.waiting.rest().len() < PUSHED_LENGTH || self.collected > 0 {
            return;
        }
        let Some(socket) = &self.socket else { return };
        match socket.try_write(self.waiting.rest()) {
            Ok(taken) => self.waiting.advance(taken),
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
            Err(_broken) => self.socket = None,
        }
        if self.waiting.rest().is_empty() {
            self.waiting.clear();
        }
    }

    /// Forgets what waits, unless the peer has the beginning of it, and lets go of the socket.
    pub(crate) fn close(&mut self) {
        let waiting = mem::take(&mut self.waiting);
        *self = Self::default();
        if waiting.sent > 0 {
            self.waiting = waiting;
        }
    }

    /// What waits, for good.
    pub(crate) fn take(&mut self) -> Sending {
        mem::take(&mut self.waiting)
    }

    /// Bytes that wait, and those before them that are not sent.
    pub(crate) fn unsent(&self) -> usize {
        self.collected + self.waiting.rest().len()
    }

    /// Bytes that take up memory: those that wait, and all that were collected last, with those of both that are sent.
    pub(crate) fn held(&self) -> usize {
        self.held + self.waiting.len()
    }

    /// The socket has taken this many bytes of what was collected.
    pub(crate) fn sent(&mut self, length: usize) {
        self.collected = self.collected.saturating_sub(length);
    }

    /// Nothing will be appended any more.
    pub(crate) fn finish(&mut self) {
        self.last = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.last
    }

    /// The waker to call once the lock is free again.
    #[must_use]
    pub(crate) fn waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// As [`Endpoint::collect`](super::Endpoint::collect).
    pub(crate) fn collect(&mut self, sending: &mut Sending, waker: &Waker) -> Collected {
        if self.waiting.rest().is_empty() {
            self.waker = Some(waker.clone());
        } else {
            mem::swap(&mut self.waiting, sending);
        }
        self.collected = sending.rest().len();
        self.held = sending.len();
        if self.last { Collected::Last } else { Collected::More }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const FRAME: usize = 64 * 1024;

    impl From<Vec<u8>> for Sending {
        fn from(bytes: Vec<u8>) -> Self {
            Self { bytes, sent: 0 }
        }
    }

    fn append(outgoing: &mut Outgoing, length: usize, byte: u8) {
        let appended = outgoing.append(|bytes| {
            bytes.resize(bytes.len() + length, byte);
            Ok(())
        });
        let ((), appended) = appended.expect("it fits");
        assert_eq!(appended, 4 + length);
    }

    #[test]
    fn what_was_collected_counts_until_all_of_it_is_sent() {
        let (mut outgoing, mut sending) = (Outgoing::default(), Sending::default());
        let waker = Waker::noop();
        append(&mut outgoing, 1, 7);
        outgoing.collect(&mut sending, waker);
        append(&mut outgoing, 1, 7);
        assert_eq!(outgoing.unsent(), 10);
        outgoing.sent(3);
        assert_eq!((outgoing.unsent(), outgoing.held()), (7, 10));
        sending.clear();
        outgoing.collect(&mut sending, waker);
        assert_eq!(outgoing.unsent(), 5);
        sending.clear();
        outgoing.collect(&mut sending, waker);
        assert_eq!(outgoing.unsent(), 0);
    }

    /// What the other end reads until nothing comes.
    fn read(theirs: &mut std::os::unix::net::UnixStream) -> Vec<u8> {
        let mut heard = Vec::new();
        let ended = theirs.read_to_end(&mut heard).expect_err("it stays open");
        assert_eq!(ended.kind(), std::io::ErrorKind::WouldBlock);
        heard
    }

    fn pair() -> (Arc<UnixStream>, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).expect("a socket");
        }
        (Arc::new(UnixStream::from_std(ours).expect("a runtime")), theirs)
    }

    #[tokio::test]
    async fn much_is_written_at_once_and_what_the_socket_does_not_take_comes_next() {
        let (ours, mut theirs) = pair();
        ours.writable().await.expect("a socket");
        let (mut outgoing, mut sending) = (Outgoing::over(ours.clone()), Sending::default());
        let frames = u8::try_from(PUSHED_LENGTH / FRAME).expect("few");
        for byte in 0..frames - 1 {
            append(&mut outgoing, FRAME, byte);
            assert!(read(&mut theirs).is_empty(), "it is not much");
        }
        append(&mut outgoing, FRAME, frames - 1);
        append(&mut outgoing, FRAME, frames);
        let mut heard = read(&mut theirs);
        let rest = usize::from(frames + 1) * (4 + FRAME) - heard.len();
        assert!(rest > 0 && !heard.is_empty(), "more than a socket takes");
        assert_eq!(outgoing.unsent(), rest);
        outgoing.close();
        outgoing.collect(&mut sending, Waker::noop());
        heard.extend(sending.rest());
        for byte in 0..=frames {
            let frame = &heard[usize::from(byte) * (4 + FRAME)..][4..][..FRAME];
            assert!(frame.iter().all(|it| *it == byte), "frame {byte}");
        }
    }

    #[tokio::test]
    async fn what_nobody_has_the_beginning_of_is_forgotten_at_the_end() {
        let (ours, _theirs) = pair();
        let mut outgoing = Outgoing::over(ours.clone());
        append(&mut outgoing, FRAME, 0);
        outgoing.close();
        assert_eq!((outgoing.unsent(), Arc::strong_count(&ours)), (0, 1));
    }

    #[tokio::test]
    async fn nothing_overtakes_what_was_collected() {
        let (ours, mut theirs) = pair();
        ours.writable().await.expect("a socket");
        let (mut outgoing, mut sending) = (Outgoing::over(ours), Sending::default());
        append(&mut outgoing, 1, 0);
        outgoing.collect(&mut sending, Waker::noop());
        append(&mut outgoing, PUSHED_LENGTH, 1);
        assert!(read(&mut theirs).is_empty(), "the one before is not sent");
        outgoing.sent(sending.rest().len());
        append(&mut outgoing, 1, 2);
        assert!(!read(&mut theirs).is_empty());
    }
}
