//! Who goes first: CPU and I/O priority, scheduler, CPUs, and whom the kernel kills when memory ends.

use rustix::{
    fs::{Mode, OFlags, open},
    io::write,
    process::{getpriority_process, getrlimit, setpriority_process},
    thread::{CapabilitySet, CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::{CpuList, Downgrade, Enforcement, Host, Refused, Step, disks::Disks, syscall};

/// Who goes first. The default leaves everything as the node's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Priorities {
    /// -20 (first) to 19 (last).
    pub nice: Option<i8>,
    /// Which I/O goes first, where the disk's scheduler heeds it (bfq, mq-deadline).
    pub io: Option<IoPriority>,
    /// How the kernel shares CPU time.
    pub scheduler: Option<Scheduler>,
    /// On which CPUs it may run.
    pub affinity: Option<CpuList>,
    /// -1000 (never killed) to 1000 (killed first), when the host's memory ends.
    pub oom_score_adjust: Option<i16>,
}

/// Which I/O goes first. Levels are 0 (first) to 7 (last).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoPriority {
    /// Before all others.
    Realtime(u8),
    /// The usual.
    BestEffort(u8),
    /// Only when nobody else wants the disk.
    Idle,
}

/// How the kernel shares CPU time (`man 7 sched`). Priorities are 1 (last) to 99 (first).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduler {
    /// The usual.
    Normal,
    /// Long computations: woken less eagerly.
    Batch,
    /// Only when nobody else wants the CPU.
    Idle,
    /// Real time, until it waits.
    Fifo(u8),
    /// Real time, in turns.
    RoundRobin(u8),
}

/// A priority that cannot be given here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PriorityError {
    /// The kernel knows no such level.
    #[error("{what} = {wanted} is outside {lowest} to {highest}")]
    OutOfRange {
        /// Which priority.
        what: &'static str,
        /// As asked.
        wanted: i32,
        /// The least that is possible.
        lowest: i32,
        /// The most that is possible.
        highest: i32,
    },
    /// Only root, or who has the capability, may go before others.
    #[error(
        "{what} = {wanted} needs {capability}, which the node lacks\nhint: run the node as root or give it {capability}, or ask for {least} or more"
    )]
    NotPermitted {
        /// Which priority.
        what: &'static str,
        /// As asked.
        wanted: String,
        /// What is lacking.
        capability: &'static str,
        /// What would be granted.
        least: String,
    },
    /// Some of the CPUs do not exist, or the node itself may not use them.
    #[error(
        "affinity = {wanted}: there is no {missing} here, only {usable}\nhint: leave {missing} out, or write `enforce = \"best_effort\"`"
    )]
    NoSuchCpu {
        /// As asked.
        wanted: String,
        /// Of these.
        missing: String,
        /// As the kernel says.
        usable: String,
    },
    /// The kernel takes it, and nothing comes of it.
    #[error(
        "io_priority has no effect: no disk here has a scheduler that heeds it (bfq, mq-deadline)\nhint: `echo mq-deadline > /sys/block/DISK/queue/scheduler`, or leave it out"
    )]
    NoHeed,
}

/// Priorities that were found settable, as the kernel wants them.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    nice: Option<i32>,
    io: Option<i32>,
    scheduler: Option<(i32, i32)>,
    affinity: Option<CpuSet>,
    oom_score_adjust: Option<Box<[u8]>>,
}

impl Priorities {
    pub(crate) fn check(
        &self,
        host: &Host,
        enforcement: Enforcement,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<Checked, PriorityError> {
        let nice = self.nice.map(|nice| check_nice(nice.into(), host));
        let io = self.io.map(|io| io.check(host));
        let scheduler = self.scheduler.map(|scheduler| scheduler.check(host));
        let affinity = self.affinity.as_ref().map(check_affinity);
        let within = self.affinity.as_ref().zip(usable_cpus());
        let within = within.and_then(|(wanted, usable)| wanted.within(&usable));
        let score = self.oom_score_adjust.map(|score| check_oom_score(score.into(), host));
        let mut grant = Grant { enforcement, downgraded };
        Ok(Checked {
            nice: grant.of("nice", nice)?,
            io: grant.of("io_priority", io)?,
            scheduler: grant.of("scheduler", scheduler)?,
            affinity: grant.of("affinity", affinity)?.or(within.map(|cpus| cpus.raw())),
            oom_score_adjust: grant.of("oom_score_adj", score)?,
        })
    }
}

impl Scheduler {
    pub(crate) fn is_realtime(self) -> bool {
        matches!(self, Self::Fifo(_) | Self::RoundRobin(_))
    }
}

impl Checked {
    /// Without what needs a real-time scheduler.
    pub(crate) fn leave_out_scheduler(&mut self) {
        self.scheduler = None;
    }

    /// Async-signal-safe.
    pub(crate) fn apply(&self) -> Result<(), Refused> {
        if let Some(score) = &self.oom_score_adjust {
            let step = Step::SetOomScore;
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = open(c"/proc/self/oom_score_adj", flags, Mode::empty())
                .map_err(Refused::at(step))?;
            write(&file, score).map_err(Refused::at(step))?;
        }
        if let Some((policy, priority)) = self.scheduler {
            syscall::set_scheduler(policy, priority).map_err(Refused::at(Step::SetScheduler))?;
        }
        if let Some(nice) = self.nice {
            setpriority_process(None, nice).map_err(Refused::at(Step::SetNice))?;
        }
        if let Some(io) = self.io {
            syscall::set_io_priority(io).map_err(Refused::at(Step::SetIoPriority))?;
        }
        if let Some(cpus) = &self.affinity {
            sched_setaffinity(None, cpus).map_err(Refused::at(Step::SetAffinity))?;
        }
        Ok(())
    }
}

struct Grant<'a> {
    enforcement: Enforcement,
    downgraded: &'a mut Vec<Downgrade>,
}

impl Grant<'_> {
    fn of<T>(
        &mut self,
        key: &'static str,
        checked: Option<Result<T, PriorityError>>,
    ) -> Result<Option<T>, PriorityError> {
        let settle = |result| self.enforcement.settle(key, result, self.downgraded);
        checked.map_or(Ok(None), settle)
    }
}

fn within(what: &'static str, wanted: i32, lowest: i32, highest: i32) -> Result<(), PriorityError> {
    match (lowest..=highest).contains(&wanted) {
        true => Ok(()),
        false => Err(PriorityError::OutOfRange { what, wanted, lowest, highest }),
    }
}

/// `RLIMIT_NICE` holds 20 minus the lowest value that may be set without the capability.
fn check_nice(wanted: i32, host: &Host) -> Result<i32, PriorityError> {
    within("nice", wanted, -20, 19)?;
    let own = getpriority_process(None).unwrap_or(0);
    let allowance = getrlimit(rustix::process::Resource::Nice).current.unwrap_or(40);
    let least = own.min(20 - i32::try_from(allowance).unwrap_or(40).min(40));
    if wanted < least && !host.may(CapabilitySet::SYS_NICE) {
        let (wanted, least) = (wanted.to_string(), least.to_string());
        let capability = "CAP_SYS_NICE";
        return Err(PriorityError::NotPermitted { what: "nice", wanted, capability, least });
    }
    Ok(wanted)
}

/// `None` when the kernel does not say.
fn usable_cpus() -> Option<CpuList> {
    CpuList::of_raw(&sched_getaffinity(None).ok()?)
}

fn check_affinity(wanted: &CpuList) -> Result<CpuSet, PriorityError> {
    let usable = usable_cpus();
    match usable.as_ref().and_then(|usable| Some((usable, wanted.without(usable)?))) {
        None => Ok(wanted.raw()),
        Some((usable, missing)) => Err(PriorityError::NoSuchCpu {
            wanted: wanted.to_string(),
            missing: missing.to_string(),
            usable: usable.to_string(),
        }),
    }
}

fn check_oom_score(wanted: i32, host: &Host) -> Result<Box<[u8]>, PriorityError> {
    within("oom_score_adj", wanted, -1000, 1000)?;
    let own = host.oom_score_adjust_min;
    if wanted < own && !host.may(CapabilitySet::SYS_RESOURCE) {
        return Err(PriorityError::NotPermitted {
            what: "oom_score_adj",
            wanted: wanted.to_string(),
            capability: "CAP_SYS_RESOURCE",
            least: own.to_string(),
        });
    }
    Ok(wanted.to_string().into_bytes().into_boxed_slice())
}

impl IoPriority {
    fn check(self, host: &Host) -> Result<i32, PriorityError> {
        const CLASS_SHIFT: i32 = 13;
        let (class, level) = match self {
            Self::Realtime(level) => (1, level),
            Self::BestEffort(level) => (2, level),
            Self::Idle => (3, 0),
        };
        within("io_priority", level.into(), 0, 7)?;
        let may = host.may(CapabilitySet::SYS_ADMIN) || host.may(CapabilitySet::SYS_NICE);
        if matches!(self, Self::Realtime(_)) && !may {
            return Err(PriorityError::NotPermitted {
                what: "io_priority",
                wanted: format!("realtime {level}"),
                capability: "CAP_SYS_NICE",
                least: "best-effort 0".to_owned(),
            });
        }
        match Disks::of_this_host().heed_priority() {
            true => Ok(class << CLASS_SHIFT | i32::from(level)),
            false => Err(PriorityError::NoHeed),
        }
    }
}

impl Scheduler {
    fn check(self, host: &Host) -> Result<(i32, i32), PriorityError> {
        let (policy, priority) = match self {
            Self::Normal => return Ok((libc::SCHED_OTHER, 0)),
            Self::Batch => return Ok((libc::SCHED_BATCH, 0)),
            Self::Idle => return Ok((libc::SCHED_IDLE, 0)),
            Self::Fifo(priority) => (libc::SCHED_FIFO, i32::from(priority)),
            Self::RoundRobin(priority) => (libc::SCHED_RR, i32::from(priority)),
        };
        within("scheduler priority", priority, 1, 99)?;
        let allowance = getrlimit(rustix::process::Resource::Rtprio).current.unwrap_or(99);
        if priority as u64 > allowance && !host.may(CapabilitySet::SYS_NICE) {
            return Err(PriorityError::NotPermitted {
                what: "scheduler",
                wanted: format!("real time {priority}"),
                capability: "CAP_SYS_NICE",
                least: "normal".to_owned(),
            });
        }
        Ok((policy, priority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinary() -> Host {
        Host { capabilities: CapabilitySet::empty(), ..Host::detect() }
    }

    #[test]
    fn levels_outside_the_kernels_are_refused() {
        let error = check_nice(20, &ordinary()).unwrap_err();
        assert_eq!(error.to_string(), "nice = 20 is outside -20 to 19");
        assert!(IoPriority::BestEffort(8).check(&ordinary()).is_err());
        assert!(Scheduler::Fifo(0).check(&ordinary()).is_err());
        assert!(check_oom_score(1001, &ordinary()).is_err());
    }

    #[test]
    fn an_ordinary_user_may_step_back_but_not_forward() {
        check_nice(19, &ordinary()).unwrap();
        let idle = IoPriority::Idle.check(&ordinary());
        assert!(matches!(idle, Ok(_) | Err(PriorityError::NoHeed)), "{idle:?}");
        Scheduler::Batch.check(&ordinary()).unwrap();
        let error = IoPriority::Realtime(0).check(&ordinary()).unwrap_err();
        assert!(error.to_string().contains("needs CAP_SYS_NICE"), "{error}");
        let error = check_oom_score(-1000, &ordinary()).unwrap_err();
        assert!(error.to_string().contains("needs CAP_SYS_RESOURCE"), "{error}");
    }

    #[test]
    fn cpus_that_do_not_exist_are_refused() {
        let none = check_affinity(&"1000-1001".parse().unwrap()).unwrap_err();
        assert!(none.to_string().contains("there is no 1000-1001 here"), "{none}");
        let first = usable_cpus().unwrap().to_string();
        let first = first.split(['-', ',']).next().unwrap();
        let some = check_affinity(&format!("{first},1000").parse().unwrap()).unwrap_err();
        assert!(some.to_string().contains("there is no 1000 here"), "{some}");
    }

    #[test]
    fn who_need_not_have_all_cpus_has_those_that_are_there() {
        let first = usable_cpus().unwrap().to_string();
        let first = first.split(['-', ',']).next().unwrap();
        let wanted = Priorities {
            affinity: Some(format!("{first},1000").parse().unwrap()),
            ..Priorities::default()
        };
        let mut downgraded = Vec::new();
        let checked = wanted.check(&ordinary(), Enforcement::BestEffort, &mut downgraded).unwrap();
        let got = CpuList::of_raw(&checked.affinity.unwrap()).unwrap();
        assert_eq!((got.to_string().as_str(), downgraded[0].key), (first, "affinity"));
    }
}
