//! JSON Schema of the file, for editors: made of the same key tables that the reader uses.

use serde_json::{Map, Value as Json, json};

use crate::{raw::RawFile, read::Read as _};

/// JSON Schema (draft 2020-12) of the file.
pub fn schema() -> Json {
    let mut schema = RawFile::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("blackhole");
    for units in ["services", "groups"] {
        schema["properties"][units]["propertyNames"] =
            json!({ "pattern": "^[a-z][a-z0-9_-]{0,47}$" });
    }
    schema
}

/// A table with exactly these keys.
pub(crate) fn table(properties: Map<String, Json>, docs: &[&str]) -> Json {
    described(
        json!({ "type": "object", "properties": properties, "additionalProperties": false }),
        docs,
    )
}

/// The schema with the docstring's text.
pub(crate) fn described(mut schema: Json, docs: &[&str]) -> Json {
    let text: Vec<&str> = docs.iter().map(|line| line.trim()).collect();
    let text = text.join(" ").replace('`', "");
    if !text.is_empty() {
        schema["description"] = json!(text);
    }
    schema
}
