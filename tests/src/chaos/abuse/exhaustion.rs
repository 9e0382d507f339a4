//! What runs out: room on disks, descriptors.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Scene, Victim};
use crate::chaos::{
    action::{Disk, Holder},
    disks::Filler,
    processes::descriptors,
};

impl Scene {
    pub(super) async fn fill_disk(&self, disk: Disk, ms: u64) -> Result<String> {
        let directory = match disk {
            Disk::Data => self.place.data(),
            Disk::Logs => self.place.logs(),
        };
        let (filler, taken) = Filler::fill(&directory);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        drop(filler);
        Ok(format!("the disk {disk:?} was full for {ms} ms, {taken} bytes of it ours"))
    }

    /// Lowers the limit of a process to what it has open, and raises it again.
    pub(super) async fn exhaust_descriptors(
        &self,
        victim: Victim,
        holder: Holder,
        ms: u64,
    ) -> Result<String> {
        let pid = match holder {
            Holder::Node => victim.node,
            Holder::Identity => self.main_process("identity")?.pid,
            Holder::Storage => self.main_process("storage")?.pid,
        };
        let target = Pid::from_raw(pid).context("no pid")?;
        let count = descriptors(pid).len();
        // Only the soft limit may be raised again; the hard one stays what it is. It is raised to that,
        // because what was read may be what another one like this has lowered it to.
        let maximum = hard_limit(pid).context("could not read the limit")?;
        let low = Rlimit { current: Some(count as u64), maximum: Some(maximum) };
        prlimit(Some(target), Resource::Nofile, low).context("could not lower the limit")?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let high = Rlimit { current: Some(maximum), maximum: Some(maximum) };
        let raised = prlimit(Some(target), Resource::Nofile, high).is_ok();
        Ok(format!("{holder:?} had no descriptor beyond {count} for {ms} ms, lived on: {raised}"))
    }
}

fn hard_limit(pid: i32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(4)?.parse().ok()
}
