//! `[services.X.sandbox]` as written: a preset in one word, or a table of keys over one.

use blackhole_isolation::{Capabilities, CapabilityError, Network, Part, Sandbox};
use serde_json::{Value as Json, json};

use super::{limits::meant, texts::PathTemplate};
use crate::{
    problem::Problems,
    read::{Located, Read, choices, keys, not_among, parsed},
    tree::{Node, Value},
};

choices! { Sandbox {
    "standard" => Sandbox::Standard,
    "strict" => Sandbox::Strict,
} }

choices! { Network {
    "host" => Network::Host,
    "none" => Network::None,
} }

choices! { Part {
    "capabilities" => Part::Capabilities,
    "seccomp" => Part::Seccomp,
    "paths" => Part::Paths,
    "private_tmp" => Part::PrivateTmp,
    "read_only" => Part::ReadOnly,
    "hidden" => Part::Hidden,
    "network" => Part::Network,
    "private_pids" => Part::PrivatePids,
} }

keys! {
    /// What the service is kept from. Keys win over the preset.
    RawSandboxKeys {
        /// standard: no capabilities, no new privileges, seccomp "default"; strict: seccomp "strict", a private /tmp and written paths as well.
        preset: Sandbox,
        /// Exactly these capabilities, as in ["net_bind_service"]; [] for none.
        capabilities: Vec<Located<Capability>>,
        /// Executing a program never gives more rights.
        no_new_privileges: bool,
        /// Which system calls: "none" (all), "default", "strict", or a file of names.
        seccomp: Filter,
        /// Which files it may touch, by landlock.
        paths: RawPaths,
        /// A /tmp and /var/tmp of its own, in memory.
        private_tmp: bool,
        /// Seen, but not to be changed.
        read_only: Vec<Located<PathTemplate>>,
        /// Seen as empty.
        hidden: Vec<Located<PathTemplate>>,
        /// none: only a loopback device of its own. Default: host.
        network: Network,
        /// Only its own processes are seen, below a first one that inherits orphans.
        private_pids: bool,
        /// Parts without which it starts where the host does not permit them.
        optional: Vec<Located<Part>>,
    }
}

keys! {
    /// Files that may be touched, with all below them; no others.
    RawPaths {
        /// May be read.
        read: Vec<Located<PathTemplate>>,
        /// May be read, written, made and removed; the service's own directory always may.
        write: Vec<Located<PathTemplate>>,
        /// May be read and executed. Default: everything.
        execute: Vec<Located<PathTemplate>>,
    }
}

/// A word or a table.
#[derive(Debug)]
pub(crate) enum RawSandbox {
    Preset(Sandbox),
    Keys(Box<RawSandboxKeys>),
}

impl Read for RawSandbox {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Table(_) => RawSandboxKeys::read(node, problems).map(|it| Self::Keys(it.into())),
            _ => Sandbox::read(node, problems).map(Self::Preset),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [Sandbox::schema(), RawSandboxKeys::schema()] })
    }
}

/// One capability's name.
#[derive(Debug, Clone)]
pub(crate) struct Capability(pub(crate) String);

impl Read for Capability {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| match Capabilities::from_names([text]) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) if text.eq_ignore_ascii_case("all") => {
                let hint = "leave `capabilities` out to keep all that the node has";
                Err(("is not the name of a capability".to_owned(), Some(hint.to_owned())))
            }
            Err(error) => Err(unknown_capability(&error)),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["net_bind_service"] })
    }
}

fn unknown_capability(error: &CapabilityError) -> (String, Option<String>) {
    let text = error.to_string();
    let hint = text.split_once("\nhint: ").map(|(_, hint)| hint.to_owned());
    let manual = || "`man 7 capabilities` lists them".to_owned();
    ("is not the name of a capability".to_owned(), Some(hint.unwrap_or_else(manual)))
}

/// Which system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    None,
    Default,
    Strict,
    /// As written; relative to the file's folder.
    File(String),
}

impl Read for Filter {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const WORDS: [&str; 3] = ["none", "default", "strict"];
        parsed(node, problems, |text| match text {
            "none" => Ok(Self::None),
            "default" => Ok(Self::Default),
            "strict" => Ok(Self::Strict),
            path if path.contains(['/', '.']) => Ok(Self::File(path.to_owned())),
            word => {
                let (rule, _) = not_among(word, &WORDS);
                let file = format!("a file's path has a `/`, as in \"./{word}\"");
                Err((format!("{rule}, or a file"), meant(word, &WORDS).or(Some(file))))
            }
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["none", "default", "strict", "./profile.seccomp"] })
    }
}
