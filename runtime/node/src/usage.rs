//! What processes use, read only while somebody looks.

use std::{
    collections::HashMap,
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What one process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Resident memory.
    pub memory_bytes: u64,
    /// Processor time since the process began.
    pub cpu: Duration,
    /// Of one core, since the previous look; 100 is one core busy.
    pub cpu_percent: f64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}
