//! Names of things: services, groups, instances and their generations.
//!
//! A name is checked once, where it enters (the file, a request), and is a [`Name`] from then on.

use std::{borrow::Borrow, fmt, num::NonZeroU32, str::FromStr, sync::Arc};

use blackhole_derive::Schema;
use serde::{Deserialize, Serialize};

/// The longest name, in bytes: it must fit into a socket path together with a runtime directory.
pub const NAME_LENGTH_MAX: usize = 48;

/// A service's or a group's name: `[a-z][a-z0-9_-]*`, at most [`NAME_LENGTH_MAX`] bytes.
///
/// Cloning is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Schema)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tables by name are searched by any text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no character at all.
    #[error("a name cannot be empty")]
    Empty,
    /// A character outside the allowed set, or a first one that is not a letter.
    #[error("`{0}` is not a name: names are `[a-z][a-z0-9_-]*`")]
    Malformed(String),
    /// More than [`NAME_LENGTH_MAX`] bytes.
    #[error("`{0}` is too long for a name: at most {NAME_LENGTH_MAX} characters")]
    TooLong(String),
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let Some(first) = text.bytes().next() else { return Err(NameError::Empty) };
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if !first.is_ascii_lowercase() || !text.bytes().all(allowed) {
            return Err(NameError::Malformed(text.to_owned()));
        }
        if text.len() > NAME_LENGTH_MAX {
            return Err(NameError::TooLong(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.0)
    }
}

/// One of a service's processes: the service and a number that counts from 1.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, Schema)]
pub struct InstanceId {
    /// The service.
    pub service: Name,
    /// Which of its processes, counted from 1.
    pub index: NonZeroU32,
}

impl InstanceId {
    /// The file name of the socket that the node holds for this instance.
    pub fn socket_file_name(&self) -> String {
        format!("{}-{}.sock", self.service, self.index)
    }

    /// The file name of the socket on which this instance's actors are reached.
    pub fn link_file_name(&self) -> String {
        format!("{}-{}.link", self.service, self.index)
    }
}

/// Prints as `service-1`.
impl fmt::Display for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.service, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        for good in ["a", "api", "web-1", "a_b", &"x".repeat(NAME_LENGTH_MAX)] {
            assert_eq!(good.parse::<Name>().expect(good).as_str(), good);
        }
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        for bad in ["1a", "-a", "A", "a b", "a.b", "é", "a/b"] {
            assert_eq!(bad.parse::<Name>(), Err(NameError::Malformed(bad.into())), "{bad}");
        }
        let long = "x".repeat(NAME_LENGTH_MAX + 1);
        assert_eq!(long.parse::<Name>(), Err(NameError::TooLong(long)));
    }
}
