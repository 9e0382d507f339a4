//! The JSON text of a record: one line of a log file.
//!
//! Written by hand because a flood is written with it; read by serde.

use std::{borrow::Cow, fmt, num::NonZeroU32, sync::Arc, time::SystemTime};

use blackhole_protocol::{InstanceId, Name};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::record::{Level, Origin, Record, Stream, parse_timestamp, timestamp};

/// What the records of one origin, stream and node have in common, as JSON members.
pub(crate) struct Common(String);

impl Common {
    pub(crate) fn new(node: &str, origin: &Origin, stream: Stream) -> Self {
        let mut members = String::from(",\"node\":");
        push_string(&mut members, node);
        let InstanceId { service, index } = &origin.instance;
        let Origin { generation, pid, .. } = origin;
        let stream = stream.as_str();
        members.push_str(&format!(
            r#","service":"{service}","instance":{index},"generation":{generation},"pid":{pid},"stream":"{stream}","message":"#
        ));
        Self(members)
    }
}

/// What [`timestamp`] writes, in bytes.
const TIMESTAMP_LENGTH: usize = 27;

/// A record without fields, where the key must not be absent.
const NO_FIELDS: &str = "{}";

/// Appends one record and a line feed. The time comes first, in fixed width.
pub(crate) fn push_record(
    lines: &mut String,
    (at, level): (&str, Level),
    common: &Common,
    (message, fields): (&str, &str),
) {
    lines.push_str(r#"{"timestamp":""#);
    lines.push_str(at);
    lines.push_str(r#"","level":""#);
    lines.push_str(level.as_str());
    lines.push('"');
    lines.push_str(&common.0);
    push_string(lines, message);
    if !fields.is_empty() {
        lines.push_str(r#","fields":"#);
        lines.push_str(fields);
    }
    lines.push_str("}\n");
}

/// A record as one line of JSON, without a line feed, as `--json` prints it: all keys, also where the
/// files leave out `fields` because there are none.
pub fn to_json(record: &Record) -> String {
    let common = Common::new(&record.node, &record.origin, record.stream);
    let mut line = String::new();
    let (at, level) = (timestamp(record.at), record.level);
    let fields = if record.fields.is_empty() { NO_FIELDS } else { &record.fields };
    push_record(&mut line, (&at, level), &common, (&record.message, fields));
    line.truncate(line.len() - 1);
    line
}

/// Appends a JSON string, with quotes.
pub(crate) fn push_string(json: &mut String, text: &str) {
    json.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\t' => json.push_str("\\t"),
            control => push_escape(json, char::from(control)),
        }
    }
    json.push_str(&text[copied..]);
    json.push('"');
}

/// Appends the `\u` escape of a character.
pub(crate) fn push_escape(json: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        json.push_str(&format!("\\u{unit:04x}"));
    }
}

/// The members of a JSON object in their order, values unread.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            members.push((key, value));
        }
        Ok(Members(members))
    }
}

/// A key, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// One line of a log file.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    level: Cow<'a, str>,
    #[serde(borrow)]
    node: Cow<'a, str>,
    service: Name,
    instance: NonZeroU32,
    generation: u64,
    pid: u32,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    message: String,
    #[serde(borrow, default)]
    fields: Option<&'a RawValue>,
}

/// Reads the lines of log files; what neighbouring lines have in common is kept once.
#[derive(Default)]
pub(crate) struct Decoder {
    last: Option<(Arc<str>, Arc<Origin>)>,
}

impl Decoder {
    /// `None` for a line that is not ours, above all one that a crash cut off.
    pub(crate) fn decode(&mut self, line: &[u8]) -> Option<Record> {
        let stored: Stored<'_> = serde_json::from_slice(line).ok()?;
        let instance = InstanceId { service: stored.service, index: stored.instance };
        let origin = Origin { instance, generation: stored.generation, pid: stored.pid };
        let (node, origin) = self.shared(&stored.node, origin);
        Some(Record {
            at: parse_timestamp(&stored.timestamp)?,
            node,
            origin,
            stream: Stream::ALL.into_iter().find(|stream| stream.as_str() == stored.stream)?,
            level: stored.level.parse().ok()?,
            message: stored.message,
            fields: stored
                .fields
                .map(|fields| fields.get().to_owned())
                .filter(|fields| fields != NO_FIELDS)
                .unwrap_or_default(),
        })
    }

    fn shared(&mut self, node: &str, origin: Origin) -> (Arc<str>, Arc<Origin>) {
        match &self.last {
            Some((last_node, last)) if **last_node == *node && **last == origin => {}
            _ => self.last = Some((node.into(), Arc::new(origin))),
        }
        self.last.clone().expect("set in the line above")
    }
}

/// The text of the time of a line as we write it, without reading the rest.
pub(crate) fn peek_timestamp(line: &[u8]) -> Option<&[u8]> {
    let text = line.strip_prefix(br#"{"timestamp":""#)?;
    (text.get(TIMESTAMP_LENGTH) == Some(&b'"')).then(|| &text[..TIMESTAMP_LENGTH])
}

/// The time of a line, without reading the rest.
pub(crate) fn peek_time(line: &[u8]) -> Option<SystemTime> {
    parse_timestamp(std::str::from_utf8(peek_timestamp(line)?).ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_record_is_read_as_it_was_written(
            micros in 0..253_402_300_799_000_000_u64, generation: u64, pid: u32, message: String,
        ) {
            let instance =
                InstanceId { service: "web".parse().expect("a name"), index: NonZeroU32::MIN };
            let record = Record {
                at: UNIX_EPOCH + Duration::from_micros(micros),
                node: "dev".into(),
                origin: Arc::new(Origin { instance, generation, pid }),
                stream: Stream::Stdout,
                level: Level::Warn,
                message,
                fields: r#"{"a":[1, 2]}"#.to_owned(),
            };
            let line = to_json(&record);
            prop_assert_eq!(peek_time(line.as_bytes()), Some(record.at));
            prop_assert_eq!(Decoder::default().decode(line.as_bytes()), Some(record));
        }

        #[test]
        fn any_bytes_in_a_file_are_survived(line: Vec<u8>) {
            prop_assert_eq!(Decoder::default().decode(&line), None);
        }
    }
}
