//! One timer for the signs of life of all native children.
//!
//! It beats only while a child is watched. A child that said nothing for its whole patience is
//! reported once. When the node itself was held up (stopped, suspended), the silence was its own:
//! every patience begins anew.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior},
};

/// How often children are asked.
pub(crate) const BEAT: Duration = Duration::from_millis(250);
/// A beat that comes later than this after the one before was held up by the node itself.
const HELD_UP: Duration = Duration::from_millis(750);

/// The timer and those it watches; clones are the same.
#[derive(Clone)]
pub(crate) struct Heartbeat(Arc<Shared>);

struct Shared {
    watched: Mutex<Vec<Weak<Watched>>>,
    somebody_came: Notify,
    origin: Instant,
}

struct Watched {
    patience: Duration,
    /// Milliseconds from the origin to the last sign of life.
    felt_at: AtomicU64,
    reported: AtomicBool,
    ask: Box<dyn Fn(u64) + Send + Sync>,
    report: Box<dyn Fn(Duration) + Send + Sync>,
    origin: Instant,
}

/// A child under watch; the watch ends when this is dropped.
#[derive(Clone)]
pub(crate) struct Pulse(Arc<Watched>);

impl Pulse {
    /// The child gave a sign of life.
    pub(crate) fn felt(&self) {
        self.0.felt_at.store(millis_since(self.0.origin), Ordering::Relaxed);
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
            origin: Instant::now(),
        }));
        tokio::spawn(beat(heartbeat.clone()));
        heartbeat
    }

    /// Watches a child: asks it at every beat, and reports once when it was silent for longer than
    /// `patience`, with how long it was.
    pub(crate) fn watch(
        &self,
        patience: Duration,
        ask: impl Fn(u64) + Send + Sync + 'static,
        report: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Pulse {
        let watched = Arc::new(Watched {
            patience,
            felt_at: AtomicU64::new(millis_since(self.0.origin)),
            reported: AtomicBool::new(false),
            ask: Box::new(ask),
            report: Box::new(report),
            origin: self.0.origin,
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
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            let present = heartbeat.present();
            if present.is_empty() {
                break;
            }
            sequence += 1;
            let held_up = last.elapsed() > HELD_UP;
            last = Instant::now();
            for watched in present {
                watched.look(sequence, held_up);
            }
        }
    }
}

impl Watched {
    fn look(&self, sequence: u64, held_up: bool) {
        let now = millis_since(self.origin);
        if held_up {
            self.felt_at.store(now, Ordering::Relaxed);
        }
        let silence = now.saturating_sub(self.felt_at.load(Ordering::Relaxed));
        let silence = Duration::from_millis(silence);
        if silence > self.patience && !self.reported.swap(true, Ordering::Relaxed) {
            (self.report)(silence);
        }
        (self.ask)(sequence);
    }
}

fn millis_since(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_reported_once_and_signs_of_life_keep_it_off() {
        let heartbeat = Heartbeat::start();
        let reports = Arc::new(AtomicU32::new(0));
        let count = reports.clone();
        let pulse = heartbeat.watch(
            Duration::from_secs(1),
            |_| {},
            move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            },
        );
        for _ in 0..20 {
            tokio::time::sleep(BEAT).await;
            pulse.felt();
        }
        assert_eq!(reports.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(reports.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ends_with_its_pulse() {
        let heartbeat = Heartbeat::start();
        drop(heartbeat.watch(Duration::from_secs(1), |_| {}, |_| panic!("nobody is watched")));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(heartbeat.present().is_empty());
    }
}
