//! The stream of events.

use blackhole_protocol::identity::v1::{
    BatchCreateDiDsRequest, CreateDidRequest, DeleteDidRequest, DidEvent, EventType,
    StreamDidEventsRequest, did_event::Payload, identity_service_client::IdentityServiceClient,
};
use blackhole_sdk::{Ending, testing::bounded};
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{Bench, make};

async fn events(
    client: &mut IdentityServiceClient<Channel>,
    after_sequence: Option<u64>,
) -> Streaming<DidEvent> {
    let request = StreamDidEventsRequest { after_sequence };
    client.stream_did_events(request).await.expect("a stream").into_inner()
}

async fn next(stream: &mut Streaming<DidEvent>) -> Result<DidEvent, Status> {
    bounded(stream.message()).await.map(|event| event.expect("it does not just end"))
}

#[tokio::test]
async fn events_come_in_order_as_they_happen_and_again_after_a_restart() {
    let mut bench = Bench::new().await;
    let mut client = bench.client().await;
    let mut stream = events(&mut client, Some(0)).await;
    let did = make(&mut client, "ada").await;
    let created = next(&mut stream).await.expect("an event");
    assert_eq!((created.did.as_str(), created.sequence), (did.as_str(), 1));
    assert_eq!((created.r#type(), created.missed), (EventType::Created, 0));
    match &created.payload {
        Some(Payload::Created(created)) => assert_eq!(created.properties["name"], "ada"),
        other => panic!("{other:?}"),
    }
    client.delete_did(DeleteDidRequest { did }).await.expect("deleted");
    let deleted = next(&mut stream).await.expect("an event");
    assert_eq!((deleted.r#type(), deleted.sequence), (EventType::Deleted, 2));
    drop(stream);

    bench.restart().await;
    let mut client = bench.client().await;
    let mut stream = events(&mut client, Some(0)).await;
    assert_eq!(next(&mut stream).await.expect("an event"), created);
    assert_eq!(next(&mut stream).await.expect("an event"), deleted);
    make(&mut client, "bob").await;
    assert_eq!(next(&mut stream).await.expect("an event").sequence, 3);
}

#[tokio::test]
async fn without_a_position_only_what_happens_next_comes() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    make(&mut client, "before").await;
    let mut stream = events(&mut client, None).await;
    let did = make(&mut client, "after").await;
    let event = next(&mut stream).await.expect("an event");
    assert_eq!((event.did, event.sequence, event.missed), (did, 2, 0));
}

#[tokio::test]
async fn what_is_no_longer_kept_is_counted() {
    let bench = Bench::new().await;
    let mut client = bench.client().await;
    let mut slow = events(&mut client, Some(0)).await;
    for _ in 0..11 {
        let requests = vec![CreateDidRequest::default(); 1000];
        client.batch_create_di_ds(BatchCreateDiDsRequest { requests }).await.expect("made");
    }
    let mut late = events(&mut client, Some(0)).await;
    let first = next(&mut late).await.expect("an event");
    assert_eq!((first.sequence, first.missed), (1001, 1000));
    let second = next(&mut late).await.expect("an event");
    assert_eq!((second.sequence, second.missed), (1002, 0));

    // However slow a reader is: what it gets and what it is told it missed add up.
    let (mut got, mut missed) = (0, 0);
    while got + missed < 11_000 {
        let event = next(&mut slow).await.expect("an event");
        missed += event.missed;
        got += 1;
        assert_eq!(event.sequence, got + missed);
    }
}

#[tokio::test]
async fn a_stop_ends_streams_and_does_not_wait_for_them() {
    let mut bench = Bench::new().await;
    let mut client = bench.client().await;
    let mut stream = events(&mut client, None).await;
    let host = bench.host.take().expect("it runs");
    let (ending, end) = tokio::join!(host.stop(), next(&mut stream));
    assert_eq!(end.expect_err("an end").code(), Code::Unavailable);
    assert_eq!(ending, Ending::Stopped);
}
