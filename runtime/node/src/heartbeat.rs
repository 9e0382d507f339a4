//! One timer for the signs of life of all native children.
//!
//! It beats only while a child is watched, and asks each at every beat. Beats that the node missed, because it
//! was held up (loaded, stopped, suspended), are not made up for, and before anybody is judged the node hears
//! what has arrived meanwhile. What a silence means is decided by [`Silence`].

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use blackhole_policy::silence::{Finding, Scheduling, Silence};
use tokio::{sync::Notify, time::MissedTickBehavior};

/// How often children are asked.
pub(crate) const BEAT: Duration = Duration::from_millis(250);
/// How often the node's other tasks, links among them, may go first before children are judged.
const TURNS_BEFORE_JUDGEMENT: u32 = 2;

/// The timer and those it watches; clones are the same.
#[derive(Clone)]
pub(crate) struct Heartbeat(Arc<Shared>);

struct Shared {
    watched: Mutex<Vec<Weak<Watched>>>,
    somebody_came: Notify,
}

struct Watched {
    silence: Mutex<Silence>,
    ask: Box<dyn Fn(u64) + Send + Sync>,
    look: Box<dyn Fn() -> Option<Scheduling> + Send + Sync>,
    report: Box<dyn Fn(Finding) + Send + Sync>,
}

/// A child under watch; the watch ends when this is dropped.
#[derive(Clone)]
pub(crate) struct Pulse(Arc<Watched>);

impl Pulse {
    /// The child gave a sign of life.
    pub(crate) fn felt(&self) {
        self.0.silence().heard();
    }
}

impl Heartbeat {
    /// Begins to beat as soon as somebody is to be watched.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn start() -> Self {
        let heartbeat = Self(Arc::new(Shared {
            watched: Mutex::new(Vec::new()),
            somebody_came: Notify::new(),
        }));
        tokio::spawn(beat(heartbeat.clone()));
        heartbeat
    }

    /// Watches a child: asks it at every beat, and reports what becomes of its `patience`. `look` tells
    /// what the kernel says of it, and is called only when a patience is over.
    pub(crate) fn watch(
        &self,
        patience: Duration,
        ask: impl Fn(u64) + Send + Sync + 'static,
        look: impl Fn() -> Option<Scheduling> + Send + Sync + 'static,
        report: impl Fn(Finding) + Send + Sync + 'static,
    ) -> Pulse {
        let watched = Arc::new(Watched {
            silence: Mutex::new(Silence::new(patience)),
            ask: Box::new(ask),
            look: Box::new(look),
            report: Box::new(report),
        });
        self.watched().push(Arc::downgrade(&watched));
        self.0.somebody_came.notify_one();
        Pulse(watched)
    }

    /// Those that are still watched.
    fn present(&self) -> Vec<Arc<Watched>> {
        let mut watched = self.watched();
        watched.retain(|weak| weak.strong_count() > 0);
        watched.iter().filter_map(Weak::upgrade).collect()
    }

    fn watched(&self) -> MutexGuard<'_, Vec<Weak<Watched>>> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn beat(heartbeat: Heartbeat) {
    let mut sequence = 0;
    loop {
        heartbeat.0.somebody_came.notified().await;
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for _ in 0..TURNS_BEFORE_JUDGEMENT {
                tokio::task::yield_now().await;
            }
            let present = heartbeat.present();
            if present.is_empty() {
                break;
            }
            sequence += 1;
            for watched in present {
                watched.look(sequence);
            }
        }
    }
}

impl Watched {
    fn look(&self, sequence: u64) {
        // A sign of life answers a question, and so comes soon after a beat.
        let found = self.silence().beat(BEAT, &self.look);
        if let Some(finding) = found {
            (self.report)(finding);
        }
        (self.ask)(sequence);
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A child that sleeps, and how often it was reported to have hung.
    fn watched(heartbeat: &Heartbeat) -> (Pulse, Arc<AtomicU32>) {
        let reports = Arc::new(AtomicU32::new(0));
        let count = reports.clone();
        let report = move |finding| {
            assert!(matches!(finding, Finding::Hung(_)), "{finding:?}");
            count.fetch_add(1, Ordering::Relaxed);
        };
        let asleep = || Some(Scheduling { is_runnable: false, cpu: Duration::ZERO });
        (heartbeat.watch(Duration::from_secs(1), |_| {}, asleep, report), reports)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_reported_once_and_signs_of_life_keep_it_off() {
        let heartbeat = Heartbeat::start();
        let (pulse, reports) = watched(&heartbeat);
        for _ in 0..20 {
            tokio::time::sleep(BEAT).await;
            pulse.felt();
        }
        assert_eq!(reports.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(reports.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_held_up_counts_one_beat_however_long_it_was() {
        let heartbeat = Heartbeat::start();
        let (pulse, reports) = watched(&heartbeat);
        pulse.felt();
        tokio::time::sleep(BEAT / 2).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::time::sleep(BEAT / 2).await;
        assert_eq!(reports.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(reports.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ends_with_its_pulse() {
        let heartbeat = Heartbeat::start();
        let (pulse, reports) = watched(&heartbeat);
        pulse.felt();
        drop(pulse);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(heartbeat.present().is_empty());
        assert_eq!(reports.load(Ordering::Relaxed), 0);
    }
}
