//! `environment` and `environment_files`, which are read here: a service never finds another file
//! than the one that was checked.

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use super::Context;
use crate::{
    Environment,
    problem::{Draft, Problems},
    raw::{RawService, variable_name_rule},
    read::{Field, Located},
    source::explained,
};

/// The largest file of variables, in bytes.
const FILE_SIZE_MAX: u64 = 1024 * 1024;

pub(super) fn validate(
    raw: &RawService,
    context: Context<'_>,
    problems: &mut Problems,
) -> Environment {
    let mut inline = BTreeMap::new();
    for (name, value) in raw.environment.value().iter().flat_map(|entries| &entries.0) {
        if let Some(rule) = variable_name_rule(&name.value) {
            problems.push(Draft::new(&name.key, rule));
        }
        if name.value == "CREDENTIALS_DIRECTORY" && !raw.secrets.is_absent() {
            let rule = "has no effect beside `secrets`: the node sets it";
            problems.push(Draft::new(&name.key, rule).warning());
        }
        if let Field::Given(value) = value {
            inline.insert(name.value.clone(), value.value.clone());
        }
    }
    let files = raw.environment_files.value().map(Vec::as_slice).unwrap_or_default();
    let from_files = files.iter().flat_map(|written| read(written, context, problems)).collect();
    let clear = raw.clear_environment.value().copied().unwrap_or(false);
    Environment { clear, from_files, inline }
}

fn read(
    written: &Located<String>,
    context: Context<'_>,
    problems: &mut Problems,
) -> Vec<(String, String)> {
    let (name, optional) = match written.value.strip_prefix('-') {
        Some(name) => (name, true),
        None => (written.value.as_str(), false),
    };
    let base = context.source.base(&written.place.origin, context.host);
    let text = match text(&base.join(name)) {
        Ok(text) => text,
        Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => {
            return Vec::new();
        }
        Err(error) => {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("write \"-{name}\" if it need not be there")
                }
                _ => format!("as seen from here it is {}", base.join(name).display()),
            };
            let draft = Draft::new(&written.place, explained(&error));
            problems.push(draft.found(format!("{name:?}")).hint(hint));
            return Vec::new();
        }
    };
    let (variables, wrong) = parse(&text);
    for (line, rule) in wrong {
        problems
            .push(Draft::new(&written.place, format!("has a wrong line: {name}:{line} {rule}")));
    }
    variables
}

pub(super) fn text(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    let invalid = |reason: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    if file.metadata()?.is_dir() {
        return Err(invalid("it is a directory"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(invalid("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}

/// The variables, and the lines that are none, with the rule that they break.
///
/// `KEY=VALUE` lines; `#` begins a comment on a line of its own; `export` is skipped; a value in
/// single quotes is literal, in double quotes knows `\n`, `\t`, `\"`, `\\` and `\$`. Nothing is
/// expanded and no value spans lines.
#[expect(clippy::type_complexity, reason = "two lists, named above")]
pub(crate) fn parse(text: &str) -> (Vec<(String, String)>, Vec<(usize, &'static str)>) {
    let mut variables = Vec::new();
    let mut wrong = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        match assignment(line) {
            Ok(variable) => variables.push(variable),
            Err(rule) => wrong.push((index + 1, rule)),
        }
    }
    (variables, wrong)
}

fn assignment(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once('=').ok_or("has no `=`")?;
    let name = name.trim();
    if let Some(rule) = variable_name_rule(name) {
        return Err(rule);
    }
    let value = unquoted(value.trim())?;
    match value.contains('\0') {
        true => Err("contains a NUL character"),
        false => Ok((name.to_owned(), value)),
    }
}

fn unquoted(value: &str) -> Result<String, &'static str> {
    const OPEN: &str = "has a quote without its partner";
    if let Some(rest) = value.strip_prefix('\'') {
        return match rest.split_once('\'') {
            Some((inside, "")) => Ok(inside.to_owned()),
            Some(_) => Err("goes on after the closing quote"),
            None => Err(OPEN),
        };
    }
    let Some(rest) = value.strip_prefix('"') else {
        return Ok(value.to_owned());
    };
    let mut text = String::new();
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' if characters.as_str().is_empty() => return Ok(text),
            '"' => return Err("goes on after the closing quote"),
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(escaped @ ('"' | '\\' | '$' | '`')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => return Err(OPEN),
            },
            other => text.push(other),
        }
    }
    Err(OPEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_assignments_with_comments_and_quotes() {
        let text = "# c\n\nA=1\nexport B = two words \nC='lit $x \\n'\nD=\"a\\n\\\"b\\\"\"\nE=\n";
        let (variables, wrong) = parse(text);
        let pairs: Vec<(&str, &str)> =
            variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected =
            [("A", "1"), ("B", "two words"), ("C", "lit $x \\n"), ("D", "a\n\"b\""), ("E", "")];
        assert_eq!(pairs, expected);
        assert_eq!(wrong, []);
    }

    #[test]
    fn wrong_lines_are_all_reported() {
        let (_, wrong) = parse("novalue\n=x\nA B=1\nC='open\nD=\"x\" y\nE=ok");
        let lines: Vec<usize> = wrong.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5]);
    }
}
