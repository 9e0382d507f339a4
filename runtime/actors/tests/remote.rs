//! References to actors over a real socket, both sides in this process.

use std::{num::NonZeroU32, path::Path, time::Duration};

use blackhole_actors::{
    CallError, CastError, ExitReason, Failure, Gateway, Message, Patience, Peers, Remote, Reply,
    Restart, Unreachable,
};
use blackhole_protocol::InstanceId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::net::UnixListener;

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
enum CounterMessage {
    Add(u64),
    Get(Reply<u64>),
    Echo { bytes: Vec<u8>, reply: Reply<Vec<u8>> },
    Drop(Reply<u64>),
    Panic(Reply<u64>),
    Unwritable(Reply<Unwritable>),
    Stop(String),
}

/// Panics when it is written.
#[derive(Debug, serde::Deserialize)]
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("it cannot be written")
    }
}

struct Counter;

impl Actor for Counter {
    type Msg = CounterMessage;
    type State = u64;
    type Arguments = u64;

    async fn pre_start(
        &self,
        _: ActorRef<CounterMessage>,
        start: u64,
    ) -> Result<u64, ActorProcessingErr> {
        Ok(start)
    }

    async fn handle(
        &self,
        myself: ActorRef<CounterMessage>,
        message: CounterMessage,
        count: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CounterMessage::Add(more) => *count += more,
            CounterMessage::Get(reply) => reply.send(*count),
            CounterMessage::Echo { bytes, reply } => reply.send(bytes),
            CounterMessage::Drop(reply) => drop(reply),
            CounterMessage::Panic(_reply) => panic!("as it was asked to"),
            CounterMessage::Unwritable(reply) => reply.send(Unwritable),
            CounterMessage::Stop(why) => myself.stop(Some(why)),
        }
        Ok(())
    }
}

/// Another shape under the same name.
mod other {
    use super::{Message, Reply};

    #[derive(Debug, Message)]
    #[blackhole(crate = "blackhole_actors")]
    pub(crate) enum CounterMessage {
        Get(Reply<u32>),
    }
}

fn instance() -> InstanceId {
    InstanceId { service: "counting".parse().expect("a name"), index: NonZeroU32::MIN }
}

async fn gateway(folder: &Path, generation: u64) -> Gateway {
    let gateway = Gateway::start(instance(), generation).await.expect("it starts");
    let path = folder.join(instance().link_file_name());
    let listener = UnixListener::bind(path).expect("the path is free");
    tokio::spawn(gateway.serve(listener));
    gateway
}

struct World {
    _folder: tempfile::TempDir,
    gateway: Gateway,
    peers: Peers,
    counter: Remote<CounterMessage>,
}

async fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = gateway(folder.path(), 1).await;
    gateway.host("counter", Counter, 10, Restart::Temporary).await.expect("it starts");
    let peers = Peers::new("the test", folder.path(), None);
    let counter = peers.remote(&instance(), "counter");
    World { _folder: folder, gateway, peers, counter }
}

#[tokio::test]
async fn casts_and_calls_reach_the_actor_in_order() {
    let world = world().await;
    for more in 0..1000 {
        world.counter.cast(CounterMessage::Add(more)).await.expect("it is sent");
    }
    let count = world.counter.call(CounterMessage::Get, SOON).await.expect("an answer");
    assert_eq!(count, 10 + 999 * 500);
    assert_eq!(world.counter.generation(), Some(1));
}

#[tokio::test]
async fn the_same_actor_is_an_ordinary_one_inside_its_process() {
    let (actor, _) = Actor::spawn(None, Counter, 3).await.expect("it starts");
    let (reply, answer) = Reply::new();
    actor.cast(CounterMessage::Get(reply)).expect("it lives");
    assert_eq!(answer.await.expect("an answer"), 3);
    let (reply, answer) = Reply::new();
    actor.cast(CounterMessage::Panic(reply)).expect("it lives");
    assert!(matches!(answer.await, Err(CallError::Failed(Failure::Panicked))));
}

#[tokio::test]
async fn large_messages_and_answers_pass_and_too_large_ones_are_refused() {
    let world = world().await;
    let echo = |length: usize| {
        let bytes = vec![7; length];
        world.counter.call(|reply| CounterMessage::Echo { bytes, reply }, SOON)
    };
    for length in [0, 1, 4095, 65_536, 1_000_000, (1 << 20) - 64] {
        assert_eq!(echo(length).await.expect("an answer").len(), length);
    }
    let error = echo(1 << 20).await.expect_err("it is too long");
    assert!(matches!(error, CallError::Encode(_)), "{error}");
    let count = world.counter.call(CounterMessage::Get, SOON).await;
    assert_eq!(count.expect("the link goes on"), 10);
}

#[tokio::test]
async fn a_dropped_question_is_an_error_at_once() {
    let world = world().await;
    let error = world.counter.call(CounterMessage::Drop, SOON).await.expect_err("no answer");
    assert_eq!(error.to_string(), "the actor dropped the question without an answer");
}

#[tokio::test]
async fn an_answer_that_panics_while_it_is_written_fails_its_caller_alone() {
    let world = world().await;
    world.gateway.host("beside", Counter, 20, Restart::Temporary).await.expect("it starts");
    let beside = world.peers.remote::<CounterMessage>(&instance(), "beside");
    assert_eq!(beside.call(CounterMessage::Get, SOON).await.expect("an answer"), 20);
    let error = world.counter.call(CounterMessage::Unwritable, SOON).await.expect_err("no answer");
    assert!(matches!(error, CallError::Failed(Failure::Panicked)), "{error}");
    for _ in 0..4096 {
        assert_eq!(beside.call(CounterMessage::Get, SOON).await.expect("an answer"), 20);
    }
}

#[tokio::test]
async fn an_actor_that_panics_fails_its_caller_and_is_reported_to_who_watches() {
    let world = world().await;
    world.counter.connect().await.expect("it is there");
    let mut monitor = world.counter.monitor();
    let error = world.counter.call(CounterMessage::Panic, SOON).await.expect_err("no answer");
    assert!(matches!(error, CallError::Failed(Failure::Panicked)), "{error}");
    let down = monitor.down().await.expect("it was there");
    assert_eq!(down.generation, 1);
    assert!(
        matches!(&down.reason, ExitReason::Failed(why) if why.contains("as it was asked to")),
        "{down:?}"
    );
    let error = world.counter.call(CounterMessage::Get, SOON).await.expect_err("it is gone");
    assert!(matches!(error, CallError::Unreachable(Unreachable::Refused { .. })), "{error}");
}

#[tokio::test]
async fn an_actor_that_stops_says_why_and_its_name_is_free_again() {
    let world = world().await;
    world.counter.connect().await.expect("it is there");
    let mut monitor = world.counter.monitor();
    world.counter.cast(CounterMessage::Stop("tired".into())).await.expect("it is sent");
    let down = monitor.down().await.expect("it was there");
    assert_eq!(down.reason, ExitReason::Stopped(Some("tired".into())));
    world.gateway.host("counter", Counter, 7, Restart::Temporary).await.expect("it starts");
    let count = world.counter.call(CounterMessage::Get, SOON).await.expect("an answer");
    assert_eq!(count, 7);
}

#[tokio::test]
async fn another_shape_is_refused_with_both_in_the_text() {
    let world = world().await;
    let other = world.peers.remote::<other::CounterMessage>(&instance(), "counter");
    let error = other.call(other::CounterMessage::Get, SOON).await.expect_err("it is refused");
    let CallError::Unreachable(Unreachable::Refused { source, .. }) = error else {
        panic!("{error}");
    };
    let text = source.to_string();
    for schema in [CounterMessage::SCHEMA, other::CounterMessage::SCHEMA] {
        assert!(text.contains(&format!("`CounterMessage` with schema {schema:016x}")), "{text}");
    }
}

#[tokio::test]
async fn an_unknown_name_is_refused_with_those_that_are_known() {
    let world = world().await;
    let nobody = world.peers.remote::<CounterMessage>(&instance(), "nobody");
    let error = nobody.connect().await.expect_err("it is refused");
    let Unreachable::Refused { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.to_string(), "there is no actor `nobody`; there are: counter");
}

#[tokio::test]
async fn a_process_that_is_not_there_is_waited_for_or_not_by_choice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(instance().link_file_name());
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("the path is free");
    let peers = Peers::new("the test", folder.path(), None);
    let counter = peers.remote::<CounterMessage>(&instance(), "counter");
    let hasty = counter.clone().with_patience(Patience::FailFast);
    let error = hasty.call(CounterMessage::Get, SOON).await.expect_err("nobody is there");
    assert!(matches!(error, CallError::Unreachable(Unreachable::NotThere { .. })), "{error}");
    assert!(matches!(hasty.try_cast(CounterMessage::Add(1)), Err(CastError::NotConnected { .. })));
    let waiting = tokio::spawn(async move { counter.call(CounterMessage::Get, SOON).await });
    let gateway = Gateway::start(instance(), 4).await.expect("it starts");
    gateway.host("counter", Counter, 1, Restart::Temporary).await.expect("it starts");
    listener.set_nonblocking(true).expect("a socket");
    tokio::spawn(gateway.serve(UnixListener::from_std(listener).expect("a listener")));
    assert_eq!(waiting.await.expect("no panic").expect("an answer"), 1);
    assert_eq!(hasty.call(CounterMessage::Get, SOON).await.expect("an answer"), 1);
    assert_eq!(hasty.generation(), Some(4));
}

#[tokio::test]
async fn a_process_that_goes_before_it_was_sent_anything_is_tried_again_or_not_by_choice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(instance().link_file_name());
    let listener = UnixListener::bind(&path).expect("the path is free");
    let peers = Peers::new("the test", folder.path(), None);
    let hasty =
        peers.remote::<CounterMessage>(&instance(), "counter").with_patience(Patience::FailFast);
    let patient = hasty.clone().with_patience(Patience::WaitFor(SOON));
    let (refused, ()) = tokio::join!(hasty.call(CounterMessage::Get, SOON), go_away(&listener));
    let error = refused.expect_err("it went");
    assert!(matches!(error, CallError::Unreachable(_)), "{error}");
    let waiting = tokio::spawn(async move { patient.call(CounterMessage::Get, SOON).await });
    for _ in 0..3 {
        go_away(&listener).await;
    }
    let gateway = Gateway::start(instance(), 4).await.expect("it starts");
    gateway.host("counter", Counter, 1, Restart::Temporary).await.expect("it starts");
    tokio::spawn(gateway.serve(listener));
    assert_eq!(waiting.await.expect("no panic").expect("an answer"), 1);
}

/// As a process does that is killed between its peer's connecting and its own greeting.
async fn go_away(listener: &UnixListener) {
    let peer = tokio::time::timeout(SOON, listener.accept()).await.expect("it is tried again");
    drop(peer.expect("a peer"));
}

#[tokio::test]
async fn a_gateway_that_ends_resolves_the_calls_in_it() {
    let world = world().await;
    world.counter.connect().await.expect("it is there");
    let mut monitor = world.counter.monitor();
    world.gateway.end("the service stops").await;
    let down = monitor.down().await.expect("it was there");
    assert!(matches!(down.reason, ExitReason::Unknown | ExitReason::Stopped(_)), "{down:?}");
    let hasty = world.counter.clone().with_patience(Patience::FailFast);
    hasty.call(CounterMessage::Get, SOON).await.expect_err("it is gone");
}

#[tokio::test]
async fn the_deadline_is_kept_whatever_the_other_side_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(instance().link_file_name());
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("the path is free");
    let peers = Peers::new("the test", folder.path(), None);
    let counter = peers.remote::<CounterMessage>(&instance(), "counter");
    let within = Duration::from_millis(20);
    let error = counter.call(CounterMessage::Get, within).await.expect_err("nobody is there");
    assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error}");
}
