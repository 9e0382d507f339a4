//! How a `Raw` structure is read from the tree: every problem is recorded, none stops the walk.
//!
//! [`keys!`](crate::read::keys) declares a table once: its keys, their types and their docs. From
//! that come the structure, the reader with its check for unknown keys, and the JSON Schema.

use serde_json::{Value as Json, json};

use crate::{
    problem::{Draft, Problems, nearest},
    tree::{Node, Origin, Place, Table, Value},
};

/// A type that can be read from one value of the tree.
pub(crate) trait Read: Sized {
    /// `None` when there was a problem, which has been recorded.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;

    /// The same rule as JSON Schema.
    fn schema() -> Json;
}

/// A value with its places.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) key: Place,
    pub(crate) place: Place,
}

/// What stands at a key.
#[derive(Debug, Clone, Default)]
pub(crate) enum Field<T> {
    #[default]
    Absent,
    /// Something that has been reported already: no follow-up is wanted.
    Invalid,
    /// Boxed, because most keys of most tables are absent, and tables are moved about.
    Given(Box<Located<T>>),
}

impl<T> Field<T> {
    pub(crate) fn given(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Absent | Self::Invalid => None,
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|located| &located.value)
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Read> Field<T> {
    /// What stands at `name`; `meant` are the known keys that misspelt ones stand for.
    pub(crate) fn read(table: &Table, name: &str, meant: &[&str], problems: &mut Problems) -> Self {
        match table.get(name) {
            Some(node) => Self::of(node, problems),
            None if meant.contains(&name) => Self::Invalid,
            None => Self::Absent,
        }
    }

    fn of(node: &Node, problems: &mut Problems) -> Self {
        match T::read(node, problems) {
            Some(value) => {
                let (key, place) = (node.key.clone(), node.place.clone());
                Self::Given(Box::new(Located { value, key, place }))
            }
            None => Self::Invalid,
        }
    }
}

/// Reports every key that is not among the known ones; gives those that were probably meant.
pub(crate) fn refuse_unknown<'k>(
    node: &Node,
    table: &Table,
    known: &[&'k str],
    problems: &mut Problems,
) -> Vec<&'k str> {
    let mut meant = Vec::new();
    for (name, entry) in &table.0 {
        if !known.contains(&name.as_str()) {
            let what = match &*node.place.path {
                "" => "tables of the file are".to_owned(),
                path => format!("keys of `{path}` are"),
            };
            let hint = problems.suggestion(name, known.iter().copied(), &what);
            problems.push(Draft::new(&entry.key, "is not a known key").maybe_hint(hint));
            meant.extend(nearest(name, known));
        }
    }
    meant
}

/// The table, or a problem.
pub(crate) fn table<'n>(node: &'n Node, problems: &mut Problems) -> Option<&'n Table> {
    match &node.value {
        Value::Table(table) => Some(table),
        _ => {
            problems.push(Draft::value(node, format_args!("must be a table, not {}", node.kind())));
            None
        }
    }
}

/// The text, or a problem. A number or flag that came as an override counts as the text it was.
pub(crate) fn text(node: &Node, problems: &mut Problems) -> Option<String> {
    let overridden = matches!(node.place.origin, Origin::Override(_));
    let text = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Moment(_) if overridden => {
            node.value.to_string()
        }
        _ => {
            let rule = format_args!("must be a text, not {}", node.kind());
            problems.push(Draft::value(node, rule));
            return None;
        }
    };
    if text.contains('\0') {
        let rule = "contains a NUL character, which no program can be given";
        problems.push(Draft::value(node, rule));
        return None;
    }
    Some(text)
}

/// A text that may be anything: where a number stands, quotes are all that is missing.
pub(crate) fn free_text(node: &Node, problems: &mut Problems) -> Option<String> {
    match &node.value {
        Value::Integer(_) | Value::Float(_) | Value::Bool(_)
            if matches!(node.place.origin, Origin::File(_)) =>
        {
            let rule = format_args!("must be a text, not {}", node.kind());
            let hint = format!("write `\"{}\"`", node.value);
            problems.push(Draft::value(node, rule).hint(hint));
            None
        }
        _ => text(node, problems),
    }
}

/// A text that `parse` understands; its error continues the sentence "`key` …".
pub(crate) fn parsed<T>(
    node: &Node,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, (String, Option<String>)>,
) -> Option<T> {
    let text = text(node, problems)?;
    match parse(&text) {
        Ok(value) => Some(value),
        Err((rule, hint)) => {
            problems.push(Draft::value(node, rule).maybe_hint(hint));
            None
        }
    }
}

impl Read for String {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        free_text(node, problems)
    }

    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

impl Read for bool {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Bool(bool) => Some(*bool),
            other => {
                let draft = Draft::value(node, "must be true or false");
                let hint =
                    matches!(other, Value::Text(_)).then(|| "write it without quotes".into());
                problems.push(draft.maybe_hint(hint));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// A list keeps the readable elements, so that the rest of the file can be checked against them.
impl<T: Read> Read for Vec<Located<T>> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::List(nodes) = &node.value else {
            let rule = format_args!("must be a list, not {}", node.kind());
            let hint = matches!(node.value, Value::Text(_) | Value::Integer(_))
                .then(|| format!("write `[{}]`", node.value));
            problems.push(Draft::value(node, rule).maybe_hint(hint));
            return None;
        };
        let read = |node: &Node| {
            let value = T::read(node, problems)?;
            Some(Located { value, key: node.key.clone(), place: node.place.clone() })
        };
        Some(nodes.iter().filter_map(read).collect())
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// A table whose keys are names that the user chooses, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Entries<T>(pub(crate) Vec<(Located<String>, Field<T>)>);

impl<T: Read> Read for Entries<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let table = table(node, problems)?;
        let entry = |(name, node): &(String, Node)| {
            let field = Field::of(node, problems);
            let (key, place) = (node.key.clone(), node.place.clone());
            (Located { value: name.clone(), key, place }, field)
        };
        Some(Self(table.0.iter().map(entry).collect()))
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

/// Declares a table of the file: structure, reader and schema in one.
macro_rules! keys {
    (
        $(#[doc = $doc:literal])*
        $name:ident { $( $(#[doc = $key_doc:literal])* $key:ident: $type:ty, )* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $( $(#[doc = $key_doc])* pub(crate) $key: $crate::read::Field<$type>, )*
        }

        impl $crate::read::Read for $name {
            fn read(
                node: &$crate::tree::Node,
                problems: &mut $crate::problem::Problems,
            ) -> Option<Self> {
                let table = $crate::read::table(node, problems)?;
                let known = [$(stringify!($key)),*];
                let meant = $crate::read::refuse_unknown(node, table, &known, problems);
                Some(Self {
                    $( $key: $crate::read::Field::read(table, stringify!($key), &meant, problems), )*
                })
            }

            fn schema() -> serde_json::Value {
                let mut properties = serde_json::Map::new();
                $(
                    let property = <$type as $crate::read::Read>::schema();
                    properties.insert(
                        stringify!($key).to_owned(),
                        $crate::schema::described(property, &[$($key_doc),*]),
                    );
                )*
                $crate::schema::table(properties, &[$($doc),*])
            }
        }
    };
}
pub(crate) use keys;

/// Declares how the variants of an enum are written.
macro_rules! choices {
    ($type:ty { $( $text:literal => $variant:expr, )* }) => {
        impl $crate::read::Read for $type {
            fn read(
                node: &$crate::tree::Node,
                problems: &mut $crate::problem::Problems,
            ) -> Option<Self> {
                $crate::read::parsed(node, problems, |text| match text {
                    $( $text => Ok($variant), )*
                    _ => Err($crate::read::not_among(text, &[$($text),*])),
                })
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($text),*] })
            }
        }
    };
}
pub(crate) use choices;

/// How systemd, Compose, supervisord and pm2 say it.
const OTHER_TOOLS_WORDS: [(&str, &str); 9] = [
    ("always", "permanent"),
    ("unless-stopped", "permanent"),
    ("on-failure", "transient"),
    ("on_failure", "transient"),
    ("unexpected", "transient"),
    ("no", "temporary"),
    ("never", "temporary"),
    ("one_for_rest", "rest_for_one"),
    ("simple_one_for_one", "one_for_one"),
];

pub(crate) fn not_among(text: &str, known: &[&str]) -> (String, Option<String>) {
    let listed: Vec<String> = known.iter().map(|text| format!("{text:?}")).collect();
    let hint = crate::problem::nearest(text, known).map(|near| format!("did you mean {near:?}?"));
    let hint = hint.or_else(|| {
        let meant = OTHER_TOOLS_WORDS.iter().filter(|(_, ours)| known.contains(ours));
        let words: Vec<&str> = meant.clone().map(|(theirs, _)| *theirs).collect();
        let near = crate::problem::nearest(text, &words)?;
        let (theirs, ours) = meant.clone().find(|(theirs, _)| *theirs == near)?;
        Some(format!("what others call {theirs:?} is {ours:?} here"))
    });
    (format!("must be one of {}", listed.join(", ")), hint)
}
