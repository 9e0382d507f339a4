//! Capabilities: parts of root's power, by name, and how a child keeps exactly some of them.

use rustix::{
    process::getuid,
    thread::{
        CapabilitySet, CapabilitySets, capability_is_in_ambient_set, capability_is_in_bounding_set,
        clear_ambient_capability_set, configure_capability_in_ambient_set,
        remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
    },
};

use crate::{Host, Refused, Step, suggestion};

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(CapabilitySet);

/// Capabilities that cannot be given here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// The kernel knows no such capability.
    #[error("there is no capability `{name}`{}", suggestion::hint(&normalized(name), NAMES.iter().copied()))]
    Unknown {
        /// As written.
        name: String,
    },
    /// Nobody can give what he does not have.
    #[error(
        "the node lacks {names}, so it cannot give it to a service\nhint: run the node as root, or leave it out of `capabilities`"
    )]
    NotOurs {
        /// In the kernel's spelling.
        names: String,
    },
}

/// In the order of the kernel's numbers.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

fn normalized(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.strip_prefix("cap_").map(str::to_owned).unwrap_or(lower)
}

impl Capabilities {
    /// None of root's power.
    pub const NONE: Self = Self(CapabilitySet::empty());

    /// From names, `net_bind_service` or `CAP_NET_BIND_SERVICE`.
    ///
    /// # Errors
    /// Names the first that the kernel does not know, and the one most like it.
    pub fn from_names<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, CapabilityError> {
        let mut set = CapabilitySet::empty();
        for name in names {
            let wanted = normalized(name);
            let number = NAMES.iter().position(|known| *known == wanted);
            let number =
                number.ok_or_else(|| CapabilityError::Unknown { name: name.to_owned() })?;
            set |= CapabilitySet::from_bits_retain(1 << number);
        }
        Ok(Self(set))
    }

    /// Their names, in the order of the kernel's numbers.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        numbers(self.0).map(|number| NAMES[number])
    }

    /// Those of them that the node has: no others can be given.
    fn of(self, host: &Host) -> Self {
        Self(self.0 & host.permitted)
    }

    /// Whether the node has them all.
    pub(crate) fn are_all_of(self, host: &Host) -> Result<(), CapabilityError> {
        let lacking = self.0.difference(host.permitted);
        if lacking.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = Self(lacking).names().map(|it| format!("cap_{it}")).collect();
        Err(CapabilityError::NotOurs { names: names.join(", ").to_uppercase() })
    }

    /// Whether who has them is not held to every limit of its user.
    pub(crate) fn exceed_limits(self, host: &Host) -> bool {
        self.of(host).0.intersects(EXCEED_LIMITS)
    }

    /// The bounding set is what executing a program may give. Where nothing is ever given any more, which is
    /// what `no_new_privileges` says, it is left as it is: to empty it takes a system call for each of
    /// forty capabilities, which is half of what a preset costs.
    pub(crate) fn check(self, host: &Host, executing: Executing) -> Checked {
        let kept = self.of(host).0;
        let bounding_dropped =
            match executing == Executing::MayGive && host.may(CapabilitySet::SETPCAP) {
                true => all().filter(|it| is_bounding(*it)).collect::<CapabilitySet>() - kept,
                false => CapabilitySet::empty(),
            };
        Checked { kept, bounding_dropped }
    }
}

/// With either of them a process is refused no other one: `copy_process` in the kernel.
const EXCEED_LIMITS: CapabilitySet = CapabilitySet::SYS_RESOURCE.union(CapabilitySet::SYS_ADMIN);

/// As [`Capabilities::exceed_limits`], of those that programs inherit from the node if nobody says anything.
pub(crate) fn inherited_exceed_limits() -> bool {
    each(EXCEED_LIMITS).any(|it| capability_is_in_ambient_set(it).unwrap_or(false))
}

/// What executing a program may do to a process's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Executing {
    MayGive,
    NeverGives,
}

fn numbers(set: CapabilitySet) -> impl Iterator<Item = usize> {
    (0..NAMES.len()).filter(move |number| set.bits() >> number & 1 == 1)
}

fn each(set: CapabilitySet) -> impl Iterator<Item = CapabilitySet> {
    numbers(set).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

fn all() -> impl Iterator<Item = CapabilitySet> {
    each(CapabilitySet::from_bits_retain(u64::MAX))
}

/// One that this kernel does not know is in no set.
fn is_bounding(capability: CapabilitySet) -> bool {
    capability_is_in_bounding_set(capability).unwrap_or(false)
}

/// Capabilities that were found settable.
#[derive(Debug)]
pub(crate) struct Checked {
    kept: CapabilitySet,
    bounding_dropped: CapabilitySet,
}

impl Checked {
    /// Before the user changes: afterwards the right to do this is gone. Async-signal-safe.
    pub(crate) fn bound(&self) -> Result<(), Refused> {
        for capability in each(self.bounding_dropped) {
            remove_capability_from_bounding_set(capability)
                .map_err(Refused::at(Step::DropBoundingCapabilities))?;
        }
        if !self.kept.is_empty() && getuid().is_root() {
            set_keep_capabilities(true).map_err(Refused::at(Step::SetCapabilities))?;
        }
        Ok(())
    }

    /// After the user changed, which clears the effective and ambient sets. Async-signal-safe.
    pub(crate) fn settle(&self) -> Result<(), Refused> {
        let kept = self.kept;
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
        set_capabilities(None, sets).map_err(Refused::at(Step::SetCapabilities))?;
        clear_ambient_capability_set().map_err(Refused::at(Step::SetAmbientCapabilities))?;
        for capability in each(kept) {
            configure_capability_in_ambient_set(capability, true)
                .map_err(Refused::at(Step::SetAmbientCapabilities))?;
        }
        Ok(())
    }
}

/// The kernel takes them away from who ceases to be root. A node that is no root, but was given the
/// right to start services as others, would hand that right on to them. Async-signal-safe.
pub(crate) fn give_up_ambient() -> Result<(), Refused> {
    clear_ambient_capability_set().map_err(Refused::at(Step::SetAmbientCapabilities))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels_in_either_spelling() {
        let set = Capabilities::from_names(["CAP_NET_BIND_SERVICE", "net_raw"]).unwrap();
        assert_eq!(set.0, CapabilitySet::NET_BIND_SERVICE | CapabilitySet::NET_RAW);
        assert_eq!(set.names().collect::<Vec<_>>(), ["net_bind_service", "net_raw"]);
        let last = Capabilities::from_names(["checkpoint_restore"]).unwrap();
        assert_eq!(last.0, CapabilitySet::CHECKPOINT_RESTORE);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_one_meant() {
        let error = Capabilities::from_names(["cap_net_bind_servce"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no capability `cap_net_bind_servce`\nhint: did you mean `net_bind_service`?"
        );
    }

    #[test]
    fn what_the_node_lacks_cannot_be_given() {
        let host = Host { permitted: CapabilitySet::CHOWN, ..Host::detect() };
        let asked = Capabilities(CapabilitySet::SYS_TIME | CapabilitySet::CHOWN);
        assert_eq!(asked.check(&host, Executing::MayGive).kept, CapabilitySet::CHOWN);
        let error = asked.are_all_of(&host).unwrap_err();
        assert!(error.to_string().starts_with("the node lacks CAP_SYS_TIME, "), "{error}");
    }
}
