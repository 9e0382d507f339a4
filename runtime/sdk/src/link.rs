//! The child's end of the link, for as long as the service lives.
//!
//! Pings are answered from the runtime that serves requests, so that a runtime that is stuck is
//! noticed by its silence.

use blackhole_actors::link::{ChildSide, LinkError};
use blackhole_protocol::link::{ToChild, ToNode};
use tokio::sync::{mpsc, oneshot};

/// Messages to the node that may wait while it does not read.
const OUTGOING_MAX: usize = 8;

/// What the rest of the service sees of its link.
pub(crate) struct Link {
    outgoing: mpsc::Sender<Saying>,
    /// The node has asked the service to stop.
    pub(crate) stop: oneshot::Receiver<()>,
}

/// A message to the node, and who waits for it to be on its way.
type Saying = (ToNode, oneshot::Sender<()>);

impl Link {
    /// Says something to the node, and waits until it is on its way. Returns as well when the link is
    /// gone, which ends the service anyway.
    pub(crate) async fn say(&self, message: ToNode) {
        let (sent, on_its_way) = oneshot::channel();
        if self.outgoing.send((message, sent)).await.is_ok() {
            let _ = on_its_way.await;
        }
    }
}

/// Splits an open link into what the service sees of it and the work of keeping it, which ends only
/// with the link.
pub(crate) fn keep(side: ChildSide) -> (Link, impl Future<Output = LinkError> + Send) {
    let (outgoing, waiting) = mpsc::channel(OUTGOING_MAX);
    let (asked, stop) = oneshot::channel();
    let keeping = async move {
        match speak(side, waiting, asked).await {
            Err(error) => error,
            Ok(never) => match never {},
        }
    };
    (Link { outgoing, stop }, keeping)
}

async fn speak(
    side: ChildSide,
    mut waiting: mpsc::Receiver<Saying>,
    asked: oneshot::Sender<()>,
) -> Result<std::convert::Infallible, LinkError> {
    let (mut receiver, mut sender) = side.split();
    let mut asked = Some(asked);
    loop {
        tokio::select! {
            message = receiver.receive() => match message? {
                ToChild::Ping { sequence } => sender.send(&ToNode::Pong { sequence }).await?,
                ToChild::Stop => drop(asked.take().map(|asked| asked.send(()))),
                ToChild::Welcome { .. } => return Err(LinkError::NotAHandshake),
            },
            Some((message, sent)) = waiting.recv() => {
                sender.send(&message).await?;
                // Whoever said it may have gone.
                let _ = sent.send(());
            }
        }
    }
}
