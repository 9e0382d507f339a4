//! Two ends of a link in one process, and peers that misbehave.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use blackhole_actors::link::{ChildSide, LinkError, NodeSide, accept, connect};
use blackhole_protocol::{
    InstanceId,
    link::{Assignment, FRAME_LENGTH_MAX, SCHEMA, ToChild, ToNode, VERSION, append_frame},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

fn assignment(settings: String) -> Assignment {
    Assignment {
        node: "dev".into(),
        instance: InstanceId { service: "api".parse().expect("a name"), index: NonZeroU32::MIN },
        generation: 1,
        data_dir: "/d".into(),
        runtime_dir: "/r".into(),
        sockets: BTreeMap::from([("grpc".into(), 4)]),
        settings,
        grace_ms: 10_000,
    }
}

async fn linked() -> (NodeSide, ChildSide) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let (node, child) = tokio::join!(accept(ours, assignment("{}".into())), connect(theirs));
    (node.expect("the node accepts"), child.expect("the child connects").0)
}

#[tokio::test]
async fn an_assignment_larger_than_the_socket_buffer_arrives_whole() {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let sent = assignment("x".repeat(FRAME_LENGTH_MAX - 1024));
    let (node, child) = tokio::join!(accept(ours, sent.clone()), connect(theirs));
    node.expect("the node accepts");
    assert_eq!(child.expect("the child connects").1, sent);
}

#[tokio::test]
async fn messages_arrive_in_order_however_the_bytes_are_cut() {
    let (mut node, mut child) = linked().await;
    let sending = async {
        for sequence in 0..1000 {
            node.send(&ToChild::Ping { sequence }).await.expect("sent");
        }
    };
    let receiving = async {
        for sequence in 0..1000 {
            assert_eq!(child.receive().await.expect("received"), ToChild::Ping { sequence });
        }
    };
    tokio::join!(sending, receiving);
    let (mut raw, cut) = UnixStream::pair().expect("a socket pair");
    let mut cut = NodeSide::over(cut);
    let (_, received) = tokio::join!(
        async {
            for byte in [1_u8, 0, 0, 0, 1] {
                raw.write_all(&[byte]).await.expect("written");
                tokio::task::yield_now().await;
            }
        },
        cut.receive()
    );
    assert_eq!(received.expect("received"), ToNode::Ready);
}

#[tokio::test]
async fn a_receive_that_was_cancelled_loses_nothing() {
    let (mut raw, end) = UnixStream::pair().expect("a socket pair");
    let mut end = NodeSide::over(end);
    raw.write_all(&[1, 0, 0]).await.expect("written");
    let cancelled = tokio::time::timeout(Duration::from_millis(1), end.receive()).await;
    assert!(cancelled.is_err(), "half a frame is no message");
    raw.write_all(&[0, 1]).await.expect("written");
    assert_eq!(end.receive().await.expect("received"), ToNode::Ready);
}

#[tokio::test]
async fn another_version_is_refused_with_both_numbers_on_both_sides() {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    let other_child = async {
        theirs.write_all(&[3, 0, 0, 0, 0, 99, 42]).await.expect("written");
    };
    let (refused, ()) = tokio::join!(accept(ours, assignment("{}".into())), other_child);
    let text = refused.expect_err("refused").to_string();
    assert!(text.contains("version 99") && text.contains(&format!("version {VERSION}")), "{text}");

    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    ours.write_all(&[2, 0, 0, 0, 0, 77]).await.expect("written");
    drop(ours);
    let refused = connect(theirs).await;
    assert!(
        matches!(refused, Err(LinkError::VersionMismatch { ours: VERSION, theirs: 77 })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_frame_that_boasts_is_refused_before_it_is_awaited() {
    let (mut raw, end) = UnixStream::pair().expect("a socket pair");
    raw.write_all(&u32::MAX.to_le_bytes()).await.expect("written");
    let refused = NodeSide::over(end).receive().await;
    assert!(
        matches!(refused, Err(LinkError::FrameTooLong { length: 0xffff_ffff, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_peer_that_says_something_else_first_is_refused() {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    theirs.write_all(&[2, 0, 0, 0, 3, 2]).await.expect("a pong, sequence 2: as VERSION is");
    let refused = accept(ours, assignment("{}".into())).await;
    assert!(matches!(refused, Err(LinkError::NotAHandshake)), "{refused:?}");
}

#[tokio::test]
async fn a_peer_that_went_away_is_closed_in_both_directions() {
    let (mut node, child) = linked().await;
    drop(child);
    assert!(matches!(node.receive().await, Err(LinkError::Closed)));
    assert!(matches!(node.send(&ToChild::Stop).await, Err(LinkError::Closed)));
}

#[tokio::test]
async fn a_peer_that_does_not_read_refuses_the_sender_and_loses_nothing() {
    let (node, mut child) = linked().await;
    let (_receiver, mut sender) = node.split();
    let mut accepted = 0;
    let refused = loop {
        match sender.try_send(&ToChild::Ping { sequence: accepted }) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LinkError::Full), "{refused:?}");
    for expected in 0..accepted {
        assert_eq!(child.receive().await.expect("received"), ToChild::Ping { sequence: expected });
    }
    let room = async {
        while sender.try_send(&ToChild::Stop).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), room).await.expect("there is room again");
    assert_eq!(child.receive().await.expect("received"), ToChild::Stop);
}

#[tokio::test]
async fn dropping_a_sender_ends_the_peers_direction_only() {
    let (node, mut child) = linked().await;
    let (mut receiver, sender) = node.split();
    drop(sender);
    assert!(matches!(child.receive().await, Err(LinkError::Closed)));
    child.send(&ToNode::Stopping).await.expect("the other direction is open");
    assert_eq!(receiver.receive().await.expect("received"), ToNode::Stopping);
}

#[tokio::test]
async fn bytes_after_the_handshake_stay_with_the_connection() {
    let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
    let mut bytes = Vec::new();
    for message in [ToNode::Hello { version: VERSION, schema: SCHEMA }, ToNode::Ready] {
        append_frame(&message, &mut bytes).expect("it fits");
    }
    theirs.write_all(&bytes).await.expect("written");
    let mut node = accept(ours, assignment("{}".into())).await.expect("accepted");
    assert_eq!(node.receive().await.expect("received"), ToNode::Ready);
    let mut greeting = [0; 4];
    theirs.read_exact(&mut greeting).await.expect("the welcome");
}
