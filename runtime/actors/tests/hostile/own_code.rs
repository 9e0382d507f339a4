//! Messages with code of their own, which may panic, and questions that an actor keeps: nobody else suffers.

use blackhole_actors::CallError;
use blackhole_protocol::link::gateway::Failure;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Actor, ActorProcessingErr, ActorRef, AsyncWriteExt, FromGateway, HolderMessage, Message, Peers,
    Remote, Reply, Restart, SOON, ToGateway, World, append_frame_with, append_value, framed,
    goodbye, hello, instance,
    undone::{SHARE, bind_tally, casts, counts, heard, tally},
};

/// Cannot be read when it is true.
#[derive(Debug, Serialize)]
struct Moody(bool);

impl<'de> Deserialize<'de> for Moody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let moody = bool::deserialize(deserializer)?;
        assert!(!moody, "not today");
        Ok(Self(moody))
    }
}

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
enum MoodyMessage {
    Take(Moody),
    Ask { reply: Reply<u64>, mood: Moody },
    Give { mood: bool, reply: Reply<Moody> },
    Keep(Reply<u64>),
    KeepLarge { data: Vec<Option<[u64; 32]>>, reply: Reply<u64> },
    Awaited(Reply<u64>),
}

struct Moods;

impl Actor for Moods {
    type Msg = MoodyMessage;
    type State = Vec<Reply<u64>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<MoodyMessage>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<MoodyMessage>,
        message: MoodyMessage,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MoodyMessage::Take(Moody(_)) => {}
            MoodyMessage::Ask { reply, mood } => reply.send(u64::from(mood.0)),
            MoodyMessage::Give { mood, reply } => reply.send(Moody(mood)),
            MoodyMessage::Keep(reply) | MoodyMessage::KeepLarge { reply, .. } => kept.push(reply),
            MoodyMessage::Awaited(reply) => {
                let awaited = kept.iter().filter(|kept| kept.is_awaited());
                reply.send(awaited.count() as u64);
            }
        }
        Ok(())
    }
}

/// Beside an open tally, which has the number 0.
const MOODS: u32 = 1;

async fn host_moods(world: &World) {
    world.gateway.host("moods", Moods, (), Restart::Temporary).await.expect("it starts");
}

fn bind_moods() -> ToGateway {
    let (actor, message) = ("moods".to_owned(), MoodyMessage::NAME.to_owned());
    ToGateway::Bind { target: MOODS, actor, message, schema: MoodyMessage::SCHEMA }
}

/// A frame of a header, the number of a variant and what follows it.
fn append(bytes: &mut Vec<u8>, header: &ToGateway, variant: u32, fields: &[u8]) {
    append_frame_with(bytes, |bytes| {
        append_value(header, bytes)?;
        append_value(&variant, bytes)?;
        bytes.extend(fields);
        Ok(())
    })
    .expect("it fits");
}

fn call(call: u64) -> ToGateway {
    ToGateway::Call { target: MOODS, call, within_us: 1 << 40 }
}

#[tokio::test]
async fn a_question_that_panics_as_it_is_read_fails_alone() {
    let (world, gate, tally) = tally().await;
    gate.add_permits(1);
    host_moods(&world).await;
    let mut said = framed(&[hello(), bind_tally(), bind_moods()]);
    said.extend(casts(10));
    append(&mut said, &call(0), 1, &[1]);
    append(&mut said, &call(1), 1, &[0]);
    let mut stream = world.stream().await;
    stream.write_all(&said).await.expect("it reads");
    let failed = loop {
        if let FromGateway::Failed { call: 0, failure } = heard(&mut stream).await {
            break failure;
        }
    };
    assert_eq!(failed, Failure::Malformed("reading a message from the link panicked".into()));
    counts(&tally, 10).await;
}

#[tokio::test]
async fn a_statement_that_panics_as_it_is_read_costs_none_before_it() {
    let (world, gate, tally) = tally().await;
    gate.add_permits(1);
    host_moods(&world).await;
    let mut said = framed(&[hello(), bind_tally(), bind_moods()]);
    said.extend(casts(10));
    append(&mut said, &ToGateway::Cast { target: MOODS }, 0, &[1]);
    assert_eq!(goodbye(&world, &said).await, "reading a message from the link panicked");
    counts(&tally, 10).await;
}

#[tokio::test]
async fn an_answer_that_panics_as_it_is_read_fails_alone() {
    let world = World::begin().await;
    host_moods(&world).await;
    let peers = Peers::new("a moody peer", world.folder.path(), None);
    let moods: Remote<MoodyMessage> = peers.remote(&instance(), "moods");
    let holder: Remote<HolderMessage> = peers.remote(&instance(), "holder");
    moods.connect().await.expect("it is there");
    holder.connect().await.expect("it is there");
    let get = |reply| HolderMessage::Get { salt: 0, text: "four".into(), reply };
    let give = |mood| move |reply| MoodyMessage::Give { mood, reply };
    let (unread, beside) = tokio::join!(moods.call(give(true), SOON), holder.call(get, SOON));
    let Err(CallError::Decode(error)) = unread else { panic!("{unread:?}") };
    assert_eq!(error.to_string(), "reading a message from the link panicked");
    assert_eq!(beside.expect("it has nothing to do with that"), 4);
    assert!(!moods.call(give(false), SOON).await.expect("an answer").0);
}

#[tokio::test]
async fn who_asked_is_told_what_was_wrong_with_the_question() {
    let world = World::begin().await;
    host_moods(&world).await;
    let mut said = framed(&[hello(), bind_tally(), bind_moods()]);
    append(&mut said, &call(0), 1, &[7]);
    append(&mut said, &call(1), 3, &[7]);
    let mut stream = world.stream().await;
    stream.write_all(&said).await.expect("it reads");
    let mut failures = Vec::new();
    while failures.len() < 2 {
        if let FromGateway::Failed { failure, .. } = heard(&mut stream).await {
            failures.push(failure.to_string());
        }
    }
    assert!(failures[0].contains("could not decode"), "{failures:?}");
    assert!(failures[1].contains("ends 1 bytes before its frame does"), "{failures:?}");
}

/// Has 100 questions kept, and goes when they are.
async fn visit(world: &World) {
    let mut said = framed(&[hello(), bind_tally(), bind_moods()]);
    (0..100).for_each(|number| append(&mut said, &call(number), 3, &[]));
    append(&mut said, &call(100), 2, &[0]);
    let mut stream = world.stream().await;
    stream.write_all(&said).await.expect("it reads");
    while heard(&mut stream).await != (FromGateway::Answer { call: 100 }) {}
}

/// Otherwise each visit would leave a window of questions with an actor that keeps them.
#[tokio::test]
async fn a_peer_whose_questions_are_kept_has_its_share_while_they_are() {
    let world = World::begin().await;
    host_moods(&world).await;
    world.serves().await;
    for _ in 1..SHARE {
        visit(&world).await;
    }
    let why = goodbye(&world, &framed(&[hello()])).await;
    assert!(why.contains("connections already"), "`{why}`");
    world.serves().await;
}

/// Otherwise an actor that keeps a question while it is awaited would keep it for as long as the peer once said.
#[tokio::test]
async fn a_peer_that_goes_while_it_is_not_heard_is_awaited_no_more() {
    let world = World::begin().await;
    host_moods(&world).await;
    let peers = Peers::new("who looks on", world.folder.path(), None);
    let moods: Remote<MoodyMessage> = peers.remote(&instance(), "moods");
    let awaited = async |expected| {
        let looking = async {
            while moods.call(MoodyMessage::Awaited, SOON).await.expect("an answer") != expected {}
        };
        tokio::time::timeout(SOON, looking).await.expect("in time");
    };
    let mut said = framed(&[hello(), bind_tally(), bind_moods()]);
    let data = [&[251, 32, 78][..], &[0; 20_000]].concat();
    (0..100).for_each(|number| append(&mut said, &call(number), 4, &data));
    let mut stream = world.stream().await;
    let telling = tokio::spawn(async move { stream.write_all(&said).await });
    awaited(2).await;
    // It goes before all of it is heard.
    telling.abort();
    assert!(telling.await.is_err(), "all of it was heard");
    awaited(0).await;
}
