//! What a program says instead of a file: the same keys, written by calls.
//!
//! A [`Table`] is laid over the tree of the file (or of nothing), and read and checked as if it had been
//! written there. Each entry remembers the line of Rust that wrote it, so that a problem points there.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    problem::{Draft, Problems},
    raw::written,
    tree::{Node, Number, Origin, Place, Table as Tree, Value as TreeValue},
};

/// Where and in which order something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) at: &'static std::panic::Location<'static>,
    /// Counts up over all that this process writes.
    pub(crate) sequence: u64,
}

impl Written {
    #[track_caller]
    fn here() -> Self {
        static SEQUENCE: AtomicU64 = AtomicU64::new(0);
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        Self { at: std::panic::Location::caller(), sequence }
    }
}

/// A value of the file, from code.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text; durations and sizes are texts as well.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A list.
    List(Vec<Value>),
    /// A table.
    Table(Table),
}

/// Keys and values, in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    value: Value,
    written: Written,
    /// Where else it was [defined](Table::define).
    again: Vec<Written>,
}

/// Where an entry was written makes no difference to what it says.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Table {
    /// A table without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a key, in place of what it said before.
    #[track_caller]
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        let (key, value, written) = (key.into(), value.into(), Written::here());
        let entry = Entry { key, value, written, again: Vec::new() };
        match self.0.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => *known = entry,
            None => self.0.push(entry),
        }
        self
    }

    /// Writes a key that may be written once: a second time is a problem of the whole.
    #[track_caller]
    pub fn define(&mut self, key: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        let (key, value, written) = (key.into(), value.into(), Written::here());
        self.add(Entry { key, value, written, again: Vec::new() });
        self
    }

    /// Takes over what another table says, table by table; what both say is [defined](Self::define)
    /// twice.
    pub fn absorb(&mut self, other: Self) {
        for entry in other.0 {
            match (self.0.iter_mut().find(|known| known.key == entry.key), entry.value) {
                (Some(Entry { value: Value::Table(known), .. }), Value::Table(more)) => {
                    known.absorb_definitions(more);
                }
                (_, value) => self.add(Entry { value, ..entry }),
            }
        }
    }

    fn absorb_definitions(&mut self, other: Self) {
        other.0.into_iter().for_each(|entry| self.add(entry));
    }

    fn add(&mut self, entry: Entry) {
        match self.0.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => known.again.push(entry.written),
            None => self.0.push(entry),
        }
    }

    /// What a key says.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The table at a key, which becomes one if it is none.
    #[track_caller]
    pub fn table(&mut self, key: &str) -> &mut Self {
        if !matches!(self.get(key), Some(Value::Table(_))) {
            self.set(key, Self::new());
        }
        let entry = self.0.iter_mut().find(|entry| entry.key == key);
        match entry.map(|entry| &mut entry.value) {
            Some(Value::Table(table)) => table,
            _ => unreachable!("it has just been made a table"),
        }
    }

    /// Adds to the list at a key, which becomes one if it is none.
    #[track_caller]
    pub fn push(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        match self.0.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value) {
            Some(Value::List(list)) => {
                list.push(value);
                self
            }
            _ => self.set(key, Value::List(vec![value])),
        }
    }

    /// The keys, in the order in which they were written.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| entry.key.as_str())
    }

    /// Lays this over what is there: tables key by key, other values instead of what was there.
    pub(crate) fn lay_over(&self, node: &mut Node, problems: &mut Problems) {
        let parent = node.place.clone();
        if !matches!(node.value, TreeValue::Table(_)) {
            node.value = TreeValue::Table(Tree::default());
        }
        let TreeValue::Table(table) = &mut node.value else { return };
        for entry in &self.0 {
            entry.report_again(&parent, problems);
            let below = match table.get_mut(&entry.key) {
                Some(below) => below,
                None => {
                    table.0.push((entry.key.clone(), entry.empty_node(&parent)));
                    table.get_mut(&entry.key).expect("it has just been pushed")
                }
            };
            match &entry.value {
                Value::Table(over) => over.lay_over(below, problems),
                _ => *below = entry.node(&parent),
            }
        }
    }
}

impl Entry {
    fn report_again(&self, parent: &Place, problems: &mut Problems) {
        for again in &self.again {
            let place = parent.child(&self.key, Origin::Code(*again));
            let first = self.written.at;
            let hint = format!("it is there already: {}:{}", first.file(), first.line());
            problems.push(Draft::new(&place, "is defined twice").hint(hint));
        }
    }

    fn node(&self, parent: &Place) -> Node {
        let empty = self.empty_node(parent);
        Node { value: self.value.tree(&empty.place), ..empty }
    }

    fn empty_node(&self, parent: &Place) -> Node {
        let place = parent.child(&self.key, Origin::Code(self.written));
        Node { value: TreeValue::Table(Tree::default()), key: place.clone(), place }
    }
}

impl Value {
    /// The same value in the tree, below `place`, whose origin everything in it shares except what
    /// was written elsewhere.
    fn tree(&self, place: &Place) -> TreeValue {
        let number = |digits: String| Number { digits, radix: 10 };
        match self {
            Self::Text(text) => TreeValue::Text(text.clone()),
            Self::Integer(integer) => TreeValue::Integer(number(integer.to_string())),
            Self::Float(float) => TreeValue::Float(number(float.to_string())),
            Self::Bool(bool) => TreeValue::Bool(*bool),
            Self::List(values) => TreeValue::List(
                values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| {
                        let place = place.element(index, place.origin.clone());
                        Node { value: value.tree(&place), key: place.clone(), place }
                    })
                    .collect(),
            ),
            Self::Table(table) => {
                let entries = table.0.iter().map(|entry| (entry.key.clone(), entry.node(place)));
                TreeValue::Table(Tree(entries.collect()))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Bytes that are not UTF-8 become `\u{fffd}`: a file could not say them either.
impl From<&Path> for Value {
    fn from(path: &Path) -> Self {
        Self::Text(path.to_string_lossy().into_owned())
    }
}

/// As for a borrowed path.
impl From<PathBuf> for Value {
    fn from(path: PathBuf) -> Self {
        path.as_path().into()
    }
}

/// To the microsecond, as a file says it.
impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Self::Text(written(duration))
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<i32> for Value {
    fn from(integer: i32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Self::Float(float)
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// `null` says nothing, and is left out of tables; in a list it is the text `null`.
impl From<serde_json::Value> for Value {
    #[track_caller]
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Text("null".into()),
            Json::Bool(bool) => Self::Bool(bool),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Self::Integer(integer),
                (None, Some(float)) => Self::Float(float),
                (None, None) => Self::Text(number.to_string()),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(values) => Self::List(values.into_iter().map(Into::into).collect()),
            Json::Object(entries) => {
                let mut table = Table::new();
                for (key, value) in entries.into_iter().filter(|(_, value)| !value.is_null()) {
                    table.set(key, value);
                }
                Self::Table(table)
            }
        }
    }
}
