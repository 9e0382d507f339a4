//! What a configuration is made of before it means anything: the file's text, flags, variables.
//!
//! Nothing here reads the process's environment: the caller hands everything in.

use std::{
    fs::File,
    io::Read as _,
    ops::Range,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    overrides::Overrides,
    problem::{Draft, Excerpt, Problem, Problems},
    tree::{Origin, Place},
    written::Table,
};

/// What a source without a file is called.
const THIS_PROGRAM: &str = "this program";

/// The largest file, in bytes.
pub const FILE_SIZE_MAX: u64 = 4 * 1024 * 1024;

/// Where the configuration is written.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file; relative paths inside it are relative to its folder.
    Path(PathBuf),
    /// A text that is in memory.
    Text {
        /// What to call it in messages.
        name: String,
        /// The text.
        text: String,
        /// What relative paths inside it are relative to.
        folder: PathBuf,
    },
    /// What a program says, with or without a file below it.
    Code {
        /// What it says; wins over the file.
        table: Table,
        /// The file.
        over: Option<Box<Source>>,
        /// What relative paths in `table` are relative to.
        folder: PathBuf,
    },
}

/// What the host and the binary are; handed in, so that reading a file depends on nothing else.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    /// The default of `node.name`.
    pub hostname: String,
    /// The effective user id; 0 places the node in `/run`, `/var/lib`, `/var/log`.
    pub uid: u32,
    /// Where the process was started; absolute.
    pub current_dir: PathBuf,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `$XDG_DATA_HOME`.
    pub xdg_data_home: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `$PATH`: where programs are looked for.
    pub path: Option<String>,
    /// The names of the services that this binary contains.
    pub native_services: Vec<String>,
}

impl HostFacts {
    /// Takes `HOME`, `XDG_*` and `PATH` from a copy of the environment. Relative XDG folders are
    /// ignored, as the XDG specification wants.
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|p| p.is_absolute());
        self.home = folder("HOME");
        self.xdg_runtime_dir = folder("XDG_RUNTIME_DIR");
        self.xdg_data_home = folder("XDG_DATA_HOME");
        self.xdg_state_home = folder("XDG_STATE_HOME");
        self.path = variable("PATH");
        self
    }
}

/// A text with the names that its parts have in messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceText {
    pub(crate) name: String,
    pub(crate) text: String,
    /// What relative paths in the file are relative to; absolute.
    pub(crate) folder: PathBuf,
    /// What a program says over the file; later ones win.
    pub(crate) code: Vec<Table>,
    /// What relative paths in that are relative to; absolute.
    code_folder: PathBuf,
    pub(crate) overrides: Overrides,
    /// Found when the first place is asked for.
    line_starts: OnceLock<Vec<usize>>,
}

impl SourceText {
    /// Reads the file, as far as it can be read; what is wrong with it as a file is the problem.
    pub(crate) fn open(
        source: Source,
        overrides: &Overrides,
        host: &HostFacts,
    ) -> (Self, Problems) {
        if let Source::Code { table, over, folder } = source {
            let nothing = || Source::Text {
                name: THIS_PROGRAM.into(),
                text: String::new(),
                folder: folder.clone(),
            };
            let below = over.map_or_else(nothing, |below| *below);
            let (mut opened, problems) = Self::open(below, overrides, host);
            opened.code.push(table);
            opened.code_folder = host.current_dir.join(folder);
            return (opened, problems);
        }
        let (name, folder, read) = match source {
            Source::Text { name, text, folder } => (name, folder, Ok(text)),
            Source::Code { .. } => unreachable!("handled above"),
            Source::Path(path) => {
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                (path.display().to_string(), folder, read(&host.current_dir.join(&path)))
            }
        };
        let source = |text| Self {
            name,
            text,
            folder: host.current_dir.join(folder),
            code: Vec::new(),
            code_folder: host.current_dir.clone(),
            overrides: overrides.clone(),
            line_starts: OnceLock::new(),
        };
        let refused = match read {
            Ok(text) => return (source(text), Problems::default()),
            Err(refused) => refused,
        };
        let end = refused.text_before.len();
        let place = Place { origin: Origin::File(end..end), path: "".into() };
        let mut problems = Problems::default();
        problems.push(Draft::new(&place, refused.rule).maybe_hint(refused.hint));
        (source(refused.text_before), problems)
    }

    /// Turns a place into file, line and column.
    pub(crate) fn locate(&self, draft: Draft) -> Problem {
        match draft.origin().clone() {
            Origin::File(span) => {
                let position = self.position(span.start);
                let excerpt = (!self.text.is_empty()).then_some(Excerpt::File(span));
                draft.located(self.name.clone(), position, excerpt)
            }
            Origin::Code(written) => {
                let position = (written.at.line() as usize, written.at.column() as usize);
                draft.located(written.at.file().to_owned(), position, Some(Excerpt::Code))
            }
            Origin::Override(index) => {
                let given = self.overrides.describe(index);
                draft.located(given.place, (1, 1), Some(Excerpt::Override(given.text)))
            }
        }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub(crate) fn position(&self, byte: usize) -> (usize, usize) {
        let starts = self.line_starts();
        let line = starts.partition_point(|start| *start <= byte).max(1);
        let before = self.text.get(starts[line - 1]..byte.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The line that a byte is in, without its end.
    pub(crate) fn line_around(&self, byte: usize) -> Range<usize> {
        let starts = self.line_starts();
        let line = starts.partition_point(|start| *start <= byte).max(1);
        let end = starts.get(line).map_or(self.text.len(), |next| next - 1);
        starts[line - 1]..end
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let newlines = self.text.match_indices('\n');
            [0].into_iter().chain(newlines.map(|(newline, _)| newline + 1)).collect()
        })
    }

    /// The folder that a relative path is relative to: the file's for what is written in the file,
    /// the current one for flags and variables.
    pub(crate) fn base<'a>(&'a self, origin: &Origin, host: &'a HostFacts) -> &'a Path {
        match origin {
            Origin::File(_) => &self.folder,
            Origin::Code(_) => &self.code_folder,
            Origin::Override(_) => &host.current_dir,
        }
    }
}

struct Refused {
    rule: String,
    hint: Option<String>,
    /// As much as could be read, to point at the place.
    text_before: String,
}

impl Refused {
    fn new(rule: impl Into<String>) -> Self {
        Self { rule: rule.into(), hint: None, text_before: String::new() }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

fn read(path: &Path) -> Result<String, Refused> {
    let refuse_io = |error: std::io::Error| Refused::new(explained(&error));
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Refused::new("there is no such file").hint("`bh init` writes a starter file")
        }
        _ => refuse_io(error),
    })?;
    let metadata = file.metadata().map_err(refuse_io)?;
    if metadata.is_dir() {
        return Err(Refused::new("is a directory, not a file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes).map_err(refuse_io)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        let rule = format!("the file is larger than {} MiB", FILE_SIZE_MAX / 1024 / 1024);
        return Err(Refused::new(rule).hint("is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let mut bytes = error.into_bytes();
        let byte = bytes[valid];
        bytes.truncate(valid);
        Refused {
            rule: format!("the file is not UTF-8: byte 0x{byte:02x} at offset {valid}"),
            hint: Some("save it as UTF-8".into()),
            text_before: String::from_utf8_lossy(&bytes).into_owned(),
        }
    })
}

/// The reason in the words of the system, without Rust's `(os error 13)`.
pub(crate) fn explained(error: &std::io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text);
    // The system's sentences begin with a capital letter; ours do not, and may name units.
    let mut letters = reason.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    format!("cannot be read: {}{}", first.map(String::from).unwrap_or_default(), letters.as_str())
}
