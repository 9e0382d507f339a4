//! Which system calls a process may make: profiles, compiled in the parent.
//!
//! The built-in profiles list what is refused and let everything else pass, so that a program that
//! uses a newer system call still runs; a profile of one's own may as well list what is permitted.

mod program;

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use libc::sock_filter;
use syscalls::Sysno;

use self::program::{Action, Condition, Test, Verdict, Verdicts};
use crate::{Refused, Step, suggestion, syscall};

/// Which system calls a process may make. Implies `no_new_privileges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Refuses what only administrators and debuggers need: mounting, modules, tracing others, the
    /// clock, namespaces, io_uring, bpf.
    Default,
    /// Kills who loads modules, mounts or restarts the host, refuses the rest of `Default`, and
    /// raw and exotic sockets, device nodes and changing the root as well.
    Strict,
    /// The reader's own.
    Own(SeccompProfile),
}

/// A list of system calls.
///
/// As text, one word per line: first `deny` or `allow`, optionally with `errno` (the call fails with
/// `EPERM`; what is meant when nothing is said) or `kill`, then the names. `#` begins a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompProfile {
    /// What the list is for.
    pub list: SeccompList,
    /// What happens to a call that is refused.
    pub refusal: Refusal,
    /// The numbers of the calls.
    pub calls: BTreeSet<i64>,
}

/// What a list of system calls is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeccompList {
    /// What is listed is refused.
    Deny,
    /// What is not listed is refused; `execve` and what leads to it is always permitted.
    Allow,
}

/// What happens to a system call that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It fails with `EPERM`.
    Errno,
    /// The process dies by `SIGSYS`.
    Kill,
}

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// The kernel knows no such system call.
    #[error("line {line}: there is no system call `{name}`{}", suggestion::hint(name, Sysno::iter().map(|it| it.name())))]
    UnknownCall {
        /// Counted from 1.
        line: usize,
        /// As written.
        name: String,
    },
    /// The first line is something else.
    #[error(
        "line {line}: `{text}` does not say what the list is for\nhint: begin with `deny` or `allow`, and `kill` after it if the process shall die"
    )]
    Header {
        /// Counted from 1.
        line: usize,
        /// As written.
        text: String,
    },
    /// Nothing but comments.
    #[error(
        "the profile is empty\nhint: begin with `deny` or `allow`, then one system call per line"
    )]
    Empty,
}

impl FromStr for SeccompProfile {
    type Err = SeccompError;

    fn from_str(text: &str) -> Result<Self, SeccompError> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
        let mut lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
        let (line, header) = lines.next().ok_or(SeccompError::Empty)?;
        let words: Vec<&str> = header.split_ascii_whitespace().collect();
        let (list, refusal) = match words.as_slice() {
            ["deny"] | ["deny", "errno"] => (SeccompList::Deny, Refusal::Errno),
            ["deny", "kill"] => (SeccompList::Deny, Refusal::Kill),
            ["allow"] | ["allow", "errno"] => (SeccompList::Allow, Refusal::Errno),
            ["allow", "kill"] => (SeccompList::Allow, Refusal::Kill),
            _ => return Err(SeccompError::Header { line, text: header.to_owned() }),
        };
        let calls = lines.map(|(line, name)| {
            let unknown = |_| SeccompError::UnknownCall { line, name: name.to_owned() };
            name.parse::<Sysno>().map(number).map_err(unknown)
        });
        Ok(Self { list, refusal, calls: calls.collect::<Result<_, _>>()? })
    }
}

fn number(call: Sysno) -> i64 {
    i64::from(call.id())
}

/// A filter as the kernel wants it; empty: none.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    program: Vec<sock_filter>,
}

impl Checked {
    /// Needs `no_new_privs`. Async-signal-safe.
    pub(crate) fn is_empty(&self) -> bool {
        self.program.is_empty()
    }

    pub(crate) fn install(&self) -> Result<(), Refused> {
        match self.program.is_empty() {
            true => Ok(()),
            false => {
                syscall::install_filter(&self.program).map_err(Refused::at(Step::InstallSeccomp))
            }
        }
    }
}

impl Seccomp {
    pub(crate) fn check(&self) -> Checked {
        Checked { program: self.verdicts().compile() }
    }

    fn verdicts(&self) -> Verdicts {
        let mut calls = administrative();
        // `clone3` hides its flags from filters; who hears that it is absent takes `clone`.
        calls.extend(plain([Sysno::clone3], Action::errno(libc::ENOSYS)));
        match self {
            Self::Default => {}
            Self::Strict => {
                calls.extend(exotic());
                calls.extend(plain(HOSTILE.iter().copied(), Action::KILL));
            }
            Self::Own(profile) => return profile.verdicts(),
        }
        allowing_others(calls)
    }
}

type Calls = BTreeMap<u32, Verdict>;

impl SeccompProfile {
    fn verdicts(&self) -> Verdicts {
        let refused = match self.refusal {
            Refusal::Errno => EPERM,
            Refusal::Kill => Action::KILL,
        };
        let of_listed = |action| {
            let numbers = self.calls.iter().filter_map(|number| u32::try_from(*number).ok());
            numbers.map(|number| (number, Verdict::Always(action))).collect::<Calls>()
        };
        match self.list {
            SeccompList::Deny => allowing_others(of_listed(refused)),
            SeccompList::Allow => {
                let mut calls = of_listed(Action::ALLOW);
                calls.extend(plain(LEADING_TO_EXEC.iter().copied(), Action::ALLOW));
                Verdicts { calls, otherwise: refused }
            }
        }
    }
}

/// Made by the launcher after the filter is in force.
const LEADING_TO_EXEC: &[Sysno] = &[
    Sysno::execve,
    Sysno::exit,
    Sysno::exit_group,
    Sysno::rt_sigaction,
    Sysno::rt_sigprocmask,
    Sysno::rt_sigreturn,
    Sysno::prctl,
    Sysno::getppid,
];

/// No service does these by accident.
const HOSTILE: &[Sysno] = &[
    Sysno::init_module,
    Sysno::finit_module,
    Sysno::delete_module,
    Sysno::kexec_load,
    Sysno::kexec_file_load,
    Sysno::reboot,
    Sysno::swapon,
    Sysno::swapoff,
    Sysno::mount,
    Sysno::umount2,
    Sysno::pivot_root,
];

const ADMINISTRATIVE: &[Sysno] = &[
    Sysno::acct,
    Sysno::add_key,
    Sysno::adjtimex,
    Sysno::bpf,
    Sysno::clock_adjtime,
    Sysno::clock_settime,
    Sysno::fanotify_init,
    Sysno::fsconfig,
    Sysno::fsmount,
    Sysno::fsopen,
    Sysno::fspick,
    Sysno::io_uring_enter,
    Sysno::io_uring_register,
    Sysno::io_uring_setup,
    Sysno::kcmp,
    Sysno::keyctl,
    Sysno::lookup_dcookie,
    Sysno::mount_setattr,
    Sysno::move_mount,
    Sysno::nfsservctl,
    Sysno::open_by_handle_at,
    Sysno::open_tree,
    Sysno::perf_event_open,
    Sysno::pidfd_getfd,
    Sysno::process_madvise,
    Sysno::process_vm_readv,
    Sysno::process_vm_writev,
    Sysno::ptrace,
    Sysno::quotactl,
    Sysno::quotactl_fd,
    Sysno::request_key,
    Sysno::setdomainname,
    Sysno::sethostname,
    Sysno::setns,
    Sysno::settimeofday,
    Sysno::syslog,
    Sysno::unshare,
    Sysno::userfaultfd,
    Sysno::vhangup,
];

/// For landlock before Linux 6.2, which lets who may only read a file make it empty: refuses to do so by
/// path, and what hides from filters by which path and how. Through a descriptor that was opened for
/// writing it is permitted.
pub(crate) fn without_truncation() -> Checked {
    let refused = Action::errno(libc::EACCES);
    let mask = bits(libc::O_ACCMODE | libc::O_TRUNC);
    // Neither of them opens for writing, which landlock would see.
    let modes = [libc::O_RDONLY, libc::O_ACCMODE];
    let emptying = modes.map(|mode| Test::Bits(mask, bits(mode | libc::O_TRUNC)));
    let emptied = |flags: u8| Verdict::If(emptying.map(|test| vec![(flags, test)]).into(), refused);
    let mut calls = plain([Sysno::truncate], refused);
    calls.insert(Sysno::openat as u32, emptied(2));
    #[cfg(target_arch = "x86_64")]
    calls.insert(Sysno::open as u32, emptied(1));
    calls.extend(plain([Sysno::openat2, Sysno::io_uring_setup], Action::errno(libc::ENOSYS)));
    Checked { program: allowing_others(calls).compile() }
}

fn allowing_others(calls: Calls) -> Verdicts {
    Verdicts { calls, otherwise: Action::ALLOW }
}

const EPERM: Action = Action::errno(libc::EPERM);

fn plain(calls: impl IntoIterator<Item = Sysno>, action: Action) -> Calls {
    calls.into_iter().map(|call| (call as u32, Verdict::Always(action))).collect()
}

/// Fails with `EPERM` if all conditions of one of these hold.
fn refused_if(some: impl IntoIterator<Item = Vec<Condition>>) -> Verdict {
    Verdict::If(some.into_iter().collect(), EPERM)
}

/// The kernel's constants are signed; the arguments here are 32 bits.
fn bits(constant: i32) -> u32 {
    constant.cast_unsigned()
}

fn administrative() -> Calls {
    let mut calls = plain(HOSTILE.iter().chain(ADMINISTRATIVE).copied(), EPERM);
    #[cfg(target_arch = "x86_64")]
    calls.extend(plain([Sysno::iopl, Sysno::ioperm, Sysno::modify_ldt], EPERM));
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    let with_any = [vec![(0, Test::Any(bits(namespaces)))]];
    calls.insert(Sysno::clone as u32, refused_if(with_any));
    calls
}

fn exotic() -> Calls {
    const SOCKET_KIND: u32 = 0xf;
    /// With an address family of the internet it makes a packet socket, for programs from before 1999.
    const SOCK_PACKET: u32 = 10;
    /// Of these bits of a file's kind, devices of both kinds have that one only.
    const DEVICE: (u32, u32) = (libc::S_IFMT & !(libc::S_IFBLK & !libc::S_IFCHR), libc::S_IFCHR);
    let mut calls = plain([Sysno::chroot], EPERM);
    let raw = (1, Test::Bits(SOCKET_KIND, bits(libc::SOCK_RAW)));
    let between = |first: i32, last: i32| {
        vec![(0, Test::AtLeast(bits(first))), (0, Test::AtMost(bits(last)))]
    };
    let socket = [
        // Left are unix, inet, inet6 and netlink.
        between(libc::AF_AX25, libc::AF_X25),
        between(libc::AF_INET6 + 1, libc::AF_KEY),
        vec![(0, Test::AtLeast(bits(libc::AF_NETLINK + 1)))],
        vec![(0, Test::Equal(bits(libc::AF_INET))), (1, Test::Bits(SOCKET_KIND, SOCK_PACKET))],
        vec![(0, Test::Equal(bits(libc::AF_INET))), raw],
        vec![(0, Test::Equal(bits(libc::AF_INET6))), raw],
    ];
    calls.insert(Sysno::socket as u32, refused_if(socket));
    let device = |argument| refused_if([vec![(argument, Test::Bits(DEVICE.0, DEVICE.1))]]);
    calls.insert(Sysno::mknodat as u32, device(2));
    #[cfg(target_arch = "x86_64")]
    calls.insert(Sysno::mknod as u32, device(1));
    // Types into a terminal as if the user had.
    let types = [vec![(1, Test::Equal(libc::TIOCSTI as u32))]];
    calls.insert(Sysno::ioctl as u32, refused_if(types));
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_from_its_text() {
        let profile: SeccompProfile =
            "# ours\ndeny kill\nptrace # never\n\nmount\n".parse().unwrap();
        assert_eq!((profile.list, profile.refusal), (SeccompList::Deny, Refusal::Kill));
        assert_eq!(profile.calls, BTreeSet::from([libc::SYS_ptrace, libc::SYS_mount]));
    }

    #[test]
    fn what_is_wrong_in_a_profile_is_said_with_its_line() {
        let told = |text: &str| text.parse::<SeccompProfile>().unwrap_err().to_string();
        assert_eq!(
            told("deny\nptrace\nopenatt"),
            "line 3: there is no system call `openatt`\nhint: did you mean `openat`?"
        );
        assert!(told("#\nforbid\n").starts_with("line 2: `forbid` does not say"));
        assert!(told("# nothing\n").starts_with("the profile is empty"));
    }

    /// The kernel compiles it anew for every process, and asks it about every number.
    #[test]
    fn the_profiles_are_short() {
        for profile in [Seccomp::Default, Seccomp::Strict] {
            let length = profile.check().program.len();
            assert!((50..100).contains(&length), "{profile:?}: {length}");
            let steps = program::tests::steps(&profile.verdicts());
            assert!(steps < 500 * 10, "{profile:?}: {steps}");
        }
    }

    #[test]
    fn what_the_kernel_is_given_means_what_the_profiles_say() {
        let own: SeccompProfile = "allow kill\nread\nwrite\nopenat\nclose".parse().unwrap();
        for profile in [Seccomp::Default, Seccomp::Strict, Seccomp::Own(own)] {
            program::tests::means_what_its_verdicts_say(&profile.verdicts());
        }
    }

    #[test]
    fn devices_are_told_from_other_files() {
        let kinds = [libc::S_IFREG, libc::S_IFDIR, libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFLNK, 0];
        let Some(Verdict::If(some, _)) = exotic().remove(&(Sysno::mknodat as u32)) else {
            panic!("it depends on the kind");
        };
        let [(2, Test::Bits(mask, device))] = some[0][..] else { panic!("{some:?}") };
        let is_device = |kind: libc::mode_t| (kind | 0o644) & mask == device;
        assert!(is_device(libc::S_IFCHR) && is_device(libc::S_IFBLK));
        assert!(!kinds.into_iter().any(is_device));
    }
}
