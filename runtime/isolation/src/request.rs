//! What the file says about one instance, as domain types.

use std::{collections::BTreeSet, path::PathBuf};

use rustix::fs::Mode;

use crate::{
    Capabilities, Enforcement, Limits, Part, PathRules, Priorities, Rlimit, Seccomp, View,
};

/// What the file says about one instance. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Names its group, unique in the node: service and number, `web-0`. Needed with `limits`.
    pub instance: String,
    /// What all its processes may use together.
    pub limits: Limits,
    /// What may pass to and from the disks on which these are, beside `limits.devices`.
    pub disks: Vec<DiskRates>,
    /// What happens when `limits`, `disks`, `rlimits` or `priorities` cannot be enforced here.
    pub enforcement: Enforcement,
    /// Parts of the sandbox without which it may run where this host does not permit them. All
    /// others are refused then, whatever `enforcement` says.
    pub optional: BTreeSet<Part>,
    /// As whom it runs; `None`: as the node.
    pub user: Option<User>,
    /// Which permissions its new files lack; `None`: as the node.
    pub umask: Option<Umask>,
    /// Per-process limits; of two for one resource the later one wins.
    pub rlimits: Vec<Rlimit>,
    /// Who goes first.
    pub priorities: Priorities,
    /// Exactly these parts of root's power, for the process and whatever it executes; `None`: as
    /// the kernel decides from the user. Where the node may not take the rest away for good, this
    /// implies `no_new_privileges`.
    pub capabilities: Option<Capabilities>,
    /// Executing a program, set-user-id ones included, never gives more rights.
    pub no_new_privileges: bool,
    /// Which system calls it may make; `None`: all.
    pub seccomp: Option<Seccomp>,
    /// Which files it may touch; `None`: what its user may.
    pub paths: Option<PathRules>,
    /// What it sees of the host.
    pub view: View,
}

/// What may pass to and from one disk, per second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskRates {
    /// A file or directory on it, or its device node.
    pub path: PathBuf,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub write_bytes: Option<u64>,
    /// Reads.
    pub read_operations: Option<u64>,
    /// Writes.
    pub write_operations: Option<u64>,
}

/// As whom a process runs. Names or numbers, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub user: String,
    /// `None`: the user's primary group.
    pub group: Option<String>,
    /// Further groups; `None`: those that the host lists for the user.
    pub supplementary: Option<Vec<String>>,
}

/// Permissions that new files lack: nine bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Umask(u32);

impl Umask {
    /// `None` if more than the nine permission bits are set.
    pub fn new(bits: u32) -> Option<Self> {
        (bits <= 0o777).then_some(Self(bits))
    }

    pub(crate) fn mode(self) -> Mode {
        Mode::from_bits_truncate(self.0)
    }
}
