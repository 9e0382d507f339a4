//! The parsers of bytes from outside, for who tries to break them: what a child prints, what a log file
//! holds, what a notification says.
//!
//! Each takes any bytes and panics where a promise of the parser is broken. It is no interface for
//! programs.

use std::{num::NonZeroU32, sync::Arc, time::SystemTime};

use blackhole_protocol::InstanceId;

use crate::{
    logs::{
        Level, Origin, Record, Stream, parse_timestamp,
        peers::{Decoder, Piece, Rest, is_harmful, parse, parse_piece, peek_time},
        timestamp, to_json,
    },
    notify::{Change, parse_datagram},
};

/// What a byte of a text becomes at most: `\u0000`.
const ESCAPE_LENGTH: usize = 6;
/// All that a record has beside its texts.
const KEYS_LENGTH_MAX: usize = 256;
/// The longest line that is not cut, as short as a file may say.
const LINE_LENGTH_MAX: usize = 64;

/// A datagram of sd_notify.
pub fn notification(bytes: &[u8]) {
    let (changes, refused) = parse_datagram(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(changes.len() + refused.len() <= lines, "more assignments than lines");
    for change in changes {
        if let Change::Status(text) = change {
            assert!(!text.contains(char::is_control), "{text:?} is not for people");
        }
    }
}

/// What a child prints, in pieces as long as the first byte says: split, parsed, stored, read back.
pub fn output(bytes: &[u8]) {
    let Some((first, stream)) = bytes.split_first() else { return };
    let chunk = usize::from(*first).max(1);
    let mut rest = Rest::default();
    let mut kept = 0;
    for chunk in stream.chunks(chunk) {
        rest.feed(chunk, LINE_LENGTH_MAX, |line, piece| {
            kept += line.len();
            store(line, piece);
        });
        assert!(rest.len() <= LINE_LENGTH_MAX, "the rest of a line is longer than a line");
    }
    rest.flush(Piece::Whole, |line, piece| {
        kept += line.len();
        store(line, piece);
    });
    let line_feeds = stream.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(kept + line_feeds, stream.len(), "bytes were lost or made");
}

/// A line of a log file, as a crash or somebody else may have left it.
pub fn stored_line(bytes: &[u8]) {
    // Whoever reads a file has split it into lines.
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let time = peek_time(line);
    let Some(record) = Decoder::default().decode(line) else { return };
    assert!(time.is_none_or(|time| time == record.at), "one line has two times");
    let ours = to_json(&record);
    assert!(!ours.contains('\n'), "{ours:?} is more than one line");
    assert!(ours.len() <= ESCAPE_LENGTH * line.len() + KEYS_LENGTH_MAX, "{ours:?} is too long");
    // What others wrote may be finer than a microsecond, and from years that we cannot write.
    let at = parse_timestamp(&timestamp(record.at)).expect("we wrote it");
    let again = Decoder::default().decode(ours.as_bytes()).expect("we wrote it");
    assert_eq!(again, Record { at, ..record }, "{ours}");
    assert_eq!(peek_time(ours.as_bytes()), Some(at), "{ours} hides its time");
}

fn store(line: &[u8], piece: Piece) {
    assert!(piece == Piece::Whole || line.len() <= LINE_LENGTH_MAX, "a piece is too long");
    let arrived = parse_timestamp("2026-01-02T03:04:05.000006Z").unwrap_or(SystemTime::UNIX_EPOCH);
    let parsed = match piece {
        Piece::Whole => parse(line, arrived),
        Piece::Cut => parse_piece(line),
    };
    let visible = |text: &str| !text.chars().any(is_harmful);
    assert!(visible(&parsed.message), "{:?} would harm a terminal", parsed.message);
    assert!(visible(&parsed.fields), "{:?} would harm a terminal", parsed.fields);
    let record = record(parsed.level, &parsed.message, &parsed.fields, arrived);
    let written = to_json(&record);
    assert!(!written.contains('\n'), "{written:?} is more than one line");
    assert_eq!(Decoder::default().decode(written.as_bytes()), Some(record), "{written}");
    assert!(written.contains(&timestamp(arrived)), "{written} has lost its time");
}

fn record(level: Level, message: &str, fields: &str, at: SystemTime) -> Record {
    let service = "web".parse().expect("a name");
    let instance = InstanceId { service, index: NonZeroU32::MIN };
    Record {
        at,
        node: "dev".into(),
        origin: Arc::new(Origin { instance, generation: 1, pid: 1 }),
        stream: Stream::Stdout,
        level,
        message: message.to_owned(),
        fields: fields.to_owned(),
    }
}
