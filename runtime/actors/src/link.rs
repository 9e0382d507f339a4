//! The link: typed messages, both ways, over a connected Unix stream socket.
//!
//! [`Connection`] carries frames as `blackhole_protocol::link` lays them out; [`accept`] and
//! [`connect`] exchange the first one in each direction. Who answers pings, when a silent peer
//! counts as gone and what a message means is not decided here.

mod connection;
mod credentials;
mod handshake;

pub(crate) use credentials::Program;

pub(crate) use handshake::Dialect;

pub use connection::{Connection, LinkError, Receiver, Sender};
pub use handshake::{ChildSide, HANDSHAKE_TIMEOUT, NodeSide, accept, connect};
