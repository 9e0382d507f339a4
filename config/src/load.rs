//! The whole way: text → tree → overrides → `Raw` → [`Config`].

use std::sync::Arc;

use toml::de::DeTable;

use crate::{
    Config,
    explain::descend,
    overrides::Overrides,
    problem::{Draft, Problem, Problems, Severity},
    raw::RawFile,
    read::Read as _,
    source::{HostFacts, Source, SourceText},
    syntax,
    tree::{Node, Origin, Place},
    validate::{Context, validate},
};

/// A file that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it means.
    pub config: Config,
    /// What may surprise.
    pub warnings: Vec<Problem>,
    pub(crate) root: Node,
    pub(crate) source: Arc<SourceText>,
}

/// A file that may not be used: every problem, in the order of the file. Prints as the report that
/// the user reads.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// At least one is an error.
    pub problems: Vec<Problem>,
    pub(crate) source: Arc<SourceText>,
}

/// Reads and checks a file with its overrides. Opens nothing but that file and the services'
/// `environment_files`.
pub fn load(source: Source, overrides: &Overrides, host: &HostFacts) -> Result<Loaded, Rejected> {
    let (source, mut problems) = SourceText::open(source, overrides, host);
    if problems.has_errors() {
        let problems = problems.finish(&source);
        return Err(Rejected { problems, source: Arc::new(source) });
    }
    let (mut root, syntax) = parse(&source.text);
    source.code.iter().for_each(|table| table.lay_over(&mut root, &mut problems));
    source.overrides.apply(&mut root, &mut problems);
    let raw = RawFile::read(&root, &mut problems).unwrap_or_default();
    let context = Context { source: &source, host };
    let config = match syntax.has_errors() {
        // What depends on several keys cannot be judged while some of them cannot be read.
        true => {
            problems.extend(syntax);
            None
        }
        false => Some(validate(&raw, context, &mut problems)),
    };
    let refused = problems.has_errors();
    let problems = problems.finish(&source);
    let source = Arc::new(source);
    match config {
        Some(config) if !refused => Ok(Loaded { config, warnings: problems, root, source }),
        _ => Err(Rejected { problems, source }),
    }
}

/// As much of a tree as there is, and every mistake of the syntax.
fn parse(text: &str) -> (Node, Problems) {
    let (sound, mistakes) = syntax::repaired(text);
    let mut problems = Problems::default();
    for mistake in mistakes {
        let place = Place { origin: Origin::File(mistake.span), path: "".into() };
        problems.push(Draft::new(&place, mistake.rule).maybe_hint(mistake.hint));
    }
    let (table, _) = DeTable::parse_recoverable(&sound);
    (Node::root(table.get_ref(), text.len()), problems)
}

impl Loaded {
    /// Adds what is not wrong with a key of the file, but should be known; `rule` continues the
    /// sentence that begins with its path. A key that was not written is looked for in what it
    /// would stand in.
    pub fn note(&mut self, key: &str, rule: &str, hint: Option<String>) {
        let path: Vec<&str> = key.split('.').collect();
        let written = (1..=path.len()).rev().find_map(|depth| descend(&self.root, &path[..depth]));
        let place = Place { path: key.into(), ..written.unwrap_or(&self.root).place.clone() };
        let draft = Draft::new(&place, rule).maybe_hint(hint).note();
        self.warnings.push(self.source.locate(draft));
    }
}

impl Rejected {
    /// How many of the problems are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}
