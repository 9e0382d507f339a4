//! Frames as bytes: the only place that knows bincode.
//!
//! Every decode is limited to a frame's bytes, to [`DEPTH_MAX`] and to [`VALUES_SIZE_MAX`] of memory, and
//! bytes left over after a value are an error.
//! Reading and writing sockets is not done here.

use std::marker::PhantomData;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    FRAME_LENGTH_MAX,
    depth::{
        DEPTH_MAX, ELEMENTS_MAX, PATH_SIZE_MAX, Reading, Room, TOO_DEEP, TOO_LARGE,
        VALUES_SIZE_MAX, Writing,
    },
};

/// Bytes of the length in front of each frame.
pub const LENGTH_PREFIX: usize = size_of::<u32>();

/// bincode counts numbers as they are in memory, and up to 16 bytes of those are one byte of a frame: with a
/// smaller limit it would refuse what it has written. What a value takes in memory is bounded beside this: no text
/// is longer than its frame, because it is copied from that, and all else has [`VALUES_SIZE_MAX`].
const DECODED_MAX: usize = 16 * FRAME_LENGTH_MAX;

const CONFIGURATION: Configuration<LittleEndian, Varint, Limit<DECODED_MAX>> =
    bincode::config::standard().with_limit::<DECODED_MAX>();

/// Why a message could not become a frame.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The message is too large; nothing was sent.
    #[error("a message of {length} bytes does not fit into a frame of {FRAME_LENGTH_MAX}")]
    TooLong {
        /// The encoded length, in bytes.
        length: usize,
    },
    /// The message has more levels of values inside values; nothing was sent.
    #[error("a message is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// The lists of the message have more elements; nothing was sent.
    #[error("the lists of a message have more than {ELEMENTS_MAX} elements together")]
    TooMany,
    /// A message that wants no answer was to be asked.
    #[error("a message without a reply cannot be asked, only told")]
    NotAQuestion,
    /// A message that wants an answer was to be told.
    #[error("a message with a reply cannot be told, only asked")]
    AQuestion,
    /// The message has a shape that bincode cannot carry.
    #[error("could not encode a message for the link")]
    Malformed(#[source] bincode::error::EncodeError),
}

/// Why bytes are not the message that was expected.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not an encoded message of the expected type.
    #[error("could not decode a message from the link")]
    Malformed(#[source] bincode::error::DecodeError),
    /// The message has more levels of values inside values, or larger ones.
    #[error(
        "a message from the link is nested deeper than {DEPTH_MAX} levels, or than {PATH_SIZE_MAX} bytes of values inside each other"
    )]
    TooDeep,
    /// The values of the message would take more memory.
    #[error(
        "the values of a message from the link take more than {VALUES_SIZE_MAX} bytes of memory"
    )]
    TooLarge,
    /// The type of the message has code of its own to be read by, and that panicked.
    #[error("reading a message from the link panicked")]
    Panicked,
    /// The message has a variant that this program does not know.
    #[error("`{message}` has no variant number {variant}")]
    UnknownVariant {
        /// The type of the message.
        message: &'static str,
        /// The number of the variant.
        variant: u32,
    },
    /// A question came as a statement, or a statement as a question.
    #[error("a message that asks for an answer came without the means to give one, or the reverse")]
    NotAQuestion,
    /// The message ended before the frame did.
    #[error("a message from the link ends {surplus} bytes before its frame does")]
    Surplus {
        /// How many bytes are left over.
        surplus: usize,
    },
}

/// Appends `message` to `bytes` as one frame, its length in front. On an error `bytes` is as before.
pub fn append_frame<M: Serialize>(message: &M, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    append_frame_with(bytes, |bytes| append_value(message, bytes))
}

/// Appends what `write` appends to `bytes` as one frame, its length in front. On an error, which may
/// be that of `write`, `bytes` is as before.
pub fn append_frame_with<T>(
    bytes: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, EncodeError>,
) -> Result<T, EncodeError> {
    let frame = Unfinished { start: bytes.len(), bytes };
    frame.bytes.extend_from_slice(&[0; LENGTH_PREFIX]);
    let value = write(frame.bytes)?;
    frame.finish()?;
    Ok(value)
}

/// A frame that is being made. Dropped before it is whole, also by a panic of what writes it, it takes back
/// what was written: others share the buffer.
struct Unfinished<'a> {
    start: usize,
    bytes: &'a mut Vec<u8>,
}

impl Unfinished<'_> {
    fn finish(self) -> Result<(), EncodeError> {
        let length = self.bytes.len() - self.start - LENGTH_PREFIX;
        let prefix = u32::try_from(length).ok().filter(|_| length <= FRAME_LENGTH_MAX);
        let prefix = prefix.ok_or(EncodeError::TooLong { length })?;
        self.bytes[self.start..][..LENGTH_PREFIX].copy_from_slice(&prefix.to_le_bytes());
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.start);
    }
}

/// Appends one value to a frame that is being made, of a message that has no others.
pub fn append_value<V: Serialize>(value: &V, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    append_value_within(value, bytes, &Room::default())
}

/// Appends one value to a frame that is being made, of a message that has so much room left.
pub fn append_value_within<V: Serialize>(
    value: &V,
    bytes: &mut Vec<u8>,
    room: &Room,
) -> Result<(), EncodeError> {
    use bincode::error::EncodeError::OtherString;
    bincode::serde::encode_into_std_write(Writing(room, value), bytes, CONFIGURATION)
        .map(drop)
        .map_err(|error| match error {
            OtherString(text) if text == TOO_DEEP => EncodeError::TooDeep,
            OtherString(text) if text == TOO_LARGE => EncodeError::TooMany,
            error => EncodeError::Malformed(error),
        })
}

/// The value that `bytes` begin with, of a message that has no others; they are what follows it afterwards.
pub fn take_value<V: DeserializeOwned>(bytes: &mut &[u8]) -> Result<V, DecodeError> {
    take_value_within(bytes, &Room::default())
}

/// The value that `bytes` begin with, of a message that has so much room left; they are what follows it
/// afterwards.
pub fn take_value_within<V: DeserializeOwned>(
    bytes: &mut &[u8],
    room: &Room,
) -> Result<V, DecodeError> {
    use bincode::error::DecodeError::OtherString;
    let reading = Reading(room, PhantomData);
    let (value, used) = bincode::serde::seed_decode_from_slice(reading, bytes, CONFIGURATION)
        .map_err(|error| match error {
            OtherString(text) if text == TOO_DEEP => DecodeError::TooDeep,
            OtherString(text) if text == TOO_LARGE => DecodeError::TooLarge,
            error => DecodeError::Malformed(error),
        })?;
    *bytes = &bytes[used..];
    Ok(value)
}

/// The length of the frame that `bytes` begins with, without its prefix; `None` while the prefix is
/// incomplete. The caller compares it with [`FRAME_LENGTH_MAX`] before it waits for that much.
pub fn frame_length(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<LENGTH_PREFIX>()?;
    Some(u32::from_le_bytes(*prefix) as usize)
}

/// The message in `frame`, which comes without its length prefix.
pub fn decode<M: DeserializeOwned>(frame: &[u8]) -> Result<M, DecodeError> {
    decode_within(frame, &Room::default())
}

/// As [`decode`], of a message that has so much room.
pub fn decode_within<M: DeserializeOwned>(frame: &[u8], room: &Room) -> Result<M, DecodeError> {
    let mut rest = frame;
    let message = take_value_within(&mut rest, room)?;
    end_of_values(rest)?;
    Ok(message)
}

/// A frame ends with its last value.
pub fn end_of_values(rest: &[u8]) -> Result<(), DecodeError> {
    match rest.len() {
        0 => Ok(()),
        surplus => Err(DecodeError::Surplus { surplus }),
    }
}

/// The version and the schema that a handshake frame begins with, readable whatever follows them. A
/// peer of another version may say no schema: then the version is all that there is to know.
pub fn greeting_of(frame: &[u8]) -> Result<(u16, Option<u64>), DecodeError> {
    let mut rest = frame;
    let (_variant, version): (u32, u16) = take_value(&mut rest)?;
    Ok((version, take_value(&mut rest).ok()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, num::NonZeroU32};

    use super::*;
    use crate::{
        InstanceId,
        link::{Assignment, ToChild, ToNode},
    };

    fn framed<M: Serialize>(message: &M) -> Vec<u8> {
        let mut bytes = Vec::new();
        append_frame(message, &mut bytes).expect("the message fits");
        bytes
    }

    fn welcome() -> ToChild {
        let assignment = Assignment {
            node: "dev".into(),
            instance: InstanceId {
                service: "api".parse().expect("a name"),
                index: NonZeroU32::MIN,
            },
            generation: 7,
            data_dir: "/d".into(),
            runtime_dir: "/r".into(),
            sockets: BTreeMap::from([("grpc".into(), 4)]),
            settings: "{}".into(),
            grace_ms: 10_000,
        };
        ToChild::Welcome { version: 2, schema: 7, assignment: Box::new(assignment) }
    }

    /// A change of these bytes is a change of the protocol: count [`VERSION`] up with it.
    #[test]
    fn the_bytes_on_the_wire_are_these() {
        assert_eq!(framed(&ToNode::Hello { version: 2, schema: 7 }), [3, 0, 0, 0, 0, 2, 7]);
        assert_eq!(framed(&ToNode::Ready), [1, 0, 0, 0, 1]);
        assert_eq!(framed(&ToNode::Pong { sequence: 300 }), [4, 0, 0, 0, 3, 251, 44, 1]);
        assert_eq!(framed(&ToChild::Stop), [1, 0, 0, 0, 2]);
        let welcome = framed(&welcome());
        assert_eq!(
            welcome,
            b"\x20\0\0\0\x00\x02\x07\x03dev\x03api\x01\x07\x02/d\x02/r\x01\x04grpc\x08\x02{}\xfb\x10\x27"
        );
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let bytes = framed(&welcome());
        assert_eq!(frame_length(&bytes), Some(bytes.len() - LENGTH_PREFIX));
        assert_eq!(decode::<ToChild>(&bytes[LENGTH_PREFIX..]).expect("decodes"), welcome());
    }

    #[test]
    fn the_version_is_found_whatever_follows_it() {
        assert_eq!(greeting_of(&[0, 9, 255, 255, 255]).expect("a version"), (9, None));
        assert_eq!(greeting_of(&[0, 9, 8, 255, 255]).expect("both"), (9, Some(8)));
    }

    #[test]
    fn a_message_longer_than_a_frame_is_refused_and_leaves_nothing() {
        let mut bytes = vec![1];
        let refused =
            append_frame(&ToNode::Unready { reason: "x".repeat(FRAME_LENGTH_MAX) }, &mut bytes);
        assert!(matches!(refused, Err(EncodeError::TooLong { .. })), "{refused:?}");
        assert_eq!(bytes, [1]);
    }

    #[test]
    fn what_fills_a_frame_is_decoded_whatever_it_is_made_of() {
        let numbers = vec![0_u128; FRAME_LENGTH_MAX - 8];
        assert_eq!(
            decode::<Vec<u128>>(&framed(&numbers)[LENGTH_PREFIX..]).expect("decodes"),
            numbers
        );
        let texts = vec!["x".to_owned(); FRAME_LENGTH_MAX / 2 - 8];
        assert_eq!(
            decode::<Vec<String>>(&framed(&texts)[LENGTH_PREFIX..]).expect("decodes"),
            texts
        );
        let reason = ToNode::Unready { reason: "x".repeat(FRAME_LENGTH_MAX - 6) };
        let bytes = framed(&reason);
        assert_eq!(bytes.len(), LENGTH_PREFIX + FRAME_LENGTH_MAX);
        assert_eq!(decode::<ToNode>(&bytes[LENGTH_PREFIX..]).expect("decodes"), reason);
    }

    #[test]
    fn a_panic_while_a_frame_is_made_leaves_nothing() {
        let mut bytes = vec![1];
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            append_frame_with(&mut bytes, |bytes| -> Result<(), EncodeError> {
                bytes.push(2);
                panic!("a message that cannot be written");
            })
        }));
        assert!(made.is_err());
        assert_eq!(bytes, [1]);
    }

    /// A text as the decoder hands it over: whether it stands in the frame, or room was made for it.
    #[derive(Debug, PartialEq)]
    enum Handed {
        FromTheFrame,
        Made,
    }

    impl<'de> serde::Deserialize<'de> for Handed {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Handed;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a text")
                }

                fn visit_borrowed_str<E>(self, _: &'de str) -> Result<Handed, E> {
                    Ok(Handed::FromTheFrame)
                }

                fn visit_str<E>(self, _: &str) -> Result<Handed, E> {
                    Ok(Handed::Made)
                }
            }
            deserializer.deserialize_string(Visitor)
        }
    }

    /// What would be made is as long as its length says, which 14 bytes can say of 16 MiB.
    #[test]
    fn no_room_is_made_for_a_text_before_it_is_there() {
        let text = framed(&"text");
        let handed = decode::<Handed>(&text[LENGTH_PREFIX..]).expect("decodes");
        assert_eq!(handed, Handed::FromTheFrame);
    }

    #[test]
    fn broken_frames_are_errors() {
        let surplus = decode::<ToNode>(&[1, 0]);
        assert!(matches!(surplus, Err(DecodeError::Surplus { surplus: 1 })), "{surplus:?}");
        // A text that claims to be four exabytes long must not be believed.
        let boast = decode::<ToNode>(&[2, 253, 0, 0, 0, 0, 0, 0, 0, 0x40]);
        assert!(matches!(boast, Err(DecodeError::Malformed(_))), "{boast:?}");
        assert!(decode::<ToNode>(&[]).is_err());
        assert!(decode::<ToNode>(&[99]).is_err());
    }
}
