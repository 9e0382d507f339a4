//! Every mistake of a file that is not TOML, each told once.
//!
//! A parser that goes on after a mistake reports its consequences as well: one missing `]` makes
//! every following line wrong. So the statement with the first mistake is blanked out, byte for
//! byte, and the rest is parsed again.

use std::ops::Range;

use toml::de::DeTable;

/// More mistakes than these are not looked for: the file is of another format.
const MISTAKES_MAX: usize = 20;
const DUPLICATE: &str = "duplicate key";

/// One place where the text is not TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) span: Range<usize>,
    pub(crate) rule: String,
    pub(crate) hint: Option<String>,
}

/// The text with every statement blanked out that is not TOML, and what is wrong with them.
pub(crate) fn repaired(text: &str) -> (String, Vec<Mistake>) {
    let mut sound = text.to_owned();
    let mut mistakes = Vec::new();
    loop {
        let (_, errors) = DeTable::parse_recoverable(&sound);
        let place = |span: Option<Range<usize>>| span.unwrap_or(text.len()..text.len());
        let (duplicates, broken): (Vec<_>, Vec<_>) =
            errors.iter().partition(|error| error.message() == DUPLICATE);
        let Some(first) = broken.first() else {
            mistakes.extend(duplicates.iter().map(|error| duplicate(text, place(error.span()))));
            mistakes.sort_by_key(|mistake| mistake.span.start);
            return (sound, mistakes);
        };
        let (mistake, statement) = judged(text, &sound, place(first.span()), first.message());
        mistakes.push(mistake);
        let nothing_left = sound[statement.clone()].trim().is_empty();
        sound = match nothing_left || mistakes.len() >= MISTAKES_MAX {
            true => blanked(&sound, 0..text.len()),
            false => blanked(&sound, statement),
        };
    }
}

fn duplicate(text: &str, span: Range<usize>) -> Mistake {
    let name = text.get(span.clone()).unwrap_or_default();
    let rule = format!("`{name}` is written a second time");
    Mistake { span, rule, hint: Some("keep one of the two".to_owned()) }
}

/// What is wrong, and the statement that it makes useless.
fn judged(text: &str, sound: &str, span: Range<usize>, message: &str) -> (Mistake, Range<usize>) {
    let line = line_at(sound, span.start);
    let told_here = Mistake { span: span.clone(), rule: in_our_words(message), hint: None };
    let Some((opening, what)) = left_open(sound, span.start, message) else {
        return match sound[line.clone()].trim_start().starts_with('[') {
            // The keys below a header that cannot be read would count for the one before.
            true => (told_here, line.start..next_header(sound, line.end)),
            false => (told_here, line),
        };
    };
    let start = line_at(sound, opening).start;
    let rule = format!("{what} is opened here and not closed");
    let at_end = sound[span.start..].trim().is_empty();
    let end = if at_end { sound.len() } else { line.start };
    let hint = format!("`{}` is missing", if text[opening..].starts_with('[') { ']' } else { '}' });
    (Mistake { span: opening..opening + 1, rule, hint: Some(hint) }, start..end.max(opening + 1))
}

/// The bracket that was never closed, when that is why the place is wrong: at the begin of the next
/// statement, or at the end of the file.
fn left_open(text: &str, byte: usize, message: &str) -> Option<(usize, &'static str)> {
    const SIGNS: [&str; 3] = ["array", "inline table", "key-value pairs"];
    if !SIGNS.iter().any(|sign| message.contains(sign)) {
        return None;
    }
    let line = line_at(text, byte);
    let begins_line = text[line.start..byte].trim().is_empty();
    let before = if text[byte..].trim().is_empty() {
        text
    } else if begins_line && starts_statement(&text[line.clone()]) {
        &text[..line.start]
    } else {
        return None;
    };
    let starts = before.match_indices('\n').map(|(newline, _)| newline + 1).chain([0]);
    let start = starts.filter(|start| starts_statement(&before[*start..])).max()?;
    let equals = start + before[start..].find('=')?;
    let (offset, bracket) = before[equals..].char_indices().find(|(_, c)| "[{".contains(*c))?;
    let what = if bracket == '[' { "a list" } else { "a table" };
    Some((equals + offset, what))
}

/// Whether a line begins as `key =` or `[header]` do.
fn starts_statement(line: &str) -> bool {
    let line = line.lines().next().unwrap_or_default().trim_start();
    if line.starts_with('[') {
        return line.trim_start_matches('[').starts_with(|c: char| c.is_ascii_alphanumeric());
    }
    line.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim_end();
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.\"'".contains(c))
    })
}

/// The whole line around a byte, without its newline.
fn line_at(text: &str, byte: usize) -> Range<usize> {
    let byte = (0..=byte.min(text.len())).rev().find(|b| text.is_char_boundary(*b)).unwrap_or(0);
    let start = text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[byte..].find('\n').map_or(text.len(), |length| byte + length);
    start..end
}

fn next_header(text: &str, from: usize) -> usize {
    text[from..].find("\n[").map_or(text.len(), |newline| from + newline + 1)
}

/// The same text with spaces for everything but line ends: places stay as they are.
fn blanked(text: &str, part: Range<usize>) -> String {
    let blank = |c: char| match c {
        '\n' => "\n".to_owned(),
        other => " ".repeat(other.len_utf8()),
    };
    let middle: String = text[part.clone()].chars().map(blank).collect();
    format!("{}{middle}{}", &text[..part.start], &text[part.end..])
}

fn in_our_words(message: &str) -> String {
    match message {
        "string values must be quoted, expected literal string" => {
            "a text must stand in quotes".to_owned()
        }
        "cannot recurse further; max recursion depth met" | "recursion limit" => {
            "values are nested too deeply".to_owned()
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(text: &str) -> Vec<(usize, String)> {
        let (sound, mistakes) = repaired(text);
        assert_eq!(sound.len(), text.len());
        let line = |mistake: &Mistake| text[..mistake.span.start].matches('\n').count() + 1;
        mistakes.iter().map(|mistake| (line(mistake), mistake.rule.clone())).collect()
    }

    #[test]
    fn a_list_left_open_is_one_mistake_and_the_next_line_is_none() {
        let text = "a = [\"x\", \"y\"\nb = 2\nc = wrong\n";
        let expected = [
            (1, "a list is opened here and not closed".to_owned()),
            (3, "a text must stand in quotes".to_owned()),
        ];
        assert_eq!(story(text), expected);
    }

    #[test]
    fn keys_below_a_broken_header_do_not_count_for_the_one_before() {
        let text = "[a]\nx = 1\n[b\nx = 2\n[c]\nx = 3\nx = 4\n";
        let lines: Vec<usize> = story(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [3, 7]);
    }

    #[test]
    fn a_file_of_another_format_is_given_up_at_a_bound() {
        let text = "{ not: toml }\n".repeat(1000);
        assert_eq!(story(&text).len(), MISTAKES_MAX);
    }
}
