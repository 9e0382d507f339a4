//! One timer for the signs of life of all native children.
//!
//! It beats only while a child is watched, and asks each at every beat. A child's silence is counted in
//! beats that passed since it was heard, not by the clock: a beat that comes late, because the node
//! was held up (loaded, stopped, suspended), counts as one that was on time, and before anybody is judged
//! the node hears what has arrived meanwhile. A child that was silent for its whole patience is reported
//! once. It is judged from its first sign of life on: before that, the deadline of its start judges it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::MissedTickBehavior};

/// How often children are asked.
pub(crate) const BEAT: Duration = Duration::from_millis(250);
/// How often the node's other tasks, links among them, may go first before children are judged.
const TURNS_BEFORE_JUDGEMENT: u32 = 2;

/// In place of a number of beats: there was no sign of life yet.
const UNHEARD: u32 = u32::MAX;

/// The timer and those it watches; clones are the same.
#[derive(Clone)]
pub(crate) struct Heartbeat(Arc<Shared>);

struct Shared {
    watched: Mutex<Vec<Weak<Watched>>>,
    somebody_came: Notify,
}

struct Watched {
    patience: Duration,
    /// Beats since the last sign of life, or [`UNHEARD`].
    silent_beats: AtomicU32,
    reported: AtomicBool,
    ask: Box<dyn Fn(u64) + Send + Sync>,
    report: Box<dyn Fn(Duration) + Send + Sync>,
}

/// A child under watch; the watch ends when this is dropped.
#[derive(Clone)]
pub(crate) struct Pulse(Arc<Watched>);

impl Pulse {
    /// The child gave a sign of life.
    pub(crate) fn felt(&self) {
        self.0.silent_beats.store(0, Ordering::Relaxed);
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

    /// Watches a child: asks it at every beat, and reports once when it was silent for its whole
    /// `patience`, with how long that was at least.
    pub(crate) fn watch(
        &self,
        patience: Duration,
        ask: impl Fn(u64) + Send + Sync + 'static,
        report: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Pulse {
        let watched = Arc::new(Watched {
            patience,
            silent_beats: AtomicU32::new(UNHEARD),
            reported: AtomicBool::new(false),
            ask: Box::new(ask),
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
        let beats = self.silent_beats.load(Ordering::Relaxed);
        if beats == UNHEARD {
            return;
        }
        // A sign of life answers a question, and so comes soon after a beat.
        let beats = beats.saturating_add(1).min(UNHEARD - 1);
        self.silent_beats.store(beats, Ordering::Relaxed);
        let silence = BEAT * beats;
        if silence >= self.patience && !self.reported.swap(true, Ordering::Relaxed) {
            (self.report)(silence);
        }
        (self.ask)(sequence);
    }
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
    async fn a_node_that_was_held_up_counts_one_beat_however_long_it_was() {
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
        pulse.felt();
        tokio::time::sleep(BEAT / 2).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::time::sleep(BEAT / 2).await;
        assert_eq!(reports.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(reports.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_never_heard_is_not_judged() {
        let heartbeat = Heartbeat::start();
        let _pulse = heartbeat.watch(Duration::from_secs(1), |_| {}, |_| panic!("it was judged"));
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ends_with_its_pulse() {
        let heartbeat = Heartbeat::start();
        drop(heartbeat.watch(Duration::from_secs(1), |_| {}, |_| panic!("nobody is watched")));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(heartbeat.present().is_empty());
    }
}
