//! What a group may use, in our words; how the kernel is told is in `settings`.

use std::{fs, io, os::unix::fs::MetadataExt, path::PathBuf};

use crate::{Bandwidth, CpuList, DiskRates, disks::Disks};

/// What all processes of an instance may use together. The default limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU time per time: never more, even if the host is idle.
    pub cpu: Option<CpuQuota>,
    /// The share of CPU time when all want it.
    pub cpu_weight: Option<Weight>,
    /// On which CPUs.
    pub cpus: Option<CpuList>,
    /// Bytes; who needs more is killed.
    pub memory_max: Option<u64>,
    /// Bytes; who needs more is slowed down and gives back what it can. v1 heeds it only when the
    /// whole host is short.
    pub memory_high: Option<u64>,
    /// Bytes that the kernel takes back last when the host is short. v1 has no such thing.
    pub memory_low: Option<u64>,
    /// Bytes of swap, beside memory.
    pub swap_max: Option<u64>,
    /// The share of the disks when all want them.
    pub io_weight: Option<Weight>,
    /// For single devices.
    pub devices: Vec<DeviceLimit>,
    /// Processes and threads.
    pub tasks_max: Option<u64>,
    /// What its sockets may send and receive; set when the group is made, and never changed.
    pub bandwidth: Bandwidth,
}

impl Limits {
    /// Of several limits of one device each holds: the kernel keeps one, the strictest.
    pub(crate) fn add_device(&mut self, limit: DeviceLimit) {
        match self.devices.iter_mut().find(|it| it.device == limit.device) {
            Some(known) => *known = known.and(limit),
            None => self.devices.push(limit),
        }
    }

    /// As if the key had not been written.
    pub(super) fn leave_out(&mut self, key: &str) {
        match key {
            "cpu" => self.cpu = None,
            "cpu_weight" => self.cpu_weight = None,
            "cpus" => self.cpus = None,
            "memory" => self.memory_max = None,
            "memory_high" => self.memory_high = None,
            "memory_low" => self.memory_low = None,
            "swap" => self.swap_max = None,
            "io_weight" => self.io_weight = None,
            "io" => self.devices.clear(),
            "tasks_max" => self.tasks_max = None,
            other => unreachable!("no setting has the key `{other}`"),
        }
    }
}

/// CPU time per time, in thousandths of one CPU; at least 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota(u32);

/// 1 to 10000; who says nothing has 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(pub(super) u16);

/// What may pass to and from one block device, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceLimit {
    /// The device's major and minor number; of a whole disk, not of a partition.
    pub device: (u32, u32),
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub write_bytes: Option<u64>,
    /// Reads.
    pub read_operations: Option<u64>,
    /// Writes.
    pub write_operations: Option<u64>,
}

/// A path without a disk to be limited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceLimitError {
    /// Nothing to look at.
    #[error("could not find the disk of `{}`", path.display())]
    Look {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its file system lies in memory, on the network, or on several disks.
    #[error(
        "`{}` is on no disk of its own that could be limited\nhint: name the disk itself, such as `/dev/sda`, or a path on it",
        path.display()
    )]
    NoDisk {
        /// As given.
        path: PathBuf,
    },
}

/// The period in which the kernel counts CPU time, in microseconds: its default.
pub(super) const CPU_PERIOD: u64 = 100_000;

impl CpuQuota {
    /// `None` below a hundredth of a CPU, which the kernel cannot enforce, or above a million.
    pub fn from_cores(cores: f64) -> Option<Self> {
        let thousandths = (cores * 1000.0).round();
        (10.0..=1e9).contains(&thousandths).then_some(Self(thousandths as u32))
    }

    /// CPUs' worth of time.
    pub fn cores(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    pub(super) fn microseconds(self) -> u64 {
        u64::from(self.0) * CPU_PERIOD / 1000
    }
}

impl Weight {
    /// `None` outside 1 to 10000.
    pub fn new(weight: u16) -> Option<Self> {
        (1..=10_000).contains(&weight).then_some(Self(weight))
    }

    /// v1's default is 1024, v2's 100.
    pub(super) fn shares(self) -> u64 {
        (u64::from(self.0) * 1024 / 100).max(2)
    }

    /// bfq knows 1 to 1000, with the same 100 in the middle: both halves are stretched.
    pub(super) fn bfq(self) -> u64 {
        match u64::from(self.0) {
            low @ ..=100 => low,
            high => 100 + (high - 100) * 900 / 9900,
        }
    }
}

impl DeviceLimit {
    /// No limit yet for the disk on which a file, a directory or a device node is.
    ///
    /// # Errors
    /// When the path cannot be looked at.
    pub fn of_disk(path: impl Into<PathBuf>) -> Result<Self, DeviceLimitError> {
        let path = path.into();
        match disk_of(&path) {
            Ok(device) if !Disks::of_this_host().has(device) => {
                Err(DeviceLimitError::NoDisk { path })
            }
            Ok(device) => Ok(Self { device, ..Self::default() }),
            Err(source) => Err(DeviceLimitError::Look { path, source }),
        }
    }

    /// Both, of the same device.
    fn and(self, other: Self) -> Self {
        let stricter = |one: Option<u64>, two: Option<u64>| one.into_iter().chain(two).min();
        Self {
            device: self.device,
            read_bytes: stricter(self.read_bytes, other.read_bytes),
            write_bytes: stricter(self.write_bytes, other.write_bytes),
            read_operations: stricter(self.read_operations, other.read_operations),
            write_operations: stricter(self.write_operations, other.write_operations),
        }
    }

    pub(super) fn limits_writes(&self) -> bool {
        self.write_bytes.is_some() || self.write_operations.is_some()
    }

    pub(crate) fn of_rates(rates: &DiskRates) -> Result<Self, DeviceLimitError> {
        Ok(Self {
            read_bytes: rates.read_bytes,
            write_bytes: rates.write_bytes,
            read_operations: rates.read_operations,
            write_operations: rates.write_operations,
            ..Self::of_disk(&rates.path)?
        })
    }
}

/// The kernel throttles whole disks: a partition's parent in sysfs is its disk.
fn disk_of(path: &PathBuf) -> io::Result<(u32, u32)> {
    const BLOCK_DEVICE: u32 = 0o060_000;
    const KIND: u32 = 0o170_000;
    let metadata = fs::metadata(path)?;
    let number =
        if metadata.mode() & KIND == BLOCK_DEVICE { metadata.rdev() } else { metadata.dev() };
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let node = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if !node.join("partition").exists() {
        return Ok((major, minor));
    }
    let text = fs::read_to_string(fs::canonicalize(node)?.join("../dev"))?;
    let numbers = text.trim().split_once(':');
    let parsed =
        numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_of_one_disk_the_stricter_holds() {
        let mut limits = Limits::default();
        let of = |device, read_bytes, write_bytes| DeviceLimit {
            device,
            read_bytes,
            write_bytes,
            ..DeviceLimit::default()
        };
        limits.add_device(of((8, 0), Some(1), None));
        limits.add_device(of((8, 0), Some(5), Some(7)));
        limits.add_device(of((8, 16), Some(9), None));
        assert_eq!(limits.devices, [of((8, 0), Some(1), Some(7)), of((8, 16), Some(9), None)]);
    }

    #[test]
    fn quotas_and_weights_outside_the_kernels_bounds_are_refused() {
        assert!(CpuQuota::from_cores(0.001).is_none() && CpuQuota::from_cores(f64::NAN).is_none());
        assert!(Weight::new(0).is_none() && Weight::new(10_001).is_none());
        assert_eq!(Weight::new(10_000).unwrap().bfq(), 1000);
    }
}
