//! The end of a node, seen from outside: its outermost process, held by pidfd.

use std::{io, os::fd::OwnedFd};

use blackhole_protocol::control::v1::NodeStatus;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, pidfd_open},
};

/// The guardian, which ends last; or the node, where there is no guardian.
#[derive(Debug)]
pub(crate) struct NodeProcess(OwnedFd);

impl NodeProcess {
    pub(crate) fn open(node: &NodeStatus) -> io::Result<Self> {
        let pid = if node.guardian_pid == 0 { node.pid } else { node.guardian_pid };
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid =
            pid.ok_or_else(|| io::Error::other("the node did not say which process it is"))?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Waits until the process has ended, on a thread of its own.
    pub(crate) async fn ended(self) -> io::Result<()> {
        let wait = move || {
            let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
            retry_on_intr(|| poll(&mut watched, None)).map(drop)
        };
        tokio::task::spawn_blocking(wait).await.map_err(io::Error::other)?.map_err(Into::into)
    }
}
