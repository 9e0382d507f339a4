//! A small service, embedded, over a real socket and a real link.

mod harness;

use std::{num::NonZeroU32, time::Duration};

use blackhole_actors::link::LinkError;
use blackhole_protocol::{
    InstanceId,
    link::{ToChild, ToNode},
};
use blackhole_sdk::{Ending, Peers, Remote, testing::bounded};
use harness::{GRACE, Node, PatientMessage};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

#[tokio::test]
async fn it_serves_and_says_so() {
    let node = Node::begin("{}").await;
    let mut health = HealthClient::new(node.host.channel().await);
    for service in ["", "blackhole.storage.v1.StorageService"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = health.check(request).await.expect("known").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(node.stat("ready").await.expect("answered"), "ready");
}

/// The node keeps the socket of a service that is away: its clients wait, and are told NOT_SERVING by nobody.
#[tokio::test]
async fn who_waited_through_a_start_is_told_that_it_serves() {
    for round in 0..20 {
        let node = Node::begin_with("{}", GRACE).await;
        let mut health = HealthClient::new(node.host.channel().await);
        let answer = bounded(health.check(HealthCheckRequest::default())).await.expect("known");
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "round {round}");
    }
}

#[tokio::test]
async fn pings_are_answered_with_their_number() {
    let mut node = Node::begin("{}").await;
    node.host.link.send(&ToChild::Ping { sequence: 42 }).await.expect("sent");
    assert_eq!(node.host.hear().await.expect("heard"), ToNode::Pong { sequence: 42 });
}

#[tokio::test]
async fn a_stop_lets_what_is_in_flight_finish() {
    let mut node = Node::begin("{}").await;
    let waiting = tokio::spawn(node.stat("until draining"));
    node.entered().await;
    node.host.link.send(&ToChild::Stop).await.expect("sent");
    let answer = bounded(waiting).await.expect("no panic");
    assert_eq!(answer.expect("answered"), "until draining");
    assert_eq!(node.host.ended().await, Ending::Stopped);
}

#[tokio::test]
async fn a_stop_lets_what_actors_were_asked_be_answered() {
    let mut node = Node::begin("{}").await;
    let instance =
        InstanceId { service: "storage".parse().expect("a name"), index: NonZeroU32::MIN };
    let peers = Peers::new("the test", node.directory.path(), None);
    let patient: Remote<PatientMessage> = peers.remote(&instance, "patient");
    let asked = patient.clone();
    let waiting =
        tokio::spawn(async move { asked.call(PatientMessage::UntilDraining, GRACE).await });
    tokio::task::yield_now().await;
    // In order, so the other question is there when this is answered.
    bounded(patient.call(PatientMessage::Get, GRACE)).await.expect("answered");
    node.host.link.send(&ToChild::Stop).await.expect("sent");
    assert_eq!(bounded(waiting).await.expect("no panic").expect("answered"), 2);
    assert_eq!(node.host.ended().await, Ending::Stopped);
}

#[tokio::test]
async fn readers_of_health_hear_the_stop_and_do_not_hold_it_up() {
    let mut node = Node::begin("{}").await;
    let mut health = HealthClient::new(node.host.channel().await);
    let watched = health.watch(HealthCheckRequest::default()).await.expect("watched");
    let mut watched = watched.into_inner();
    let first = bounded(watched.message()).await.expect("open").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);
    node.host.link.send(&ToChild::Stop).await.expect("sent");
    let second = bounded(watched.message()).await.expect("open").expect("a status");
    assert_eq!(second.status(), ServingStatus::NotServing);
    assert_eq!(node.host.ended().await, Ending::Stopped);
}

#[tokio::test]
async fn what_never_finishes_is_cut_within_the_grace() {
    let mut node = Node::begin_with("{}", Duration::from_secs(1)).await.ready().await;
    let waiting = tokio::spawn(node.stat("for ever"));
    node.entered().await;
    node.host.link.send(&ToChild::Stop).await.expect("sent");
    assert_eq!(node.host.ended().await, Ending::Stopped);
    assert!(bounded(waiting).await.expect("no panic").is_err());
}

#[tokio::test]
async fn the_end_of_the_link_is_the_end_of_the_service() {
    let node = Node::begin("{}").await;
    let _waiting = tokio::spawn(node.stat("for ever"));
    node.entered().await;
    let ended = node.host.service.ended();
    drop(node);
    match bounded(ended).await {
        Ending::Failed(text) => assert!(text.contains("lost the link"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_abort_waits_for_nothing() {
    let node = Node::begin("{}").await;
    let _waiting = tokio::spawn(node.stat("for ever"));
    node.entered().await;
    node.host.service.abort();
    assert_eq!(node.host.ended().await, Ending::Aborted);
}

#[tokio::test]
async fn a_panic_in_a_request_costs_that_request() {
    let node = Node::begin("{}").await;
    assert!(node.stat("panic").await.is_err());
    assert_eq!(node.stat("still here").await.expect("answered"), "still here");
}

#[tokio::test]
async fn the_end_of_an_actor_is_the_end_of_the_service() {
    let node = Node::begin("{}").await;
    let code = node.stat("end actor").await.map_err(|status| status.code());
    assert!(matches!(code, Ok(_) | Err(Code::Unavailable | Code::Unknown | Code::Cancelled)));
    match node.host.ended().await {
        Ending::Failed(text) => {
            assert!(text.contains("actor `fragile`") && text.contains("had enough"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tree_inside_restarts_its_actors_and_ends_the_service_when_it_gives_up() {
    let node = Node::begin("{}").await;
    node.stat("end worker").await.expect("answered");
    bounded(async {
        while node.stat("worker starts").await.expect("answered") != "2" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ended = node.host.service.ended();
    // The end may overtake the answer.
    drop(node.stat("end worker").await);
    match bounded(ended).await {
        Ending::Failed(text) => {
            let why = "actor `workers` ended: `worker` was restarted too often, \
                       and last it failed: had enough";
            assert!(text.contains(why), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_panic_at_the_start_is_contained_and_told() {
    let mut node = Node::begin_with(r#"{"start": "panic"}"#, GRACE).await;
    assert_eq!(node.host.ended().await, Ending::Panicked("as asked".into()));
    assert!(matches!(node.host.hear().await, Err(LinkError::Closed)));
}

#[tokio::test]
async fn a_service_that_fails_while_it_starts_says_for_which_actor() {
    let node = Node::begin_with(r#"{"start": "beside a failure"}"#, GRACE).await;
    match bounded(node.host.ended()).await {
        Ending::Failed(text) => {
            assert!(text.contains("actor `fragile` failed: had enough"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn settings_it_does_not_know_are_refused_with_their_name() {
    let node = Node::begin_with(r#"{"stat": "panic"}"#, GRACE).await;
    match node.host.ended().await {
        Ending::Failed(text) => {
            assert!(text.contains("service `storage`") && text.contains("`stat`"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_versions_of_reflection_list_what_is_served_and_nothing_else() {
    let node = Node::begin("{}").await;
    let names = node.reflected().await;
    assert_eq!(names, ["blackhole.storage.v1.StorageService", "grpc.health.v1.Health"]);
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_a_stop_up() {
    let mut node = Node::begin("{}").await;
    let _silent = tokio::net::UnixStream::connect(node.host.socket()).await.expect("connected");
    assert_eq!(node.stat("ready").await.expect("answered"), "ready");
    node.host.link.send(&ToChild::Stop).await.expect("sent");
    assert_eq!(node.host.ended().await, Ending::Stopped);
}
