//! One connection between processes, driven by one task: what has been appended by any thread is
//! written in as few writes as the socket takes, and all complete frames of a read are handed on
//! before the next.
//!
//! Nothing is copied out of the buffer that was read into, and nothing is allocated for a frame. What
//! frames mean is up to the [`End`].

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use blackhole_protocol::link::{
    EncodeError, FRAME_LENGTH_MAX, LENGTH_PREFIX, append_frame_with, frame_length,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

use crate::link::LinkError;

/// What one read asks for at first, in bytes. A peer that fills it is read from in larger pieces: so
/// nobody makes us hold more than a few times what it has sent.
const READ_LENGTH_MIN: usize = 4 * 1024;
/// The most that one read asks for, unless a frame is longer.
const READ_LENGTH_MAX: usize = 256 * 1024;
/// A read buffer of which less than this share was filled, so often in a row, is let go.
const READ_SHARE: usize = 8;
/// See [`READ_SHARE`].
const KEPT_READS: u32 = 64;
/// A buffer that has grown beyond this is kept only as long as it is made use of.
const KEPT_LENGTH_MAX: usize = 256 * 1024;
/// A buffer that is not made use of is let go after so many sendings.
const KEPT_SENDINGS: u32 = 64;

/// What a task that drives one side of a connection asks of that side.
pub(crate) trait End {
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

    /// All frames of one read have been handed over.
    fn settle(&mut self);

    /// Exchanges what waits to be sent with `sent`, which is empty; remembers who is to be woken when
    /// there is nothing.
    fn collect(&mut self, sent: &mut Vec<u8>, waker: &Waker) -> Collected;
}

/// Whether there will be more to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collected {
    /// There may be.
    More,
    /// This was the last; the connection may be closed after it.
    Last,
}

/// What waits to be sent. Frames are appended under the lock of whoever owns it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    waker: Option<Waker>,
    last: bool,
}

impl Outgoing {
    /// Appends one frame.
    pub(crate) fn append<T>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<T, EncodeError>,
    ) -> Result<T, EncodeError> {
        append_frame_with(&mut self.bytes, write)
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing will be appended any more.
    pub(crate) fn finish(&mut self) {
        self.last = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.last
    }

    /// Who is to be woken, once the lock is free again.
    #[must_use]
    pub(crate) fn waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// As [`End::collect`].
    pub(crate) fn collect(&mut self, sent: &mut Vec<u8>, waker: &Waker) -> Collected {
        if self.bytes.is_empty() {
            self.waker = Some(waker.clone());
        } else {
            std::mem::swap(&mut self.bytes, sent);
        }
        if self.last { Collected::Last } else { Collected::More }
    }
}

/// Drives a connection until it ends: orderly after the last frame of our side, or by an error, of
/// which the peer's leave is one.
pub(crate) async fn drive(stream: &mut UnixStream, end: &mut impl End) -> Result<(), LinkError> {
    let mut wire = Wire::default();
    poll_fn(|context| wire.poll(stream, end, context)).await
}

#[derive(Default)]
struct Wire {
    received: Vec<u8>,
    filled: usize,
    /// Reads since much of the buffer was needed last.
    small_reads: u32,
    sending: Vec<u8>,
    sent: usize,
    /// Sendings since a large buffer was needed last.
    small_sendings: u32,
}

impl Wire {
    fn poll(
        &mut self,
        stream: &mut UnixStream,
        end: &mut impl End,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), LinkError>> {
        loop {
            match self.poll_send(stream, end, context)? {
                Flushed::Whole(Collected::Last) => return Poll::Ready(Ok(())),
                Flushed::Partly if end.is_congested() => return Poll::Pending,
                Flushed::Whole(Collected::More) | Flushed::Partly => {}
            }
            match self.poll_receive(stream, context)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(Err(LinkError::Closed)),
                Poll::Ready(_) => self.hand_over(end)?,
            }
        }
    }

    /// Writes until nothing is left or the socket is full.
    fn poll_send(
        &mut self,
        stream: &mut UnixStream,
        end: &mut impl End,
        context: &mut Context<'_>,
    ) -> Result<Flushed, LinkError> {
        loop {
            if self.sent == self.sending.len() {
                self.finish_sending();
                let collected = end.collect(&mut self.sending, context.waker());
                if self.sending.is_empty() {
                    return Ok(Flushed::Whole(collected));
                }
            }
            let rest = &self.sending[self.sent..];
            match Pin::new(&mut *stream).poll_write(context, rest) {
                Poll::Ready(written) => self.sent += written?,
                Poll::Pending => return Ok(Flushed::Partly),
            }
        }
    }

    /// To allocate a large buffer for each sending would cost more than the sending.
    fn finish_sending(&mut self) {
        match self.sent {
            0 => {}
            length if length > KEPT_LENGTH_MAX / 2 => self.small_sendings = 0,
            _ => self.small_sendings = self.small_sendings.saturating_add(1),
        }
        self.sending.clear();
        self.sent = 0;
        if self.sending.capacity() > KEPT_LENGTH_MAX && self.small_sendings > KEPT_SENDINGS {
            self.sending = Vec::new();
        }
    }

    fn poll_receive(
        &mut self,
        stream: &mut UnixStream,
        context: &mut Context<'_>,
    ) -> Result<Poll<usize>, LinkError> {
        if self.received.is_empty() {
            self.received.resize(READ_LENGTH_MIN, 0);
        }
        let mut free = ReadBuf::new(&mut self.received[self.filled..]);
        match Pin::new(stream).poll_read(context, &mut free) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(outcome) => {
                outcome?;
                let length = free.filled().len();
                self.filled += length;
                Ok(Poll::Ready(length))
            }
        }
    }

    /// Hands over all complete frames; what is left of a frame moves to the front.
    fn hand_over(&mut self, end: &mut impl End) -> Result<(), LinkError> {
        let mut taken = 0;
        let mut missing = 0;
        while let Some(length) = frame_length(&self.received[taken..self.filled]) {
            let length_max = end.frame_length_max();
            if length > length_max {
                return Err(LinkError::FrameTooLong { length, length_max });
            }
            let frame_end = taken + LENGTH_PREFIX + length;
            if frame_end > self.filled {
                missing = LENGTH_PREFIX + length;
                break;
            }
            end.frame(&self.received[taken + LENGTH_PREFIX..frame_end])?;
            taken = frame_end;
        }
        end.settle();
        let read = self.filled;
        if taken > 0 {
            self.received.copy_within(taken..self.filled, 0);
            self.filled -= taken;
        }
        self.fit(read, missing);
        Ok(())
    }

    /// Fits the buffer to the last read, after which it held `read` bytes, and to the frame that it begins with.
    fn fit(&mut self, read: usize, missing: usize) {
        let length = self.received.len();
        let most = READ_LENGTH_MAX.max(missing);
        if read == length && length < most {
            self.received.resize((length * 2).min(most), 0);
        }
        self.small_reads = if read > length / READ_SHARE { 0 } else { self.small_reads + 1 };
        if self.small_reads >= KEPT_READS && length > READ_LENGTH_MIN {
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
mod tests {
    use super::*;

    #[test]
    fn what_is_held_for_a_peer_grows_with_what_it_has_sent_and_not_with_what_it_announces() {
        let mut wire = Wire { received: vec![0; READ_LENGTH_MIN], ..Wire::default() };
        let missing = FRAME_LENGTH_MAX + LENGTH_PREFIX;
        wire.fit(LENGTH_PREFIX, missing);
        assert_eq!(wire.received.len(), READ_LENGTH_MIN);
        while wire.received.len() < missing {
            let before = wire.received.len();
            wire.fit(before, missing);
            assert!(wire.received.len() <= before * 2, "{before}");
        }
        assert_eq!(wire.received.len(), missing);
        for _ in 0..KEPT_READS * 16 {
            wire.fit(100, 0);
        }
        assert_eq!(wire.received.len(), READ_LENGTH_MIN);
    }
}
