//! What needs a process of its own: a limit on it, its memory, or its death. The tests here run this
//! binary again, with one of the ignored ones.

use std::{
    fs,
    process::{Command, Output},
};

use blackhole_protocol::storage::v1::UploadHeader;
use blackhole_storage::{Expectation, HashAlgorithm, Store};
use tonic::Code;

use crate::harness::{Served, bytes, data, expecting, header, messages, upload, whole};

/// Where the child works, if not in a folder of its own.
const DIRECTORY: &str = "STORAGE_TEST_DIRECTORY";

/// Runs one ignored test in a shell that has run `prelude`.
fn run_alone(prelude: &str, test: &str, directory: &std::path::Path) -> Output {
    let script = format!("{prelude}\nexec \"$0\" --ignored --exact --nocapture \"$1\"");
    let program = std::env::current_exe().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(program).arg(test).env(DIRECTORY, directory);
    shell.output().unwrap()
}

fn assert_passed(output: &Output) {
    let text = [&*output.stdout, &*output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// To a writer the limit on a file's size looks like a full disk: the kernel refuses a write half-way.
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 2048";
    assert_passed(&run_alone(limited, "alone::with_little_room", directory.path()));
}

#[tokio::test]
#[ignore = "run by `a_full_disk_is_told_and_leaves_nothing`"]
async fn with_little_room() {
    let mut served = Served::begin().await;
    let too_much = messages(UploadHeader::default(), &bytes(4 << 20));
    let status = served.upload(too_much).await.unwrap_err();
    let told = (status.code(), status.message());
    assert_eq!(told, (Code::ResourceExhausted, "no space is left for blocks"));
    served.nothing_is_left().await;
    served.store(&bytes(100_000)).await;
}

#[test]
fn no_descriptors_are_told_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let limited = "ulimit -n 64";
    assert_passed(&run_alone(limited, "alone::with_few_descriptors", directory.path()));
}

#[tokio::test]
#[ignore = "run by `no_descriptors_are_told_and_leave_nothing`"]
async fn with_few_descriptors() {
    let mut served = Served::begin().await;
    let kept = served.store(&bytes(1000)).await.cid;
    let files = served.files();
    let taken: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    let upload = served.upload(messages(UploadHeader::default(), &bytes(2000))).await;
    let download = served.client.download(whole(&kept)).await;
    for status in [upload.unwrap_err(), download.unwrap_err()] {
        let told = (status.code(), status.message());
        assert_eq!(told, (Code::ResourceExhausted, "the service has as many files open as it may"));
    }
    drop(taken);
    served.nothing_is_left_but(&files).await;
    served.download_whole(&kept).await;
}

#[test]
fn large_blocks_need_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    assert_passed(&run_alone("", "alone::with_little_memory", directory.path()));
}

/// Of the client and the server together.
const GROWTH_MAX: u64 = 12 << 20;

#[tokio::test]
#[ignore = "run by `large_blocks_need_little_memory`"]
async fn with_little_memory() {
    const PIECES: usize = 512;
    let mut served = Served::begin().await;
    let warm = served.store(&bytes(1 << 20)).await.cid;
    served.download_whole(&warm).await;
    let before = peak();

    let piece = bytes(128 << 10);
    let size = (PIECES * piece.len()) as u64;
    let pieces = (0..PIECES).map({
        let piece = piece.clone();
        move |_| data(piece.clone())
    });
    let request = std::iter::once(header(expecting("", Some(size)))).chain(pieces);
    let stored = upload(&mut served.client, tokio_stream::iter(request)).await.unwrap();
    assert_eq!(stored.size, 64 << 20);

    let mut answer = served.client.download(whole(&stored.cid)).await.unwrap().into_inner();
    let mut read = 0;
    while let Some(next) = answer.message().await.unwrap() {
        assert!(next.data == piece, "the bytes at {read} differ");
        read += next.data.len() as u64;
    }
    assert_eq!(read, size);
    let growth = peak() - before;
    println!("64 MiB up and down again: {} KiB more", growth >> 10);
    assert!(growth < GROWTH_MAX, "{growth} bytes more were needed");
}

/// The most memory that this process has ever had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_writer_that_dies_leaves_no_block_and_what_it_leaves_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let died = run_alone("ulimit -c 0", "alone::dying", directory.path());
    assert!(!died.status.success());
    let incoming = || fs::read_dir(directory.path().join("incoming")).unwrap().count();
    assert_eq!(incoming(), 1, "{}", String::from_utf8_lossy(&died.stderr));

    let store = Store::open(directory.path(), u64::MAX).unwrap();
    let living = store.write(Expectation::Any(HashAlgorithm::Blake3, None)).unwrap();
    assert_eq!((incoming(), store.list(None, 1).unwrap().blocks.len()), (2, 0));
    assert_eq!((store.remove_leftovers().unwrap(), incoming()), (1, 1));
    living.finish().unwrap();
    assert_eq!((incoming(), store.list(None, 1).unwrap().blocks.len()), (0, 1));
}

#[test]
#[ignore = "run by `a_writer_that_dies_leaves_no_block_and_what_it_leaves_is_removed`"]
fn dying() {
    let directory = std::env::var_os(DIRECTORY).unwrap();
    let store = Store::open(directory.as_ref(), u64::MAX).unwrap();
    let mut writer = store.write(Expectation::Any(HashAlgorithm::Blake3, None)).unwrap();
    writer.write(&bytes(1 << 20)).unwrap();
    std::process::abort();
}
