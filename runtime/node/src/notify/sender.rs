//! Whether the sender of a datagram is a process of the instance.

use std::{
    fs::{self, File},
    io::{self, Read},
};

use blackhole_protocol::environment;

/// No program is executed with a larger environment; a process may point the kernel to more afterwards.
const ENVIRONMENT_SIZE_MAX: u64 = 8 << 20;

/// A chain of parents longer than this is not followed.
const ANCESTORS_MAX: usize = 64;

/// Who may speak for an instance: the instance's user or root, from a process that is the main
/// process, in its session (every child is started as the leader of one), a descendant of it, in
/// its cgroup or below, or one that carries its token in its environment (a daemon that forked
/// twice and called setsid). A sender that is gone before it was looked at is refused; programs
/// that notify and end wait for that by `BARRIER=1`, as `systemd-notify` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyAccess {
    /// The main process.
    pub main: u32,
    /// The user as whom it runs.
    pub uid: u32,
    /// The generation's value of [`environment::TOKEN`].
    pub token: Option<String>,
    /// The path of the instance's own cgroup below the hierarchy's root, as in
    /// `/proc/<pid>/cgroup`.
    pub cgroup: Option<String>,
}

/// Why a datagram does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderRefused {
    /// The kernel did not say who sent it.
    #[error("a notification without credentials is refused")]
    Anonymous,
    /// It was cut off by our buffer.
    #[error("a notification of process {pid} is refused: it is longer than {size_max} bytes")]
    TooLong {
        /// The sender.
        pid: u32,
        /// The limit, in bytes.
        size_max: usize,
    },
    /// Another user's process.
    #[error("a notification of process {pid} is refused: it runs as user {uid}")]
    User {
        /// The sender.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// A process of somebody else.
    #[error("a notification of process {pid} is refused: it is not a process of the instance")]
    Stranger {
        /// The sender.
        pid: u32,
    },
    /// It cannot be told whose process it was.
    #[error(
        "a notification of process {pid} is refused: it was gone before it could be looked at\n\
         hint: let it wait, as `systemd-notify` does, or notify from a process that stays"
    )]
    Gone {
        /// The sender.
        pid: u32,
    },
}

impl NotifyAccess {
    pub(super) fn admit(&self, pid: u32, uid: u32) -> Result<(), SenderRefused> {
        if uid != 0 && uid != self.uid {
            return Err(SenderRefused::User { pid, uid });
        }
        if pid == self.main {
            return Ok(());
        }
        let stat = Stat::read(pid).map_err(|_| SenderRefused::Gone { pid })?;
        let ours = stat.session == self.main
            || self.is_ancestor_of(stat)
            || self.cgroup.as_deref().is_some_and(|cgroup| is_in_cgroup(pid, cgroup))
            || self.token.as_deref().is_some_and(|token| carries_token(pid, token));
        if ours { Ok(()) } else { Err(SenderRefused::Stranger { pid }) }
    }

    fn is_ancestor_of(&self, mut stat: Stat) -> bool {
        for _ in 0..ANCESTORS_MAX {
            if stat.parent == self.main {
                return true;
            }
            match Stat::read(stat.parent) {
                Ok(parent) => stat = parent,
                Err(_) => return false,
            }
        }
        false
    }
}

/// What is needed of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    session: u32,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The name of the program is in parentheses and may contain anything, parentheses included.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Self { parent, session })
    }
}

fn is_in_cgroup(pid: u32, cgroup: &str) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else {
        return false;
    };
    let below = |path: &str| {
        path.strip_prefix(cgroup).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(below)
}

fn carries_token(pid: u32, token: &str) -> bool {
    let mut variables = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(ENVIRONMENT_SIZE_MAX).read_to_end(&mut variables));
    if read.is_err() {
        return false;
    }
    let wanted = format!("{}={token}", environment::TOKEN);
    variables.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = Stat::parse("12 (a) S 1 (b)) S 34 56 78 0 -1 4194560").expect("a stat line");
        assert_eq!(stat, Stat { parent: 34, session: 78 });
        assert_eq!(Stat::parse("12 (a"), None);
        assert_eq!(Stat::parse("12 (a) S 1"), None);
    }
}
