//! What clients get wrong is refused with the field's name, and leaves nothing.

use blackhole_protocol::storage::v1::{HashAlgorithm, UploadHeader, UploadRequest};
use blackhole_storage::{ByteSize, Settings};
use tonic::{Code, Status};

use crate::harness::{Served, by, bytes, data, expecting, header, messages, whole};

fn assert_refused(status: &Status, code: Code, text: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains(text), "`{text}` in {status:?}");
}

#[tokio::test]
async fn another_block_than_the_expected_is_refused() {
    let mut served = Served::begin().await;
    let cid = served.store(b"expected").await.cid;
    served.delete(&cid).await.unwrap();
    for (announced, text) in [
        (expecting(&cid, None), "cid: the block is `bafk"),
        (expecting("", Some(8)), "size: 6 bytes came, and 8 were expected"),
        (expecting("", Some(0)), "size: 6 bytes came, and 0 were expected"),
    ] {
        let status = served.upload(messages(announced, b"actual")).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, text);
        served.nothing_is_left().await;
    }
    served.upload(messages(expecting(&cid, Some(8)), b"expected")).await.unwrap();
}

#[tokio::test]
async fn messages_out_of_order_are_refused() {
    let mut served = Served::begin().await;
    let first = || header(UploadHeader::default());
    let neither = || UploadRequest { message: None };
    let long = bytes((4 << 20) - 63);
    for (messages, text) in [
        (vec![], "header: missing"),
        (vec![data("x")], "header: must be in the first message"),
        (vec![neither()], "message: neither"),
        (vec![first(), first()], "header: must be in the first message only"),
        (vec![first(), data("x"), first()], "header: must be in the first message only"),
        (vec![first(), data("x"), neither()], "message: neither"),
        (vec![first(), data(long)], "data: longer than 4194240 bytes"),
        (vec![first(), data(bytes(5 << 20))], "data: longer than 4194240 bytes"),
    ] {
        let status = served.upload(messages).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, text);
        served.nothing_is_left().await;
    }
    let longest = bytes((4 << 20) - 64);
    served.upload(vec![first(), data(""), data(longest)]).await.unwrap();
}

#[tokio::test]
async fn headers_and_names_that_make_no_sense_are_refused() {
    let mut served = Served::begin().await;
    let cid = served.store(b"x").await.cid;
    served.delete(&cid).await.unwrap();
    let conflict = UploadHeader { cid: cid.clone(), ..by(HashAlgorithm::Sha2256) };
    let unknown = UploadHeader { hash_algorithm: 7, ..UploadHeader::default() };
    for (announced, text) in [
        (conflict, "header.hash_algorithm: sha2-256, but `cid` is a digest by blake3"),
        (unknown, "header.hash_algorithm: 7 is none that is known"),
        (expecting("../../../etc/passwd", None), "header.cid: not a CID"),
    ] {
        let status = served.upload(messages(announced, b"x")).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, text);
    }
    for name in ["", "x", "../blocks", &cid.to_uppercase(), &"b".repeat(1_000_000)] {
        for status in [
            served.stat(name).await.unwrap_err(),
            served.delete(name).await.unwrap_err(),
            served.download(whole(name)).await.1.unwrap(),
        ] {
            assert_refused(&status, Code::InvalidArgument, "cid: not ");
        }
    }
    let status = served.list(1001, "").await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "page_size: 1001 is more than 1000");
    let status = served.list(1, "2").await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "page_token: not the `next_page_token`");
    served.nothing_is_left().await;
}

#[tokio::test]
async fn a_block_that_is_too_large_is_refused_before_it_is_there() {
    let settings = Settings { size_max: ByteSize(1000), ..Settings::default() };
    let mut served = Served::begin_with(settings).await;
    for announced in [expecting("", Some(1001)), UploadHeader::default()] {
        let status = served.upload(messages(announced, &bytes(1001))).await.unwrap_err();
        assert_refused(&status, Code::ResourceExhausted, "at most 1000 bytes");
        served.nothing_is_left().await;
    }
    served.store(&bytes(1000)).await;
}
