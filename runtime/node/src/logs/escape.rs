//! Makes bytes from outside safe to show in a terminal.
//!
//! A service may print anything, also what would move an operator's cursor, rename the window or
//! reorder the text that follows. Such characters become visible escapes. Colours are decoration
//! and are removed.

use std::{borrow::Cow, fmt::Write as _};

/// Valid UTF-8 without control characters (except tabs) and without characters that change the
/// direction of text. Bytes that are not UTF-8 become `\xff`, others `\0`, `\r`, `\u{1b}`.
pub(crate) fn visible(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => visible_text(text),
        Err(_) => Cow::Owned(escaped(bytes)),
    }
}

/// The same for text.
pub(crate) fn visible_text(text: &str) -> Cow<'_, str> {
    let plain_ascii = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if plain_ascii || !text.contains(is_harmful) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(escaped(text.as_bytes()))
    }
}

/// Whether a character may not reach a terminal as it is.
pub(crate) fn is_harmful(character: char) -> bool {
    matches!(character,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        || (character.is_control() && character != '\t')
}

fn escaped(bytes: &[u8]) -> String {
    let mut safe = String::with_capacity(bytes.len() + bytes.len() / 4);
    for chunk in bytes.utf8_chunks() {
        push_escaped(&mut safe, chunk.valid());
        for byte in chunk.invalid() {
            push_all(&mut safe, format_args!("\\x{byte:02x}"));
        }
    }
    safe
}

fn push_escaped(safe: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(is_harmful) {
        safe.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(length) = colour_sequence_length(rest) {
            rest = &rest[length..];
            continue;
        }
        let character = rest.chars().next().expect("`find` returned its position");
        match character {
            '\0' => safe.push_str("\\0"),
            '\r' => safe.push_str("\\r"),
            '\n' => safe.push_str("\\n"),
            other => push_all(safe, other.escape_unicode()),
        }
        rest = &rest[character.len_utf8()..];
    }
    safe.push_str(rest);
}

fn push_all(safe: &mut String, what: impl std::fmt::Display) {
    write!(safe, "{what}").expect("a string takes all that is written to it");
}

/// The length of an SGR sequence (`ESC [ 1;31 m`) at the start of the text.
fn colour_sequence_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_attack_a_terminal_becomes_visible() {
        for (raw, safe) in [
            (&b"plain \xc3\xa9 \t text"[..], "plain \u{e9} \t text"),
            (b"\x1b[1;31mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            (b"\x1b[2J", "\\u{1b}[2J"),
            (b"a\0b\rc", "a\\0b\\rc"),
            (b"\xff\xfe", "\\xff\\xfe"),
            ("\u{9b}31m \u{202e}x".as_bytes(), "\\u{9b}31m \\u{202e}x"),
            (b"\x1b[", "\\u{1b}["),
        ] {
            assert_eq!(visible(raw), safe, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left_of_any_bytes(bytes: Vec<u8>) {
            let safe = visible(&bytes);
            prop_assert!(!safe.contains(is_harmful), "{safe:?}");
        }
    }
}
