//! Where a server listens, as users write it.

use std::{fmt, path::PathBuf, str::FromStr};

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `unix:/path`: a stream socket in the file system.
    Unix(PathBuf),
    /// `host:port`, `[::1]:port`: a name or an address, without brackets.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Not 0.
        port: u16,
    },
}

/// Why a text is not a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address\nhint: write `host:port`, `[ipv6]:port` or `unix:/path`")]
pub struct TargetError {
    text: String,
}

impl Target {
    /// The name that a certificate of this server carries unless told otherwise.
    pub fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Tcp { host, .. } => host,
        }
    }

    /// What goes into `:authority` and `Host`. A path is no legal authority, and servers on
    /// C-core refuse a percent-encoded one, so that a Unix socket is `localhost`.
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { .. } => self.to_string(),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let malformed = || TargetError { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let below_root = path.strip_prefix('/').ok_or_else(malformed)?;
            // More slashes mean the same, and what is printed must be read as the same.
            return Ok(Self::Unix(format!("/{}", below_root.trim_start_matches('/')).into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(malformed)?;
        let bare = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.strip_suffix(']').ok_or_else(malformed)?,
            None if host.contains(':') => return Err(malformed()),
            None => host,
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
        if bare.is_empty() || !bare.bytes().all(legal) {
            return Err(malformed());
        }
        Ok(Self::Tcp { host: bare.to_owned(), port })
    }
}

/// Prints as `host:port`, `[ipv6]:port` or `unix:/path`.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(formatter, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed_as_users_write_them() {
        for text in ["unix:/run/a.sock", "127.0.0.1:80", "localhost:50051", "[::1]:443"] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), text);
        }
        let with_slashes: Target = "unix:///run/a.sock".parse().expect("a path");
        assert_eq!(with_slashes, Target::Unix("/run/a.sock".into()));
        assert_eq!(with_slashes.authority(), "localhost");
        let with_more: Target = "unix:////run/a.sock".parse().expect("a path");
        assert_eq!(with_more.to_string(), "unix:/run/a.sock");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "host", ":80", "host:", "host:0", "host:x", "host:70000", "::1:80"] {
            text.parse::<Target>().expect_err(text);
        }
        for text in ["[::1:80", "unix:", "unix:a.sock", "a b:80", "http://host:80"] {
            text.parse::<Target>().expect_err(text);
        }
    }
}
