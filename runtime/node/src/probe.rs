//! Probes: a small task for each, which tries, waits, and reports when the verdict changes.
//!
//! It is responsible for making tries and for the words in which a failed one is told. Whether a
//! verdict changed is decided by [`blackhole_policy::health`]; what follows from it, by whoever
//! started the probe. What a child says by itself (native, sd_notify, log lines) is not here.

mod checker;
mod exec;
mod grpc;
mod resolve;

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use blackhole_policy::{
    health::{Change, Event, Health, Thresholds},
    moment::Moment,
};
use tokio::{task::AbortHandle, time::Instant};

pub use blackhole_policy::health::Assumed;
pub use exec::{Exec, ExecContext};
pub use resolve::{ResolveError, ResolvedCheck, ResolvedProbe};

use checker::{Checker, Occasion};

/// After a server pushed a change, the next one is not read for so long: one that flaps without
/// pause must not keep the node busy.
const PUSH_PAUSE: Duration = Duration::from_millis(10);

/// A change of mind about a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `successes_min` tries in a row succeeded.
    Healthy,
    /// `failures_max` tries in a row failed.
    Unhealthy {
        /// How many they were.
        failures: NonZeroU32,
        /// Why the last of them failed, for people.
        reason: Arc<str>,
    },
}

/// Why a try failed, for people.
type Failure = String;

/// A running probe; it ends, with whatever it has opened or started, when this is dropped.
#[derive(Debug)]
pub struct Prober {
    task: AbortHandle,
    last_failure: Arc<Mutex<Option<Arc<str>>>>,
}

impl Prober {
    /// Starts to probe, on the current runtime. Changes of the verdict, and nothing else, go to
    /// `report`, which must not block; what the verdict is before the first change is `assumed`.
    pub fn start(
        probe: ResolvedProbe,
        assumed: Assumed,
        report: impl FnMut(Verdict) + Send + 'static,
    ) -> Self {
        let last_failure = Arc::new(Mutex::new(None));
        let run = Run {
            health: Health::new(Moment::ORIGIN, assumed, probe.thresholds()),
            origin: Instant::now(),
            timeout: probe.timeout,
            checker: Checker::new(probe.check, probe.timeout),
            last_failure: last_failure.clone(),
            report,
        };
        Self { task: tokio::spawn(run.forever()).abort_handle(), last_failure }
    }

    /// Why the latest try that failed did so, whether or not it changed the verdict: what to tell
    /// about a child that never became ready.
    pub fn last_failure(&self) -> Option<Arc<str>> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the task owns.
struct Run<R> {
    health: Health,
    origin: Instant,
    timeout: Duration,
    checker: Checker,
    last_failure: Arc<Mutex<Option<Arc<str>>>>,
    report: R,
}

/// What ended a wait.
enum Woken {
    Try(Occasion),
    Pushed(Result<(), Failure>),
}

impl<R: FnMut(Verdict)> Run<R> {
    async fn forever(mut self) {
        loop {
            let due = self.origin + self.health.next_try().since_origin();
            let woken = tokio::select! {
                () = tokio::time::sleep_until(due) => Woken::Try(Occasion::Due),
                pushed = self.checker.pushed() => match pushed {
                    checker::Push::Outcome(outcome) => Woken::Pushed(outcome),
                    checker::Push::Lost => Woken::Try(Occasion::Lost),
                },
            };
            match woken {
                Woken::Try(occasion) => {
                    let outcome = self.attempt(occasion).await;
                    self.conclude(outcome);
                }
                Woken::Pushed(outcome) => {
                    self.conclude(outcome);
                    tokio::time::sleep(PUSH_PAUSE).await;
                }
            }
        }
    }

    async fn attempt(&mut self, occasion: Occasion) -> Result<(), Failure> {
        let attempt = self.checker.attempt(occasion);
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.checker.give_up().await),
        }
    }

    fn conclude(&mut self, outcome: Result<(), Failure>) {
        let now = Moment::after_origin(self.origin.elapsed());
        let (event, reason) = match outcome {
            Ok(()) => (Event::Succeeded, None),
            Err(failure) => (Event::Failed, Some(Arc::<str>::from(failure))),
        };
        if let Some(reason) = &reason {
            let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(reason.clone());
        }
        match (self.health.on_event(now, event), reason) {
            (Some(Change::BecameHealthy), _) => (self.report)(Verdict::Healthy),
            (Some(Change::BecameUnhealthy { failures }), Some(reason)) => {
                (self.report)(Verdict::Unhealthy { failures, reason });
            }
            (Some(Change::BecameUnhealthy { .. }), None) | (None, _) => {}
        }
    }
}

impl ResolvedProbe {
    fn thresholds(&self) -> Thresholds {
        Thresholds {
            every: self.every,
            failures_max: self.failures_max,
            successes_min: self.successes_min,
        }
    }
}
