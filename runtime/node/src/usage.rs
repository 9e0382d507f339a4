//! What processes use, read only while somebody looks.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use blackhole_isolation::{ProcessUsage, usage_of};

/// What one process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) memory_bytes: u64,
    /// Processor time since the process began.
    pub(crate) cpu: Duration,
    /// Of one core, since the previous look; 100 is one core busy. At the first look: since the
    /// process began, as far as that can be told, else zero.
    pub(crate) cpu_percent: f64,
    /// Open file descriptors; zero when the node may not look.
    pub(crate) descriptors: u64,
    /// Threads.
    pub(crate) threads: u64,
}

/// Samples older than this are forgotten: their processes are gone, or nobody looks any more.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(600);

/// Looks at processes, and remembers the previous look to tell what they do now.
#[derive(Debug, Default)]
pub(crate) struct Sampler(Mutex<HashMap<u32, Sample>>);

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    /// Between boot and the process's start: a reused pid is another process.
    started: Duration,
    cpu: Duration,
    percent: f64,
}

/// Two looks closer together than this give the same percentage.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

impl Sampler {
    /// What a process uses; `None` when it is gone.
    pub(crate) fn of(&self, pid: u32) -> Option<Usage> {
        let usage = usage_of(pid).ok()?;
        Some(Usage {
            memory_bytes: usage.memory_bytes,
            cpu: usage.cpu,
            cpu_percent: self.percent(pid, &usage),
            descriptors: usage.descriptors.unwrap_or(0),
            threads: usage.threads,
        })
    }

    /// What the node itself uses.
    pub(crate) fn own(&self) -> Usage {
        self.of(std::process::id()).unwrap_or_default()
    }

    fn percent(&self, pid: u32, usage: &ProcessUsage) -> f64 {
        let now = Instant::now();
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = samples.get(&pid).filter(|sample| sample.started == usage.started).copied();
        let percent = match previous {
            Some(sample) if now - sample.at < INTERVAL_MIN => return sample.percent,
            Some(sample) => share(usage.cpu.saturating_sub(sample.cpu), now - sample.at),
            None => {
                since_boot().map_or(0.0, |up| share(usage.cpu, up.saturating_sub(usage.started)))
            }
        };
        samples.retain(|_, sample| now - sample.at < SAMPLE_AGE_MAX);
        let sample = Sample { at: now, started: usage.started, cpu: usage.cpu, percent };
        samples.insert(pid, sample);
        percent
    }
}

fn share(cpu: Duration, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0 }
}

/// How long the machine has been up, on the clock that dates the starts of processes.
fn since_boot() -> Option<Duration> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::new(u64::try_from(now.tv_sec).ok()?, u32::try_from(now.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_itself_uses_memory_and_a_process_that_is_gone_uses_nothing() {
        let sampler = Sampler::default();
        let own = sampler.own();
        assert!(own.memory_bytes > 100_000 && own.threads > 0 && own.descriptors > 0, "{own:?}");
        assert_eq!(sampler.of(u32::MAX / 2), None);
    }
}
