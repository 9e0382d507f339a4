//! Two services whose actors play with each other.

use std::collections::BTreeMap;

use blackhole::{
    Message, Remote, Reply,
    service::{Context, Routes, Service, ServiceError},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::DEADLINE;

/// What players say to each other.
#[derive(Debug, Message)]
pub(crate) enum PlayerMessage {
    /// Hit back once.
    Hit(Reply<u64>),
    /// Have the other player hit back so often.
    Rally { strokes: u64, reply: Reply<u64> },
    /// To be answered never.
    Hold(Reply<()>),
    /// To be answered when the other player is gone: why it is.
    Watch(Reply<String>),
    /// To be answered once a watch has begun.
    Watching(Reply<()>),
    /// To be forgotten.
    Note(Vec<u8>),
}

/// What scorers are told: another type of actor, in the same process.
#[derive(Debug, Message)]
pub(crate) enum ScoreMessage {
    Add(u64),
    Total(Reply<u64>),
}

struct Scorer;

impl Actor for Scorer {
    type Msg = ScoreMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<ScoreMessage>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<ScoreMessage>,
        message: ScoreMessage,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ScoreMessage::Add(more) => *total += more,
            ScoreMessage::Total(reply) => reply.send(*total),
        }
        Ok(())
    }
}

struct Player(Remote<PlayerMessage>);

#[derive(Default)]
struct State {
    held: Vec<Reply<()>>,
    watches: bool,
    to_be_told: Vec<Reply<()>>,
}

impl Actor for Player {
    type Msg = PlayerMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<PlayerMessage>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        Ok(State::default())
    }

    async fn handle(
        &self,
        _: ActorRef<PlayerMessage>,
        message: PlayerMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PlayerMessage::Hit(reply) => reply.send(1),
            PlayerMessage::Rally { strokes, reply } => {
                let mut done = 0;
                for _ in 0..strokes {
                    done += self.0.call(PlayerMessage::Hit, DEADLINE).await?;
                }
                reply.send(done);
            }
            PlayerMessage::Hold(reply) => state.held.push(reply),
            PlayerMessage::Watch(reply) => {
                self.0.connect().await?;
                let mut monitor = self.0.monitor();
                state.watches = true;
                state.to_be_told.drain(..).for_each(|told| told.send(()));
                tokio::spawn(async move {
                    match monitor.down().await {
                        Ok(down) => reply.send(down.reason.to_string()),
                        Err(error) => reply.send(error.to_string()),
                    }
                });
            }
            PlayerMessage::Watching(reply) if state.watches => reply.send(()),
            PlayerMessage::Watching(reply) => state.to_be_told.push(reply),
            PlayerMessage::Note(bytes) => drop(bytes),
        }
        Ok(())
    }
}

/// Hosts a player that plays with [`Pong`]'s.
pub(crate) struct Ping;

/// Hosts a player that plays with [`Ping`]'s.
pub(crate) struct Pong;

type Settings = BTreeMap<String, String>;

async fn host(context: &Context<Settings>, other: &str) -> Result<(), ServiceError> {
    let other = context.remote(other, "player")?;
    context.host("player", Player(other), ()).await?;
    context.host("scorer", Scorer, ()).await?;
    Ok(())
}

impl Service for Ping {
    const NAME: &'static str = "ping";
    type Settings = Settings;

    async fn start(context: Context<Settings>) -> Result<Self, ServiceError> {
        host(&context, "pong").await?;
        Ok(Self)
    }

    fn register(&self, _: &mut Routes) {}
}

impl Service for Pong {
    const NAME: &'static str = "pong";
    type Settings = Settings;

    async fn start(context: Context<Settings>) -> Result<Self, ServiceError> {
        host(&context, "ping").await?;
        Ok(Self)
    }

    fn register(&self, _: &mut Routes) {}
}
