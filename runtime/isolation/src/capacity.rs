//! What there is to divide: what the host has, or what the node's own control groups leave of it.
//!
//! Read when the node starts; nothing is kept open.

use std::path::Path;

use super::cgroup::{Controller, Mounts, ceilings};

/// CPU time and memory that this process and its children may have together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// CPUs' time: 1.5 is one and a half CPUs.
    pub cpus: f64,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Capacity {
    /// The least of what the host has and what any group above this process permits. A host whose
    /// memory cannot be told has as much as one likes.
    pub fn detect() -> Self {
        Self::detect_at(Path::new("/proc"), &Mounts::detect())
    }

    /// As [`Capacity::detect`], with `proc_root` in the place of `/proc`.
    pub(crate) fn detect_at(proc_root: &Path, mounts: &Mounts) -> Self {
        let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
        let meminfo = std::fs::read_to_string(proc_root.join("meminfo")).unwrap_or_default();
        let ceiling = |controller| ceilings(mounts, controller).into_iter();
        Self {
            cpus: ceiling(Controller::Cpu).fold(parallelism as f64, f64::min),
            memory_bytes: ceiling(Controller::Memory)
                .map(|bytes| bytes as u64)
                .fold(total_of(&meminfo).unwrap_or(u64::MAX), u64::min),
        }
    }
}

/// `MemTotal:       24682920 kB`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_memory_is_read() {
        let text = "MemTotal:       24682920 kB\nMemFree:        17879040 kB\n";
        assert_eq!(total_of(text), Some(24_682_920 << 10));
        assert_eq!(total_of(""), None);
    }

    #[test]
    fn there_is_something_to_divide() {
        let capacity = Capacity::detect();
        assert!(capacity.cpus > 0.0 && capacity.memory_bytes > 1 << 20, "{capacity:?}");
    }
}
