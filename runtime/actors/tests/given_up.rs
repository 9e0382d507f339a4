//! What was begun and is given up in the middle leaves nothing behind.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use blackhole_actors::{ActorSpec, Message, Peers, Remote, Tree, TreeError, TreeSpec};
use blackhole_protocol::{
    InstanceId,
    link::{
        LENGTH_PREFIX, append_frame, decode,
        gateway::{FromGateway, SCHEMA, ToGateway, VERSION, WINDOW},
    },
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Notify, oneshot},
};

const SOON: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it happens in time")
}

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
enum Nothing {
    Note,
}

fn instance() -> InstanceId {
    InstanceId { service: "slow".parse().expect("a name"), index: NonZeroU32::MIN }
}

/// A gateway whose every word is given by the test.
struct Scripted(UnixStream);

impl Scripted {
    async fn greet(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a socket");
        let mut scripted = Self(stream);
        let hello = scripted.hear().await;
        assert!(matches!(hello, ToGateway::Hello { .. }), "{hello:?}");
        let (version, schema, instance) = (VERSION, SCHEMA, instance());
        let window = WINDOW;
        scripted
            .say(&FromGateway::Welcome { version, schema, instance, generation: 1, window })
            .await;
        scripted
    }

    async fn say(&mut self, message: &FromGateway) {
        let mut bytes = Vec::new();
        append_frame(message, &mut bytes).expect("it fits");
        self.0.write_all(&bytes).await.expect("it is read");
    }

    async fn hear(&mut self) -> ToGateway {
        let mut prefix = [0; LENGTH_PREFIX];
        self.0.read_exact(&mut prefix).await.expect("it speaks");
        let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
        self.0.read_exact(&mut frame).await.expect("it speaks");
        decode(&frame).expect("it speaks well")
    }
}

/// Rings when a future that was polled by hand may be polled again.
#[derive(Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls a future that is not to be ready yet; the bell rings when it may be.
fn poll_once<F: Future<Output: std::fmt::Debug>>(future: std::pin::Pin<&mut F>) -> Arc<Bell> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let polled = future.poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending), "{polled:?}");
    bell
}

#[tokio::test]
async fn a_number_that_was_agreed_on_when_nobody_wanted_it_any_more_is_given_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = UnixListener::bind(folder.path().join(instance().link_file_name()));
    let listener = listener.expect("the path is free");
    let peers = Peers::new("the test", folder.path(), None);
    let nothing: Remote<Nothing> = peers.remote(&instance(), "nothing");
    let mut gateway = {
        let mut connecting = pin!(nothing.connect());
        let mut asked = pin!(async {
            let mut gateway = Scripted::greet(&listener).await;
            let bind = gateway.hear().await;
            assert!(matches!(bind, ToGateway::Bind { target: 0, .. }), "{bind:?}");
            gateway
        });
        let mut gateway = loop {
            let bell = poll_once(connecting.as_mut());
            tokio::select! {
                biased;
                gateway = &mut asked => break gateway,
                () = bell.0.notified() => {}
                () = tokio::time::sleep(SOON) => panic!("it did not bind"),
            }
        };
        let agreed = poll_once(connecting.as_mut());
        gateway.say(&FromGateway::Bound { target: 0 }).await;
        // The agreement is there, and nobody looks at it.
        soon(agreed.0.notified()).await;
        gateway
    };
    let said = soon(gateway.hear()).await;
    assert_eq!(said, ToGateway::Release { target: 0 });
}

const _: Nothing = Nothing::Note;

/// Starts when it is told to, or fails to.
struct Late;

impl Actor for Late {
    type Msg = ();
    type State = ();
    type Arguments = oneshot::Receiver<()>;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        told: oneshot::Receiver<()>,
    ) -> Result<(), ActorProcessingErr> {
        Ok(told.await?)
    }
}

/// An actor that starts when the first of these says so, and whose start is forgotten when the second hears.
fn late(id: &str) -> (ActorSpec, oneshot::Sender<()>, oneshot::Receiver<()>) {
    let (tell, told) = oneshot::channel();
    let (kept, forgotten) = oneshot::channel::<()>();
    let told = std::sync::Mutex::new(Some(told));
    let spec = ActorSpec::new(id, move || {
        let _kept = &kept;
        let told = told.lock().expect("nobody panics").take();
        (Late, told.expect("it starts once"))
    });
    (spec, tell, forgotten)
}

#[tokio::test]
async fn how_an_actor_starts_is_forgotten_when_it_did_not_and_nobody_waits_for_that() {
    let tree = soon(Tree::start(TreeSpec::one_for_one())).await.expect("it starts");
    let (spec, tell, forgotten) = late("late");
    poll_once(pin!(tree.add(spec)));
    drop(tell);
    soon(forgotten).await.expect_err("it is dropped");
    let (spec, tell, _) = late("late");
    tell.send(()).expect("it waits");
    soon(tree.add(spec)).await.expect("the id is free");
    soon(tree.stop()).await;
}

#[tokio::test]
async fn how_an_actor_starts_is_forgotten_when_it_was_removed_and_nobody_waits_for_that() {
    let tree = soon(Tree::start(TreeSpec::one_for_one())).await.expect("it starts");
    let (spec, tell, forgotten) = late("late");
    tell.send(()).expect("it waits");
    soon(tree.add(spec)).await.expect("it starts");
    let running = soon(tree.remove("late")).await;
    assert!(matches!(running, Err(TreeError::Refused(_))), "{running:?}");
    soon(tree.stop_child("late")).await.expect("it is there");
    poll_once(pin!(tree.remove("late")));
    soon(forgotten).await.expect_err("it is dropped");
    soon(tree.stop()).await;
}
