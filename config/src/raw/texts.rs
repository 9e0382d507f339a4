//! Texts with a form of their own: templates, commands, addresses, signals, names.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use crate::{
    Listen, Template,
    problem::{Draft, Problems, nearest},
    read::{Located, Read, free_text, parsed},
    tree::{Node, Value},
};

impl Read for Template {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let text = free_text(node, problems)?;
        template(&text)
            .map_err(|(rule, hint)| problems.push(Draft::value(node, rule).maybe_hint(hint)))
            .ok()
    }

    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

pub(crate) fn template(text: &str) -> Result<Template, (String, Option<String>)> {
    Template::parse(text).map_err(|slip| {
        let rule = format!("has the unknown placeholder `{{{}}}`", slip.written);
        (rule, Some(format!("did you mean `{{{}}}`?", slip.near)))
    })
}

/// A path, which an empty text would make the folder of the file.
#[derive(Debug, Clone)]
pub(crate) struct PathTemplate(pub(crate) Template);

impl Read for PathTemplate {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let template = Template::read(node, problems)?;
        if matches!(&node.value, Value::Text(path) if path.is_empty()) {
            problems.push(Draft::value(node, "is empty: it must be a path"));
            return None;
        }
        Some(Self(template))
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A program and its arguments; not empty.
#[derive(Debug, Clone)]
pub(crate) struct Command(pub(crate) Vec<Template>);

impl Read for Command {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Text(text) => {
                let rule = "must be a list of the program and its arguments, not one text";
                let hint = format!("write `{}`; no shell takes it apart", as_list(text));
                problems.push(Draft::value(node, rule).hint(hint));
                None
            }
            Value::List(nodes) if nodes.is_empty() => {
                problems.push(Draft::value(node, "is empty: it needs at least a program"));
                None
            }
            Value::List(nodes) => {
                let words = Vec::<Located<Template>>::read(node, problems)?;
                if matches!(&nodes[0].value, Value::Text(program) if program.trim().is_empty()) {
                    problems.push(Draft::value(&nodes[0], "is empty: it must be a program"));
                    return None;
                }
                let complete = words.len() == nodes.len();
                complete.then(|| Self(words.into_iter().map(|word| word.value).collect()))
            }
            _ => {
                let rule = format_args!("must be a list of texts, not {}", node.kind());
                problems.push(Draft::value(node, rule));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
    }
}

/// What the author of one text meant: the words, or a shell where the text needs one.
fn as_list(text: &str) -> String {
    let needs_shell = text.contains(['|', '&', ';', '<', '>', '$', '`', '"', '\'', '*']);
    if needs_shell {
        return format!("[\"sh\", \"-c\", {text:?}]");
    }
    let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(", "))
}

/// The node's name: letters, digits, `.`, `_`, `-`.
#[derive(Debug, Clone)]
pub(crate) struct NodeName(pub(crate) String);

/// The longest node name, as for a host's.
const NODE_NAME_LENGTH_MAX: usize = 64;

impl NodeName {
    pub(crate) fn is_valid(text: &str) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= NODE_NAME_LENGTH_MAX
            && text.chars().all(allowed)
    }
}

impl Read for NodeName {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| match Self::is_valid(text) {
            true => Ok(Self(text.to_owned())),
            false => Err((
                format!(
                    "must be 1 to {NODE_NAME_LENGTH_MAX} letters, digits, `.`, `_` or `-`, \
                     beginning with a letter or digit"
                ),
                None,
            )),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" })
    }
}

/// An IP address and a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl Read for Address {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| address(text).map(Self))
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["127.0.0.1:9091", "[::1]:9091"] })
    }
}

fn address(text: &str) -> Result<SocketAddr, (String, Option<String>)> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
        let hint = match (text.rsplit_once(':'), port) {
            (Some(("" | "*", _)), Some(port)) => {
                format!("write \"0.0.0.0:{port}\" for all addresses")
            }
            (Some(("localhost", _)), Some(port)) => format!("write \"127.0.0.1:{port}\""),
            (None, Some(port)) => format!("write \"127.0.0.1:{port}\""),
            _ => "as in \"127.0.0.1:8000\"".to_owned(),
        };
        ("must be an IP address and a port".to_owned(), Some(hint))
    })
}

/// `tcp://…` or `unix://…`.
#[derive(Debug, Clone)]
pub(crate) struct ListenAddress(pub(crate) Listen);

impl Read for ListenAddress {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| {
            if let Some(rest) = text.strip_prefix("tcp://") {
                let with_scheme = |hint: String| hint.replacen('"', "\"tcp://", 1);
                return address(rest)
                    .map(|address| Self(Listen::Tcp(address)))
                    .map_err(|(rule, hint)| (rule, hint.map(with_scheme)));
            }
            let Some(path) = text.strip_prefix("unix://") else {
                let guess = if text.starts_with(['/', '{']) { "unix" } else { "tcp" };
                let hint = (!text.contains("://")).then(|| format!("write \"{guess}://{text}\""));
                return Err(("must begin with `tcp://` or `unix://`".to_owned(), hint));
            };
            if !path.starts_with(['/', '{']) {
                let hint = format!("write \"unix://{{runtime_dir}}/{path}\"");
                return Err(("must have an absolute path".to_owned(), Some(hint)));
            }
            template(path).map(|path| Self(Listen::Unix(path)))
        })
    }

    fn schema() -> Json {
        json!({
            "type": "string", "pattern": "^(tcp|unix)://.+",
            "examples": ["tcp://127.0.0.1:8000", "unix://{runtime_dir}/api.sock"],
        })
    }
}

/// A signal's number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal(pub(crate) i32);

/// Linux's numbers, which are the same on every architecture that this runs on.
const SIGNALS: [(&str, i32); 13] = [
    ("SIGTERM", 15),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGHUP", 1),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGKILL", 9),
    ("SIGABRT", 6),
    ("SIGALRM", 14),
    ("SIGWINCH", 28),
    ("SIGPWR", 30),
    ("SIGCONT", 18),
    ("SIGRTMIN", REAL_TIME_MIN),
];

const REAL_TIME_MIN: i32 = 34;
const REAL_TIME_MAX: i32 = 64;

fn signal(text: &str) -> Option<i32> {
    let full = match text.starts_with("SIG") {
        true => text.to_owned(),
        false => format!("SIG{text}"),
    };
    if let Some(offset) = full.strip_prefix("SIGRTMIN+") {
        let number = offset.parse::<i32>().ok()?.checked_add(REAL_TIME_MIN)?;
        return (REAL_TIME_MIN..=REAL_TIME_MAX).contains(&number).then_some(number);
    }
    SIGNALS.iter().find(|(name, _)| *name == full).map(|(_, number)| *number)
}

impl Read for Signal {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Integer(number) = &node.value {
            let named = SIGNALS.iter().find(|(_, n)| number.integer() == Some(i64::from(*n)));
            let hint = named.map(|(name, _)| format!("write \"{name}\""));
            let rule = "must be the name of a signal, not its number";
            problems.push(Draft::value(node, rule).maybe_hint(hint));
            return None;
        }
        parsed(node, problems, |text| {
            signal(text).map(Self).ok_or_else(|| {
                let known = SIGNALS.map(|(name, _)| name);
                let full = format!("SIG{}", text.to_uppercase().trim_start_matches("SIG"));
                let hint = match nearest(&full, &known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known are {}", known.join(", ")),
                };
                ("must be the name of a signal".to_owned(), Some(hint))
            })
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": SIGNALS.map(|(name, _)| name) })
    }
}

impl Read for regex::Regex {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| {
            Self::new(text).map_err(|error| {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or("it does not compile");
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                (format!("is not a regular expression: {reason}"), None)
            })
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "format": "regex" })
    }
}

/// The name of an environment variable.
pub(crate) fn variable_name_rule(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty: a variable needs a name"),
        name if name.contains('=') => Some("contains a `=`, which a variable's name cannot"),
        name if name.contains('\0') => Some("contains a NUL character"),
        name if name.contains(char::is_whitespace) => {
            Some("contains white space, which a variable's name cannot")
        }
        _ => None,
    }
}
