//! Texts with `{placeholders}`, checked when the file is read and filled in when a process starts.

use std::{fmt, num::NonZeroU32, path::Path};

use blackhole_protocol::Name;

/// A text in which `{runtime_dir}`, `{data_dir}`, `{log_dir}`, `{node}`, `{service}` and
/// `{instance}` stand for what they name; `{{` and `}}` are literal braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    RuntimeDir,
    DataDir,
    LogDir,
    Node,
    Service,
    Instance,
}

/// What the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The node's directory for sockets and state.
    pub runtime_dir: &'a Path,
    /// The node's directory for data.
    pub data_dir: &'a Path,
    /// The node's directory for log files.
    pub log_dir: &'a Path,
    /// The node's name.
    pub node: &'a str,
    /// The service that the text belongs to.
    pub service: &'a Name,
    /// Which of the service's processes.
    pub instance: NonZeroU32,
}

/// Why a text is not a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name between braces that means nothing.
    #[error("`{{{0}}}` is not a placeholder: known are {KNOWN}")]
    Unknown(String),
    /// A brace without its partner.
    #[error("a `{0}` stands alone: write `{0}{0}` for a literal one")]
    Unbalanced(char),
}

const KNOWN: &str = "{runtime_dir} {data_dir} {log_dir} {node} {service} {instance}";

impl Template {
    /// The names that may stand between braces.
    pub const PLACEHOLDERS: [&str; 6] =
        ["runtime_dir", "data_dir", "log_dir", "node", "service", "instance"];

    /// Reads a text as written in the file.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '{' if rest.as_str().starts_with('{') => literal.extend(rest.next()),
                '}' if rest.as_str().starts_with('}') => literal.extend(rest.next()),
                '{' => {
                    let Some((name, after)) = rest.as_str().split_once('}') else {
                        return Err(TemplateError::Unbalanced('{'));
                    };
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(Placeholder::parse(name)?));
                    rest = after.chars();
                }
                '}' => return Err(TemplateError::Unbalanced('}')),
                other => literal.push(other),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// The text with every placeholder replaced by the same word, to see what form it will have.
    pub(crate) fn filled_with(&self, word: &str) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Placeholder(_) => word,
            })
            .collect()
    }

    /// The text, when there is no placeholder in it.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Makes a relative path absolute: one that begins neither with `/` nor with a directory's
    /// placeholder.
    pub(crate) fn relative_to(mut self, folder: &Path) -> Self {
        let absolute = match self.0.first() {
            Some(Piece::Text(text)) => text.starts_with('/'),
            Some(Piece::Placeholder(
                Placeholder::RuntimeDir | Placeholder::DataDir | Placeholder::LogDir,
            )) => true,
            Some(Piece::Placeholder(_)) | None => false,
        };
        if !absolute {
            self.0.insert(0, Piece::Text(format!("{}/", folder.display())));
        }
        self
    }

    /// The text with every placeholder filled in.
    pub fn render(&self, scope: &Scope<'_>) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Placeholder(placeholder) => placeholder.value(scope),
            })
            .collect()
    }
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, TemplateError> {
        Ok(match name {
            "runtime_dir" => Self::RuntimeDir,
            "data_dir" => Self::DataDir,
            "log_dir" => Self::LogDir,
            "node" => Self::Node,
            "service" => Self::Service,
            "instance" => Self::Instance,
            unknown => return Err(TemplateError::Unknown(unknown.to_owned())),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::RuntimeDir => "runtime_dir",
            Self::DataDir => "data_dir",
            Self::LogDir => "log_dir",
            Self::Node => "node",
            Self::Service => "service",
            Self::Instance => "instance",
        }
    }

    fn value(self, scope: &Scope<'_>) -> String {
        match self {
            Self::RuntimeDir => scope.runtime_dir.display().to_string(),
            Self::DataDir => scope.data_dir.display().to_string(),
            Self::LogDir => scope.log_dir.display().to_string(),
            Self::Node => scope.node.to_owned(),
            Self::Service => scope.service.to_string(),
            Self::Instance => scope.instance.to_string(),
        }
    }
}

/// Prints the text as it was written, up to how literal braces were escaped.
impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => formatter.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Piece::Placeholder(placeholder) => write!(formatter, "{{{}}}", placeholder.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_doubled_braces_are_literal() {
        let name: Name = "cache".parse().expect("a name");
        let scope = Scope {
            runtime_dir: Path::new("/run/x"),
            data_dir: Path::new("/data"),
            log_dir: Path::new("/log"),
            node: "dev",
            service: &name,
            instance: NonZeroU32::MIN,
        };
        let text = "{runtime_dir}/{service}-{instance}.sock {{json}} {node}";
        let template = Template::parse(text).expect("a template");
        assert_eq!(template.render(&scope), "/run/x/cache-1.sock {json} dev");
        assert_eq!(template.to_string(), text);
    }

    #[test]
    fn unknown_and_unbalanced_placeholders_are_refused() {
        assert_eq!(Template::parse("{home}"), Err(TemplateError::Unknown("home".into())));
        assert_eq!(Template::parse("a{b"), Err(TemplateError::Unbalanced('{')));
        assert_eq!(Template::parse("a}b"), Err(TemplateError::Unbalanced('}')));
    }
}
