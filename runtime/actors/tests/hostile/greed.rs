//! Peers that would have us hold more and more for them.

use std::io::ErrorKind;

use blackhole_actors::{ExitReason, Gateway, HostError, Unreachable};
use blackhole_protocol::link::gateway::{NAME_LENGTH_MAX, TEXT_LENGTH_MAX};

use super::{
    AsyncReadExt, Duration, Holder, HolderMessage, Message, Peers, Remote, Restart, SOON,
    ToGateway, World, framed, goodbye, hello, instance,
};

/// More than all buffers between two programs together.
const MUCH: usize = 16 << 20;
/// Turns of the good peer in which nothing more is taken from the bad one.
const TURNS: u32 = 100;

#[tokio::test]
async fn a_peer_that_leaves_its_answers_unread_is_not_read_from_either() {
    let world = World::begin().await;
    world.serves().await;
    let stream = world.stream().await;
    let (actor, message) = ("nobody".to_owned(), HolderMessage::NAME.to_owned());
    let bind = ToGateway::Bind { target: 0, actor, message, schema: 1 };
    let mut bytes = framed(&[hello()]);
    let (mut sent, mut full) = (0, 0);
    while full < TURNS {
        assert!(sent < MUCH, "{sent} bytes were taken");
        match stream.try_write(&bytes) {
            Ok(written) => {
                (sent, full) = (sent + written, 0);
                // What is sent in part goes on where it was.
                bytes.drain(..written);
                if bytes.is_empty() {
                    bytes = framed(&vec![bind.clone(); 1000]);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                full += 1;
                // The gateway has its turn.
                world.serves().await;
                tokio::time::timeout(Duration::from_millis(1), stream.writable()).await.ok();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What one program may have of a gateway's connections.
const SHARE: usize = 16;

#[tokio::test]
async fn a_program_that_takes_all_connections_is_refused_more_than_its_share() {
    let world = World::begin().await;
    world.serves().await;
    let mut held = Vec::new();
    for _ in 1..SHARE {
        let mut stream = world.stream().await;
        stream.read_u8().await.expect("it is welcome");
        held.push(stream);
    }
    let said = goodbye(&world, &framed(&[hello()])).await;
    assert_eq!(said, "the peer's program has 16 connections already, which is the most for one");
    let peers = Peers::new("one too many", world.folder.path(), None);
    let holder: Remote<HolderMessage> = peers.remote(&instance(), "holder");
    let refused = holder.connect().await.expect_err("it is refused");
    let Unreachable::Link { source, .. } = refused else { panic!("{refused}") };
    assert!(source.to_string().contains("has 16 connections already"), "{source}");
    world.serves().await;
    drop(held);
    let connected = async {
        while holder.connect().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, connected).await.expect("what is closed is free");
}

#[tokio::test]
async fn an_actor_that_fails_with_a_long_text_is_reported_with_its_beginning() {
    let world = World::begin().await;
    let fragile: Remote<HolderMessage> =
        Peers::new("the test", world.folder.path(), None).remote(&instance(), "fragile");
    fragile.connect().await.expect("it is there");
    let mut monitor = fragile.monitor();
    let why = "x".repeat((1 << 20) - 100);
    fragile.cast(HolderMessage::Fail(why)).await.expect("it is sent");
    let down = tokio::time::timeout(SOON, monitor.down()).await.expect("it is told");
    let ExitReason::Failed(told) = down.expect("it was there").reason else { panic!("it failed") };
    assert!(told.len() <= TEXT_LENGTH_MAX && told.ends_with("x…"), "{told}");
    world.serves().await;
}

#[tokio::test]
async fn a_name_that_nobody_could_bind_is_refused_where_it_is_given() {
    let world = World::begin().await;
    let long = "x".repeat(NAME_LENGTH_MAX + 1);
    let gateway = Gateway::start(instance(), 1).await.expect("it starts");
    let refused = gateway.host(&long, Holder, (), Restart::Temporary).await.map(drop);
    assert!(matches!(refused, Err(HostError::NameTooLong { length: 256 })), "{refused:?}");
    let peers = Peers::new("the test", world.folder.path(), None);
    let nobody: Remote<HolderMessage> = peers.remote(&instance(), &"x".repeat(2 << 20));
    let refused = nobody.connect().await.expect_err("there is none").to_string();
    assert_eq!(refused, "could not reach an actor of `hostile-1`");
    world.serves().await;
}

const _: &str = HolderMessage::NAME;
