//! Blocks come back as they were sent.

use blackhole_protocol::storage::v1::{DownloadRequest, HashAlgorithm};
use blackhole_storage::Settings;
use tonic::Code;

use crate::harness::{Served, by, bytes, expecting, messages, upload, whole};

#[tokio::test]
async fn blocks_of_any_size_come_back_under_both_digests() {
    let mut served = Served::begin().await;
    for algorithm in [HashAlgorithm::Blake3, HashAlgorithm::Sha2256] {
        for size in [0, 1, 131_071, 131_072, 131_073, 3_000_001] {
            let sent = bytes(size);
            let stored = served.upload(messages(by(algorithm), &sent)).await.unwrap();
            assert_eq!(stored.size, size as u64);
            assert!(stored.created);
            assert!(served.download_whole(&stored.cid).await == sent, "{size} {algorithm:?}");
            let block = served.stat(&stored.cid).await.unwrap();
            assert_eq!((block.size, block.hash_algorithm()), (size as u64, algorithm));
        }
    }
    assert_eq!(served.files().len(), 12);
    assert!(served.incoming().is_empty());
}

#[tokio::test]
async fn names_are_the_ones_that_other_programs_compute() {
    let mut served = Served::begin().await;
    let stored = served.store(b"").await;
    assert_eq!(stored.cid, "bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi");
    let stored = served.upload(messages(by(HashAlgorithm::Sha2256), b"")).await.unwrap();
    assert_eq!(stored.cid, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
}

#[tokio::test]
async fn the_setting_chooses_the_digest_where_the_client_does_not() {
    let hash = blackhole_storage::HashAlgorithm::Sha2_256;
    let mut served = Served::begin_with(Settings { hash, ..Settings::default() }).await;
    assert!(served.store(b"x").await.cid.starts_with("bafkrei"));
    let stored = served.upload(messages(by(HashAlgorithm::Blake3), b"x")).await.unwrap();
    assert!(stored.cid.starts_with("bafkr4i"));
}

#[tokio::test]
async fn a_part_of_a_block_can_be_read() {
    let mut served = Served::begin().await;
    let sent = bytes(300_000);
    let cid = served.store(&sent).await.cid;
    let part = |offset, length| DownloadRequest { cid: cid.clone(), offset, length };
    for (offset, length, expected) in [
        (0, Some(0), 0..0),
        (0, Some(10), 0..10),
        (131_000, Some(200), 131_000..131_200),
        (299_999, None, 299_999..300_000),
        (299_999, Some(u64::MAX), 299_999..300_000),
        (300_000, None, 0..0),
        (1, None, 1..300_000),
    ] {
        let (read, error) = served.download(part(offset, length)).await;
        assert!(error.is_none(), "{error:?}");
        assert!(read == sent[expected], "{offset} {length:?}");
    }
    for offset in [300_001, u64::MAX] {
        let (read, error) = served.download(part(offset, Some(0))).await;
        let error = error.unwrap();
        assert_eq!((read.len(), error.code()), (0, Code::OutOfRange), "{error:?}");
    }
}

#[tokio::test]
async fn the_same_block_is_kept_once_with_its_first_date() {
    let mut served = Served::begin().await;
    let first = served.store(b"same").await;
    let date = served.stat(&first.cid).await.unwrap().created_at;
    let again = served.store(b"same").await;
    assert_eq!((first.created, again.created), (true, false));
    assert_eq!((again.cid.as_str(), again.size), (first.cid.as_str(), 4));
    assert_eq!(served.stat(&first.cid).await.unwrap().created_at, date);
    assert_eq!(served.files().len(), 1);
    assert!(served.incoming().is_empty());
}

#[tokio::test]
async fn of_two_uploads_of_one_block_at_a_time_one_creates_it() {
    let served = Served::begin().await;
    let sent = bytes(5_000_000);
    let (mut one, _) = served.connect().await;
    let (mut other, _) = served.connect().await;
    let request = messages(Default::default(), &sent);
    let (one, other) = tokio::join!(
        upload(&mut one, tokio_stream::iter(request.clone())),
        upload(&mut other, tokio_stream::iter(request)),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.cid, other.cid);
    assert!(one.created != other.created, "{one:?} {other:?}");
    let mut served = served;
    assert!(served.download_whole(&one.cid).await == sent);
    assert_eq!((served.files().len(), served.incoming().len()), (1, 0));
}

#[tokio::test]
async fn a_download_that_has_begun_outlives_a_delete() {
    let mut served = Served::begin().await;
    let sent = bytes(20_000_000);
    let cid = served.store(&sent).await.cid;
    let mut pieces = served.client.download(whole(&cid)).await.unwrap().into_inner();
    let mut read = pieces.message().await.unwrap().unwrap().data;
    served.delete(&cid).await.unwrap();
    assert!(served.files().is_empty());
    assert_eq!(served.stat(&cid).await.unwrap_err().code(), Code::NotFound);
    while let Some(piece) = pieces.message().await.unwrap() {
        read.extend(piece.data);
    }
    assert!(read == sent);
}

#[tokio::test]
async fn an_absent_block_is_not_found_by_any_method() {
    let mut served = Served::begin().await;
    let cid = served.store(b"soon gone").await.cid;
    served.delete(&cid).await.unwrap();
    let gone = format!("there is no block `{cid}`");
    for status in [
        served.delete(&cid).await.unwrap_err(),
        served.stat(&cid).await.unwrap_err(),
        served.download(whole(&cid)).await.1.unwrap(),
    ] {
        assert_eq!((status.code(), status.message()), (Code::NotFound, gone.as_str()));
    }
    assert!(served.upload(messages(expecting(&cid, Some(9)), b"soon gone")).await.unwrap().created);
}
