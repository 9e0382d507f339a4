//! What actors of different processes can say to each other.
//!
//! [`Message`] is implemented by its derive; a message that crosses no process boundary needs nothing.
//! How bytes get from one process to another is not known here.

use blackhole_protocol::link;
use serde::{Serialize, de::DeserializeOwned};

pub use blackhole_protocol::link::{DecodeError, EncodeError};

use crate::{
    Reply,
    reply::{Asked, Awaited},
};

/// The message type of an actor that other processes may speak to. To be derived:
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
/// an ordinary ractor message. A message fits into a frame of a mebibyte, is nested at most 128 levels deep,
/// and its lists take at most 32 MiB of memory in the process that reads it: a longer or deeper one is an error for
/// whoever sends it, and larger lists are one for whoever asks, and cut the link of whoever tells. Fields are
/// written and dropped while the link is locked, and so must not use it themselves. What is sent in one process is decoded in the other only if both
/// have the same [`SCHEMA`](Self::SCHEMA).
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
    awaited: Option<Box<dyn Awaited>>,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, awaited: None }
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
        link::append_value(value, self.bytes)
    }

    /// The field that is the reply. Nothing is written: the frame says which call it is.
    pub fn reply<T: DeserializeOwned + Send + 'static>(&mut self, reply: Reply<T>) {
        self.awaited = Some(Box::new(reply));
    }
}

/// Whence a message is read.
pub struct Decoder<'a> {
    message: &'static str,
    bytes: &'a [u8],
    asked: Option<Asked>,
}

impl<'a> Decoder<'a> {
    /// Reads the whole of `bytes` as a message.
    pub(crate) fn message<M: Message>(
        bytes: &'a [u8],
        asked: Option<Asked>,
    ) -> Result<M, (DecodeError, Option<Asked>)> {
        let mut decoder = Self { message: M::NAME, bytes, asked };
        let decoded = M::decode(&mut decoder).and_then(|message| {
            link::end_of_values(decoder.bytes)?;
            // A question whose reply nobody took would never be answered.
            if decoder.asked.is_some() { Err(DecodeError::NotAQuestion) } else { Ok(message) }
        });
        decoded.map_err(|error| (error, decoder.asked))
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
        link::take_value(&mut self.bytes)
    }

    /// The field that is the reply.
    ///
    /// # Errors
    /// When the message came as one that wants no answer.
    pub fn reply<T: Serialize>(&mut self) -> Result<Reply<T>, DecodeError> {
        self.asked.take().map(Reply::far).ok_or(DecodeError::NotAQuestion)
    }

    /// The error for a variant that the type does not have.
    pub fn unknown_variant(&self, variant: u32) -> DecodeError {
        DecodeError::UnknownVariant { message: self.message, variant }
    }
}
