//! Users and groups: from names or numbers to ids, through the host's name service.
//!
//! What the file calls a number is one (digits only); everything else is a name. Nothing is changed
//! here: the child sets the ids.

use std::{collections::BTreeSet, ffi::CString, path::PathBuf};

use nix::unistd::{Gid, Group, Uid, User as Entry, getgrouplist};
use rustix::thread::CapabilitySet;

use crate::{Host, User};

/// Who a process will be, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// Ids of all groups that the kernel is told beside the primary one; sorted.
    pub groups: Vec<u32>,
    /// The name and home that the host knows for the user, if it knows any.
    pub account: Option<Account>,
}

/// What a login would set `USER`, `HOME` and `SHELL` to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

/// A user or group that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Nobody has this name.
    #[error(
        "this host knows no user `{name}`\nhint: create it (`useradd --system {name}`), or write an existing name or a number"
    )]
    UnknownUser {
        /// As written.
        name: String,
    },
    /// No group has this name.
    #[error(
        "this host knows no group `{name}`\nhint: create it (`groupadd --system {name}`), or write an existing name or a number"
    )]
    UnknownGroup {
        /// As written.
        name: String,
    },
    /// A bare number has no primary group.
    #[error(
        "user {uid} has no entry on this host, so its group is not known\nhint: write `group` as well"
    )]
    NoPrimaryGroup {
        /// As written.
        uid: u32,
    },
    /// Only root, or who has the capability, may become somebody else.
    #[error(
        "the node runs as user {node} without {capability}, so it cannot start a process as `{name}`\nhint: run the node as root, or leave out `user` and `group`"
    )]
    NotPermitted {
        /// As written.
        name: String,
        /// The node's user id.
        node: u32,
        /// What is lacking.
        capability: &'static str,
    },
    /// To the kernel it means "leave it as it is", which would be the node's own.
    #[error("`{name}` is nobody's number: the largest is {}", u32::MAX - 1)]
    NoNumber {
        /// As written.
        name: String,
    },
    /// The host's name service failed.
    #[error("could not look up `{name}`")]
    Lookup {
        /// As written.
        name: String,
        /// Its reason.
        source: nix::Error,
    },
}

pub(crate) fn resolve(user: &User, host: &Host) -> Result<Identity, IdentityError> {
    let (uid, entry) = resolve_user(&user.user)?;
    let gid = match (&user.group, &entry) {
        (Some(name), _) => resolve_group(name)?,
        (None, Some(entry)) => entry.gid.as_raw(),
        (None, None) => return Err(IdentityError::NoPrimaryGroup { uid }),
    };
    let mut groups = match (&user.supplementary, &entry) {
        (Some(names), _) => {
            names.iter().map(|name| resolve_group(name)).collect::<Result<_, _>>()?
        }
        (None, Some(entry)) => listed_groups(&entry.name, gid)?,
        (None, None) => vec![gid],
    };
    groups.sort_unstable();
    groups.dedup();
    let account =
        entry.map(|entry| Account { name: entry.name, home: entry.dir, shell: entry.shell });
    let identity = Identity { uid, gid, groups, account };
    permitted(&identity, &user.user, host)?;
    Ok(identity)
}

impl Identity {
    /// Whether the node is this already, so that nothing needs to be set.
    pub(crate) fn is_of(&self, host: &Host) -> bool {
        self.uid == host.uid && self.gid == host.gid && self.has_groups_of(host)
    }

    /// The primary group counts, whether it is listed or not.
    fn has_groups_of(&self, host: &Host) -> bool {
        let besides = |groups: &[u32], primary: u32| -> BTreeSet<u32> {
            groups.iter().copied().filter(|group| *group != primary).collect()
        };
        besides(&self.groups, self.gid) == besides(&host.user_groups, host.gid)
    }
}

fn permitted(identity: &Identity, name: &str, host: &Host) -> Result<(), IdentityError> {
    let needed = [
        (CapabilitySet::SETGID, "CAP_SETGID", !identity.has_groups_of(host)),
        (CapabilitySet::SETGID, "CAP_SETGID", identity.gid != host.gid),
        (CapabilitySet::SETUID, "CAP_SETUID", identity.uid != host.uid),
    ];
    for (capability, capability_name, changes) in needed {
        if changes && !host.may(capability) {
            let (name, node) = (name.to_owned(), host.uid);
            return Err(IdentityError::NotPermitted { name, node, capability: capability_name });
        }
    }
    Ok(())
}

fn resolve_user(name: &str) -> Result<(u32, Option<Entry>), IdentityError> {
    let failed = |source| IdentityError::Lookup { name: name.to_owned(), source };
    if let Some(uid) = number(name)? {
        return Ok((uid, Entry::from_uid(Uid::from_raw(uid)).map_err(failed)?));
    }
    let entry = Entry::from_name(name).map_err(failed)?;
    let entry = entry.ok_or_else(|| IdentityError::UnknownUser { name: name.to_owned() })?;
    Ok((entry.uid.as_raw(), Some(entry)))
}

fn resolve_group(name: &str) -> Result<u32, IdentityError> {
    if let Some(gid) = number(name)? {
        return Ok(gid);
    }
    let group = Group::from_name(name)
        .map_err(|source| IdentityError::Lookup { name: name.to_owned(), source })?;
    let group = group.ok_or_else(|| IdentityError::UnknownGroup { name: name.to_owned() })?;
    Ok(group.gid.as_raw())
}

/// `None` for what is a name.
fn number(name: &str) -> Result<Option<u32>, IdentityError> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match name.parse() {
        Ok(number) if number < u32::MAX => Ok(Some(number)),
        _ => Err(IdentityError::NoNumber { name: name.to_owned() }),
    }
}

fn listed_groups(name: &str, gid: u32) -> Result<Vec<u32>, IdentityError> {
    let c_name = CString::new(name).expect("a name that the C library returned has no NUL");
    let groups = getgrouplist(&c_name, Gid::from_raw(gid))
        .map_err(|source| IdentityError::Lookup { name: name.to_owned(), source })?;
    Ok(groups.iter().map(|group| group.as_raw()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_powerful() -> Host {
        Host { capabilities: CapabilitySet::all(), ..Host::detect() }
    }

    fn user(name: &str) -> User {
        User { user: name.into(), ..User::default() }
    }

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let by_name = resolve(&user("root"), &all_powerful()).unwrap();
        assert_eq!((by_name.uid, by_name.gid), (0, 0));
        assert_eq!(by_name, resolve(&user("0"), &all_powerful()).unwrap());
        assert_eq!(by_name.account.unwrap().home, PathBuf::from("/root"));
    }

    #[test]
    fn an_unknown_user_or_group_is_named() {
        let error = resolve(&user("no-such-user"), &all_powerful()).unwrap_err();
        assert!(error.to_string().starts_with("this host knows no user `no-such-user`\nhint: "));
        let grouped = User { group: Some("no-such-group".into()), ..user("root") };
        let error = resolve(&grouped, &all_powerful()).unwrap_err();
        assert!(error.to_string().starts_with("this host knows no group `no-such-group`"));
    }

    #[test]
    fn a_number_without_an_entry_needs_a_group() {
        let stranger = user("3999999");
        let error = resolve(&stranger, &all_powerful()).unwrap_err();
        assert!(matches!(error, IdentityError::NoPrimaryGroup { uid: 3_999_999 }));
        let grouped = User { group: Some("3999998".into()), ..stranger };
        let identity = resolve(&grouped, &all_powerful()).unwrap();
        assert_eq!((identity.uid, identity.gid), (3_999_999, 3_999_998));
        assert_eq!(identity.groups, [3_999_998]);
    }

    #[test]
    fn the_number_that_means_no_change_is_nobodys() {
        for name in ["4294967295", "99999999999"] {
            let error = resolve(&user(name), &all_powerful()).unwrap_err();
            assert!(matches!(error, IdentityError::NoNumber { .. }), "{error}");
            let grouped = User { group: Some(name.into()), ..user("root") };
            let error = resolve(&grouped, &all_powerful()).unwrap_err();
            assert!(matches!(error, IdentityError::NoNumber { .. }), "{error}");
        }
    }

    #[test]
    fn who_names_himself_changes_nothing_whether_his_primary_group_is_listed_or_not() {
        let own = User { group: Some("77".into()), ..user("3999999") };
        for user_groups in [vec![], vec![77]] {
            let capabilities = CapabilitySet::empty();
            let host =
                Host { uid: 3_999_999, gid: 77, user_groups, capabilities, ..Host::detect() };
            assert!(resolve(&own, &host).unwrap().is_of(&host));
        }
    }

    #[test]
    fn an_ordinary_user_may_only_be_itself() {
        let mut host = Host { capabilities: CapabilitySet::empty(), ..Host::detect() };
        host.uid = 1234;
        let error = resolve(&user("root"), &host).unwrap_err();
        assert!(matches!(error, IdentityError::NotPermitted { node: 1234, .. }), "{error}");
    }
}
