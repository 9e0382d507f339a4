//! The service as a node starts it, embedded: over a link, with a socket that the node holds.

use std::{collections::BTreeMap, fs, num::NonZeroU32, os::unix::net::UnixStream};

use blackhole_actors::link::{NodeSide, accept};
use blackhole_protocol::{
    InstanceId,
    link::{Assignment, ToChild, ToNode},
};
use blackhole_sdk::{
    Embedded, Ending, embed,
    testing::{ends, listeners},
};
use blackhole_storage::Storage;

use crate::harness::{bounded, connect, messages, until, upload};

async fn begin(directory: &tempfile::TempDir, settings: &str) -> (NodeSide, Embedded) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let instance = InstanceId { service: "storage".parse().unwrap(), index: NonZeroU32::MIN };
    let listeners = listeners(directory.path(), &instance);
    let service = embed::<Storage>(&instance, listeners, ends(theirs)).unwrap();
    let assignment = Assignment {
        node: "test".into(),
        instance,
        generation: 1,
        data_dir: directory.path().into(),
        runtime_dir: directory.path().into(),
        sockets: BTreeMap::new(),
        settings: settings.into(),
        grace_ms: 10_000,
    };
    ours.set_nonblocking(true).unwrap();
    let link = accept(tokio::net::UnixStream::from_std(ours).unwrap(), assignment);
    (bounded(link).await.unwrap(), service)
}

#[tokio::test]
async fn a_node_starts_it_stops_it_and_finds_its_blocks_again() {
    let directory = tempfile::tempdir().unwrap();
    for created in [true, false] {
        let (mut link, service) = begin(&directory, r#"{"size_max": "1KiB"}"#).await;
        assert_eq!(bounded(link.receive()).await.unwrap(), ToNode::Ready);
        let (mut client, _) = connect(directory.path().join("storage-1.sock")).await;
        let request = messages(Default::default(), b"kept");
        let stored = upload(&mut client, tokio_stream::iter(request)).await.unwrap();
        assert_eq!(stored.created, created);
        let too_large = messages(Default::default(), &[0; 1025]);
        upload(&mut client, tokio_stream::iter(too_large)).await.unwrap_err();
        link.send(&ToChild::Stop).await.unwrap();
        assert_eq!(bounded(service.ended()).await, Ending::Stopped);
    }
}

#[tokio::test]
async fn leftovers_are_removed_soon_after_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("incoming").join("left");
    fs::create_dir(directory.path().join("incoming")).unwrap();
    fs::write(&left, "half").unwrap();
    let (mut link, _service) = begin(&directory, "{}").await;
    assert_eq!(bounded(link.receive()).await.unwrap(), ToNode::Ready);
    until("the leftover is gone", || !left.exists()).await;
}

#[tokio::test]
async fn a_wrong_setting_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for (settings, text) in [
        (r#"{"size": 1}"#, "unknown field `size`"),
        (r#"{"hash": "md5"}"#, "unknown variant `md5`, expected `blake3` or `sha2-256`"),
        (r#"{"size_max": "big"}"#, "expected a number of bytes, or text such as \"512MiB\""),
    ] {
        let (_link, service) = begin(&directory, settings).await;
        let Ending::Failed(error) = bounded(service.ended()).await else { panic!("it started") };
        assert!(error.contains(text), "{error}");
    }
}
