//! Records as the control API carries them.
//!
//! A gap travels as a record without a service, because whoever prints the stream must see it in
//! its place.

use std::{num::NonZeroU32, sync::Arc, time::SystemTime};

use blackhole_protocol::{InstanceId, NameError, control::v1};
use prost_types::Timestamp;

use super::record::{Entry, Level, Origin, Record, Stream};

/// Why a message of the control API is no record.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The service is not a name.
    #[error("could not read the service of a log record")]
    Service(#[source] NameError),
    /// A field that cannot be left out.
    #[error("could not read a log record without {0}")]
    Missing(&'static str),
    /// A field with a value that it cannot have.
    #[error("could not read a log record with {field} `{value}`")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What it was.
        value: String,
    },
}

impl From<&Record> for v1::LogRecord {
    fn from(record: &Record) -> Self {
        Self {
            at: Some(Timestamp::from(record.at)),
            node: record.node.to_string(),
            service: record.origin.instance.service.to_string(),
            instance: record.origin.instance.index.get(),
            generation: record.origin.generation,
            pid: record.origin.pid,
            level: record.level.as_str().to_owned(),
            message: record.message.clone(),
            fields: record.fields.clone(),
            stream: i32::from(match record.stream {
                Stream::Stdout => v1::Stream::Stdout,
                Stream::Stderr => v1::Stream::Stderr,
            }),
        }
    }
}

impl From<&Entry> for v1::LogRecord {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Record(record) => Self::from(&**record),
            Entry::Skipped(count) => Self {
                at: Some(Timestamp::from(SystemTime::now())),
                level: Level::Warn.as_str().to_owned(),
                message: format!("{count} records skipped: the reader is too slow"),
                fields: format!(r#"{{"records_skipped":{count}}}"#),
                ..Self::default()
            },
        }
    }
}

impl TryFrom<v1::LogRecord> for Entry {
    type Error = WireError;

    fn try_from(message: v1::LogRecord) -> Result<Self, WireError> {
        if message.service.is_empty() {
            return skipped(&message);
        }
        let stream = match message.stream() {
            v1::Stream::Stdout => Stream::Stdout,
            v1::Stream::Stderr => Stream::Stderr,
            v1::Stream::Unspecified => return Err(WireError::Missing("its stream")),
        };
        let at = message.at.ok_or(WireError::Missing("its time"))?;
        let at =
            SystemTime::try_from(at).map_err(|error| malformed("the time", error.to_string()))?;
        let index = NonZeroU32::new(message.instance).ok_or(WireError::Missing("its instance"))?;
        let level = message.level.parse().map_err(|_| malformed("the level", message.level))?;
        let service = message.service.parse().map_err(WireError::Service)?;
        let instance = InstanceId { service, index };
        let (generation, pid) = (message.generation, message.pid);
        Ok(Self::Record(Arc::new(Record {
            at,
            node: message.node.into(),
            origin: Arc::new(Origin { instance, generation, pid }),
            stream,
            level,
            message: message.message,
            fields: message.fields,
        })))
    }
}

fn skipped(message: &v1::LogRecord) -> Result<Entry, WireError> {
    #[derive(serde::Deserialize)]
    struct Gap {
        records_skipped: u64,
    }
    let gap: Gap =
        serde_json::from_str(&message.fields).map_err(|_| WireError::Missing("its service"))?;
    Ok(Entry::Skipped(gap.records_skipped))
}

fn malformed(field: &'static str, value: String) -> WireError {
    WireError::Malformed { field, value }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn entry() -> Entry {
        let instance =
            InstanceId { service: "web".parse().expect("a name"), index: NonZeroU32::MIN };
        Entry::Record(Arc::new(Record {
            at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            node: "dev".into(),
            origin: Arc::new(Origin { instance, generation: 3, pid: 42 }),
            stream: Stream::Stderr,
            level: Level::Error,
            message: "it broke".to_owned(),
            fields: r#"{"a":1}"#.to_owned(),
        }))
    }

    #[test]
    fn records_and_gaps_survive_the_wire() {
        for sent in [entry(), Entry::Skipped(7)] {
            let received = Entry::try_from(v1::LogRecord::from(&sent)).expect("our own message");
            assert_eq!(received, sent);
        }
    }

    #[test]
    fn a_malformed_message_is_refused_with_the_field() {
        let good = v1::LogRecord::from(&entry());
        let refusal =
            |message: v1::LogRecord| Entry::try_from(message).expect_err("malformed").to_string();
        let unnamed = v1::LogRecord { service: "Web".into(), ..good.clone() };
        assert_eq!(refusal(unnamed), "could not read the service of a log record");
        let loud = v1::LogRecord { level: "loud".into(), ..good.clone() };
        assert_eq!(refusal(loud), "could not read a log record with the level `loud`");
        let timeless = v1::LogRecord { at: None, ..good };
        assert_eq!(refusal(timeless), "could not read a log record without its time");
        let empty = v1::LogRecord::default();
        assert_eq!(refusal(empty), "could not read a log record without its service");
    }
}
