//! The messages of the link: node ⇄ native child, over an inherited Unix stream socket. What passes
//! between actors of different processes is in [`gateway`].
//!
//! A frame is a length (`u32`, little endian, of what follows), then one bincode value. The first
//! frame in each direction is a handshake; whoever sees another [`VERSION`] or [`SCHEMA`] than its own
//! refuses the peer with both numbers in the text. So that this holds between any two versions, the
//! first frame always begins with the number of its variant, then the version, then the schema,
//! whatever follows.

mod depth;
mod frame;
pub mod gateway;

use std::{collections::BTreeMap, path::PathBuf};

use blackhole_derive::Schema;
use serde::{Deserialize, Serialize};

use crate::{InstanceId, Name};

pub use depth::{DEPTH_MAX, Room, VALUES_SIZE_MAX};
pub use frame::{
    DecodeError, EncodeError, LENGTH_PREFIX, append_frame, append_frame_with, append_value,
    append_value_within, decode, decode_within, end_of_values, frame_length, greeting_of,
    take_value, take_value_within,
};

/// The version of everything in this module. Any change to a message counts it up.
pub const VERSION: u16 = 2;

/// The hash of every message in this module, so that a change which was forgotten to be counted is
/// noticed all the same.
pub const SCHEMA: u64 = schema(&[
    ToChild::SCHEMA,
    ToNode::SCHEMA,
    Assignment::SCHEMA,
    Query::SCHEMA,
    Answer::SCHEMA,
    gateway::ExitReason::SCHEMA,
    InstanceId::SCHEMA,
    Name::SCHEMA,
]);

/// The largest frame, in bytes, that either side sends or accepts.
pub const FRAME_LENGTH_MAX: usize = 1 << 20;

/// One hash of several: what peers compare is the shape of everything that passes between them.
pub const fn schema(parts: &[u64]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < parts.len() {
        hash = (hash ^ parts[at]).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// What the node says to a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum ToChild {
    /// The first frame: who the child is and what it needs to begin.
    Welcome {
        /// The node's [`VERSION`].
        version: u16,
        /// The node's [`SCHEMA`].
        schema: u64,
        /// Everything the child needs to begin.
        assignment: Box<Assignment>,
    },
    /// Is the child's runtime still turning? To be answered with [`ToNode::Pong`].
    Ping {
        /// To be repeated in the answer.
        sequence: u64,
    },
    /// Finish what is in flight, then exit with 0.
    Stop,
    /// The answer to [`ToNode::Ask`].
    Told {
        /// From the question.
        question: u64,
        /// What the node knows.
        answer: Answer,
    },
}

/// What a child says to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum ToNode {
    /// The first frame.
    Hello {
        /// The child's [`VERSION`].
        version: u16,
        /// The child's [`SCHEMA`].
        schema: u64,
    },
    /// The service may be called.
    Ready,
    /// The service lives but must not be called for the time being.
    Unready {
        /// Why, for status and history.
        reason: String,
    },
    /// The answer to [`ToChild::Ping`].
    Pong {
        /// From the question.
        sequence: u64,
    },
    /// The child has begun to stop by itself.
    Stopping,
    /// What about another process? To be answered with [`ToChild::Told`], which may take as long as that
    /// process lives; at most [`QUESTIONS_MAX`] may be open.
    Ask {
        /// To be repeated in the answer.
        question: u64,
        /// What is asked.
        query: Query,
    },
}

/// How many questions a child may have open. One that asks more is not understood.
pub const QUESTIONS_MAX: usize = 256;

/// What a child may ask about another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Query {
    /// Does it live?
    Standing {
        /// Which.
        instance: InstanceId,
    },
    /// Why did it end? Answered when it has.
    Exit {
        /// Which.
        instance: InstanceId,
        /// Which incarnation of it.
        generation: u64,
    },
}

/// What the node knows about a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Answer {
    /// It lives.
    Running,
    /// It does not.
    Away {
        /// The node's word for what it is, such as `backing_off`.
        state: String,
    },
    /// The node does not know it, or does not know any more.
    Unknown,
    /// It has ended.
    Exited {
        /// Why.
        reason: gateway::ExitReason,
    },
}

/// What a native child is told at its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Assignment {
    /// The node's name.
    pub node: String,
    /// Which service and which of its processes.
    pub instance: InstanceId,
    /// Which incarnation of that process, counted from 1.
    pub generation: u64,
    /// The service's own data directory; it exists.
    pub data_dir: PathBuf,
    /// Where the node's sockets are.
    pub runtime_dir: PathBuf,
    /// Listening sockets that were passed, by name: descriptor numbers. `grpc` is always there.
    pub sockets: BTreeMap<String, i32>,
    /// `[services.X.settings]` of the file, as JSON text.
    pub settings: String,
    /// How long the child has between [`ToChild::Stop`] and being killed, in milliseconds.
    pub grace_ms: u64,
}
