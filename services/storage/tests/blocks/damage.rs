//! What happens to files behind the service's back.

use std::{fs, io::Write};

use blackhole_protocol::storage::v1::DownloadRequest;
use tonic::Code;

use crate::harness::{Served, bytes, whole};

#[tokio::test]
async fn changed_bytes_are_noticed_when_the_whole_block_is_read_and_healed_by_an_upload() {
    let mut served = Served::begin().await;
    let sent = bytes(300_000);
    let cid = served.store(&sent).await.cid;
    let mut changed = sent.clone();
    changed[200_000] ^= 1;
    fs::write(&served.files()[0], &changed).unwrap();

    for length in [None, Some(300_000)] {
        let (read, error) = served.download(DownloadRequest { length, ..whole(&cid) }).await;
        let error = error.unwrap();
        assert_eq!((error.code(), read.len()), (Code::DataLoss, 300_000));
        assert!(error.message().contains(&cid), "{error:?}");
        let directory = served.directory.path().to_str().unwrap();
        assert!(!error.message().contains(directory), "{error:?}");
    }
    let part = DownloadRequest { length: Some(100), ..whole(&cid) };
    assert_eq!(served.download(part).await.0, sent[..100]);

    assert!(!served.store(&sent).await.created);
    assert!(served.download_whole(&cid).await == sent);
}

#[tokio::test]
async fn missing_and_added_bytes_are_noticed() {
    let mut served = Served::begin().await;
    let cid = served.store(&bytes(300_000)).await.cid;
    let file = served.files().remove(0);
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(299_999).unwrap();
    assert_eq!(served.download(whole(&cid)).await.1.unwrap().code(), Code::DataLoss);
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
    assert_eq!(served.download(whole(&cid)).await.1.unwrap().code(), Code::DataLoss);
}

#[tokio::test]
async fn a_block_that_is_cut_while_it_is_read_does_not_end_well() {
    let mut served = Served::begin().await;
    let cid = served.store(&bytes(20_000_000)).await.cid;
    let mut pieces = served.client.download(whole(&cid)).await.unwrap().into_inner();
    pieces.message().await.unwrap().unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&served.files()[0])
        .unwrap()
        .set_len(1_000_000)
        .unwrap();
    let status = loop {
        match pieces.message().await {
            Ok(piece) => assert!(piece.is_some(), "the end must be an error"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DataLoss);
}

#[tokio::test]
async fn a_vanished_folder_is_an_error_that_tells_no_path() {
    let mut served = Served::begin().await;
    fs::remove_dir(served.directory.path().join("incoming")).unwrap();
    let status =
        served.upload(crate::harness::messages(Default::default(), b"x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "the service could not create a file or folder of its own");
}

#[tokio::test]
async fn foreign_files_are_not_blocks() {
    let mut served = Served::begin().await;
    let cid = served.store(b"a block").await.cid;
    let shard = served.files()[0].parent().unwrap().to_owned();
    fs::write(shard.join("notes.txt"), "x").unwrap();
    fs::write(served.directory.path().join("blocks").join("README"), "x").unwrap();
    let page = served.list(0, "").await.unwrap();
    assert_eq!(page.blocks.iter().map(|block| &block.cid).collect::<Vec<_>>(), [&cid]);
}
