//! The node's end of a native child's link.
//!
//! Turns what the child says into events of its policy, answers its questions about other processes, and
//! carries the node's pings and its request to stop. Silence is judged by the [`Heartbeat`](crate::heartbeat::Heartbeat).

use std::{os::unix::net::UnixStream, time::Duration};

use blackhole_actors::link::{self, LinkError};
use blackhole_policy::instance::Event;
use blackhole_protocol::link::{Assignment, QUESTIONS_MAX, ToChild, ToNode};
use ractor::ActorRef;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{Message, body::tell};
use crate::{heartbeat::Pulse, notify::one_line, standing::Standings};

/// Requests that may wait for a child that does not read.
const REQUESTS_MAX: usize = 8;

/// Answers to a child's questions that may wait for it to read.
const ANSWERS_MAX: usize = 8;

/// More news of its state in [`NEWS_PERIOD`] make a child broken: each is recorded and told to everybody.
const NEWS_MAX: u32 = 128;

/// Over which news are counted.
const NEWS_PERIOD: Duration = Duration::from_secs(1);

/// How the link is spoken to; the task behind it ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct Link(mpsc::Sender<ToChild>);

/// How much a child has said of its state lately.
#[derive(Debug)]
struct News {
    since: Instant,
    count: u32,
}

impl News {
    fn new(now: Instant) -> Self {
        Self { since: now, count: 0 }
    }

    fn count(&mut self, now: Instant) -> Result<(), LinkError> {
        if now.duration_since(self.since) >= NEWS_PERIOD {
            *self = Self::new(now);
        }
        self.count += 1;
        match self.count <= NEWS_MAX {
            true => Ok(()),
            false => Err(LinkError::Misuse("says again and again how it is")),
        }
    }
}

/// A link whose child has been born, and that has not been opened.
#[derive(Debug)]
pub(super) struct Unopened {
    stream: UnixStream,
    assignment: Assignment,
    requests: mpsc::Receiver<ToChild>,
    standings: Standings,
}

impl Link {
    /// The node's end of `stream`, to be opened when the child's actor is there.
    pub(super) fn new(
        stream: UnixStream,
        assignment: Assignment,
        standings: Standings,
    ) -> (Self, Unopened) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        (Self(sender), Unopened { stream, assignment, requests, standings })
    }

    /// Asks the child to go. A child that does not read is dealt with by its grace.
    pub(super) fn stop(&self) {
        let _ = self.0.try_send(ToChild::Stop);
    }

    /// Asks for a sign of life; `false` when the child has left too many questions unread.
    pub(super) fn ping(&self, sequence: u64) -> bool {
        self.0.try_send(ToChild::Ping { sequence }).is_ok()
    }
}

impl Unopened {
    /// Speaks the link until either end closes, and watches over the child until the task is aborted.
    pub(super) fn open(self, actor: ActorRef<Message>, pulse: Pulse) -> AbortHandle {
        tokio::spawn(async move {
            match self.speak(&actor, &pulse).await {
                Ok(()) => {}
                // The child's exit, which follows, is the news; a child that lives on is silent from now on.
                Err(LinkError::Closed) => std::future::pending().await,
                Err(error) => {
                    tell(&actor, Event::Unresponsive(format!("its link failed: {error}")));
                }
            }
        })
        .abort_handle()
    }

    async fn speak(mut self, actor: &ActorRef<Message>, pulse: &Pulse) -> Result<(), LinkError> {
        self.stream.set_nonblocking(true).map_err(LinkError::from)?;
        let stream = tokio::net::UnixStream::from_std(self.stream).map_err(LinkError::from)?;
        let (mut receiver, mut sender) = link::accept(stream, self.assignment).await?.split();
        pulse.felt();
        let (answering, mut answers) = mpsc::channel(ANSWERS_MAX);
        let mut questions = JoinSet::new();
        let mut news = News::new(Instant::now());
        let listen = async {
            loop {
                let said = receiver.receive().await?;
                if let ToNode::Ready | ToNode::Unready { .. } | ToNode::Stopping = said {
                    news.count(Instant::now())?;
                }
                match said {
                    ToNode::Hello { .. } => return Err(LinkError::NotAHandshake),
                    ToNode::Ready => tell(actor, Event::BecameReady),
                    ToNode::Unready { reason } => {
                        tell(actor, Event::BecameUnready(one_line(&reason)));
                    }
                    ToNode::Stopping => tell(actor, Event::StoppingReported),
                    ToNode::Pong { .. } => {}
                    ToNode::Ask { question, query } => {
                        while questions.try_join_next().is_some() {}
                        if questions.len() >= QUESTIONS_MAX {
                            return Err(LinkError::Misuse("asks too much at a time"));
                        }
                        let answer = self.standings.clone().answer(query);
                        let answering = answering.clone();
                        questions.spawn(async move {
                            let answer = answer.await;
                            // A child that is gone is past caring.
                            let _ = answering.send(ToChild::Told { question, answer }).await;
                        });
                    }
                }
                pulse.felt();
            }
        };
        let speak = async {
            loop {
                let request = tokio::select! {
                    request = self.requests.recv() => request,
                    answer = answers.recv() => answer,
                };
                match request {
                    Some(request) => sender.send(&request).await?,
                    None => return Ok(()),
                }
            }
        };
        tokio::select! {
            end = listen => end,
            end = speak => end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_says_again_and_again_how_it_is_is_cut_off() {
        let begin = Instant::now();
        let mut news = News::new(begin);
        let mut said = |after, times| (0..times).all(|_| news.count(begin + after).is_ok());
        assert!(said(Duration::ZERO, NEWS_MAX));
        assert!(!said(Duration::from_millis(999), 1));
        assert!(said(NEWS_PERIOD, NEWS_MAX));
        assert!(!said(NEWS_PERIOD, 1));
    }
}
