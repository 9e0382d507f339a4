//! Which system calls a process may make: profiles, compiled in the parent.
//!
//! The built-in profiles list what is refused and let everything else pass, so that a program that
//! uses a newer system call still runs; a profile of one's own may as well list what is permitted.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use syscalls::Sysno;

use crate::{Refused, Step, suggestion, syscall};

/// Which system calls a process may make. Implies `no_new_privileges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Refuses what only administrators and debuggers need: mounting, modules, tracing others, the
    /// clock, name spaces, io_uring, bpf.
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
    /// It is too long, or made for another kind of CPU.
    #[error("could not compile the seccomp profile")]
    Compile(#[from] seccompiler::BackendError),
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

/// Filters, in the order in which they are installed; of their verdicts the strictest holds.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    programs: Vec<BpfProgram>,
}

impl Checked {
    /// Needs `no_new_privs`. Async-signal-safe.
    pub(crate) fn install(&self) -> Result<(), Refused> {
        let step = Step::InstallSeccomp;
        self.programs
            .iter()
            .try_for_each(|program| syscall::install_filter(program).map_err(Refused::at(step)))
    }
}

impl Seccomp {
    pub(crate) fn check(&self) -> Result<Checked, SeccompError> {
        let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
        let mut programs = vec![foreign_numbers()];
        // `clone3` hides its flags from filters; who hears that it is absent takes `clone`.
        let absent = plain([Sysno::clone3]);
        match self {
            Self::Default => {
                programs.push(denying(absent, errno(libc::ENOSYS))?);
                programs.push(denying(administrative(), errno(libc::EPERM))?);
            }
            Self::Strict => {
                programs.push(denying(absent, errno(libc::ENOSYS))?);
                let mut refused = administrative();
                refused.extend(exotic()?);
                programs.push(denying(refused, errno(libc::EPERM))?);
                programs.push(denying(plain(HOSTILE.iter().copied()), SeccompAction::KillProcess)?);
            }
            Self::Own(profile) => programs.push(profile.compile()?),
        }
        Ok(Checked { programs })
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

impl SeccompProfile {
    fn compile(&self) -> Result<BpfProgram, SeccompError> {
        let refused = match self.refusal {
            Refusal::Errno => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
            Refusal::Kill => SeccompAction::KillProcess,
        };
        let mut rules: Rules = self.calls.iter().map(|call| (*call, Vec::new())).collect();
        match self.list {
            SeccompList::Deny => denying(rules, refused),
            SeccompList::Allow => {
                rules.extend(plain(LEADING_TO_EXEC.iter().copied()));
                filter(rules, refused, SeccompAction::Allow)
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
pub(crate) fn without_truncation() -> Result<Checked, SeccompError> {
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let mask = u64::from((libc::O_ACCMODE | libc::O_TRUNC).unsigned_abs());
    let reading = u64::from((libc::O_RDONLY | libc::O_TRUNC).unsigned_abs());
    let emptied = |flags: u8| rule([(flags, SeccompCmpOp::MaskedEq(mask), reading)]);
    let mut refused = plain([Sysno::truncate]);
    refused.insert(number(Sysno::openat), vec![emptied(2)?]);
    #[cfg(target_arch = "x86_64")]
    refused.insert(number(Sysno::open), vec![emptied(1)?]);
    let hidden = plain([Sysno::openat2, Sysno::io_uring_setup]);
    let refused = denying(refused, errno(libc::EACCES))?;
    let absent = denying(hidden, errno(libc::ENOSYS))?;
    Ok(Checked { programs: vec![foreign_numbers(), absent, refused] })
}

fn plain(calls: impl IntoIterator<Item = Sysno>) -> Rules {
    calls.into_iter().map(|call| (number(call), Vec::new())).collect()
}

fn administrative() -> Rules {
    let mut rules = plain(HOSTILE.iter().chain(ADMINISTRATIVE).copied());
    #[cfg(target_arch = "x86_64")]
    rules.extend(plain([Sysno::iopl, Sysno::ioperm, Sysno::modify_ldt]));
    let flags = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let with_flag = flags.into_iter().filter_map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        rule([(0, SeccompCmpOp::MaskedEq(flag), flag)]).ok()
    });
    rules.insert(number(Sysno::clone), with_flag.collect());
    rules
}

fn exotic() -> Result<Rules, SeccompError> {
    use SeccompCmpOp::{Eq, Ge, Gt, Le, MaskedEq};
    const SOCKET_KIND: u64 = 0xf;
    const FILE_KIND: u64 = 0o170_000;
    let raw = libc::SOCK_RAW as u64;
    let mut rules = plain([Sysno::chroot]);
    let of_family = |family: i32| rule([(0, Eq, family as u64), (1, MaskedEq(SOCKET_KIND), raw)]);
    rules.insert(
        number(Sysno::socket),
        vec![
            of_family(libc::AF_INET)?,
            of_family(libc::AF_INET6)?,
            // Left are unix, inet, inet6 and netlink.
            rule([(0, Ge, libc::AF_AX25 as u64), (0, Le, libc::AF_X25 as u64)])?,
            rule([(0, Gt, libc::AF_INET6 as u64), (0, Le, libc::AF_KEY as u64)])?,
            rule([(0, Gt, libc::AF_NETLINK as u64)])?,
        ],
    );
    let node = |argument: u8| -> Result<Vec<SeccompRule>, SeccompError> {
        let kinds = [libc::S_IFCHR, libc::S_IFBLK].into_iter();
        kinds.map(|kind| rule([(argument, MaskedEq(FILE_KIND), u64::from(kind))])).collect()
    };
    rules.insert(number(Sysno::mknodat), node(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(number(Sysno::mknod), node(1)?);
    // Types into a terminal as if the user had.
    rules.insert(number(Sysno::ioctl), vec![rule([(1, Eq, libc::TIOCSTI)])?]);
    Ok(rules)
}

/// All conditions must hold: argument, comparison, value. The kernel's arguments here are 32 bits.
fn rule<const N: usize>(
    conditions: [(u8, SeccompCmpOp, u64); N],
) -> Result<SeccompRule, SeccompError> {
    let conditions = conditions.into_iter().map(|(argument, comparison, value)| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value)
    });
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

fn denying(rules: Rules, refused: SeccompAction) -> Result<BpfProgram, SeccompError> {
    filter(rules, SeccompAction::Allow, refused)
}

fn filter(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, SeccompError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into()?)
}

/// On x86-64 every call has a second number, of the x32 ABI, that no list names.
fn foreign_numbers() -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32_BIT: u32 = 0x4000_0000;
    let absent = u32::from(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    let allowed = u32::from(SeccompAction::Allow);
    vec![
        sock_filter { code: LOAD_WORD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: absent },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: allowed },
    ]
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

    #[test]
    fn every_profile_compiles() {
        assert_eq!(Seccomp::Default.check().unwrap().programs.len(), 3);
        assert_eq!(Seccomp::Strict.check().unwrap().programs.len(), 4);
    }
}
