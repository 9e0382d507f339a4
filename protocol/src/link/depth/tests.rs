use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DEPTH_MAX, ELEMENTS_MAX, Room};
use crate::link::{
    DecodeError, EncodeError, FRAME_LENGTH_MAX, LENGTH_PREFIX, append_frame, append_value, decode,
    take_value_within,
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

/// A list of nothing much, as a frame of so many bytes says it.
fn list_of_zeroes(elements: u32) -> Vec<u8> {
    [&[252][..], &elements.to_le_bytes(), &vec![0; elements as usize]].concat()
}

fn refused<V: serde::de::DeserializeOwned>(frame: &[u8]) {
    let refused = decode::<V>(frame).map(drop);
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
}

#[test]
fn a_message_takes_no_more_memory_than_it_may() {
    let read = |elements| decode::<Vec<Roomy>>(&list_of_zeroes(elements)).expect("decodes").len();
    assert_eq!(read(100_000), 100_000);
    refused::<Vec<Roomy>>(&list_of_zeroes(1_000_000));
    refused::<Vec<Box<Roomy>>>(&list_of_zeroes(1_000_000));
    refused::<Vec<Box<Option<[[u64; 32]; 32]>>>>(&list_of_zeroes(50_000));
    // A tree of one element has room for eleven.
    let map_of_one = [1, 0, 0].repeat(2000);
    let maps = [&[251, 208, 7][..], &map_of_one].concat();
    refused::<Vec<BTreeMap<u8, Option<[[u64; 32]; 16]>>>>(&maps);
    // The same divided among the lists of one value, and in the values of a map.
    let mut bytes = Vec::new();
    append_frame(&vec![vec![Roomy::None; 20_000]; 20], &mut bytes).expect("it fits");
    refused::<Vec<Vec<Roomy>>>(&bytes[LENGTH_PREFIX..]);
    bytes.clear();
    let map: BTreeMap<u32, Roomy> = (0..150_000).map(|key| (key, None)).collect();
    append_frame(&map, &mut bytes).expect("it fits");
    refused::<BTreeMap<u32, Roomy>>(&bytes[LENGTH_PREFIX..]);
}

/// Has no list, and as many of itself inside as there are bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Twins {
    left: Option<Box<Twins>>,
    right: Option<Box<Twins>>,
    data: Roomy,
}

fn twins(levels: u32) -> Option<Box<Twins>> {
    let [left, right] = [(); 2].map(|()| levels.checked_sub(1).and_then(twins));
    Some(Box::new(Twins { left, right, data: None }))
}

#[test]
fn what_has_no_list_takes_no_more_either() {
    let mut bytes = Vec::new();
    append_frame(&twins(17), &mut bytes).expect("it is short");
    refused::<Option<Box<Twins>>>(&bytes[LENGTH_PREFIX..]);
}

#[test]
fn the_values_of_a_message_share_what_it_may_take() {
    let mut bytes = Vec::new();
    append_value(&vec![Roomy::None; 50_000], &mut bytes).expect("it fits");
    let room = Room::default();
    let read = || take_value_within::<Vec<Roomy>>(&mut bytes.as_slice(), &room).map(drop);
    read().expect("it is within the most");
    assert!(room.taken() >= 50_000 * size_of::<Roomy>(), "{}", room.taken());
    let refused = read().and_then(|()| read()).and_then(|()| read()).and_then(|()| read());
    assert!(matches!(refused, Err(DecodeError::TooLarge)), "{refused:?}");
}

#[test]
fn bytes_are_taken_for_what_they_are_and_nothing_for_a_byte() {
    let bytes = list_of_zeroes(600_000);
    let room = Room::default();
    take_value_within::<Vec<u8>>(&mut bytes.as_slice(), &room).expect("it fits");
    assert!((600_000..601_000).contains(&room.taken()), "{}", room.taken());
    let million = [252, 0, 0, 16, 0];
    let room = Room::default();
    take_value_within::<Vec<()>>(&mut &million[..], &room).expect("it is within the most");
    assert!(room.taken() >= 1 << 20, "{}", room.taken());
}

/// As an allocator sees it that is asked for what each list is said to have.
#[test]
fn lists_inside_lists_are_not_made_as_long_as_they_are_said_to_be() {
    #[derive(Debug, Deserialize)]
    #[serde(transparent)]
    struct Lists {
        _inside: Expecting<Lists>,
    }

    /// A list that says what room was asked for.
    #[derive(Debug)]
    struct Expecting<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Expecting<T> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor<T>(std::marker::PhantomData<T>);

            impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
                type Value = Expecting<T>;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a list")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(
                    self,
                    mut elements: A,
                ) -> Result<Expecting<T>, A::Error> {
                    let expected = elements.size_hint().expect("a list says its length");
                    assert!(expected <= 256, "{expected}");
                    while elements.next_element::<T>()?.is_some() {}
                    Ok(Expecting(std::marker::PhantomData))
                }
            }
            deserializer.deserialize_seq(Visitor(std::marker::PhantomData))
        }
    }

    let frame = [252, 255, 255, 255, 255].repeat(100);
    let refused = decode::<Lists>(&frame);
    assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{refused:?}");
}

#[test]
fn a_list_of_nothing_that_nobody_could_read_is_not_written() {
    append_frame(&vec![(); ELEMENTS_MAX], &mut Vec::new()).expect("it is within the most");
    let refused = append_frame(&vec![(); ELEMENTS_MAX + 1], &mut Vec::new());
    assert!(matches!(refused, Err(EncodeError::TooMany)), "{refused:?}");
}

/// A level that takes kilobytes of the stack of whoever reads it.
#[derive(Debug, Serialize, Deserialize)]
struct Heavy {
    data: Option<[[u64; 32]; 32]>,
    inside: Option<Box<Heavy>>,
}

#[test]
fn values_that_are_large_on_the_stack_are_nested_less_deep() {
    const STACK: usize = 2 << 20;
    let read = || {
        let deepest = [&[0, 1].repeat(62)[..], &[0, 0]].concat();
        let refused = decode::<Heavy>(&deepest).map(drop);
        assert!(matches!(refused, Err(DecodeError::TooDeep)), "{refused:?}");
        decode::<Heavy>(&[0, 1, 0, 0]).expect("a level or two may be");
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(read);
    thread.expect("a thread").join().expect("it has room");
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
