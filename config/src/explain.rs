//! Where a value came from: flag, environment, file or default.

use std::fmt;

use serde_json::json;
use toml::de::DeTable;

use crate::{
    DEFAULT,
    load::Loaded,
    problem::suggestion,
    tree::{Node, Origin, Table, Value},
};

/// A key's value and its origin. Prints as one line; has a JSON form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The key's path.
    pub key: String,
    /// As TOML on one line; `None` when nothing is set and there is no default.
    pub value: Option<String>,
    /// Where it was written.
    pub origin: ValueOrigin,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueOrigin {
    /// The flag, as `--set services.api.instances=3`.
    Flag(String),
    /// The variable, as `BLACKHOLE_NODE`.
    Environment(String),
    /// The file, or the source of the program that says it in code.
    File {
        /// As it was given.
        file: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// Nobody wrote it.
    Default,
}

/// Why a key cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is not a key{}", .hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
pub struct UnknownKey {
    key: String,
    hint: Option<String>,
}

/// The value at a key path such as `services.api.backoff.max`, and where it came from.
pub fn explain(loaded: &Loaded, key: &str) -> Result<Explained, UnknownKey> {
    let path: Vec<&str> = key.split('.').collect();
    if let Some(node) = descend(&loaded.root, &path) {
        let value = Some(node.value.to_string());
        return Ok(Explained { key: key.to_owned(), value, origin: origin(loaded, node) });
    }
    check_path(loaded, key, &path)?;
    let value = computed(loaded, &path).or_else(|| documented(&path));
    Ok(Explained { key: key.to_owned(), value, origin: ValueOrigin::Default })
}

pub(crate) fn descend<'n>(root: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(root, |node, segment| match &node.value {
        Value::Table(table) => table.get(segment),
        Value::List(nodes) => nodes.get(segment.parse::<usize>().ok()?),
        _ => None,
    })
}

fn origin(loaded: &Loaded, node: &Node) -> ValueOrigin {
    match &node.place.origin {
        Origin::File(span) => {
            let (line, column) = loaded.source.position(span.start);
            ValueOrigin::File { file: loaded.source.name.clone(), line, column }
        }
        Origin::Code(written) => ValueOrigin::File {
            file: written.at.file().to_owned(),
            line: written.at.line() as usize,
            column: written.at.column() as usize,
        },
        Origin::Override(index) => {
            let described = loaded.source.overrides.describe(*index);
            match described.place.strip_prefix("environment ") {
                Some(name) => ValueOrigin::Environment(name.to_owned()),
                None => ValueOrigin::Flag(described.text),
            }
        }
    }
}

/// Only keys that the schema knows have a default, and only units of the file have keys.
fn check_path(loaded: &Loaded, key: &str, path: &[&str]) -> Result<(), UnknownKey> {
    let unknown = |hint| UnknownKey { key: key.to_owned(), hint };
    let mut schema = crate::schema();
    for (depth, segment) in path.iter().enumerate() {
        let table = [&schema["anyOf"][1], &schema]
            .into_iter()
            .find(|schema| {
                schema.get("properties").is_some() || schema.get("additionalProperties").is_some()
            })
            .cloned()
            .ok_or_else(|| unknown(None))?;
        schema = match table.get("properties").and_then(|properties| properties.get(segment)) {
            Some(property) => property.clone(),
            None if table["additionalProperties"].is_object() => {
                let units = descend(&loaded.root, &path[..depth]);
                let units = units.and_then(|node| match &node.value {
                    Value::Table(table) => Some(table),
                    _ => None,
                });
                let names = || units.map(Table::names).into_iter().flatten();
                if depth == 1 && !names().any(|name| name == *segment) {
                    return Err(unknown(suggestion(segment, names(), "known are")));
                }
                schema["additionalProperties"].clone()
            }
            None => {
                let known = table["properties"].as_object().into_iter().flat_map(|map| map.keys());
                return Err(unknown(suggestion(segment, known.map(String::as_str), "keys are")));
            }
        };
    }
    Ok(())
}

/// Defaults that depend on the host or on other keys.
fn computed(loaded: &Loaded, path: &[&str]) -> Option<String> {
    let config = &loaded.config;
    let quoted = |path: &std::path::Path| format!("{:?}", path.display().to_string());
    let limit = |limit: &blackhole_policy::supervision::RestartLimit, key: &str| match key {
        "restarts_max" => Some(limit.restarts_max.to_string()),
        "restarts_window" => Some(format!("{:?}", crate::raw::written(limit.window))),
        _ => None,
    };
    match path {
        ["node", "name"] => Some(format!("{:?}", config.node.name)),
        ["node", "runtime_dir"] => Some(quoted(&config.node.runtime_dir)),
        ["node", "data_dir"] => Some(quoted(&config.node.data_dir)),
        ["node", "log_dir"] => Some(quoted(&config.node.log_dir)),
        ["resources", key] => crate::validate::default_of_budget(config.budget.as_ref()?, key),
        ["services", name, "scale", key] => {
            let service = config.services.get(*name)?;
            crate::validate::default_of_scale(service.scale.as_ref()?, key)
        }
        ["services", name, key] => {
            let service = config.services.get(*name)?;
            match (*key, &service.kind) {
                ("tier", _) => Some(format!("\"{}\"", service.tier)),
                ("instances", _) => Some(service.instances.to_string()),
                ("ready", crate::Kind::Native { .. }) => Some("\"native\"".to_owned()),
                ("live", crate::Kind::Native { mode: crate::Mode::Subprocess, .. }) => {
                    Some("\"native\"".to_owned())
                }
                _ => limit(&service.limit, key),
            }
        }
        ["groups", name, key] => {
            let group = config.groups.iter().find(|group| group.name.as_str() == *name)?;
            limit(&group.limit, key)
        }
        _ => None,
    }
}

/// What `default.toml` says at the same place of its own service or group.
fn documented(path: &[&str]) -> Option<String> {
    let mut path = path.to_vec();
    match path.as_mut_slice() {
        ["services", name, ..] => *name = "example",
        ["groups", name, ..] => *name = "examples",
        _ => {}
    }
    let table = DeTable::parse(DEFAULT).expect("the embedded default file is TOML");
    let root = Node::root(table.get_ref(), DEFAULT.len());
    descend(&root, &path).map(|node| node.value.to_string())
}

impl Explained {
    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let origin = match &self.origin {
            ValueOrigin::Flag(flag) => json!({ "kind": "flag", "flag": flag }),
            ValueOrigin::Environment(name) => json!({ "kind": "environment", "variable": name }),
            ValueOrigin::File { file, line, column } => {
                json!({ "kind": "file", "file": file, "line": line, "column": column })
            }
            ValueOrigin::Default => json!({ "kind": "default" }),
        };
        json!({ "key": self.key, "value": self.value, "origin": origin })
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_deref().unwrap_or("not set");
        write!(formatter, "{} = {value}  ({})", self.key, self.origin)
    }
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(formatter, "flag {flag}"),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::File { file, line, column } => write!(formatter, "{file}:{line}:{column}"),
            Self::Default => formatter.write_str("default"),
        }
    }
}
