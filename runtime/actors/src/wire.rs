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

/// What one read asks for, in bytes, as long as no frame is longer.
const READ_LENGTH: usize = 64 * 1024;
/// The same, once frames have been seen that do not fit into that.
const READ_LENGTH_LARGE: usize = 256 * 1024;
/// A buffer that has grown beyond this is kept only as long as it is made use of.
const KEPT_LENGTH_MAX: usize = 256 * 1024;
/// A buffer that is not made use of is let go after so many sendings.
const KEPT_SENDINGS: u32 = 64;

/// What a task that drives one side of a connection asks of that side.
pub(crate) trait End {
    /// A frame arrived, without its length in front.
    fn frame(&mut self, frame: &[u8]) -> Result<(), LinkError>;

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
    let mut wire =
        Wire { received: Vec::new(), filled: 0, sending: Vec::new(), sent: 0, small_sendings: 0 };
    poll_fn(|context| wire.poll(stream, end, context)).await
}

struct Wire {
    received: Vec<u8>,
    filled: usize,
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
            if self.poll_send(stream, end, context)? == Flushed::Whole(Collected::Last) {
                return Poll::Ready(Ok(()));
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
            self.received.resize(READ_LENGTH, 0);
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
            if length > FRAME_LENGTH_MAX {
                return Err(LinkError::FrameTooLong { length });
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
        self.received.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        if missing > self.received.len() {
            self.received.resize(missing.max(READ_LENGTH_LARGE), 0);
        } else if self.received.len() > KEPT_LENGTH_MAX && self.filled < READ_LENGTH {
            self.received.truncate(READ_LENGTH);
            self.received.shrink_to_fit();
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushed {
    /// All of it.
    Whole(Collected),
    /// The socket is full.
    Partly,
}
