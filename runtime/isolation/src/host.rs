//! What this host and this process permit, looked up once at the start.

use std::{path::Path, str::FromStr};

use rustix::{
    process::{getegid, geteuid, getgroups},
    thread::{CapabilitySet, capabilities},
};

use crate::{Groups, syscall};

/// What this host and this process permit.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Sorted.
    pub(crate) user_groups: Vec<u32>,
    /// Effective: what it may do.
    pub(crate) capabilities: CapabilitySet,
    /// Permitted: what it may give.
    pub(crate) permitted: CapabilitySet,
    /// The least that may be set without a capability.
    pub(crate) oom_score_adjust_min: i32,
    /// No process may have more descriptors than this, root's included; `None` when unknown.
    pub(crate) files_max: Option<u64>,
    pub(crate) landlock_version: Option<u32>,
    /// An ordinary user may make namespaces in which it is root.
    pub(crate) user_namespaces: bool,
    /// Root here is root of the machine, and not an ordinary user of it that a container calls so.
    pub(crate) has_all_users: bool,
    pub(crate) groups: Groups,
}

impl Host {
    /// Looks at the running system.
    pub fn detect() -> Self {
        Self::detect_at(Path::new("/proc"))
    }

    /// As [`Host::detect`], with `proc_root` in the place of `/proc`.
    pub fn detect_at(proc_root: &Path) -> Self {
        let mut user_groups: Vec<u32> =
            getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect();
        user_groups.sort_unstable();
        let (capabilities, permitted) = capabilities(None).map_or_else(
            |_| (CapabilitySet::empty(), CapabilitySet::empty()),
            |sets| (sets.effective, sets.permitted),
        );
        Self {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            user_groups,
            capabilities,
            permitted,
            oom_score_adjust_min: number_in(&proc_root.join("self/oom_score_adj")).unwrap_or(0),
            files_max: number_in(&proc_root.join("sys/fs/nr_open")),
            landlock_version: syscall::landlock_version(),
            user_namespaces: permits_user_namespaces(&proc_root.join("sys")),
            has_all_users: maps_all_users(&proc_root.join("self/uid_map")),
            groups: Groups::default(),
        }
    }

    /// The host with the groups that the node has opened; without, no limit of a group can be
    /// enforced.
    pub fn with_groups(self, groups: Groups) -> Self {
        Self { groups, ..self }
    }

    /// The node's groups.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Whether this process has a capability now.
    pub(crate) fn may(&self, capability: CapabilitySet) -> bool {
        self.capabilities.contains(capability)
    }
}

/// As the initial namespace of users does; so does a kernel without such namespaces.
fn maps_all_users(uid_map: &Path) -> bool {
    let Ok(map) = std::fs::read_to_string(uid_map) else { return true };
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The kernel's own switch, Debian's and Ubuntu's.
fn permits_user_namespaces(sys: &Path) -> bool {
    let number = |name: &str| number_in::<u64>(&sys.join(name));
    number("user/max_user_namespaces").is_some_and(|max| max > 0)
        && number("kernel/unprivileged_userns_clone") != Some(0)
        && number("kernel/apparmor_restrict_unprivileged_userns") != Some(1)
}

/// The single number that a kernel file holds, if it can be read.
fn number_in<N: FromStr>(path: &Path) -> Option<N> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
