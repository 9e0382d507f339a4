//! Flags and `BLACKHOLE_*` variables, laid over the file.
//!
//! `--set services.api.instances=3` and `BLACKHOLE_SERVICES__API__INSTANCES=3` name the same key. In
//! a variable `__` stands for the dot, and `_` for a `-` of a name. A service or group must exist in
//! the file: a misspelt one must not bring a new one to life.

use std::collections::BTreeMap;

use blackhole_protocol::environment;

use crate::{
    problem::{Draft, Problems, nearest, suggestion},
    tree::{Node, Origin, Place, Table, Value},
};

/// What wins over the file: variables over it, flags over both.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    given: Vec<Given>,
}

#[derive(Debug, Clone)]
struct Given {
    /// `environment BLACKHOLE_NODE` or `flag --set`.
    place: String,
    /// As the user typed it: `BLACKHOLE_NODE=dev`.
    text: String,
    /// The key's path, split; `None` when it could not be read at all.
    path: Option<Vec<String>>,
    value: String,
    spelling: Spelling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// Names exactly as in the file.
    Exact,
    /// Lower case, `_` for `-`.
    Variable,
}

/// How an override is called in messages.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) place: String,
    pub(crate) text: String,
}

/// Variables that place a node, and the keys that they stand for.
const SHORTHANDS: [(&str, &str); 4] = [
    (environment::RUNTIME_DIR, "node.runtime_dir"),
    (environment::DATA_DIR, "node.data_dir"),
    (environment::LOG_DIR, "node.log_dir"),
    (environment::NODE, "node.name"),
];

const PREFIX: &str = "BLACKHOLE_";

impl Overrides {
    /// Takes every variable that names a key; others, and those that a node tells its children, are
    /// left alone.
    pub fn from_environment<K: AsRef<str>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables: BTreeMap<String, String> =
            variables.into_iter().map(|(k, v)| (k.as_ref().to_owned(), v.into())).collect();
        let told = variables.get(environment::TOLD).cloned().unwrap_or_default();
        let given = variables.into_iter().filter_map(|(name, value)| {
            if is_told(&told, &name, &value) {
                return None;
            }
            let path = match SHORTHANDS.iter().find(|(known, _)| *known == name) {
                Some((_, key)) => key.split('.').map(str::to_owned).collect(),
                None => {
                    let path = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__"))?;
                    path.split("__").map(str::to_lowercase).collect()
                }
            };
            Some(Given {
                place: format!("environment {name}"),
                text: format!("{name}={value}"),
                path: Some(path),
                value,
                spelling: Spelling::Variable,
            })
        });
        Self { given: given.collect() }
    }

    /// A flag of its own for one key: `overrides.flag("--runtime-dir", "node.runtime_dir", "/run/x")`.
    pub fn flag(&mut self, flag: &str, key: &str, value: &str) {
        self.given.push(Given {
            place: format!("flag {flag}"),
            text: format!("{flag} {value}"),
            path: Some(key.split('.').map(str::to_owned).collect()),
            value: value.to_owned(),
            spelling: Spelling::Exact,
        });
    }

    /// `--set KEY=VALUE`; a malformed one is reported with everything else.
    pub fn set(&mut self, assignment: &str) {
        let (key, value) = match assignment.split_once('=') {
            Some((key, value)) => (Some(key.trim()), value.trim()),
            None => (None, ""),
        };
        self.given.push(Given {
            place: "flag --set".to_owned(),
            text: format!("--set {assignment}"),
            path: key.map(|key| key.split('.').map(str::to_owned).collect()),
            value: value.to_owned(),
            spelling: Spelling::Exact,
        });
    }

    pub(crate) fn describe(&self, index: usize) -> Described {
        let given = &self.given[index];
        Described { place: given.place.clone(), text: given.text.clone() }
    }

    /// Lays every override over the file's tree, later ones last.
    pub(crate) fn apply(&self, root: &mut Node, problems: &mut Problems) {
        for (index, given) in self.given.iter().enumerate() {
            let origin = Origin::Override(index);
            let place = Place { origin: origin.clone(), path: "".into() };
            match &given.path {
                Some(path) => {
                    let step = Step { given, origin, depth: 0 };
                    step.apply(root, path, problems);
                }
                None => problems.push(
                    Draft::new(&place, "has no `=`").hint("write `--set services.api.instances=3`"),
                ),
            }
        }
    }
}

/// Whether a variable has the value that an outer node told the service which starts this one.
fn is_told(told: &str, name: &str, value: &str) -> bool {
    match name {
        environment::NODE => told.starts_with(&format!("{value}:")),
        environment::RUNTIME_DIR => told.contains(&format!(":{value}:")),
        environment::DATA_DIR => told.ends_with(&format!(":{value}")),
        _ => false,
    }
}

/// Whether a variable is configuration of a node, and so is nothing that its services should inherit:
/// one of them may start a node of its own.
pub fn is_configuration(name: &str) -> bool {
    SHORTHANDS.iter().any(|(known, _)| *known == name)
        || name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"))
}

/// One step down the path of an override.
struct Step<'a> {
    given: &'a Given,
    origin: Origin,
    depth: usize,
}

impl Step<'_> {
    fn apply(mut self, root: &mut Node, path: &[String], problems: &mut Problems) {
        let mut node = root;
        let mut inside_units = false;
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        for segment in parents {
            let place = node.place.clone();
            let Value::Table(table) = &mut node.value else {
                problems.push(self.not_a_table(&place, segment));
                return;
            };
            let name = self.spelt_as_in(table, segment);
            if inside_units && table.get(&name).is_none() {
                problems.push(self.unknown_unit(&place, &name, table));
                return;
            }
            inside_units = self.depth == 0 && (name == "services" || name == "groups");
            self.depth += 1;
            node = self.enter(table, &name, &place);
        }
        let place = node.place.clone();
        match &mut node.value {
            Value::Table(table) => {
                let name = self.spelt_as_in(table, last);
                let place = place.child(&name, self.origin.clone());
                let value = Value::from_override(&self.given.value, &place);
                let node = Node { value, key: place.clone(), place };
                table.0.retain(|(key, _)| *key != name);
                table.0.push((name, node));
            }
            _ => problems.push(self.not_a_table(&place, last)),
        }
    }

    fn enter<'t>(&self, table: &'t mut Table, name: &str, parent: &Place) -> &'t mut Node {
        if table.get(name).is_none() {
            let place = parent.child(name, self.origin.clone());
            let value = Value::Table(Table::default());
            table.0.push((name.to_owned(), Node { value, key: place.clone(), place }));
        }
        table.get_mut(name).expect("it was there or has just been pushed")
    }

    fn spelt_as_in(&self, table: &Table, segment: &str) -> String {
        let same = |name: &&str| name.replace('-', "_") == segment;
        match self.given.spelling {
            Spelling::Variable if table.get(segment).is_none() => {
                table.names().find(same).unwrap_or(segment).to_owned()
            }
            Spelling::Variable | Spelling::Exact => segment.to_owned(),
        }
    }

    fn not_a_table(&self, place: &Place, segment: &str) -> Draft {
        let place = Place { origin: self.origin.clone(), path: place.path.clone() };
        Draft::new(&place, format_args!("has no key `{segment}`: it is not a table"))
    }

    fn unknown_unit(&self, parent: &Place, name: &str, table: &Table) -> Draft {
        let place = parent.child(name, self.origin.clone());
        Draft::new(&place, "is not in the file").maybe_hint(suggestion(
            name,
            table.names(),
            "known are",
        ))
    }
}

/// The variable that a slip of the hand turned into `name`, for a warning.
pub fn misspelt_variable(name: &str) -> Option<&'static str> {
    let known =
        [environment::RUNTIME_DIR, environment::DATA_DIR, environment::LOG_DIR, environment::NODE];
    let told_to_children = [
        environment::SERVICE,
        environment::INSTANCE,
        environment::GENERATION,
        environment::TOLD,
        environment::TOKEN,
        environment::LINK_FD,
        environment::GUARDIAN_FD,
    ];
    let candidate = name.starts_with(PREFIX)
        && !name.contains("__")
        && !known.contains(&name)
        && !told_to_children.contains(&name);
    candidate.then(|| nearest(name, &known)).flatten()
}
