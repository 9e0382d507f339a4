//! Transfers that are not brought to their end.

use std::{net::Shutdown, time::Duration};

use blackhole_protocol::storage::v1::{UploadHeader, UploadRequest};
use blackhole_storage::Settings;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::harness::{Served, bytes, data, header, until, upload, whole};

/// Begins an upload, and waits until bytes of it are on disk.
async fn begin(served: &Served) -> (mpsc::Sender<UploadRequest>, ReceiverStream<UploadRequest>) {
    assert!(served.incoming().is_empty());
    let (sender, receiver) = mpsc::channel(8);
    sender.send(header(UploadHeader::default())).await.unwrap();
    sender.send(data(bytes(1 << 20))).await.unwrap();
    (sender, ReceiverStream::new(receiver))
}

async fn is_on_disk(served: &Served) {
    let on_disk =
        || served.incoming().first().map_or(0, |file| file.metadata().map_or(0, |m| m.len()));
    until("a megabyte is on disk", || on_disk() >= 1 << 20).await;
}

#[tokio::test]
async fn an_upload_whose_connection_is_lost_leaves_nothing() {
    let mut served = Served::begin().await;
    let (mut client, connection) = served.connect().await;
    let (_sender, messages) = begin(&served).await;
    let uploading = tokio::spawn(async move { upload(&mut client, messages).await });
    is_on_disk(&served).await;
    connection.shutdown(Shutdown::Both).unwrap();
    served.nothing_is_left().await;
    uploading.await.unwrap().unwrap_err();
    served.store(b"others go on").await;
}

#[tokio::test]
async fn an_upload_that_its_client_cancels_leaves_nothing() {
    let served = Served::begin().await;
    let mut client = served.client.clone();
    let (_sender, messages) = begin(&served).await;
    let uploading = tokio::spawn(async move { upload(&mut client, messages).await });
    is_on_disk(&served).await;
    uploading.abort();
    served.nothing_is_left().await;
}

#[tokio::test]
async fn no_more_uploads_run_than_may_and_room_is_made_again() {
    let mut served = Served::begin_with(Settings { uploads_max: 1, ..Settings::default() }).await;
    let mut client = served.client.clone();
    let (sender, messages) = begin(&served).await;
    let uploading = tokio::spawn(async move { upload(&mut client, messages).await });
    is_on_disk(&served).await;
    let status = served.upload(vec![header(UploadHeader::default())]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("1 uploads are running"), "{status:?}");
    drop(sender);
    uploading.await.unwrap().unwrap();
    served.store(b"now there is room").await;
}

#[tokio::test]
async fn no_more_downloads_run_than_may_and_room_is_made_again() {
    let mut served = Served::begin_with(Settings { downloads_max: 1, ..Settings::default() }).await;
    let cid = served.store(&bytes(20_000_000)).await.cid;
    let running = served.client.download(whole(&cid)).await.unwrap();
    let status = served.client.download(whole(&cid)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    drop(running);
    // The server hears of it a little later.
    let begun = std::time::Instant::now();
    while let Err(status) = served.client.download(whole(&cid)).await {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(begun.elapsed() < crate::harness::DEADLINE, "no room is made");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_in_an_upload_is_given_up() {
    let served = Served::begin().await;
    let mut client = served.client.clone();
    let (_sender, messages) = begin(&served).await;
    let begun = tokio::time::Instant::now();
    let status = client.upload(messages).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::DeadlineExceeded, "nothing came for 120 s")
    );
    assert!(begun.elapsed() >= Duration::from_secs(120));
    served.nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_given_up_and_sees_that_bytes_are_missing() {
    let mut served = Served::begin_with(Settings { downloads_max: 1, ..Settings::default() }).await;
    let sent = bytes(20_000_000);
    let cid = served.store(&sent).await.cid;
    let mut pieces = served.client.download(whole(&cid)).await.unwrap().into_inner();
    let begun = std::time::Instant::now();
    while let Err(status) = served.client.download(whole(&cid)).await {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(begun.elapsed() < crate::harness::DEADLINE, "no room is made");
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let mut size = 0;
    let status = loop {
        match pieces.message().await {
            Ok(piece) => size += piece.expect("the end must be an error").data.len(),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Aborted);
    assert!(size < sent.len());
}
