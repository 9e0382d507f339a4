//! The child's end of the link, for as long as the service lives.
//!
//! Pings are answered from the runtime that serves requests, so that a runtime that is stuck is
//! noticed by its silence.

use std::collections::HashMap;

use blackhole_actors::{
    Boxed, Directory, ExitReason, Standing,
    link::{ChildSide, LinkError},
};
use blackhole_protocol::{
    InstanceId,
    link::{Answer, QUESTIONS_MAX, Query, ToChild, ToNode},
};
use tokio::sync::{mpsc, oneshot};

/// Messages to the node that may wait while it does not read.
const OUTGOING_MAX: usize = 8;

/// What the rest of the service sees of its link.
pub(crate) struct Link {
    outgoing: mpsc::Sender<Saying>,
    /// The node has asked the service to stop.
    pub(crate) stop: oneshot::Receiver<()>,
}

/// What the node is asked, and where its answer goes.
type Asking = (Query, oneshot::Sender<Answer>);

/// The node, as it knows the other processes.
#[derive(Debug, Clone)]
pub(crate) struct AskNode(mpsc::Sender<Asking>);

impl AskNode {
    fn ask(&self, query: Query) -> impl Future<Output = Answer> + Send + 'static {
        let asking = self.0.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            if asking.send((query, answer)).await.is_err() {
                return Answer::Unknown;
            }
            answered.await.unwrap_or(Answer::Unknown)
        }
    }
}

impl Directory for AskNode {
    fn standing(&self, instance: &InstanceId) -> Boxed<Standing> {
        let answer = self.ask(Query::Standing { instance: instance.clone() });
        Box::pin(async move {
            match answer.await {
                Answer::Running | Answer::Exited { .. } => Standing::Running,
                Answer::Away { state } => Standing::Away(state),
                Answer::Unknown => Standing::Unknown,
            }
        })
    }

    fn exit(&self, instance: &InstanceId, generation: u64) -> Boxed<ExitReason> {
        let answer = self.ask(Query::Exit { instance: instance.clone(), generation });
        Box::pin(async move {
            match answer.await {
                Answer::Exited { reason } => reason,
                Answer::Running | Answer::Away { .. } | Answer::Unknown => ExitReason::Unknown,
            }
        })
    }
}

/// A message to the node, and whom to tell when it is on its way.
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
pub(crate) fn keep(side: ChildSide) -> (Link, AskNode, impl Future<Output = LinkError> + Send) {
    let (outgoing, waiting) = mpsc::channel(OUTGOING_MAX);
    let (asking, questions) = mpsc::channel(OUTGOING_MAX);
    let (asked, stop) = oneshot::channel();
    let keeping = async move {
        match speak(side, waiting, questions, asked).await {
            Err(error) => error,
            Ok(never) => match never {},
        }
    };
    (Link { outgoing, stop }, AskNode(asking), keeping)
}

async fn speak(
    side: ChildSide,
    mut waiting: mpsc::Receiver<Saying>,
    mut questions: mpsc::Receiver<Asking>,
    asked: oneshot::Sender<()>,
) -> Result<std::convert::Infallible, LinkError> {
    let (mut receiver, mut sender) = side.split();
    let mut asked = Some(asked);
    let mut open: HashMap<u64, oneshot::Sender<Answer>> = HashMap::new();
    let mut question = 0;
    loop {
        tokio::select! {
            message = receiver.receive() => match message? {
                ToChild::Ping { sequence } => sender.send(&ToNode::Pong { sequence }).await?,
                ToChild::Stop => drop(asked.take().map(|asked| asked.send(()))),
                // The caller may have gone.
                ToChild::Told { question, answer } => {
                    drop(open.remove(&question).map(|asked| asked.send(answer)));
                }
                ToChild::Welcome { .. } => return Err(LinkError::NotAHandshake),
            },
            Some((query, answer)) = questions.recv(), if open.len() < QUESTIONS_MAX => {
                question += 1;
                open.insert(question, answer);
                sender.send(&ToNode::Ask { question, query }).await?;
            }
            Some((message, sent)) = waiting.recv() => {
                sender.send(&message).await?;
                // Whoever said it may have gone.
                let _ = sent.send(());
            }
        }
    }
}
