//! The little that a rule needs to know of a group, again and again: four small reads; and what its
//! lever is good for.

use std::time::Duration;

use super::{Controller, Group, GroupError, file};

/// What all processes of a group use. `None` is what no hierarchy of this host counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consumption {
    /// Memory that is in use: without those parts of the page cache that nobody has asked for
    /// again, which the kernel takes back first.
    pub memory_bytes: Option<u64>,
    /// CPU time since the group was made.
    pub cpu: Option<Duration>,
}

impl Group {
    /// What all its processes use now, those that have ended included in the CPU time.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn consumption(&self) -> Result<Consumption, GroupError> {
        Ok(Consumption { memory_bytes: self.memory_in_use()?, cpu: self.cpu_time()? })
    }

    /// Whether who is above `memory_high` is slowed down at once. v1 only takes memory back from it
    /// first when the whole host is short.
    pub fn heeds_memory_high(&self) -> bool {
        !self.legacy.contains_key(&Controller::Memory)
    }

    /// Whether what is below `memory_low` is taken back last, as v1 knows no way to.
    pub fn heeds_memory_low(&self) -> bool {
        self.unified_for(Controller::Memory).is_some()
    }

    fn memory_in_use(&self) -> Result<Option<u64>, GroupError> {
        let (directory, current, reclaimable) =
            match (self.legacy.get(&Controller::Memory), self.unified_for(Controller::Memory)) {
                (Some(it), _) => (it.as_path(), "memory.usage_in_bytes", "total_inactive_file"),
                (None, Some(it)) => (it, "memory.current", "inactive_file"),
                (None, None) => return Ok(None),
            };
        let Some(current) = file::number(&directory.join(current))? else { return Ok(None) };
        let reclaimable = file::entry(&directory.join("memory.stat"), reclaimable)?;
        Ok(Some(current.saturating_sub(reclaimable.unwrap_or(0))))
    }

    fn cpu_time(&self) -> Result<Option<Duration>, GroupError> {
        if let Some(directory) = self.unified_directory()
            && let Some(micros) = file::entry(&directory.join("cpu.stat"), "usage_usec")?
        {
            return Ok(Some(Duration::from_micros(micros)));
        }
        let Some(directory) = self.legacy.get(&Controller::Cpu) else { return Ok(None) };
        Ok(file::number(&directory.join("cpuacct.usage"))?.map(Duration::from_nanos))
    }
}
