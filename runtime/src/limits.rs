//! What each process of a service may use, said in code: the common keys of `[services.X.resources]`.
//! [`ServiceSpec::resource`] says the others.

use crate::{ServiceSpec, Size};

impl ServiceSpec {
    /// CPUs' time that is never exceeded: 1.5 is one and a half CPUs.
    #[track_caller]
    pub fn cpu(self, cpus: f64) -> Self {
        self.resource("cpu", cpus)
    }

    /// CPU time relative to others, from 1 to 10000, 100 being normal.
    #[track_caller]
    pub fn cpu_weight(self, weight: u32) -> Self {
        self.resource("cpu_weight", weight)
    }

    /// I/O relative to others, from 1 to 10000, 100 being normal.
    #[track_caller]
    pub fn io_weight(self, weight: u32) -> Self {
        self.resource("io_weight", weight)
    }

    /// Memory that is never exceeded: beyond it the kernel kills.
    #[track_caller]
    pub fn memory(self, memory: Size) -> Self {
        self.resource("memory", memory)
    }

    /// Memory beyond which it is slowed down.
    #[track_caller]
    pub fn memory_high(self, memory: Size) -> Self {
        self.resource("memory_high", memory)
    }

    /// Swap that is never exceeded.
    #[track_caller]
    pub fn swap(self, swap: Size) -> Self {
        self.resource("swap", swap)
    }

    /// What its own directory may hold: near it is warned of, beyond it the service is stopped.
    #[track_caller]
    pub fn disk(self, disk: Size) -> Self {
        self.resource("disk", disk)
    }

    /// Open files.
    #[track_caller]
    pub fn files_max(self, files_max: u32) -> Self {
        self.resource("files_max", files_max)
    }

    /// Processes and threads.
    #[track_caller]
    pub fn tasks_max(self, tasks_max: u32) -> Self {
        self.resource("tasks_max", tasks_max)
    }

    /// Scheduling priority, from -20 to 19; lower is more.
    #[track_caller]
    pub fn nice(self, nice: i32) -> Self {
        self.resource("nice", nice)
    }
}
