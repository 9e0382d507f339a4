//! Messages that an actor has not got to yet, whose senders go, stay or come again.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{
    Actor, ActorProcessingErr, ActorRef, Message, Peers, Remote, Reply, Restart, SOON, ToGateway,
    World, append_frame_with, append_value, framed, hello, instance,
};

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
enum TallyMessage {
    Told,
    Asked(Reply<u64>),
    Count(Reply<u64>),
}

/// Counts what it is sent, as soon as it may.
struct Tally(Arc<Semaphore>);

impl Actor for Tally {
    type Msg = TallyMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<TallyMessage>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<TallyMessage>,
        message: TallyMessage,
        count: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        let _open = self.0.acquire().await?;
        match message {
            TallyMessage::Told => *count += 1,
            TallyMessage::Asked(reply) => {
                *count += 1;
                reply.send(*count);
            }
            TallyMessage::Count(reply) => reply.send(*count),
        }
        Ok(())
    }
}

/// A tally that counts nothing before it is opened, in a world of its own.
async fn tally() -> (World, Arc<Semaphore>, ActorRef<TallyMessage>) {
    let world = World::begin().await;
    let gate = Arc::new(Semaphore::new(0));
    let tally = world.gateway.host("tally", Tally(gate.clone()), (), Restart::Temporary).await;
    (world, gate, tally.expect("it starts"))
}

/// What an open tally has counted.
async fn counted(tally: &ActorRef<TallyMessage>) -> u64 {
    let (reply, answer) = Reply::new();
    tally.cast(TallyMessage::Count(reply)).expect("it lives");
    tokio::time::timeout(SOON, answer).await.expect("it is open").expect("an answer")
}

/// Waits until it has counted so many, and no more.
async fn counts(tally: &ActorRef<TallyMessage>, expected: u64) {
    let mut last = 0;
    let counting = async {
        while last < expected {
            tokio::task::yield_now().await;
            last = counted(tally).await;
        }
    };
    let counting = tokio::time::timeout(SOON, counting).await;
    assert!(counting.is_ok(), "{last} of {expected}");
    assert_eq!(last, expected);
}

fn remote(world: &World) -> Remote<TallyMessage> {
    Peers::new("another peer", world.folder.path(), None).remote(&instance(), "tally")
}

fn bind_tally() -> ToGateway {
    let (actor, message) = ("tally".to_owned(), TallyMessage::NAME.to_owned());
    ToGateway::Bind { target: 0, actor, message, schema: TallyMessage::SCHEMA }
}

fn casts(count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        append_frame_with(&mut bytes, |bytes| {
            append_value(&ToGateway::Cast { target: 0 }, bytes)?;
            append_value(&0u32, bytes)
        })
        .expect("it fits");
    }
    bytes
}

#[tokio::test]
async fn what_was_told_before_the_last_reference_went_is_done() {
    let (world, gate, tally) = tally().await;
    gate.add_permits(1);
    let remote = remote(&world);
    remote.connect().await.expect("it is there");
    for _ in 0..10 {
        remote.try_cast(TallyMessage::Told).expect("there is credit");
    }
    drop(remote);
    counts(&tally, 10).await;
}

/// So many that credits are granted for some of them before the last of them is read.
#[tokio::test]
async fn what_was_told_by_a_peer_that_closed_before_it_was_read_is_done() {
    const TOLD: u32 = 4000;
    let (world, gate, tally) = tally().await;
    gate.add_permits(1);
    world.serves().await;
    let stream = world.stream().await;
    let mut said = framed(&[hello(), bind_tally()]);
    said.extend(casts(TOLD));
    assert_eq!(stream.try_write(&said).expect("the socket is empty"), said.len());
    drop(stream);
    counts(&tally, u64::from(TOLD)).await;
}
