//! What a group uses, has used at most, and how often it was held back or killed.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Controller, Group, GroupError, file};

/// What all processes of a group use. `None` is what no hierarchy of this host counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct GroupUsage {
    /// Memory now, with the page cache that it caused.
    pub memory_bytes: Option<u64>,
    /// Memory now, without page cache that was not used lately: what cannot be had back for nothing.
    pub memory_in_use_bytes: Option<u64>,
    /// The limit of its memory, if it has one.
    pub memory_max_bytes: Option<u64>,
    /// The most memory since the group was made.
    pub memory_peak_bytes: Option<u64>,
    /// Processes that the kernel killed for want of memory, since the group was made.
    pub oom_kills: Option<u64>,
    /// Swap now.
    pub swap_bytes: Option<u64>,
    /// CPU time since the group was made.
    pub cpu: Option<Duration>,
    /// Time that it was held back by its CPU quota.
    pub throttled: Option<Duration>,
    /// Periods, of 100 ms each, in which it was held back.
    pub throttled_periods: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_written_bytes: Option<u64>,
    /// Processes and threads now.
    pub tasks: Option<u64>,
    /// Pressure on the CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Pressure on memory.
    pub memory_pressure: Option<Pressure>,
    /// Pressure on block devices.
    pub io_pressure: Option<Pressure>,
}

/// How much of the last ten seconds was lost to waiting (`Documentation/accounting/psi`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Percent of the time in which some tasks waited.
    pub some_percent: f64,
    /// Percent of the time in which all tasks waited.
    pub full_percent: f64,
}

/// What running out of memory did to a group since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oom {
    /// Processes that the kernel killed for it.
    pub kills: u64,
    /// Whether its own limit was ever reached; if it was not, a group above or the whole host had
    /// no memory left.
    pub own_limit_reached: bool,
    /// How long ago the count was first read as it is now; nothing if nobody had looked since it rose.
    pub age: Duration,
}

/// When a counter was first read as it is now.
#[derive(Debug, Default)]
pub(super) struct Risen(Mutex<Option<(u64, Instant)>>);

impl Risen {
    fn age(&self, count: u64, now: Instant) -> Duration {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = known.filter(|(before, _)| *before == count).map_or(now, |(_, since)| since);
        *known = Some((count, since));
        now.saturating_duration_since(since)
    }
}

impl Group {
    /// What all its processes use now; some twelve small reads; descriptors and
    /// connections are counted by [`ProcessTable`](crate::ProcessTable).
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn usage(&self) -> Result<GroupUsage, GroupError> {
        let mut usage = GroupUsage::default();
        self.read_memory(&mut usage)?;
        self.read_cpu(&mut usage)?;
        self.read_io(&mut usage)?;
        usage.tasks = self.read(Controller::Tasks, "pids.current", "pids.current")?;
        if let Some(directory) = self.unified_directory() {
            usage.cpu_pressure = pressure(&directory.join("cpu.pressure"))?;
            usage.memory_pressure = pressure(&directory.join("memory.pressure"))?;
            usage.io_pressure = pressure(&directory.join("io.pressure"))?;
        }
        Ok(usage)
    }

    /// What running out of memory did to it; `None` where no memory controller counts.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read.
    pub fn oom(&self) -> Result<Option<Oom>, GroupError> {
        let (kills, own_limit_reached) =
            if let Some(directory) = self.legacy.get(&Controller::Memory) {
                let kills = file::entry(&directory.join("memory.oom_control"), "oom_kill")?;
                (kills, v1_limit_reached(directory)?)
            } else if let Some(directory) = self.unified_for(Controller::Memory) {
                let events = directory.join("memory.events");
                let hits = file::entry(&events, "max")?;
                (file::entry(&events, "oom_kill")?, hits.is_some_and(|hits| hits > 0))
            } else {
                (None, false)
            };
        Ok(kills.map(|kills| {
            let age = self.oom_kills.age(kills, Instant::now());
            Oom { kills, own_limit_reached, age }
        }))
    }

    /// How often its limit of tasks has refused it one; `None` without such a limit.
    ///
    /// # Errors
    /// When the kernel's counter cannot be read.
    pub fn tasks_refused(&self) -> Result<Option<u64>, GroupError> {
        let Some(directory) = self.tasks_max.and_then(|_| self.directory_for(Controller::Tasks))
        else {
            return Ok(None);
        };
        file::entry(&directory.join("pids.events"), "max")
    }

    /// Processes and threads that it may have, if that is limited.
    pub fn tasks_max(&self) -> Option<u64> {
        self.tasks_max
    }

    /// Where a controller's files are, whichever hierarchy has it.
    pub(super) fn directory_for(&self, controller: Controller) -> Option<&Path> {
        let legacy = self.legacy.get(&controller).map(std::path::PathBuf::as_path);
        legacy.or_else(|| self.unified_for(controller))
    }

    fn read(&self, controller: Controller, v1: &str, v2: &str) -> Result<Option<u64>, GroupError> {
        match (self.legacy.get(&controller), self.unified_for(controller)) {
            (Some(directory), _) => file::number(&directory.join(v1)),
            (None, Some(directory)) => file::number(&directory.join(v2)),
            (None, None) => Ok(None),
        }
    }

    fn read_memory(&self, usage: &mut GroupUsage) -> Result<(), GroupError> {
        use Controller::Memory;
        usage.memory_bytes = self.read(Memory, "memory.usage_in_bytes", "memory.current")?;
        usage.memory_peak_bytes = self.read(Memory, "memory.max_usage_in_bytes", "memory.peak")?;
        let inactive = match (self.legacy.get(&Memory), self.unified_for(Memory)) {
            (Some(directory), _) => {
                file::entry(&directory.join("memory.stat"), "total_inactive_file")?
            }
            (None, Some(directory)) => {
                file::entry(&directory.join("memory.stat"), "inactive_file")?
            }
            (None, None) => None,
        };
        let reclaimable = inactive.unwrap_or(0);
        usage.memory_in_use_bytes = usage.memory_bytes.map(|it| it.saturating_sub(reclaimable));
        usage.memory_max_bytes = self.memory_max()?;
        usage.oom_kills = self.oom()?.map(|oom| oom.kills);
        usage.swap_bytes = match self.legacy.get(&Memory) {
            Some(directory) => file::entry(&directory.join("memory.stat"), "swap")?,
            None => self.read(Memory, "", "memory.swap.current")?,
        };
        Ok(())
    }

    /// The limit of its memory, if it has one.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn memory_max(&self) -> Result<Option<u64>, GroupError> {
        use Controller::Memory;
        let path = match (self.legacy.get(&Memory), self.unified_for(Memory)) {
            (Some(directory), _) => directory.join("memory.limit_in_bytes"),
            (None, Some(directory)) => directory.join("memory.max"),
            (None, None) => return Ok(None),
        };
        match file::read_if_there(&path)?.as_deref().map(str::trim) {
            Some("max") | None => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Ok((number < V1_UNLIMITED).then_some(number)),
                Err(_) => Err(GroupError::Form { path, text: text.to_owned() }),
            },
        }
    }

    /// v2 counts CPU time in every group, its controller or not; v1 in a hierarchy of its own,
    /// which often is mounted together with `cpu`.
    fn read_cpu(&self, usage: &mut GroupUsage) -> Result<(), GroupError> {
        if let Some(directory) = self.unified_directory() {
            let stat = directory.join("cpu.stat");
            usage.cpu = file::entry(&stat, "usage_usec")?.map(Duration::from_micros);
            usage.throttled = file::entry(&stat, "throttled_usec")?.map(Duration::from_micros);
            usage.throttled_periods = file::entry(&stat, "nr_throttled")?;
        }
        if let Some(directory) = self.legacy.get(&Controller::Cpu) {
            let stat = directory.join("cpu.stat");
            usage.throttled = file::entry(&stat, "throttled_time")?.map(Duration::from_nanos);
            usage.throttled_periods = file::entry(&stat, "nr_throttled")?;
            let counted = file::number(&directory.join("cpuacct.usage"))?;
            usage.cpu = counted.map(Duration::from_nanos).or(usage.cpu);
        }
        Ok(())
    }

    fn read_io(&self, usage: &mut GroupUsage) -> Result<(), GroupError> {
        let (path, read, written) =
            match (self.legacy.get(&Controller::Io), self.unified_for(Controller::Io)) {
                (Some(it), _) => {
                    (it.join("blkio.throttle.io_service_bytes_recursive"), "Read ", "Write ")
                }
                (None, Some(it)) => (it.join("io.stat"), "rbytes=", "wbytes="),
                (None, None) => return Ok(()),
            };
        let text = file::read_if_there(&path)?;
        usage.io_read_bytes = text.as_deref().map(|text| sum_after(text, read));
        usage.io_written_bytes = text.as_deref().map(|text| sum_after(text, written));
        Ok(())
    }
}

/// v1 writes a number near the largest of an `i64`, rounded down to a page, for no limit.
const V1_UNLIMITED: u64 = 1 << 62;

/// The limit of memory and swap together is tried first but its failures are not counted since
/// Linux 6.13: there the peak is compared with the limit, below which it stays by some pages.
fn v1_limit_reached(directory: &Path) -> Result<bool, GroupError> {
    const NEAR_PERCENT: u64 = 99;
    let read = |name: &str| file::number(&directory.join(name));
    if read("memory.failcnt")?.is_some_and(|failures| failures > 0) {
        return Ok(true);
    }
    let peak = read("memory.memsw.max_usage_in_bytes")?;
    let limit = read("memory.memsw.limit_in_bytes")?;
    Ok(peak.zip(limit).is_some_and(|(peak, limit)| peak >= limit / 100 * NEAR_PERCENT))
}

/// The sum of the numbers that follow a word, over all devices.
fn sum_after(text: &str, word: &str) -> u64 {
    let numbers = text.split(word).skip(1).filter_map(|rest| rest.split_ascii_whitespace().next());
    numbers.filter_map(|number| number.parse::<u64>().ok()).sum()
}

fn pressure(path: &Path) -> Result<Option<Pressure>, GroupError> {
    let text = file::read_if_there(path)?;
    Ok(text.as_deref().and_then(parse_pressure))
}

/// Lines `some avg10=0.12 avg60=…`; the CPU of an old kernel has no line `full`.
fn parse_pressure(text: &str) -> Option<Pressure> {
    let percent = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        line.split_ascii_whitespace().find_map(|it| it.strip_prefix("avg10="))?.parse().ok()
    };
    Some(Pressure {
        some_percent: percent("some ")?,
        full_percent: percent("full ").unwrap_or(0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_as_old_as_the_first_look_that_found_it() {
        let (risen, begin) = (Risen::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(risen.age(0, at(0)), Duration::ZERO);
        assert_eq!(risen.age(0, at(5)), Duration::from_secs(5));
        assert_eq!(risen.age(1, at(7)), Duration::ZERO);
        assert_eq!(risen.age(1, at(10)), Duration::from_secs(3));
    }

    #[test]
    fn pressure_is_that_of_ten_seconds() {
        let text = "some avg10=1.53 avg60=0.44 avg300=0.10 total=7\nfull avg10=0.20 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(parse_pressure(text), Some(Pressure { some_percent: 1.53, full_percent: 0.2 }));
        assert_eq!(parse_pressure(""), None);
    }

    #[test]
    fn io_is_summed_over_devices() {
        let v2 = "8:0 rbytes=100 wbytes=5 rios=1\n8:16 rbytes=11 wbytes=0 rios=1\n";
        assert_eq!((sum_after(v2, "rbytes="), sum_after(v2, "wbytes=")), (111, 5));
        let v1 = "8:0 Read 7\n8:0 Write 9\n8:0 Total 16\nTotal 16\n";
        assert_eq!((sum_after(v1, "Read "), sum_after(v1, "Write ")), (7, 9));
    }
}
