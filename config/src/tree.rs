//! The file as a tree in which every value knows where it was written.
//!
//! Flags and environment variables are laid over the same tree, so that one walk reads all of them.
//! What a value must look like is not known here.

use std::{fmt, ops::Range, sync::Arc};

use toml::de::{DeTable, DeValue};

use crate::written::Written;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the file, by byte.
    File(Range<usize>),
    /// By a program.
    Code(Written),
    /// In a flag or variable: its index among the overrides.
    Override(usize),
}

impl Origin {
    /// Sorts by where things were written: the file, then code, then flags and variables.
    pub(crate) fn rank(&self) -> (u8, u64) {
        match self {
            Self::File(span) => (0, span.start as u64),
            Self::Code(written) => (1, written.sequence),
            Self::Override(index) => (2, *index as u64),
        }
    }
}

/// Where something was written and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    /// `services.api.command[0]`; empty for the whole file.
    pub(crate) path: Arc<str>,
}

/// One value with its places.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// The key's place; for elements of a list the element's own.
    pub(crate) key: Place,
    /// The value's place.
    pub(crate) place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Integer(Number),
    Float(Number),
    Bool(bool),
    /// A date or a time: no key wants one, so it is kept as written.
    Moment(String),
    List(Vec<Node>),
    Table(Table),
}

/// A number as written, so that a text can be made of it again.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    /// Digits in `radix`, without underscores and prefix.
    pub(crate) digits: String,
    pub(crate) radix: u32,
}

/// Keys in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(pub(crate) Vec<(String, Node)>);

impl Place {
    /// The place of what is called `name` inside this one.
    pub(crate) fn child(&self, name: &str, origin: Origin) -> Self {
        let path = match (&*self.path, plain(name)) {
            ("", true) => name.into(),
            ("", false) => format!("{name:?}").into(),
            (path, true) => format!("{path}.{name}").into(),
            (path, false) => format!("{path}.{name:?}").into(),
        };
        Self { origin, path }
    }

    pub(crate) fn element(&self, index: usize, origin: Origin) -> Self {
        Self { origin, path: format!("{}[{index}]", self.path).into() }
    }
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

impl Table {
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(key, _)| key == name).map(|(_, node)| node)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

impl Node {
    /// The root of a file.
    pub(crate) fn root(table: &DeTable<'_>, length: usize) -> Self {
        let place = Place { origin: Origin::File(0..length.min(1)), path: "".into() };
        let value = Value::Table(Table::convert(table, &place));
        Self { value, key: place.clone(), place }
    }

    /// What kind of value this is, in a reader's words.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Moment(_) => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The same as JSON; numbers that JSON lacks become texts.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Text(text) | Value::Moment(text) => Json::String(text.clone()),
            Value::Integer(number) => match number.integer() {
                Some(integer) => Json::from(integer),
                None => Json::String(number.digits.clone()),
            },
            Value::Float(number) => match number.digits.parse::<f64>() {
                Ok(float) if float.is_finite() => Json::from(float),
                _ => Json::String(number.digits.clone()),
            },
            Value::Bool(bool) => Json::Bool(*bool),
            Value::List(nodes) => nodes.iter().map(Self::to_json).collect(),
            Value::Table(table) => {
                Json::Object(table.0.iter().map(|(k, node)| (k.clone(), node.to_json())).collect())
            }
        }
    }
}

impl Number {
    pub(crate) fn integer(&self) -> Option<i64> {
        i64::from_str_radix(&self.digits, self.radix).ok()
    }
}

impl Table {
    fn convert(table: &DeTable<'_>, parent: &Place) -> Self {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let key = parent.child(&name, Origin::File(key.span()));
                let place = Place { origin: Origin::File(value.span()), path: key.path.clone() };
                (name, Node { value: Value::convert(value.get_ref(), &place), key, place })
            })
            .collect();
        entries.sort_by_key(|(_, node)| node.key.origin.rank());
        Self(entries)
    }
}

impl Value {
    /// Reads a flag's or variable's text: as TOML where it is TOML, else as the text that it is.
    pub(crate) fn from_override(text: &str, place: &Place) -> Self {
        match DeValue::parse(text) {
            Ok(value) => Self::convert(value.get_ref(), place).moved_to(place),
            Err(_) => Self::Text(text.to_owned()),
        }
    }

    fn convert(value: &DeValue<'_>, place: &Place) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(integer) => Self::Integer(Number {
                digits: integer.as_str().to_owned(),
                radix: integer.radix(),
            }),
            DeValue::Float(float) => {
                Self::Float(Number { digits: float.as_str().to_owned(), radix: 10 })
            }
            DeValue::Boolean(bool) => Self::Bool(*bool),
            DeValue::Datetime(moment) => Self::Moment(moment.to_string()),
            DeValue::Array(list) => Self::List(
                list.iter()
                    .enumerate()
                    .map(|(index, value)| {
                        let place = place.element(index, Origin::File(value.span()));
                        let value = Self::convert(value.get_ref(), &place);
                        Node { value, key: place.clone(), place }
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Self::Table(Table::convert(table, place)),
        }
    }

    /// Gives everything inside the one origin: spans inside an override mean nothing.
    fn moved_to(mut self, place: &Place) -> Self {
        let inner: Box<dyn Iterator<Item = &mut Node>> = match &mut self {
            Self::List(nodes) => Box::new(nodes.iter_mut()),
            Self::Table(table) => Box::new(table.0.iter_mut().map(|(_, node)| node)),
            _ => return self,
        };
        for node in inner {
            node.key.origin = place.origin.clone();
            node.place.origin = place.origin.clone();
            let value = std::mem::replace(&mut node.value, Self::Bool(false));
            node.value = value.moved_to(place);
        }
        self
    }
}

/// Prints as TOML on one line.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Integer(Number { digits, radix: 8 }) => write!(formatter, "0o{digits}"),
            Self::Integer(Number { digits, radix: 16 }) => write!(formatter, "0x{digits}"),
            Self::Integer(Number { digits, radix: 2 }) => write!(formatter, "0b{digits}"),
            Self::Integer(number) | Self::Float(number) => formatter.write_str(&number.digits),
            Self::Bool(bool) => write!(formatter, "{bool}"),
            Self::Moment(text) => formatter.write_str(text),
            Self::List(nodes) => {
                formatter.write_str("[")?;
                for (index, node) in nodes.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{}", node.value)?;
                }
                formatter.write_str("]")
            }
            Self::Table(table) if table.0.is_empty() => formatter.write_str("{}"),
            Self::Table(table) => {
                for (index, (name, node)) in table.0.iter().enumerate() {
                    let comma = if index == 0 { "{ " } else { ", " };
                    match plain(name) {
                        true => write!(formatter, "{comma}{name} = {}", node.value)?,
                        false => write!(formatter, "{comma}{name:?} = {}", node.value)?,
                    }
                }
                formatter.write_str(" }")
            }
        }
    }
}
