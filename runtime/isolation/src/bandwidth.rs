//! How many bytes in a second the sockets of a group may send and receive.
//!
//! A program of the kernel's own machine sees each packet of a socket that was made in the group, on
//! whatever device and in whatever network, loopback included, and drops what comes too fast. Sockets that
//! somebody else made and passed on belong to that somebody: so do the connections that they accept.
//! Devices and their queues are left alone.

mod bpf;
mod bucket;

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    io::Errno,
    thread::{CapabilitySet, capabilities},
};

use bpf::{LoadError, Program};

/// What the sockets of a group may send and receive. The default limits nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes sent in a second; not 0.
    pub egress_max: Option<u64>,
    /// Bytes received in a second; not 0.
    pub ingress_max: Option<u64>,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Egress,
    Ingress,
}

/// Why nothing can be limited here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BandwidthError {
    /// Only v2's groups have programs.
    #[error("there is no cgroup v2 hierarchy in which the node may make groups")]
    NoHierarchy,
    /// Attaching takes it.
    #[error("it takes CAP_NET_ADMIN and CAP_BPF, or root")]
    NotPermitted,
    /// Of the bucket that the program shares with its later runs.
    #[error("could not make the map of the program that counts bytes")]
    Map(#[source] Errno),
    /// By the kernel's verifier, if it says anything.
    #[error("could not load the program that counts bytes{}", said(.log))]
    Load {
        /// The verifier's last words.
        log: String,
        /// The kernel's reason.
        source: Errno,
    },
    /// To the group.
    #[error("could not attach the program that counts bytes to the group")]
    Attach(#[source] Errno),
}

fn said(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(" ({log})") }
}

/// What is attached to a group, loaded and found good by the kernel.
#[derive(Debug)]
pub(crate) struct Loaded(Vec<(Direction, OwnedFd)>);

impl Bandwidth {
    /// Loads what the limits need; without being attached it does nothing. `None` if they need
    /// nothing.
    pub(crate) fn load(&self) -> Result<Option<Loaded>, BandwidthError> {
        let asked: Vec<_> = self.rates().collect();
        if asked.is_empty() {
            return Ok(None);
        }
        // The kernel may load such a program for anybody, and asks only who attaches it.
        let own = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        if !own.contains(CapabilitySet::NET_ADMIN) {
            return Err(BandwidthError::NotPermitted);
        }
        let programs = asked.into_iter().map(|(direction, rate)| load(direction, rate));
        Ok(Some(Loaded(programs.collect::<Result<_, _>>()?)))
    }

    fn rates(&self) -> impl Iterator<Item = (Direction, u64)> {
        let egress = self.egress_max.map(|rate| (Direction::Egress, rate));
        egress.into_iter().chain(self.ingress_max.map(|rate| (Direction::Ingress, rate)))
    }
}

fn load(direction: Direction, rate: u64) -> Result<(Direction, OwnedFd), BandwidthError> {
    let map = bpf::make_array(bucket::BYTES).map_err(|source| match source {
        Errno::PERM => BandwidthError::NotPermitted,
        source => BandwidthError::Map(source),
    })?;
    let instructions = bucket::program(direction, rate, map.as_raw_fd());
    let program = Program { instructions: &instructions, attach_type: direction.attach_type() };
    match program.load() {
        Ok(program) => Ok((direction, program)),
        Err(LoadError { source: Errno::PERM, .. }) => Err(BandwidthError::NotPermitted),
        Err(LoadError { log, source }) => Err(BandwidthError::Load { log, source }),
    }
}

impl Loaded {
    /// From now on, until the group is removed.
    pub(crate) fn attach(&self, group: BorrowedFd<'_>) -> Result<(), BandwidthError> {
        let mut all = self.0.iter();
        all.try_for_each(|(direction, program)| {
            bpf::attach(program, group, direction.attach_type())
        })
        .map_err(BandwidthError::Attach)
    }
}

impl Direction {
    /// `enum bpf_attach_type` of linux/bpf.h.
    fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => 0,
            Self::Egress => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_verifier_accepts_what_is_written_for_it() {
        for rate in [1, 1 << 20, u64::MAX] {
            let both = Bandwidth { egress_max: Some(rate), ingress_max: Some(rate) };
            match both.load() {
                Ok(loaded) => assert_eq!(loaded.map(|it| it.0.len()), Some(2)),
                Err(BandwidthError::NotPermitted) => return,
                Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            }
        }
    }

    #[test]
    fn who_asks_for_nothing_needs_nothing() {
        assert!(matches!(Bandwidth::default().load(), Ok(None)));
    }
}
