//! One end of a link: whole messages in, whole messages out.
//!
//! An idle end holds no buffer. A busy one holds at most one frame in each direction, and a sender
//! whose peer does not read either waits ([`Sender::send`]) or is refused ([`Sender::try_send`]).

use std::{io, marker::PhantomData, time::Duration};

use blackhole_protocol::link::{
    DecodeError, EncodeError, FRAME_LENGTH_MAX, LENGTH_PREFIX, append_frame, decode, frame_length,
};
use bytes::{Buf, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::AsyncReadExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What one read asks for, in bytes; a longer frame takes several.
const READ_LENGTH: usize = 4 * 1024;

/// Why a link cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer is gone, or has closed its end.
    #[error("the peer closed the link")]
    Closed,
    /// The peer does not read: the message was not sent.
    #[error("the link is full: the peer does not read")]
    Full,
    /// The peer announced a frame longer than any it may send.
    #[error("the peer announced a frame of {length} bytes, and {length_max} is the most")]
    FrameTooLong {
        /// What the peer announced, in bytes.
        length: usize,
        /// What it may send, in bytes.
        length_max: usize,
    },
    /// The peer speaks another version.
    #[error(
        "the peer speaks version {theirs} of the link and this program version {ours}\n\
         hint: run node and services from the same `bh`"
    )]
    VersionMismatch {
        /// What this program speaks.
        ours: u16,
        /// What the peer speaks.
        theirs: u16,
    },
    /// The peer means other things by the same version.
    #[error(
        "the peer speaks schema {theirs:016x} of the link and this program schema {ours:016x}\n\
         hint: run node and services from the same `bh`"
    )]
    SchemaMismatch {
        /// What this program speaks.
        ours: u64,
        /// What the peer speaks.
        theirs: u64,
    },
    /// The peer runs as a user that may not speak to this program.
    #[error(
        "the peer runs as user {theirs}, and only user {ours} and the superuser may speak to this \
         program"
    )]
    ForeignUser {
        /// Whose program this is.
        ours: u32,
        /// Whose the peer is.
        theirs: u32,
    },
    /// The peer's program has as many connections as one may have.
    #[error(
        "the peer's program has {connections_max} connections already, which is the most for one"
    )]
    TooManyConnections {
        /// How many it may have.
        connections_max: u32,
    },
    /// The peer did what the protocol forbids.
    #[error("the peer {0}")]
    Misuse(&'static str),
    /// The peer took its leave.
    #[error("the peer took its leave: {0}")]
    Goodbye(String),
    /// The peer's first message was not the one that opens a link.
    #[error("the peer's first message was not a handshake")]
    NotAHandshake,
    /// The peer did not say its first message in time.
    #[error("the peer did not finish the handshake within {} s", within.as_secs())]
    HandshakeTimeout {
        /// How long it had.
        within: Duration,
    },
    /// What arrived is not a message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What was to be sent cannot be.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The socket failed.
    #[error("could not use the socket of the link")]
    Socket(#[source] io::Error),
}

/// A gone peer shows itself in several ways; all of them are [`LinkError::Closed`].
impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected => Self::Closed,
            _ => Self::Socket(error),
        }
    }
}

/// One end of a link that receives `In` and sends `Out`.
#[derive(Debug)]
pub struct Connection<In, Out> {
    receiver: Receiver<In>,
    sender: Sender<Out>,
}

impl<In: DeserializeOwned, Out: Serialize> Connection<In, Out> {
    /// Takes over a connected socket. No handshake is made; see [`super::accept`].
    pub fn over(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        let received = BytesMut::new();
        Self {
            receiver: Receiver { read, received, message: PhantomData },
            sender: Sender { write, unsent: Vec::new(), message: PhantomData },
        }
    }

    /// The two directions, to be used from different tasks.
    pub fn split(self) -> (Receiver<In>, Sender<Out>) {
        (self.receiver, self.sender)
    }

    /// As [`Receiver::receive`].
    pub async fn receive(&mut self) -> Result<In, LinkError> {
        self.receiver.receive().await
    }

    /// As [`Sender::send`].
    pub async fn send(&mut self, message: &Out) -> Result<(), LinkError> {
        self.sender.send(message).await
    }

    pub(super) async fn receive_frame(&mut self) -> Result<BytesMut, LinkError> {
        self.receiver.receive_frame().await
    }
}

/// The direction that comes in.
#[derive(Debug)]
pub struct Receiver<In> {
    read: OwnedReadHalf,
    received: BytesMut,
    message: PhantomData<fn() -> In>,
}

impl<In: DeserializeOwned> Receiver<In> {
    /// Waits for the next message.
    ///
    /// Cancel safe: what has arrived of a frame is kept for the next call. After an error other
    /// than [`LinkError::Decode`] nothing more can be received.
    pub async fn receive(&mut self) -> Result<In, LinkError> {
        let frame = self.receive_frame().await?;
        Ok(decode(&frame)?)
    }

    async fn receive_frame(&mut self) -> Result<BytesMut, LinkError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.read.readable().await?;
            self.received.reserve(READ_LENGTH);
            if self.read.read_buf(&mut self.received).await? == 0 {
                return Err(LinkError::Closed);
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<BytesMut>, LinkError> {
        let Some(length) = frame_length(&self.received) else {
            return Ok(None);
        };
        if length > FRAME_LENGTH_MAX {
            return Err(LinkError::FrameTooLong { length, length_max: FRAME_LENGTH_MAX });
        }
        if self.received.len() < LENGTH_PREFIX + length {
            return Ok(None);
        }
        self.received.advance(LENGTH_PREFIX);
        let frame = self.received.split_to(length);
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
        Ok(Some(frame))
    }
}

/// The direction that goes out. Dropping it tells the peer that nothing more will come.
#[derive(Debug)]
pub struct Sender<Out> {
    write: OwnedWriteHalf,
    unsent: Vec<u8>,
    message: PhantomData<fn(Out)>,
}

impl<Out: Serialize> Sender<Out> {
    /// Sends a message, and waits while the peer does not read.
    ///
    /// If the wait is cancelled, the message goes out with the next call.
    pub async fn send(&mut self, message: &Out) -> Result<(), LinkError> {
        self.flush().await?;
        append_frame(message, &mut self.unsent)?;
        self.flush().await
    }

    /// Sends a message now or not at all: [`LinkError::Full`] when the peer does not read.
    pub fn try_send(&mut self, message: &Out) -> Result<(), LinkError> {
        self.try_flush()?;
        if !self.unsent.is_empty() {
            return Err(LinkError::Full);
        }
        append_frame(message, &mut self.unsent)?;
        let length = self.unsent.len();
        self.try_flush()?;
        if self.unsent.len() == length {
            self.unsent = Vec::new();
            return Err(LinkError::Full);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), LinkError> {
        loop {
            self.try_flush()?;
            if self.unsent.is_empty() {
                return Ok(());
            }
            self.write.writable().await?;
        }
    }

    /// Writes until everything is out or the socket is full.
    fn try_flush(&mut self) -> Result<(), LinkError> {
        while !self.unsent.is_empty() {
            match self.write.try_write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }
}
