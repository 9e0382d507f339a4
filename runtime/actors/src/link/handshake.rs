//! The first message in each direction: versions and schemas are compared, the child learns its assignment.

use std::time::Duration;

use blackhole_protocol::link::{Assignment, SCHEMA, ToChild, ToNode, VERSION, decode, greeting_of};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::{Connection, LinkError};

/// How long either side waits for the other's first message. It is only a last bound: the node
/// has its own deadline for a child's start, and drops the handshake when that passes.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

const OURS: Dialect = Dialect { version: VERSION, schema: SCHEMA };

/// The node's end of a link.
pub type NodeSide = Connection<ToNode, ToChild>;

/// The child's end of a link.
pub type ChildSide = Connection<ToChild, ToNode>;

/// Opens a link from the node's side: tells the child its assignment and hears its version.
pub async fn accept(stream: UnixStream, assignment: Assignment) -> Result<NodeSide, LinkError> {
    let assignment = Box::new(assignment);
    let welcome = ToChild::Welcome { version: VERSION, schema: SCHEMA, assignment };
    let mut connection = NodeSide::over(stream);
    match open(&mut connection, &welcome).await? {
        ToNode::Hello { .. } => Ok(connection),
        _ => Err(LinkError::NotAHandshake),
    }
}

/// Opens a link from the child's side.
pub async fn connect(stream: UnixStream) -> Result<(ChildSide, Assignment), LinkError> {
    let mut connection = ChildSide::over(stream);
    match open(&mut connection, &ToNode::Hello { version: VERSION, schema: SCHEMA }).await? {
        ToChild::Welcome { assignment, .. } => Ok((connection, *assignment)),
        _ => Err(LinkError::NotAHandshake),
    }
}

/// What must be the same on both sides of a link for them to understand each other.
pub(crate) struct Dialect {
    pub(crate) version: u16,
    pub(crate) schema: u64,
}

impl Dialect {
    /// Compares this with what the peer's first frame says.
    pub(crate) fn check(&self, greeting: &[u8]) -> Result<(), LinkError> {
        let (theirs, their_schema) = greeting_of(greeting)?;
        if theirs != self.version {
            return Err(LinkError::VersionMismatch { ours: self.version, theirs });
        }
        match their_schema {
            Some(theirs) if theirs != self.schema => {
                Err(LinkError::SchemaMismatch { ours: self.schema, theirs })
            }
            Some(_) => Ok(()),
            None => Err(LinkError::NotAHandshake),
        }
    }
}

/// Sends `first` and gives the peer's first message once its version is known to be ours.
///
/// The peer's version is read whether or not ours could be sent, because a peer that refuses ours
/// closes its end: then the reason is the versions, not the closed link.
async fn open<In, Out>(connection: &mut Connection<In, Out>, first: &Out) -> Result<In, LinkError>
where
    In: DeserializeOwned,
    Out: Serialize,
{
    let exchange = async {
        let sent = connection.send(first).await;
        let frame = connection.receive_frame().await?;
        OURS.check(&frame)?;
        sent?;
        Ok(decode(&frame)?)
    };
    tokio::time::timeout(HANDSHAKE_TIMEOUT, exchange)
        .await
        .unwrap_or(Err(LinkError::HandshakeTimeout { within: HANDSHAKE_TIMEOUT }))
}
