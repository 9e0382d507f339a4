use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DEPTH_MAX, ELEMENTS_SIZE_MAX};
use crate::link::{
    DecodeError, EncodeError, FRAME_LENGTH_MAX, LENGTH_PREFIX, append_frame, decode,
};

/// What contains itself in every way in which a value can.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Variant(Box<Tree>),
    Pair(Box<Tree>, u8),
    Fields { option: Option<Box<Tree>> },
    List(Vec<Tree>),
    Map(BTreeMap<u8, Tree>),
    Newtype(Box<Wrapped>),
    Tuple((Box<Tree>,)),
    Structure(Box<Structure>),
    Words(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(Tree);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Structure {
    inside: Tree,
}

/// A leaf inside so many others, and the levels that this makes.
type Around = (fn(Tree) -> Tree, u32);

/// Each way, with its bytes around a leaf and how many levels it takes.
const WAYS: [Around; 8] = [
    (|tree| Tree::Variant(Box::new(tree)), 1),
    (|tree| Tree::Pair(Box::new(tree), 7), 1),
    (|tree| Tree::Fields { option: Some(Box::new(tree)) }, 2),
    (|tree| Tree::List(vec![tree]), 2),
    (|tree| Tree::Map(BTreeMap::from([(7, tree)])), 2),
    (|tree| Tree::Newtype(Box::new(Wrapped(tree))), 2),
    (|tree| Tree::Tuple((Box::new(tree),)), 2),
    (|tree| Tree::Structure(Box::new(Structure { inside: tree })), 2),
];

fn nested(around: fn(Tree) -> Tree, times: u32) -> Tree {
    (0..times).fold(Tree::Leaf, |tree, _| around(tree))
}

fn framed(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(tree, &mut bytes).expect("it fits");
    bytes
}

#[test]
fn a_value_is_nested_as_deep_as_may_be_and_no_deeper() {
    for (around, levels) in WAYS {
        // The leaf is a variant as well.
        let deepest = nested(around, (DEPTH_MAX - 1) / levels);
        let bytes = framed(&deepest);
        assert_eq!(decode::<Tree>(&bytes[LENGTH_PREFIX..]).expect("decodes"), deepest);
        let mut bytes = vec![1];
        let refused = append_frame(&around(deepest), &mut bytes);
        assert!(matches!(refused, Err(EncodeError::TooDeep)), "{refused:?}");
        assert_eq!(bytes, [1]);
    }
}

/// A byte for each level makes a frame of a million levels.
#[test]
fn a_peer_cannot_nest_a_value_deeper_than_the_stack() {
    for (around, _) in WAYS {
        let [leaf, twig] = [0, 1].map(|times| framed(&nested(around, times)));
        let (leaf, twig) = (&leaf[LENGTH_PREFIX..], &twig[LENGTH_PREFIX..]);
        let around_leaf = twig.windows(leaf.len()).rposition(|bytes| bytes == leaf);
        let before = &twig[..around_leaf.expect("the leaf is in it")];
        let frame = before.repeat(FRAME_LENGTH_MAX / before.len());
        let refused = decode::<Tree>(&frame);
        assert!(matches!(refused, Err(DecodeError::TooDeep)), "{refused:?}");
    }
}

/// Nine bytes claim a list that would take centuries to go through, and each byte of a list another one.
#[test]
fn a_list_of_nothing_cannot_be_said_to_be_longer_than_a_frame() {
    let endless = [253, 255, 255, 255, 255, 255, 255, 255, 255];
    let refused = decode::<Vec<()>>(&endless);
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
    let refused = decode::<Vec<[(); 4]>>(&endless);
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
    let long = [252, 0, 0, 16, 0];
    assert_eq!(decode::<Vec<()>>(&long).expect("decodes").len(), FRAME_LENGTH_MAX);
    let mut many = vec![200];
    (0..200).for_each(|_| many.extend(long));
    let refused = decode::<Vec<Vec<()>>>(&many);
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
    // Elements that have bytes are as many as fit.
    let full = vec![7u8; FRAME_LENGTH_MAX - 16];
    let mut bytes = Vec::new();
    append_frame(&full, &mut bytes).expect("it fits");
    assert!(decode::<Vec<u8>>(&bytes[LENGTH_PREFIX..]).expect("decodes") == full);
}

/// What is one byte of a frame when there is nothing in it.
type Roomy = Option<[u64; 32]>;

#[test]
fn a_list_takes_no_more_memory_than_a_few_frames() {
    let most = ELEMENTS_SIZE_MAX / size_of::<Roomy>();
    let read = |elements: usize| {
        let mut bytes = Vec::new();
        append_frame(&vec![Roomy::None; elements], &mut bytes).expect("a byte each fits");
        decode::<Vec<Roomy>>(&bytes[LENGTH_PREFIX..]).map(|list| list.len())
    };
    assert_eq!(read(most).expect("it is within the most"), most);
    let refused = read(most + 1);
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
}

#[test]
fn the_lists_of_a_value_share_what_they_may_take() {
    let most = ELEMENTS_SIZE_MAX / size_of::<Roomy>();
    let mut bytes = Vec::new();
    let map: BTreeMap<usize, Roomy> = (0..most).map(|key| (key, None)).collect();
    append_frame(&map, &mut bytes).expect("it fits");
    let refused = decode::<BTreeMap<usize, Roomy>>(&bytes[LENGTH_PREFIX..]).map(|map| map.len());
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
    bytes.clear();
    append_frame(&vec![vec![Roomy::None; most / 8 + 1]; 8], &mut bytes).expect("it fits");
    let refused = decode::<Vec<Vec<Roomy>>>(&bytes[LENGTH_PREFIX..]).map(|lists| lists.len());
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
}

#[test]
fn a_list_of_nothing_that_nobody_could_read_is_not_written() {
    append_frame(&vec![(); FRAME_LENGTH_MAX], &mut Vec::new()).expect("it is within the most");
    let refused = append_frame(&vec![(); FRAME_LENGTH_MAX + 1], &mut Vec::new());
    assert!(matches!(refused, Err(EncodeError::TooMany)), "{refused:?}");
}

/// Threads have 2 MiB, of which this takes its share.
#[test]
fn the_deepest_value_needs_little_stack() {
    const STACK: usize = 512 << 10;
    let read = || {
        let deepest = nested(|tree| Tree::Structure(Box::new(Structure { inside: tree })), 63);
        let bytes = framed(&deepest);
        assert_eq!(decode::<Tree>(&bytes[LENGTH_PREFIX..]).expect("decodes"), deepest);
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(read);
    thread.expect("a thread").join().expect("it has room");
}
