//! Instances that come near their limits: told by the kernel, judged by policy, said as events.
//!
//! One thread, which begins with the first instance that has such a limit and sleeps while the
//! kernel has nothing to tell. Each notice is heard once, then not again before policy has lost
//! interest, so that what hovers about a threshold costs a look in ten seconds. What the kernel does not tell, or not
//! always, is looked at as often.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use blackhole_actors::Clock;
use blackhole_isolation::{Group, GroupError, Notice, Plan, Tells};
use blackhole_policy::{
    moment::Moment,
    usage_alert::{Alert, MemoryAlert, NEAR_PERCENT, OomAlert, QuotaAlert, TasksAlert},
};
use blackhole_protocol::InstanceId;
use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::{Errno, write},
};

use crate::registry::{Change, Registry};

/// The key of the descriptor that announces orders.
const WAKE: u64 = 0;
/// Notices served at a time.
const EVENTS_MAX: usize = 32;
/// What the kernel does not tell, or not always, is looked at so often.
const UNTOLD_INTERVAL: Duration = Duration::from_secs(10);

/// Takes instances in and out; the thread ends with the last handle.
pub(crate) struct LimitWatch {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    clock: Clock,
    orders: Mutex<Orders>,
}

#[derive(Default)]
struct Orders {
    /// Of the thread, once there is one.
    wake: Option<Arc<OwnedFd>>,
    added: Vec<(InstanceId, Weak<Plan>)>,
    known: HashMap<InstanceId, Weak<Plan>>,
    ended: bool,
}

impl LimitWatch {
    pub(crate) fn new(registry: Registry, clock: Clock) -> Self {
        Self { shared: Arc::new(Shared { registry, clock, orders: Mutex::default() }) }
    }

    /// Watches an instance for as long as its plan is kept, if the plan limits what can be watched.
    /// One that is watched already is not watched twice.
    pub(crate) fn add(&self, instance: &InstanceId, plan: &Arc<Plan>) {
        if plan.group().is_none() {
            return;
        }
        let mut orders = self.shared.orders();
        let plan = Arc::downgrade(plan);
        let before = orders.known.insert(instance.clone(), plan.clone());
        if before.is_some_and(|before| before.ptr_eq(&plan)) {
            return;
        }
        orders.known.retain(|_, plan| plan.strong_count() > 0);
        orders.added.push((instance.clone(), plan));
        if orders.wake.is_none() {
            match start(&self.shared) {
                Ok(wake) => orders.wake = Some(wake),
                Err(error) => tracing::warn!(%error, "limits are not watched"),
            }
        }
        orders.wake();
    }
}

impl Drop for LimitWatch {
    fn drop(&mut self) {
        let mut orders = self.shared.orders();
        orders.ended = true;
        orders.wake();
    }
}

impl Orders {
    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Fails only when the counter is full, which means that the thread is being woken.
            let _woken = write(wake, &1_u64.to_ne_bytes());
        }
    }
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(shared: &Arc<Shared>) -> io::Result<Arc<OwnedFd>> {
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
    let watcher = Watcher {
        shared: Arc::downgrade(shared),
        clock: shared.clock,
        wake: wake.clone(),
        epoll,
        watched: HashMap::new(),
        next_key: WAKE + 1,
    };
    thread::Builder::new().name("bh-limits".into()).spawn(|| watcher.run())?;
    Ok(wake)
}

/// The thread's own part.
struct Watcher {
    shared: Weak<Shared>,
    clock: Clock,
    wake: Arc<OwnedFd>,
    epoll: OwnedFd,
    watched: HashMap<u64, Watched>,
    next_key: u64,
}

/// One limit of one instance.
struct Watched {
    instance: InstanceId,
    plan: Weak<Plan>,
    judge: Judge,
    /// `None` where the kernel does not tell.
    notice: Option<Notice>,
    next_look: Option<Moment>,
}

enum Judge {
    Memory(MemoryAlert),
    Oom(OomAlert),
    Quota(QuotaAlert),
    Tasks(TasksAlert),
}

/// Why a limit is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Notice,
    Time,
}

/// A limit that could not be looked at.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("its control group is gone")]
    Gone,
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// What follows from a look at a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attention {
    next_look: Option<Moment>,
    /// Whether the next notice is heard.
    listens: bool,
}

impl Attention {
    /// What is gone may tell without end that it has changed.
    fn after_failure(now: Moment) -> Self {
        Self { next_look: Some(now + UNTOLD_INTERVAL), listens: false }
    }

    /// `tells` is what the kernel tells, if it does; `interest` when policy wants to look again, if it does.
    fn after_look(
        now: Moment,
        occasion: Occasion,
        tells: Option<Tells>,
        interest: Option<Moment>,
    ) -> Self {
        let regular = Some(now + UNTOLD_INTERVAL);
        match tells {
            Some(Tells::Everything) => Self { next_look: interest, listens: interest.is_none() },
            Some(Tells::Something) => {
                Self { next_look: interest.or(regular), listens: occasion == Occasion::Time }
            }
            None => Self { next_look: interest.or(regular), listens: false },
        }
    }
}

impl Watcher {
    fn run(mut self) {
        let mut events = [MaybeUninit::uninit(); EVENTS_MAX];
        loop {
            let told = match epoll::wait(&self.epoll, &mut events, self.patience().as_ref()) {
                Ok((told, _)) => told.iter().map(|event| event.data.u64()).collect::<Vec<_>>(),
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "limits are no longer watched");
                    return;
                }
            };
            let Some(shared) = self.shared.upgrade() else { return };
            if told.contains(&WAKE) {
                // Resets the counter, before the orders are taken: a later one wakes again.
                let _counted = rustix::io::read(&self.wake, &mut [0_u8; 8]);
            }
            let (added, ended) = {
                let mut orders = shared.orders();
                (std::mem::take(&mut orders.added), orders.ended)
            };
            if ended {
                return;
            }
            for (instance, plan) in added {
                self.take_in(&instance, &plan);
            }
            self.look_where_due(&told, &shared.registry);
        }
    }

    /// How long nothing is due; for ever, as long as everybody is calm.
    fn patience(&self) -> Option<Timespec> {
        let next = self.watched.values().filter_map(|watched| watched.next_look).min()?;
        let wait = next.since(self.clock.now());
        Timespec::try_from(wait).ok()
    }

    fn take_in(&mut self, instance: &InstanceId, kept: &Weak<Plan>) {
        let Some(plan) = kept.upgrade() else { return };
        let Some(group) = plan.group() else { return };
        let judge = Judge::Memory(MemoryAlert::default());
        self.watch_told(instance, kept, judge, group.memory_notice(NEAR_PERCENT));
        self.watch_told(instance, kept, Judge::Oom(OomAlert::default()), group.oom_notice());
        let judge = Judge::Tasks(TasksAlert::default());
        self.watch_told(instance, kept, judge, group.tasks_notice());
        if group.has_cpu_quota() {
            self.watch(instance, kept, Judge::Quota(QuotaAlert::default()), group.cpu_notice());
        }
    }

    /// What only the kernel can tell in time; nothing where there is nothing to tell.
    fn watch_told(
        &mut self,
        instance: &InstanceId,
        plan: &Weak<Plan>,
        judge: Judge,
        notice: Result<Option<Notice>, GroupError>,
    ) {
        match notice {
            Ok(Some(notice)) => self.watch(instance, plan, judge, Some(notice)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%instance, %error, "a limit is not watched"),
        }
    }

    fn watch(
        &mut self,
        instance: &InstanceId,
        plan: &Weak<Plan>,
        judge: Judge,
        notice: Option<Notice>,
    ) {
        // Something may have happened before the notice was there.
        let next_look = Some(self.clock.now());
        let watched =
            Watched { instance: instance.clone(), plan: plan.clone(), judge, notice, next_look };
        self.listen(self.next_key, &watched, |poll, notice, data, flags| {
            epoll::add(poll, notice, data, flags)
        });
        self.watched.insert(self.next_key, watched);
        self.next_key += 1;
    }

    /// Hears of it once.
    fn listen(
        &self,
        key: u64,
        watched: &Watched,
        how: fn(&OwnedFd, &Notice, epoll::EventData, epoll::EventFlags) -> rustix::io::Result<()>,
    ) {
        let Some(notice) = &watched.notice else { return };
        let flags = notice.flags | epoll::EventFlags::ONESHOT;
        if let Err(error) = how(&self.epoll, notice, epoll::EventData::new_u64(key), flags) {
            tracing::warn!(instance = %watched.instance, %error, "a limit is not watched");
        }
    }

    fn look_where_due(&mut self, told: &[u64], registry: &Registry) {
        let now = self.clock.now();
        let due = |key: &u64, watched: &Watched| {
            told.contains(key) || watched.next_look.is_some_and(|at| at <= now)
        };
        let keys: Vec<u64> = self
            .watched
            .iter()
            .filter(|(key, watched)| due(key, watched))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let Some(mut watched) = self.watched.remove(&key) else { continue };
            let Some(plan) = watched.plan.upgrade() else { continue };
            let is_told = told.contains(&key);
            let occasion = if is_told { Occasion::Notice } else { Occasion::Time };
            let attention = watched.look(&plan, now, occasion, registry);
            watched.next_look = attention.next_look;
            if attention.listens {
                self.listen(key, &watched, |poll, notice, data, flags| {
                    epoll::modify(poll, notice, data, flags)
                });
            }
            self.watched.insert(key, watched);
        }
        // Who is gone takes its notice along.
        self.watched.retain(|_, watched| watched.plan.strong_count() > 0);
    }
}

impl Watched {
    fn look(
        &mut self,
        plan: &Plan,
        now: Moment,
        occasion: Occasion,
        registry: &Registry,
    ) -> Attention {
        // What is told while nobody listens is heard afterwards.
        if let (Some(notice), Occasion::Notice) = (&self.notice, occasion) {
            notice.acknowledge();
        }
        let looked = plan.group().ok_or(LookError::Gone);
        match looked.and_then(|group| self.judge.on_look(now, occasion, group)) {
            Ok(Some(alert)) => {
                let generation = registry.generation(&self.instance);
                registry.record(&self.instance, generation, Change::Alerted(alert));
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(instance = %self.instance, %error, "a limit could not be looked at");
                return Attention::after_failure(now);
            }
        }
        let tells = self.notice.as_ref().map(|notice| notice.tells);
        Attention::after_look(now, occasion, tells, self.judge.next_look())
    }
}

impl Judge {
    fn on_look(
        &mut self,
        now: Moment,
        occasion: Occasion,
        group: &Group,
    ) -> Result<Option<Alert>, LookError> {
        Ok(match self {
            Self::Memory(judge) => {
                let usage = group.usage()?;
                let of_limit = usage.memory_bytes.zip(usage.memory_max_bytes);
                of_limit.and_then(|(charged, limit)| {
                    let in_use = usage.memory_in_use_bytes.unwrap_or(charged);
                    judge.on_look(now, in_use, charged, limit)
                })
            }
            Self::Oom(judge) => {
                let kills = group.oom()?.ok_or(LookError::Gone)?.kills;
                match occasion {
                    Occasion::Notice => judge.on_notice(now, kills),
                    Occasion::Time => judge.on_look(kills),
                }
            }
            Self::Quota(judge) => group.usage()?.throttled.and_then(|it| judge.on_look(now, it)),
            Self::Tasks(judge) => {
                let refused = group.tasks_refused()?.zip(group.tasks_max());
                let (times, limit) = refused.ok_or(LookError::Gone)?;
                judge.on_look(now, times, limit)
            }
        })
    }

    fn next_look(&self) -> Option<Moment> {
        match self {
            Self::Memory(judge) => judge.next_look(),
            Self::Oom(judge) => judge.next_look(),
            Self::Quota(judge) => judge.next_look(),
            Self::Tasks(judge) => judge.next_look(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_does_not_always_tell_is_looked_at_all_the_same() {
        let now = Moment::from_millis(5000);
        let regular = Some(now + UNTOLD_INTERVAL);
        let after = |occasion, tells| {
            let attention = Attention::after_look(now, occasion, tells, None);
            (attention.next_look, attention.listens)
        };
        assert_eq!(after(Occasion::Notice, Some(Tells::Everything)), (None, true));
        assert_eq!(after(Occasion::Time, None), (regular, false));
        assert_eq!(after(Occasion::Time, Some(Tells::Something)), (regular, true));
        let hovers = after(Occasion::Notice, Some(Tells::Something));
        assert_eq!(hovers, (regular, false), "it may tell a hundred times in a second");
    }
}
