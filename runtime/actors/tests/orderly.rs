//! A process that stops in order: what it was asked is answered, and the rest goes to the successor.

use std::{num::NonZeroU32, path::Path, time::Duration};

use blackhole_actors::{
    CallError, CastError, Drained, Gateway, Message, Peers, Remote, Reply, Restart,
};
use blackhole_protocol::InstanceId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::net::UnixListener;

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
enum HolderMessage {
    Hold(Reply<u64>),
    Get(Reply<u64>),
    Note,
    Release,
}

struct Holder(u64);

impl Actor for Holder {
    type Msg = HolderMessage;
    type State = Vec<Reply<u64>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<HolderMessage>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<HolderMessage>,
        message: HolderMessage,
        held: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HolderMessage::Hold(reply) => held.push(reply),
            HolderMessage::Get(reply) => reply.send(self.0),
            HolderMessage::Note => {}
            HolderMessage::Release => held.drain(..).for_each(|reply| reply.send(self.0)),
        }
        Ok(())
    }
}

fn instance() -> InstanceId {
    InstanceId { service: "leaving".parse().expect("a name"), index: NonZeroU32::MIN }
}

/// The node's part: it holds the socket over generations.
struct World {
    _folder: tempfile::TempDir,
    socket: std::os::unix::net::UnixListener,
    holder: Remote<HolderMessage>,
}

impl World {
    fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(instance().link_file_name());
        let socket = std::os::unix::net::UnixListener::bind(path).expect("the path is free");
        socket.set_nonblocking(true).expect("a socket");
        let holder = Self::reference(folder.path());
        Self { _folder: folder, socket, holder }
    }

    fn reference(folder: &Path) -> Remote<HolderMessage> {
        Peers::new("the test", folder, None).remote(&instance(), "holder")
    }

    async fn generation(&self, generation: u64) -> (Gateway, ActorRef<HolderMessage>) {
        let gateway = Gateway::start(instance(), generation).await.expect("it starts");
        let holder = gateway.host("holder", Holder(generation), (), Restart::Temporary).await;
        let socket = self.socket.try_clone().expect("there are descriptors");
        tokio::spawn(gateway.serve(UnixListener::from_std(socket).expect("a listener")));
        (gateway, holder.expect("it starts"))
    }

    /// A question that is in the process, and not answered.
    async fn holds(&self) -> tokio::task::JoinHandle<Result<u64, CallError>> {
        let holder = self.holder.clone();
        let held = tokio::spawn(async move { holder.call(HolderMessage::Hold, SOON).await });
        tokio::task::yield_now().await;
        // In order, so the other one is there when this is answered.
        self.holder.call(HolderMessage::Get, SOON).await.expect("an answer");
        held
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it happens in time")
}

#[tokio::test]
async fn what_was_asked_is_answered_and_what_is_asked_then_goes_to_the_successor() {
    let world = World::begin();
    let (first, inside) = world.generation(1).await;
    let held = world.holds().await;
    let draining = tokio::spawn({
        let first = first.clone();
        async move { first.drain(SOON).await }
    });
    within(async {
        while !matches!(
            world.holder.try_cast(HolderMessage::Note),
            Err(CastError::NotConnected { .. })
        ) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let holder = world.holder.clone();
    let later = tokio::spawn(async move { holder.call(HolderMessage::Get, SOON).await });
    inside.cast(HolderMessage::Release).expect("it lives");
    assert_eq!(within(held).await.expect("no panic").expect("an answer"), 1);
    assert_eq!(within(draining).await.expect("no panic"), Drained::Whole);
    first.end("it is drained").await;
    let _second = world.generation(2).await;
    assert_eq!(within(later).await.expect("no panic").expect("an answer"), 2);
    assert_eq!(world.holder.generation(), Some(2));
}

#[tokio::test]
async fn a_question_that_is_not_answered_in_time_is_lost_with_the_process() {
    let world = World::begin();
    let (first, _inside) = world.generation(1).await;
    let held = world.holds().await;
    assert_eq!(within(first.drain(Duration::from_millis(20))).await, Drained::Cut { peers: 1 });
    first.end("its time is up").await;
    let outcome = within(held).await.expect("no panic");
    assert!(matches!(outcome, Err(CallError::Lost(_) | CallError::Failed(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_peer_that_waits_for_nothing_and_takes_no_leave_holds_nobody_up() {
    let world = World::begin();
    let (first, _inside) = world.generation(1).await;
    let path = world.socket.local_addr().expect("it is bound");
    let path = path.as_pathname().expect("a path").to_owned();
    let _silent = tokio::net::UnixStream::connect(path).await.expect("it listens");
    world.holder.call(HolderMessage::Get, SOON).await.expect("an answer");
    assert_eq!(within(first.drain(SOON * 100)).await, Drained::Whole);
}
