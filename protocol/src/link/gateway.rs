//! The messages between actors of different processes: whoever has a reference ⇄ the gateway of the
//! process that hosts the actor, over a Unix stream socket.
//!
//! Frames are those of the [link](super), and begin with [`ToGateway`] or [`FromGateway`]. In frames
//! that carry an actor's message or an answer ([`ToGateway::Cast`], [`ToGateway::Call`],
//! [`FromGateway::Answer`]) that follows, up to the frame's end; all others end there. The first
//! frame in each direction is the handshake.
//!
//! Credits: a peer may have as many casts and calls undone as the [`Window`] says, and is granted more
//! as the actors have done them. The byte window may be exceeded by the last frame that began inside it.
//!
//! An orderly end: the gateway says [`FromGateway::Leaving`]; its peer says [`ToGateway::Goodbye`] after
//! what it has sent already, and turns to the successor; the gateway does and answers all of that, says
//! [`FromGateway::Goodbye`], and closes.

use std::fmt;

use blackhole_derive::Schema;
use serde::{Deserialize, Serialize};

use crate::{InstanceId, Name};

/// The version of everything in this module. Any change to a message counts it up.
pub const VERSION: u16 = 2;

/// The hash of everything in this module.
pub const SCHEMA: u64 = super::schema(&[
    ToGateway::SCHEMA,
    FromGateway::SCHEMA,
    Window::SCHEMA,
    Refusal::SCHEMA,
    Failure::SCHEMA,
    ExitReason::SCHEMA,
    InstanceId::SCHEMA,
    Name::SCHEMA,
]);

/// What a gateway lets each of its peers have undone.
pub const WINDOW: Window = Window { messages: 4096, bytes: 2 << 20 };

/// The longest name of an actor or of a type of messages, in bytes.
pub const NAME_LENGTH_MAX: usize = 255;

/// The first frame of either side is no longer than this, in bytes.
pub const GREETING_LENGTH_MAX: usize = 4096;

/// The longest text that tells a peer why, in bytes; of a longer one the beginning is sent.
pub const TEXT_LENGTH_MAX: usize = 1024;

/// How many of the actors that there are a refusal names.
pub const KNOWN_MAX: usize = 16;

/// The beginning of a text, if it is longer than [`TEXT_LENGTH_MAX`].
pub fn shortened(mut text: String) -> String {
    const ELLIPSIS: char = '…';
    if text.len() > TEXT_LENGTH_MAX {
        text.truncate(text.floor_char_boundary(TEXT_LENGTH_MAX - ELLIPSIS.len_utf8()));
        text.push(ELLIPSIS);
    }
    text
}

/// What the holder of references says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum ToGateway {
    /// The first frame.
    Hello {
        /// The peer's [`VERSION`].
        version: u16,
        /// The peer's [`SCHEMA`].
        schema: u64,
        /// Who it is, for the gateway's records.
        from: String,
    },
    /// From now on `target` is that actor.
    Bind {
        /// A number that the peer chose and that is free.
        target: u32,
        /// The actor's name.
        actor: String,
        /// What the peer believes its messages to be called.
        message: String,
        /// What the peer believes their shape to be.
        schema: u64,
    },
    /// The actor will not be spoken to any more by this number.
    Release {
        /// Which number.
        target: u32,
    },
    /// A message that wants no answer follows.
    Cast {
        /// For whom.
        target: u32,
    },
    /// A message that wants an answer follows.
    Call {
        /// For whom.
        target: u32,
        /// To be repeated with the answer.
        call: u64,
        /// After so many microseconds nobody waits for the answer any more.
        within_us: u64,
    },
    /// Nothing more will be sent. Answers are still heard if the gateway is [leaving](FromGateway::Leaving).
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// What a gateway says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum FromGateway {
    /// The first frame.
    Welcome {
        /// The gateway's [`VERSION`].
        version: u16,
        /// The gateway's [`SCHEMA`].
        schema: u64,
        /// Whose process it is.
        instance: InstanceId,
        /// Which incarnation of it.
        generation: u64,
        /// How much may be undone.
        window: Window,
    },
    /// The answer to [`ToGateway::Bind`]: it is.
    Bound {
        /// The number.
        target: u32,
    },
    /// The answer to [`ToGateway::Bind`]: it is not, and the number is free.
    Refused {
        /// The number.
        target: u32,
        /// Why.
        refusal: Refusal,
    },
    /// The answer to [`ToGateway::Release`]: the number is free, and nothing more will be said of it.
    Released {
        /// The number.
        target: u32,
    },
    /// The answer to a call follows.
    Answer {
        /// Which call.
        call: u64,
    },
    /// A call will not be answered.
    Failed {
        /// Which call.
        call: u64,
        /// Why.
        failure: Failure,
    },
    /// That much has been done.
    Granted {
        /// Casts and calls.
        messages: u32,
        /// Bytes of their frames, without the length in front.
        bytes: u32,
    },
    /// An actor is gone.
    Down {
        /// The number that it has with the peer.
        target: u32,
        /// Why.
        reason: ExitReason,
    },
    /// The process is asked to stop. What is sent before the peer hears of it is done and answered; the rest
    /// is for the successor.
    Leaving,
    /// Nothing more will be sent.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// How much may be undone at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Window {
    /// Casts and calls.
    pub messages: u32,
    /// Bytes of their frames, without the length in front.
    pub bytes: u32,
}

/// Why a reference cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema, thiserror::Error)]
pub enum Refusal {
    /// There is no actor of that name.
    #[error("there is no actor `{actor}`; there are: {}", known.join(", "))]
    Unknown {
        /// The name.
        actor: String,
        /// Some of those that there are.
        known: Vec<String>,
    },
    /// The actor takes other messages.
    #[error(
        "the actor `{actor}` takes `{their_message}` with schema {their_schema:016x}, \
         and this program has `{our_message}` with schema {our_schema:016x}\n\
         hint: build both programs from the same definition of the message"
    )]
    Schema {
        /// The actor's name.
        actor: String,
        /// What the actor's messages are called.
        their_message: String,
        /// Their shape.
        their_schema: u64,
        /// What the holder of the reference calls them.
        our_message: String,
        /// The shape that it knows.
        our_schema: u64,
    },
    /// The peer has bound more actors than it may.
    #[error("more than {targets_max} actors are bound over one connection")]
    TooMany {
        /// How many it may.
        targets_max: u32,
    },
}

/// Why a call will not be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema, thiserror::Error)]
pub enum Failure {
    /// The actor let go of the question.
    #[error("the actor dropped the question without an answer")]
    Unanswered,
    /// The actor panicked over the question.
    #[error("the actor panicked before it answered")]
    Panicked,
    /// The actor was gone before it took the question.
    #[error("the actor {0}")]
    Ended(ExitReason),
    /// The message is none of the actor's.
    #[error("the gateway could not decode the message: {0}")]
    Malformed(String),
    /// The answer is none that a frame can carry.
    #[error("the gateway could not send the answer: {0}")]
    Unsendable(String),
}

/// Why an actor or its process is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum ExitReason {
    /// It stopped; with what it said, if anything.
    Stopped(Option<String>),
    /// It failed or panicked: its error.
    Failed(String),
    /// It was killed inside its process.
    Killed,
    /// Its process ended: the word of the node's history (`exit`, `signal`, `oom`, …), and a sentence.
    Process {
        /// The word.
        reason: String,
        /// The sentence.
        message: String,
    },
    /// Its process ended, and nobody could say why.
    Unknown,
}

impl Failure {
    /// The same, with a text that fits into a frame.
    #[must_use]
    pub fn shortened(self) -> Self {
        match self {
            Self::Ended(reason) => Self::Ended(reason.shortened()),
            Self::Malformed(why) => Self::Malformed(shortened(why)),
            Self::Unsendable(why) => Self::Unsendable(shortened(why)),
            Self::Unanswered | Self::Panicked => self,
        }
    }
}

impl Refusal {
    /// The same, with texts that fit into a frame.
    #[must_use]
    pub fn shortened(self) -> Self {
        match self {
            Self::Unknown { actor, known } => Self::Unknown {
                actor: shortened(actor),
                known: known.into_iter().take(KNOWN_MAX).map(shortened).collect(),
            },
            Self::Schema { actor, their_message, their_schema, our_message, our_schema } => {
                Self::Schema {
                    actor: shortened(actor),
                    their_message: shortened(their_message),
                    their_schema,
                    our_message: shortened(our_message),
                    our_schema,
                }
            }
            Self::TooMany { .. } => self,
        }
    }
}

impl ExitReason {
    /// The same, with texts that fit into a frame.
    #[must_use]
    pub fn shortened(self) -> Self {
        match self {
            Self::Stopped(why) => Self::Stopped(why.map(shortened)),
            Self::Failed(why) => Self::Failed(shortened(why)),
            Self::Process { reason, message } => {
                Self::Process { reason: shortened(reason), message: shortened(message) }
            }
            Self::Killed | Self::Unknown => self,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(None) => formatter.write_str("stopped"),
            Self::Stopped(Some(why)) => write!(formatter, "stopped: {why}"),
            Self::Failed(error) => write!(formatter, "failed: {error}"),
            Self::Killed => formatter.write_str("was killed"),
            Self::Process { message, .. } => {
                write!(formatter, "went with its process, which {message}")
            }
            Self::Unknown => formatter.write_str("went with its process"),
        }
    }
}
