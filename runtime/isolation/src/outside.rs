//! The parser of bytes from outside, for who tries to break it: seccomp profiles.
//!
//! It takes any bytes and panics where a promise of the parser is broken. It is no interface for programs.

use syscalls::Sysno;

use crate::{Refusal, Seccomp, SeccompList, SeccompProfile};

/// A seccomp profile: refused with a reason, or the same when it is written again, and a filter.
pub fn seccomp_profile(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<SeccompProfile>() {
        Ok(profile) => {
            let again = written(&profile).parse::<SeccompProfile>();
            assert_eq!(again.expect("we wrote it"), profile, "{text}");
            assert!(!Seccomp::Own(profile).check().is_empty(), "{text} filters nothing");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "the reason cannot be shown"),
    }
}

fn written(profile: &SeccompProfile) -> String {
    let list = match profile.list {
        SeccompList::Deny => "deny",
        SeccompList::Allow => "allow",
    };
    let refusal = match profile.refusal {
        Refusal::Errno => "errno",
        Refusal::Kill => "kill",
    };
    let names = profile.calls.iter().map(|number| {
        let number = usize::try_from(*number).expect("a system call has no negative number");
        Sysno::new(number).expect("it was read from its name").name()
    });
    std::iter::once(format!("{list} {refusal}"))
        .chain(names.map(str::to_owned))
        .collect::<Vec<_>>()
        .join("\n")
}
