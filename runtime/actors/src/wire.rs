//! One connection between processes, driven by one task: what has been appended by any thread is
//! written in as few writes as the socket takes, by that task or, if it is much, by whoever appends it; and all
//! complete frames of a read are handed on before the next.
//!
//! Nothing is copied out of the buffer that was read into, and nothing is allocated for a frame. What
//! frames mean is up to the [`Endpoint`].

mod outgoing;
mod spin;

use std::{
    future::{Future, poll_fn},
    hint, io,
    pin::pin,
    sync::Once,
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use blackhole_protocol::link::{FRAME_LENGTH_MAX, LENGTH_PREFIX, frame_length, gateway::WINDOW};
use tokio::net::UnixStream;

pub(crate) use self::outgoing::{Outgoing, Sending};

use self::spin::Spinner;
use crate::link::LinkError;

/// What one read asks for at first, in bytes. A peer that fills it is read from in larger pieces, so
/// that nobody makes us hold more than a few times what it has sent.
const READ_LENGTH_MIN: usize = 4 * 1024;
/// The most that one read asks for, unless a frame is longer.
const READ_LENGTH_MAX: usize = 256 * 1024;
/// A read is small if it leaves the buffer filled to no more than its length divided by this.
const SMALL_READ_DIVISOR: usize = 8;
/// After this many small reads in a row the read buffer is halved.
const SMALL_READS_MAX: u32 = 64;
/// A buffer that has grown beyond this, in bytes, is kept only while it is used.
const KEPT_LENGTH_MAX: usize = 256 * 1024;
/// A buffer that has grown beyond this, in bytes, is never kept: a window of messages does not need it.
const FREED_LENGTH: usize = 2 * WINDOW.bytes as usize;
/// A large buffer is freed after this many sendings that did not need it.
const KEPT_SENDINGS: u32 = 64;

/// After reading what takes this much memory, in bytes, there is a pause: reading it has taken a while.
pub(crate) const READ_SIZE_MAX: usize = 16 << 20;
/// After frames of this many bytes other tasks have their turn, whatever is in them.
const TURN_LENGTH_MAX: usize = 1 << 20;

/// What a task that drives one side of a connection asks of that side.
pub(crate) trait Endpoint {
    /// A frame arrived, without its length in front.
    fn frame(&mut self, frame: &[u8]) -> Result<(), LinkError>;

    /// The longest frame that the peer may send now, in bytes.
    fn frame_length_max(&self) -> usize {
        FRAME_LENGTH_MAX
    }

    /// Whether the peer has left so much unread that it is not read from either.
    fn is_congested(&self) -> bool {
        false
    }

    /// Whether the frames so far gave it so much to do, or to say, that it should get more only after that has gone
    /// out and other tasks have had their turn.
    fn needs_a_pause(&self) -> bool {
        false
    }

    /// Whether what the peer has sent takes so much memory that it is not read from until some of that is done.
    fn is_full(&self) -> bool {
        false
    }

    /// Remembers whom to wake when that is over.
    fn wait_for_room(&mut self, _waker: &Waker) {}

    /// All frames of one read, or as many as it accepted, have been handed over.
    fn settle(&mut self);

    /// The socket has taken this many bytes of what was collected last.
    fn sent(&mut self, _length: usize) {}

    /// Exchanges what waits to be sent with `sending`, which is empty; remembers whom to wake when
    /// there is nothing.
    fn collect(&mut self, sending: &mut Sending, waker: &Waker) -> Collected;
}

/// Whether there will be more to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collected {
    /// There may be.
    More,
    /// This was the last; the connection may be closed after it.
    Last,
}

/// The buffers of one connection.
#[derive(Default)]
pub(crate) struct Wire {
    received: Vec<u8>,
    filled: usize,
    /// Bytes of the buffer that have been handed over.
    taken: usize,
    /// Complete frames may be left in the buffer.
    paused: bool,
    /// Small reads in a row.
    small_reads: u32,
    spinner: Spinner,
    sending: Sending,
    /// The peer has closed its end: what we send is discarded, and what it sent before is still read.
    unheard: bool,
    /// Sendings since a large buffer was needed last.
    small_sendings: u32,
}

/// Has the allocator keep what a window of messages takes, from one window to the next.
///
/// glibc returns the top of its heap to the kernel once 128 KiB of it are free, so every window would fault its
/// pages in again. Freeing one block of the window's length raises that threshold for good. The block is never
/// written, so it costs no memory.
fn keep_memory_of_a_window() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| drop(hint::black_box(Vec::<u8>::with_capacity(WINDOW.bytes as usize))));
}

/// Has this task polled again after the runtime has asked the system, without waiting, what is ready. The peer may
/// need this processor.
fn poll_again(context: &mut Context<'_>) {
    thread::yield_now();
    let _woken_then = pin!(tokio::task::yield_now()).poll(context);
}

impl Wire {
    /// Drives a connection until it ends: in order after our last frame, or by an error, which the peer's goodbye
    /// also is.
    pub(crate) async fn drive(
        &mut self,
        stream: &UnixStream,
        endpoint: &mut impl Endpoint,
    ) -> Result<(), LinkError> {
        keep_memory_of_a_window();
        self.spinner = Spinner::here();
        poll_fn(|context| self.poll(stream, endpoint, context)).await
    }

    /// What the peer must get before anything else can be a frame to it: it may have the beginning already. What was
    /// [pushed](Outgoing) in part comes next.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.sending.rest()
    }

    fn poll(
        &mut self,
        stream: &UnixStream,
        endpoint: &mut impl Endpoint,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), LinkError>> {
        let (mut handed_over, mut is_over) = (0, false);
        loop {
            match self.poll_send(stream, endpoint, context)? {
                Flushed::Whole(Collected::Last) => return Poll::Ready(Ok(())),
                Flushed::Partly if endpoint.is_congested() => return Poll::Pending,
                Flushed::Whole(Collected::More) | Flushed::Partly => {}
            }
            if endpoint.is_full() {
                endpoint.wait_for_room(context.waker());
                // What was done before the waker was there has woken nobody.
                if endpoint.is_full() {
                    return Poll::Pending;
                }
            }
            if is_over {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut received = 0;
            if !self.paused {
                match self.poll_receive(stream, context)? {
                    Poll::Pending => {
                        if self.spinner.should_spin(Instant::now()) {
                            poll_again(context);
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(0) => return Poll::Ready(Err(LinkError::Closed)),
                    Poll::Ready(length) => received = length,
                }
            }
            let (length, needs_a_pause) = self.hand_over(endpoint)?;
            if received > 0 {
                self.spinner.on_read(received, length > 0, Instant::now());
            }
            handed_over += length;
            is_over = self.paused || needs_a_pause || handed_over > TURN_LENGTH_MAX;
        }
    }

    /// Writes until nothing is left or the socket is full.
    fn poll_send(
        &mut self,
        stream: &UnixStream,
        endpoint: &mut impl Endpoint,
        context: &mut Context<'_>,
    ) -> Result<Flushed, LinkError> {
        loop {
            if self.unsent().is_empty() {
                self.finish_sending();
                let collected = endpoint.collect(&mut self.sending, context.waker());
                if self.unsent().is_empty() {
                    return Ok(Flushed::Whole(collected));
                }
            }
            if self.unheard {
                self.sending.advance(self.unsent().len());
                continue;
            }
            let Poll::Ready(ready) = stream.poll_write_ready(context) else {
                return Ok(Flushed::Partly);
            };
            match ready.and_then(|()| stream.try_write(self.unsent())) {
                Ok(written) => {
                    self.sending.advance(written);
                    endpoint.sent(written);
                }
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => match LinkError::from(error) {
                    LinkError::Closed => self.unheard = true,
                    error => return Err(error),
                },
            }
        }
    }

    /// Allocating a large buffer for each sending would cost more than the sending.
    fn finish_sending(&mut self) {
        match self.sending.len() {
            0 => {}
            length if length > KEPT_LENGTH_MAX / 2 => self.small_sendings = 0,
            _ => self.small_sendings = self.small_sendings.saturating_add(1),
        }
        self.sending.clear();
        if self.sending.capacity() > KEPT_LENGTH_MAX && self.small_sendings > KEPT_SENDINGS {
            self.sending = Sending::default();
        }
    }

    fn poll_receive(
        &mut self,
        stream: &UnixStream,
        context: &mut Context<'_>,
    ) -> Result<Poll<usize>, LinkError> {
        if self.received.is_empty() {
            self.received.resize(READ_LENGTH_MIN, 0);
        }
        loop {
            let Poll::Ready(ready) = stream.poll_read_ready(context) else {
                return Ok(Poll::Pending);
            };
            match ready.and_then(|()| stream.try_read(&mut self.received[self.filled..])) {
                Ok(length) => {
                    self.filled += length;
                    return Ok(Poll::Ready(length));
                }
                Err(empty) if empty.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hands over all complete frames, or as many as the endpoint takes; what is left of a frame moves to the front. Those before
    /// one that is the last, or is wrong, count all the same. Returns how many bytes they had, and whether the endpoint
    /// needs a pause after them.
    fn hand_over(&mut self, endpoint: &mut impl Endpoint) -> Result<(usize, bool), LinkError> {
        let before = self.taken;
        let handed = self.hand_over_frames(endpoint);
        let needs_a_pause = endpoint.needs_a_pause();
        endpoint.settle();
        let (missing, length) = (handed?, self.taken - before);
        if !self.paused {
            self.make_room(missing);
        }
        Ok((length, needs_a_pause))
    }

    /// Returns the length, with its prefix, of a frame of which only a part is there, or 0.
    fn hand_over_frames(&mut self, endpoint: &mut impl Endpoint) -> Result<usize, LinkError> {
        let mut missing = 0;
        self.paused = false;
        while let Some(length) = frame_length(&self.received[self.taken..self.filled]) {
            let length_max = endpoint.frame_length_max();
            if length > length_max {
                return Err(LinkError::FrameTooLong { length, length_max });
            }
            let frame_end = self.taken + LENGTH_PREFIX + length;
            if frame_end > self.filled {
                missing = LENGTH_PREFIX + length;
                break;
            }
            if endpoint.needs_a_pause() || endpoint.is_full() {
                self.paused = true;
                break;
            }
            endpoint.frame(&self.received[self.taken + LENGTH_PREFIX..frame_end])?;
            self.taken = frame_end;
        }
        Ok(missing)
    }

    /// Once for each read: moving the rest after each frame would make a long read quadratic.
    fn make_room(&mut self, missing: usize) {
        let read = self.filled;
        if self.taken > 0 {
            self.received.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        self.fit(read, missing);
    }

    /// Fits the buffer to the last read, after which it held `read` bytes, and to the frame that it begins with.
    fn fit(&mut self, read: usize, missing: usize) {
        let length = self.received.len();
        let most = READ_LENGTH_MAX.max(missing);
        if read == length && length < most {
            self.received.resize((length * 2).min(most), 0);
        }
        self.small_reads =
            if read > length / SMALL_READ_DIVISOR { 0 } else { self.small_reads.saturating_add(1) };
        if self.small_reads >= SMALL_READS_MAX && length > READ_LENGTH_MIN {
            self.small_reads = 0;
            self.received.truncate((length / 2).max(READ_LENGTH_MIN));
            self.received.shrink_to_fit();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushed {
    /// All of it.
    Whole(Collected),
    /// The socket is full.
    Partly,
}

#[cfg(test)]
mod tests;
