//! The messages of the link: node ⇄ native child, over an inherited Unix stream socket. What passes
//! between actors of different processes is in [`gateway`].
//!
//! A frame is a length (`u32`, little endian, of what follows), then one bincode value. The first
//! frame in each direction is a handshake; whoever sees another [`VERSION`] than its own refuses
//! the peer with both numbers in the text. So that this holds between any two versions, the first
//! frame always begins with the number of its variant and then the version, whatever follows.

mod frame;
pub mod gateway;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::InstanceId;

pub use frame::{
    DecodeError, EncodeError, LENGTH_PREFIX, append_frame, append_frame_with, append_value, decode,
    end_of_values, frame_length, take_value, version_of,
};

/// The version of everything in this module. Any change to a message counts it up.
pub const VERSION: u16 = 1;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToChild {
    /// The first frame: who the child is and what it needs to begin.
    Welcome {
        /// The node's [`VERSION`].
        version: u16,
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
}

/// What a child says to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNode {
    /// The first frame.
    Hello {
        /// The child's [`VERSION`].
        version: u16,
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
}

/// What a native child is told at its birth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
