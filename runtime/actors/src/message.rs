//! What actors of different processes can say to each other.
//!
//! [`Message`] is implemented by its derive; a message that crosses no process boundary needs nothing.
//! How bytes get from one process to another is not known here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use blackhole_protocol::link::{self, Room};
use serde::{Serialize, de::DeserializeOwned};

pub use blackhole_protocol::link::{DecodeError, EncodeError};

use crate::{
    Reply,
    reply::{Asked, Awaited},
};

/// The message type of an actor that other processes may speak to. Derive it:
///
/// ```
/// use blackhole_actors::{Message, Reply};
///
/// #[derive(Message)]
/// #[blackhole(crate = "blackhole_actors")]
/// enum Counter {
///     Add(u64),
///     Get(Reply<u64>),
///     Since { moment: u64, reply: Reply<Vec<u64>> },
/// }
/// ```
///
/// Fields are values that serde can carry; a variant with a [`Reply`] is a question. The same type is
/// an ordinary ractor message.
///
/// Limits: at most 1 MiB encoded and nested at most 128 levels deep; beyond that the sender gets an error.
/// Decoded, at most 64 MiB of memory, each value counted as large as its type; beyond that a call fails and a cast
/// cuts the link. So it is with shapes that serde can write but cannot read back from a format that does not
/// describe itself, such as untagged enums. Fields are written and dropped while the link is locked, so their code
/// must not use the link. A message is decoded only where both sides have the same [`SCHEMA`](Self::SCHEMA).
pub trait Message: Send + Sized + 'static {
    /// What the type is called, for people.
    const NAME: &'static str;

    /// A hash of its shape: names and order of variants and fields, and the names of their types.
    const SCHEMA: u64;

    /// Writes the message, and takes its reply out of it.
    ///
    /// # Errors
    /// When a field has a shape that the format cannot carry.
    fn encode(self, encoder: &mut Encoder<'_>) -> Result<(), EncodeError>;

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are not a message of this type.
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

/// Where a message is written.
pub struct Encoder<'a> {
    bytes: &'a mut Vec<u8>,
    room: Room,
    awaited: Option<Box<dyn Awaited>>,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, room: Room::default(), awaited: None }
    }

    pub(crate) fn into_awaited(self) -> Option<Box<dyn Awaited>> {
        self.awaited
    }

    /// The number of the variant; to be written first.
    pub fn variant(&mut self, index: u32) {
        link::append_value(&index, self.bytes).expect("a number fits into memory");
    }

    /// One field.
    ///
    /// # Errors
    /// When its shape is one that the format cannot carry.
    pub fn value<V: Serialize>(&mut self, value: &V) -> Result<(), EncodeError> {
        link::append_value_within(value, self.bytes, &self.room)
    }

    /// The field that is the reply. Nothing is written: the frame says which call it is.
    pub fn reply<T: DeserializeOwned + Send + 'static>(&mut self, reply: Reply<T>) {
        self.awaited = Some(Box::new(reply));
    }
}

/// What a message is read from.
pub struct Decoder<'a> {
    message: &'static str,
    bytes: &'a [u8],
    room: Room,
    asked: Option<Asked>,
}

/// A message that has been read, or why not and whom to tell.
pub(crate) type Decoded<M> = Result<M, (DecodeError, Option<Asked>)>;

impl<'a> Decoder<'a> {
    /// Reads the whole of `bytes` as a message. Also returns how much memory that takes, in bytes. A panic of the
    /// type's own code is an error like any other.
    pub(crate) fn message<M: Message>(
        bytes: &'a [u8],
        asked: Option<Asked>,
    ) -> (Decoded<M>, usize) {
        let mut decoder = Self { message: M::NAME, bytes, room: Room::default(), asked };
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let message = M::decode(&mut decoder)?;
            link::end_of_values(decoder.bytes)?;
            // A question whose reply nobody took would never be answered.
            if decoder.asked.is_some() { Err(DecodeError::NotAQuestion) } else { Ok(message) }
        }));
        let Self { room, asked, .. } = decoder;
        let decoded = decoded.unwrap_or(Err(DecodeError::Panicked));
        (decoded.map_err(|error| (error, asked)), room.taken())
    }

    /// The number of the variant; to be read first.
    ///
    /// # Errors
    /// When the bytes end before it.
    pub fn variant(&mut self) -> Result<u32, DecodeError> {
        self.value()
    }

    /// One field.
    ///
    /// # Errors
    /// When the bytes are not such a value.
    pub fn value<V: DeserializeOwned>(&mut self) -> Result<V, DecodeError> {
        link::take_value_within(&mut self.bytes, &self.room)
    }

    /// The field that is the reply; to be read last.
    ///
    /// # Errors
    /// When the message came as one that wants no answer, or there are bytes left of it.
    pub fn reply<T: Serialize>(&mut self) -> Result<Reply<T>, DecodeError> {
        link::end_of_values(self.bytes)?;
        let mut asked = self.asked.take().ok_or(DecodeError::NotAQuestion)?;
        asked.ticket.weigh(self.room.taken());
        Ok(Reply::far(asked))
    }

    /// The error for a variant that the type does not have.
    pub fn unknown_variant(&self, variant: u32) -> DecodeError {
        DecodeError::UnknownVariant { message: self.message, variant }
    }
}
