//! Every key of the schema means the same by `set` as in a file, and is refused with the same words.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::{It, Meaning, SERVICE, of_code, of_text};
use crate::{GroupSpec, Node, NodeBuilder, ServiceSpec, Strategy};

/// Texts for keys whose schema has neither a list of values nor an example: one of them will do.
const TEXTS: [&str; 7] = ["other", "/srv", "-none", "50%", "022", "idle", "http://localhost/"];

/// A number for keys whose smallest value makes no sense: an address space, for example.
const LARGE: i64 = 1 << 30;

/// The group beside the service that is described.
const GROUP: &str = "several";

/// Keys that the schema has because others share their table, and that no file may say.
const REFUSED: [&str; 7] = [
    "services.*.live.deadline",
    "services.*.live.log",
    "services.*.live.up_for",
    "services.*.startup.log",
    "services.*.startup.native",
    "services.*.startup.notify",
    "services.*.startup.up_for",
];

/// One key with one value, in a file that says nothing else.
struct Sample {
    /// Names that users choose are `*`.
    key: String,
    document: Json,
}

#[test]
fn every_key_of_the_schema_means_the_same_by_set() {
    let samples = samples("", &blackhole_config::schema());
    let (mut known, mut accepted) = (BTreeSet::new(), BTreeSet::new());
    for Sample { key, document } in &samples {
        known.insert(key.as_str());
        for below in surroundings() {
            let document = laid_over(below, document);
            let (text, code) = (of_text(toml(&document)), of_code(by_set(&document)));
            assert_eq!(text, code, "{key} in {document}");
            if let Meaning::Config(_) = text {
                accepted.insert(key.as_str());
            }
        }
    }
    assert!(known.len() > 150, "the schema has only {} keys", known.len());
    let never: Vec<&str> = known.difference(&accepted).copied().collect();
    assert_eq!(never, REFUSED, "no sample was accepted");
}

/// What other keys need beside them.
fn surroundings() -> Vec<Json> {
    let file = |it: Json| {
        json!({
            "services": { SERVICE: it, "other": { "command": ["true"] } },
            "groups": { GROUP: { "services": ["other"] } },
        })
    };
    let checked = |check: Json| {
        file(json!({
            "command": ["true"], "startup": check, "ready": check, "live": check,
            "sandbox": { "paths": { "execute": ["/usr"] } },
            "scale": { "max": 4, "cpu_above": 90_000.0, "memory_above": "1TiB" },
        }))
    };
    let tls = json!({ "cert": "cert.pem", "key": "key.pem" });
    vec![
        file(json!({ "command": ["true"], "user": "ada" })),
        file(json!({})),
        checked(json!({ "grpc": "127.0.0.1:1" })),
        checked(json!({ "http": "https://localhost/", "tls": tls })),
    ]
}

/// Every key below a key, with every kind of value that it may have.
fn samples(key: &str, schema: &Json) -> Vec<Sample> {
    let leaf = |document: Json| Sample { key: String::new(), document };
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().flat_map(|choice| samples(key, choice)).collect();
    }
    if let Some(values) = schema["enum"].as_array().or(schema["examples"].as_array()) {
        return values.iter().cloned().map(leaf).collect();
    }
    if let Some(value) = schema.get("const") {
        return vec![leaf(value.clone())];
    }
    if let Some(keys) = schema["properties"].as_object() {
        let required = required(schema);
        let keys = keys.iter().flat_map(|(key, schema)| below(key, key, schema));
        let beside =
            |it: Sample| Sample { document: laid_over(required.clone(), &it.document), ..it };
        return keys.map(beside).collect();
    }
    if let Some(entry) = schema.get("additionalProperties").filter(|entry| entry.is_object()) {
        // Elsewhere names are free, except those of disks, which are paths.
        let names: &[&str] = match key {
            "services" => &[SERVICE],
            "groups" => &[GROUP],
            _ => &["name", "/"],
        };
        return names.iter().flat_map(|name| below("*", name, entry)).collect();
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind.expect("a schema says what it is") {
        "boolean" => vec![leaf(json!(true))],
        "integer" => {
            let least = schema["minimum"].as_i64().map_or(1, |least| least + 1);
            [LARGE, least].map(|number| leaf(json!(number))).into()
        }
        "number" => vec![leaf(json!(schema["minimum"].as_f64().unwrap_or(0.0) + 0.25))],
        "array" => {
            let elements = samples(key, &schema["items"]).into_iter();
            elements.map(|it| leaf(json!([it.document]))).collect()
        }
        "object" => vec![leaf(json!({ "key": "value" }))],
        _ => TEXTS.iter().map(|text| leaf(json!(text))).collect(),
    }
}

/// The samples of what stands at a key, which is called `name` in a file.
fn below(key: &str, name: &str, schema: &Json) -> Vec<Sample> {
    let nested = samples(key, schema).into_iter().map(|Sample { key: rest, document }| Sample {
        key: if rest.is_empty() { key.to_owned() } else { format!("{key}.{rest}") },
        document: json!({ name: document }),
    });
    nested.collect()
}

/// The keys without which a table is none.
fn required(schema: &Json) -> Json {
    let keys = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let first = |key| samples(key, &schema["properties"][key]).into_iter().next();
    let each = keys.filter_map(|key| Some((key.to_owned(), first(key)?.document)));
    Json::Object(each.collect())
}

/// Tables key by key; other values win over what was there.
fn laid_over(below: Json, over: &Json) -> Json {
    match (below, over) {
        (Json::Object(mut below), Json::Object(over)) => {
            for (key, over) in over {
                let under = below.remove(key).unwrap_or(Json::Null);
                below.insert(key.clone(), laid_over(under, over));
            }
            Json::Object(below)
        }
        (_, over) => over.clone(),
    }
}

fn toml(document: &Json) -> String {
    let tables = document.as_object().expect("a file is a table").iter();
    tables.map(|(key, table)| format!("{key} = {}\n", value(table))).collect()
}

fn value(json: &Json) -> String {
    match json {
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, json)| format!("{key:?} = {}", value(json)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::Array(values) => {
            format!("[{}]", values.iter().map(value).collect::<Vec<_>>().join(", "))
        }
        // Of the rest both have the same.
        other => other.to_string(),
    }
}

/// The calls that say the same.
fn by_set(document: &Json) -> NodeBuilder {
    let mut node = Node::builder();
    for (table, content) in entries(document) {
        for (name, content) in entries(&content) {
            node = match table.as_str() {
                "services" => {
                    let service = ServiceSpec::native::<It>();
                    node.service(name, entries(&content).fold(service, |it, (k, v)| it.set(k, v)))
                }
                "groups" => {
                    let group = GroupSpec::new(Strategy::OneForOne);
                    node.group(name, entries(&content).fold(group, |it, (k, v)| it.set(k, v)))
                }
                table => node.set(table, &name, content),
            };
        }
    }
    node
}

fn entries(table: &Json) -> impl Iterator<Item = (String, Json)> + use<> {
    table.as_object().cloned().unwrap_or_else(Map::new).into_iter()
}
