//! All blocks, page by page.

use std::{collections::BTreeSet, fs};

use blackhole_storage::{Block, Store};
use cid::{Cid, multihash::Multihash};

use crate::harness::Served;

/// `count` blocks in five shards. They are put there by hand, because syncing each takes its time, and
/// are empty, which a listing cannot know.
fn store_of(count: usize) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), 1 << 20).unwrap();
    for index in 0..count {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&index.to_le_bytes());
        digest[31] = u8::try_from(index % 5).unwrap() << 3;
        let name = Cid::new_v1(0x55, Multihash::wrap(0x1e, &digest).unwrap()).to_string();
        let shard = directory.path().join("blocks").join(&name[name.len() - 3..name.len() - 1]);
        fs::create_dir_all(&shard).unwrap();
        fs::write(shard.join(name), "").unwrap();
    }
    (directory, store)
}

/// All blocks, got by pages of one length.
fn pages(store: &Store, length: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(after, length).unwrap();
        assert!(page.blocks.len() <= length);
        blocks.extend(page.blocks);
        after = page.next;
        if after.is_none() {
            return blocks;
        }
    }
}

#[tokio::test]
async fn every_block_is_listed_once_while_others_come_and_go() {
    let mut served = Served::begin().await;
    let mut staying = BTreeSet::new();
    let mut going = Vec::new();
    for number in 0..60_u8 {
        let cid = served.store(&[number]).await.cid;
        if number % 6 == 0 { going.push(cid) } else { assert!(staying.insert(cid)) }
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    for number in 60.. {
        let page = served.list(7, &token).await.unwrap();
        assert!(page.blocks.len() <= 7);
        listed.extend(page.blocks.into_iter().map(|block| block.cid));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        served.store(&[number]).await;
        if let Some(cid) = going.pop() {
            served.delete(&cid).await.unwrap();
        }
    }
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "a block was listed twice");
    assert!(once.is_superset(&staying), "a block was passed over");
}

#[tokio::test]
async fn what_is_listed_is_what_stat_says() {
    let mut served = Served::begin().await;
    served.store(b"one").await;
    served.store(b"other").await;
    let page = served.list(2, "").await.unwrap();
    assert_eq!((page.blocks.len(), page.next_page_token.as_str()), (2, ""));
    for block in page.blocks {
        assert_eq!(served.stat(&block.cid).await.unwrap(), block);
    }
}

#[tokio::test]
async fn an_empty_store_has_one_empty_page_and_absent_means_100() {
    let mut served = Served::begin().await;
    assert_eq!(served.list(0, "").await.unwrap(), Default::default());
    for number in 0..101_u8 {
        served.store(&[number]).await;
    }
    let page = served.list(0, "").await.unwrap();
    assert_eq!(page.blocks.len(), 100);
    let page = served.list(0, &page.next_page_token).await.unwrap();
    assert_eq!((page.blocks.len(), page.next_page_token.as_str()), (1, ""));
}

#[test]
fn pages_of_every_length_add_up_to_the_same_list() {
    let (_directory, store) = store_of(600);
    let all = store.list(None, 1000).unwrap();
    assert_eq!((all.blocks.len(), all.next), (600, None));
    for length in [1, 2, 119, 120, 121, 599, 600] {
        assert!(pages(&store, length) == all.blocks, "pages of {length}");
    }
}

/// A listing looks at each block after having read its name. To the eye of the listing, a link to nowhere
/// is a block that has been deleted between the two.
#[test]
fn blocks_that_vanish_during_a_listing_hide_no_others() {
    let (directory, store) = store_of(100);
    let all = store.list(None, 100).unwrap().blocks;
    for block in all.iter().step_by(2) {
        let name = block.id.to_string();
        let shard = directory.path().join("blocks").join(&name[name.len() - 3..name.len() - 1]);
        fs::remove_file(shard.join(&name)).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", shard.join(&name)).unwrap();
    }
    let staying: Vec<_> = all.iter().skip(1).step_by(2).copied().collect();
    for length in [1, 7, 10, 49] {
        assert_eq!(pages(&store, length), staying, "pages of {length}");
    }
}
