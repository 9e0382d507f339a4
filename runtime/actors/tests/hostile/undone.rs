//! Messages that an actor has not got to yet, whose senders go, stay or come again.

use std::sync::Arc;

use blackhole_actors::{CastError, Drained};
use tokio::sync::Semaphore;

use super::{
    Actor, ActorProcessingErr, ActorRef, AsyncReadExt, AsyncWriteExt, FromGateway, HolderMessage,
    LENGTH_PREFIX, Message, Peers, Remote, Reply, Restart, SOON, ToGateway, UnixStream, WINDOW,
    World, append_frame_with, append_value, framed, goodbye, hello, instance, take_value,
};

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
pub(super) enum TallyMessage {
    Told,
    Asked(Reply<u64>),
    Count(Reply<u64>),
    Long(Reply<String>),
    Large(Vec<Option<[u64; 32]>>),
}

/// More than a socket takes, and less than what stops a peer from being read until it has read it.
const LONG: usize = 700_000;

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
            TallyMessage::Told | TallyMessage::Large(_) => *count += 1,
            TallyMessage::Asked(reply) => {
                *count += 1;
                reply.send(*count);
            }
            TallyMessage::Count(reply) => reply.send(*count),
            TallyMessage::Long(reply) => reply.send("x".repeat(LONG)),
        }
        Ok(())
    }
}

/// A tally that counts nothing before it is opened, in a world of its own.
pub(super) async fn tally() -> (World, Arc<Semaphore>, ActorRef<TallyMessage>) {
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

/// Waits until it has counted this many, and no more.
pub(super) async fn counts(tally: &ActorRef<TallyMessage>, expected: u64) {
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

pub(super) fn bind_tally() -> ToGateway {
    let (actor, message) = ("tally".to_owned(), TallyMessage::NAME.to_owned());
    ToGateway::Bind { target: 0, actor, message, schema: TallyMessage::SCHEMA }
}

pub(super) fn casts(count: u32) -> Vec<u8> {
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

fn asks(count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for call in 0..u64::from(count) {
        append_frame_with(&mut bytes, |bytes| {
            append_value(&ToGateway::Call { target: 0, call, within_us: 1 << 40 }, bytes)?;
            append_value(&1u32, bytes)
        })
        .expect("it fits");
    }
    bytes
}

/// What one program may have of a gateway's connections.
pub(super) const SHARE: u64 = 16;

#[tokio::test]
async fn a_peer_that_comes_again_has_its_share_until_what_it_left_is_done() {
    let (world, gate, tally) = tally().await;
    world.serves().await;
    let mut said = framed(&[hello(), bind_tally()]);
    said.extend(casts(100));
    said.extend(asks(100));
    let last = ToGateway::Goodbye { reason: "come again".into() };
    said.extend(framed(&[last]));
    for visit in 1..SHARE {
        let why = goodbye(&world, &said).await;
        assert_eq!(why, "", "visit {visit}");
    }
    let why = goodbye(&world, &said).await;
    assert!(why.contains("connections already"), "`{why}`");
    gate.add_permits(1);
    // What is told is done, and what is asked is not: nobody hears the answer.
    counts(&tally, (SHARE - 1) * 100).await;
    let welcome = async {
        loop {
            let why = goodbye(&world, &said).await;
            if why.is_empty() {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, welcome).await.expect("its share is free");
    counts(&tally, SHARE * 100).await;
}

/// A byte stands for a value of 264: a window of those would be gigabytes.
#[tokio::test]
async fn a_peer_whose_messages_are_large_in_memory_is_heard_as_they_are_done() {
    const TOLD: u32 = 80;
    const ELEMENTS: u32 = 20_000;
    let (world, gate, tally) = tally().await;
    world.serves().await;
    let mut said = framed(&[hello(), bind_tally()]);
    for _ in 0..TOLD {
        append_frame_with(&mut said, |bytes| {
            append_value(&ToGateway::Cast { target: 0 }, bytes)?;
            append_value(&4u32, bytes)?;
            append_value(&vec![0_u8; ELEMENTS as usize], bytes)
        })
        .expect("it fits");
    }
    let mut stream = world.stream().await;
    let telling = tokio::spawn(async move {
        stream.write_all(&said).await.expect("it reads");
        stream
    });
    for _ in 0..100 {
        world.serves().await;
    }
    assert!(!telling.is_finished(), "all of it is heard and held in memory");
    gate.add_permits(1);
    counts(&tally, u64::from(TOLD)).await;
    drop(telling.await.expect("no panic"));
}

#[tokio::test]
async fn a_drain_waits_for_what_was_told_by_peers_that_have_gone() {
    const TOLD: u32 = 1000;
    let (world, gate, tally) = tally().await;
    let mut said = framed(&[hello(), bind_tally()]);
    said.extend(casts(TOLD));
    said.extend(framed(&[ToGateway::Goodbye { reason: "that was all".into() }]));
    assert_eq!(goodbye(&world, &said).await, "");
    let gateway = world.gateway.clone();
    let mut draining = tokio::spawn(async move { gateway.drain(SOON).await });
    // It goes as far as it can.
    let mut early = false;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        early |= draining.is_finished();
    }
    assert!(!early, "what was told is not done");
    gate.add_permits(1);
    let drained = tokio::time::timeout(SOON, &mut draining).await.expect("it ends");
    assert_eq!(drained.expect("no panic"), Drained::Whole);
    assert_eq!(counted(&tally).await, u64::from(TOLD));
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

/// Enough that credits are granted for some of them before the last of them is read.
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

/// The next thing that a gateway says, without the answer that may follow it.
pub(super) async fn heard(stream: &mut UnixStream) -> FromGateway {
    let mut prefix = [0; LENGTH_PREFIX];
    let hearing = async {
        stream.read_exact(&mut prefix).await.expect("it speaks");
        let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
        stream.read_exact(&mut frame).await.expect("it speaks");
        take_value(&mut &frame[..]).expect("it speaks well")
    };
    tokio::time::timeout(SOON, hearing).await.expect("it speaks in time")
}

#[tokio::test]
async fn a_peer_that_was_sent_to_the_successor_is_granted_nothing_more() {
    const PORTION: u32 = WINDOW.messages / 4;
    let (world, gate, tally) = tally().await;
    gate.add_permits(1);
    let mut stream = world.stream().await;
    let (actor, message) = ("holder".to_owned(), HolderMessage::NAME.to_owned());
    let holder = ToGateway::Bind { target: 1, actor, message, schema: HolderMessage::SCHEMA };
    let mut said = framed(&[hello(), bind_tally(), holder]);
    // A peer that waits for an answer is not taken for one that has nothing to wait for.
    append_frame_with(&mut said, |bytes| {
        append_value(&ToGateway::Call { target: 1, call: 0, within_us: 1 << 40 }, bytes)?;
        append_value(&0u32, bytes)
    })
    .expect("it fits");
    stream.write_all(&said).await.expect("it reads");
    while heard(&mut stream).await != (FromGateway::Bound { target: 1 }) {}
    let gateway = world.gateway.clone();
    let draining = tokio::spawn(async move { gateway.drain(SOON).await });
    while heard(&mut stream).await != FromGateway::Leaving {}
    let mut sent = 1;
    while sent < WINDOW.messages {
        let portion = PORTION.min(WINDOW.messages - sent);
        stream.write_all(&casts(portion)).await.expect("it reads");
        sent += portion;
        counts(&tally, u64::from(sent - 1)).await;
    }
    stream.write_all(&casts(1)).await.expect("it reads");
    let last = heard(&mut stream).await;
    let FromGateway::Goodbye { reason } = last else { panic!("{last:?}") };
    assert_eq!(reason, "the peer sent more than it had been granted");
    let drained = tokio::time::timeout(SOON, draining).await.expect("it ends");
    assert_eq!(drained.expect("no panic"), Drained::Whole);
}

#[tokio::test]
async fn a_goodbye_is_not_said_in_the_middle_of_an_answer() {
    let (world, gate, _tally) = tally().await;
    gate.add_permits(1);
    let mut stream = world.stream().await;
    let mut said = framed(&[hello(), bind_tally()]);
    append_frame_with(&mut said, |bytes| {
        append_value(&ToGateway::Call { target: 0, call: 0, within_us: 1 << 40 }, bytes)?;
        append_value(&3u32, bytes)
    })
    .expect("it fits");
    stream.write_all(&said).await.expect("it reads");
    while heard(&mut stream).await != (FromGateway::Bound { target: 0 }) {}
    tokio::time::timeout(SOON, stream.readable()).await.expect("an answer").expect("a socket");
    stream.write_all(&framed(&[hello()])).await.expect("it reads");
    // It hears of that while nothing of the answer is read.
    for _ in 0..100 {
        world.serves().await;
    }
    let mut heard = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut heard)).await;
    read.expect("it is cut").expect("a socket");
    // Perhaps it was not read in time, and has no end.
    let answer = &heard[..heard.len().min(LENGTH_PREFIX + LONG)];
    let goodbye = b"greeted twice";
    let inside = answer.windows(goodbye.len()).any(|bytes| bytes == goodbye);
    assert!(!inside, "a goodbye is in the answer");
}

/// What was accepted is counted, once each: what is refused is refused in words.
#[tokio::test]
async fn what_an_actor_that_does_not_get_on_was_told_is_all_done_when_it_does() {
    let (world, gate, tally) = tally().await;
    let remote = remote(&world);
    remote.connect().await.expect("it is there");
    let mut accepted = 0;
    let refused = loop {
        match remote.try_cast(TallyMessage::Told) {
            Ok(()) => accepted += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, CastError::Full { .. }), "{refused}");
    gate.add_permits(1);
    counts(&tally, accepted).await;
    remote.cast(TallyMessage::Told).await.expect("there is room again");
    counts(&tally, accepted + 1).await;
}
