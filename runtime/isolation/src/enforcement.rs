//! What happens when this host cannot enforce what the file asks for.

use std::{collections::BTreeSet, error::Error, fmt};

/// What happens when this host cannot enforce what the file asks for. Never nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// The instance is not started.
    #[default]
    Strict,
    /// The instance is started, and what does not hold is said ([`crate::Plan::downgraded`]).
    BestEffort,
}

/// Something asked for that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downgrade {
    /// As in the file.
    pub key: &'static str,
    /// What is lacking, for a reader.
    pub reason: String,
}

impl fmt::Display for Downgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.reason)
    }
}

/// One part of a sandbox, which may be optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Which capabilities it keeps.
    Capabilities,
    /// Which system calls it may make.
    Seccomp,
    /// Which files it may touch, by landlock.
    Paths,
    /// A /tmp of its own.
    PrivateTmp,
    /// What it sees and cannot change.
    ReadOnly,
    /// What it sees as empty.
    Hidden,
    /// What it can reach.
    Network,
    /// Which processes it sees.
    PrivatePids,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Capabilities,
        Self::Seccomp,
        Self::Paths,
        Self::PrivateTmp,
        Self::ReadOnly,
        Self::Hidden,
        Self::Network,
        Self::PrivatePids,
    ];

    /// As in the file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Seccomp => "seccomp",
            Self::Paths => "paths",
            Self::PrivateTmp => "private_tmp",
            Self::ReadOnly => "read_only",
            Self::Hidden => "hidden",
            Self::Network => "network",
            Self::PrivatePids => "private_pids",
        }
    }

    /// What may be lacking of these parts.
    pub(crate) fn enforcement(self, optional: &BTreeSet<Self>) -> Enforcement {
        match optional.contains(&self) {
            true => Enforcement::BestEffort,
            false => Enforcement::Strict,
        }
    }
}

impl Enforcement {
    /// Turns an error met while `key` was being prepared into a downgrade, if that is permitted.
    pub(crate) fn relent<E: Error>(
        self,
        key: &'static str,
        error: E,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<(), E> {
        match self {
            Self::Strict => Err(error),
            Self::BestEffort => {
                let reason = told(&error);
                let refusal = format!("`{key}` cannot be enforced here: ");
                let reason = reason.strip_prefix(&refusal).unwrap_or(&reason).to_owned();
                downgraded.push(Downgrade { key, reason });
                Ok(())
            }
        }
    }

    /// The value, or nothing where it may be lacking.
    pub(crate) fn settle<T, E: Error>(
        self,
        key: &'static str,
        result: Result<T, E>,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<Option<T>, E> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.relent(key, error, downgraded).map(|()| None),
        }
    }
}

/// An error and its causes in one line, without its hint.
pub(crate) fn told(error: &dyn Error) -> String {
    let text = error.to_string();
    let head = text.split("\nhint:").next().unwrap_or_default().to_owned();
    match error.source() {
        Some(source) => format!("{head}: {}", told(source)),
        None => head,
    }
}
