//! Texts with `{placeholders}`, checked when the file is read and filled in when a process starts.

use std::{
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use blackhole_protocol::Name;

use crate::problem::nearest;

/// A text in which `{runtime_dir}`, `{data_dir}`, `{log_dir}`, `{secrets_dir}`, `{node}`, `{service}`
/// and `{instance}` stand for what they name. `{{node}}` is the literal text `{node}`. All other braces
/// are literal: commands are full of shell variables and JSON.
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
    SecretsDir,
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
    /// The directory in memory below which each instance finds its secrets.
    pub secrets_dir: &'a Path,
    /// The node's name.
    pub node: &'a str,
    /// The service that the text belongs to.
    pub service: &'a Name,
    /// Which of the service's processes.
    pub instance: NonZeroU32,
}

impl Scope<'_> {
    /// Where the instance finds its secrets.
    pub fn own_secrets_dir(&self) -> PathBuf {
        self.secrets_dir.join(format!("{}-{}", self.service, self.instance))
    }
}

/// A name between braces that means nothing, and is so like one that does that it must be a slip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{{{written}}}` is not a placeholder: did you mean `{{{near}}}`?")]
pub struct Misspelt {
    /// As written.
    pub written: String,
    /// What was probably meant.
    pub near: &'static str,
}

impl Template {
    /// The names that may stand between braces.
    pub const PLACEHOLDERS: [&str; 7] =
        ["runtime_dir", "data_dir", "log_dir", "secrets_dir", "node", "service", "instance"];

    /// Reads a text as written in the file.
    pub fn parse(text: &str) -> Result<Self, Misspelt> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(position) = rest.find('{') {
            let (before, braces) = rest.split_at(position);
            literal.push_str(before);
            let (token, after) = Token::first(braces, before.ends_with('$'))?;
            match token {
                Token::Literal(text) => literal.push_str(text),
                Token::Placeholder(placeholder) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(placeholder));
                }
            }
            rest = after;
        }
        literal.push_str(rest);
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
                Placeholder::RuntimeDir
                | Placeholder::DataDir
                | Placeholder::LogDir
                | Placeholder::SecretsDir,
            )) => true,
            Some(Piece::Placeholder(_)) | None => false,
        };
        if !absolute {
            let folder = format!("{}/", folder.display());
            match self.0.first_mut() {
                Some(Piece::Text(text)) => text.insert_str(0, &folder),
                Some(Piece::Placeholder(_)) | None => self.0.insert(0, Piece::Text(folder)),
            }
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

/// What a text that begins with a brace begins with.
enum Token<'a> {
    Literal(&'a str),
    Placeholder(Placeholder),
}

impl<'a> Token<'a> {
    /// The token and what follows it. `is_variable`: a `$` stands before the brace.
    fn first(text: &'a str, is_variable: bool) -> Result<(Self, &'a str), Misspelt> {
        if let Some(name) = word_between(text, "{{", "}}")
            && Placeholder::parse(name).is_some()
        {
            let (escaped, after) = text.split_at(name.len() + 4);
            return Ok((Self::Literal(&escaped[1..escaped.len() - 1]), after));
        }
        let literal = (Self::Literal(&text[..1]), &text[1..]);
        let Some(name) = word_between(text, "{", "}").filter(|_| !is_variable) else {
            return Ok(literal);
        };
        match (Placeholder::parse(name), nearest(name, &Template::PLACEHOLDERS)) {
            (Some(placeholder), _) => Ok((Self::Placeholder(placeholder), &text[name.len() + 2..])),
            (None, Some(near)) => Err(Misspelt { written: name.to_owned(), near }),
            (None, None) => Ok(literal),
        }
    }
}

/// The lower-case word that a text begins with, between `open` and `close`.
fn word_between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (word, _) = text.strip_prefix(open)?.split_once(close)?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!word.is_empty() && word.bytes().all(is_word)).then_some(word)
}

impl Placeholder {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "runtime_dir" => Self::RuntimeDir,
            "data_dir" => Self::DataDir,
            "log_dir" => Self::LogDir,
            "secrets_dir" => Self::SecretsDir,
            "node" => Self::Node,
            "service" => Self::Service,
            "instance" => Self::Instance,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::RuntimeDir => "runtime_dir",
            Self::DataDir => "data_dir",
            Self::LogDir => "log_dir",
            Self::SecretsDir => "secrets_dir",
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
            Self::SecretsDir => scope.own_secrets_dir().display().to_string(),
            Self::Node => scope.node.to_owned(),
            Self::Service => scope.service.to_string(),
            Self::Instance => scope.instance.to_string(),
        }
    }
}

/// Prints a text that reads as the same template.
impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => {
                let escape = |text: String, name: &&str| {
                    text.replace(&format!("{{{name}}}"), &format!("{{{{{name}}}}}"))
                };
                formatter.write_str(&Self::PLACEHOLDERS.iter().fold(text.clone(), escape))
            }
            Piece::Placeholder(placeholder) => write!(formatter, "{{{}}}", placeholder.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_may_be_escaped() {
        let name: Name = "cache".parse().expect("a name");
        let scope = Scope {
            runtime_dir: Path::new("/run/x"),
            data_dir: Path::new("/data"),
            log_dir: Path::new("/log"),
            secrets_dir: Path::new("/secrets"),
            node: "dev",
            service: &name,
            instance: NonZeroU32::MIN,
        };
        let text = "{runtime_dir}/{service}-{instance}.sock {{node}} {node}";
        let template = Template::parse(text).expect("a template");
        assert_eq!(template.render(&scope), "/run/x/cache-1.sock {node} dev");
        assert_eq!(template.to_string(), text);
    }

    #[test]
    fn shells_and_json_keep_their_braces() {
        let texts =
            [r#"{"a":{"b":[{}]}}"#, "${HOME} ${node} %{http_code}", "a{b", "a}b", "{x,y}", "{{}}"];
        for text in texts {
            let template = Template::parse(text).expect(text);
            assert_eq!(template.literal(), Some(text));
            assert_eq!(Template::parse(&template.to_string()), Ok(template));
        }
    }

    #[test]
    fn a_slip_is_refused() {
        let slip = Template::parse("{runtime-dir} {datadir}").expect_err("a slip");
        assert_eq!((slip.written.as_str(), slip.near), ("datadir", "data_dir"));
    }
}
