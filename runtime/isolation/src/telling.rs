//! Which limit of a plan a signal tells of, for who reads how a process ended.

use crate::{Plan, Resource};

impl Plan {
    /// What a process of this plan did that the kernel answers with `signal`; nothing where another
    /// cause is as likely.
    pub fn told_by(&self, signal: i32) -> Option<&'static str> {
        match signal {
            libc::SIGSYS if self.filters_calls() => {
                Some("it made a system call that its sandbox forbids")
            }
            libc::SIGXCPU if self.limits_each(Resource::Cpu) => {
                Some("it used all the CPU time of `rlimits.cpu`")
            }
            libc::SIGXFSZ if self.limits_each(Resource::FileSize) => {
                Some("it wrote a file larger than `rlimits.fsize`")
            }
            _ => None,
        }
    }
}
