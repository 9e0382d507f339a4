//! What is wrong with a file, and where.
//!
//! Problems are collected while the file is read and checked; nothing stops at the first one. How
//! they are printed is decided in `render`.

use std::{fmt, ops::Range};

use serde::Serialize;

use crate::{
    source::SourceText,
    tree::{Node, Origin, Place},
};

/// Whether the file can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// It is accepted, and may surprise.
    Warning,
    /// It is as it should be, but not everything of it holds on this host.
    Note,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// The file's name as given; that of the program's source, for what code says; or the flag or variable, as `environment BLACKHOLE_NODE`.
    pub file: String,
    /// From 1; 1 for flags and variables.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// `services.api.command[0]`; empty when it concerns the file as a whole.
    pub key_path: String,
    /// The rule that is broken, as a sentence.
    pub message: String,
    /// What stands there instead.
    pub found: Option<String>,
    /// How to put it right.
    pub hint: Option<String>,
    #[serde(skip)]
    pub(crate) excerpt: Option<Excerpt>,
}

/// The text to show, and the part of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Excerpt {
    /// Bytes of the file.
    File(Range<usize>),
    /// A line of the program that wrote it.
    Code,
    /// A flag or variable, as it was given.
    Override(String),
    /// None: what is written there may be a secret.
    Concealed,
}

/// A problem while its place is still a [`Place`].
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    severity: Severity,
    place: Place,
    message: String,
    found: Option<String>,
    hint: Option<String>,
}

impl Draft {
    /// `rule` continues the sentence that begins with the key's path.
    pub(crate) fn new(place: &Place, rule: impl fmt::Display) -> Self {
        let message = match &*place.path {
            "" => rule.to_string(),
            path => format!("`{path}` {rule}"),
        };
        Self { severity: Severity::Error, place: place.clone(), message, found: None, hint: None }
    }

    /// The whole value is wrong, and is shown.
    pub(crate) fn value(node: &Node, rule: impl fmt::Display) -> Self {
        Self::new(&node.place, rule).found(&node.value)
    }

    pub(crate) fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = Some(shortened(&found.to_string()));
        self
    }

    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    pub(crate) fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(crate) fn note(mut self) -> Self {
        self.severity = Severity::Note;
        self
    }

    pub(crate) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

const FOUND_LENGTH_MAX: usize = 80;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(FOUND_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

const PROBLEMS_WITH_HINTS_MAX: usize = 200;

/// Every problem so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Draft>);

impl Problems {
    pub(crate) fn push(&mut self, draft: Draft) {
        self.0.push(draft);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// As [`suggestion`], while there are few problems: whoever has hundreds reads the first ones,
    /// and each search looks at every name of the file.
    pub(crate) fn suggestion<'a>(
        &self,
        wrong: &str,
        known: impl IntoIterator<Item = &'a str>,
        what: &str,
    ) -> Option<String> {
        (self.0.len() < PROBLEMS_WITH_HINTS_MAX).then(|| suggestion(wrong, known, what)).flatten()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|draft| draft.severity == Severity::Error)
    }

    /// In the order of the file; what code says, and flags and variables, come last.
    pub(crate) fn finish(mut self, source: &SourceText) -> Vec<Problem> {
        self.0.sort_by_key(|draft| draft.place.origin.rank());
        self.0.into_iter().map(|draft| source.locate(draft)).collect()
    }
}

impl Draft {
    /// Turns the place into file, line and column.
    pub(crate) fn located(
        self,
        file: String,
        (line, column): (usize, usize),
        excerpt: Option<Excerpt>,
    ) -> Problem {
        let conceals = may_hold_a_secret(&self.place.path);
        Problem {
            severity: self.severity,
            file,
            line,
            column,
            key_path: self.place.path.to_string(),
            message: self.message,
            found: self.found.filter(|_| !conceals),
            hint: self.hint,
            excerpt: if conceals { Some(Excerpt::Concealed) } else { excerpt },
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.place.origin
    }
}

/// A secret itself never stands in a file, but who writes it there all the same must not find it in the
/// log of whatever has checked the file.
fn may_hold_a_secret(path: &str) -> bool {
    let mut keys = path.split('.');
    keys.next() == Some("services") && keys.nth(1) == Some("secrets")
}

/// `did you mean …?` when one of the known names is near, else the list of them when it is short.
pub(crate) fn suggestion<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
    what: &str,
) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(wrong, &known) {
        return Some(format!("did you mean `{near}`?"));
    }
    match known.len() {
        0 => None,
        1..=KNOWN_LISTED_MAX => Some(format!("{what}: {}", known.join(", "))),
        _ => None,
    }
}

const KNOWN_LISTED_MAX: usize = 40;

/// What the kernel and other supervisors call some keys.
const OTHER_NAMES: [(&str, &str); 3] = [
    ("no_new_privs", "no_new_privileges"),
    ("memory_max", "memory"),
    ("resource_limits", "resources"),
];

/// The known name that a slip of the hand would turn into `wrong`.
pub(crate) fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    const LENGTH_MAX: usize = 64;
    let lower = wrong.to_lowercase().replace('-', "_");
    if lower.len() > LENGTH_MAX {
        return None;
    }
    let other_names = |(theirs, ours): &&(&str, &str)| *theirs == lower && known.contains(ours);
    if let Some((_, ours)) = OTHER_NAMES.iter().find(other_names) {
        return known.iter().find(|name| *name == ours).copied();
    }
    let distance =
        |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase().replace('-', "_"));
    let allowed = (lower.chars().count() / 3).max(1);
    if let Some(same) = known.iter().find(|name| same_words(&lower, name)) {
        return Some(same);
    }
    known
        .iter()
        .map(|name| (distance(name), *name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `max_restarts` for `restarts_max`, `maximum` for `max`, `timeout` for `timeouts`.
fn same_words(wrong: &str, name: &str) -> bool {
    const LENGTH_MIN: usize = 3;
    fn sorted(text: &str) -> Vec<&str> {
        let mut words: Vec<&str> = text.split('_').collect();
        words.sort_unstable();
        words
    }
    let begins = |long: &str, short: &str| short.len() >= LENGTH_MIN && long.starts_with(short);
    sorted(wrong) == sorted(name)
        || !wrong.contains('_') && !name.contains('_') && begins(wrong, name)
}
