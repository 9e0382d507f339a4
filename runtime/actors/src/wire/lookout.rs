//! Whether a task that has nothing to do looks for its peer a while before it sleeps.
//!
//! To fall asleep and to be woken takes some 50 microseconds, and takes the one who wakes as much as to send 16 KiB.
//! So who has waited shortly a few times in a row looks about as long as that, whatever else is ready having its turn
//! in between, other processes as well: found, the peer is answered at once; not found, no more was lost than a sleep
//! costs, and there have to be as many short waits anew. Who waits long never looks, nor who has only one processor, or
//! a runtime of several threads: in that another one asks the system what is ready.

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Handle, RuntimeFlavor};

/// A wait that took no longer was mostly spent on falling asleep and on being woken.
const SHORT_WAIT: Duration = Duration::from_micros(100);
/// After so many of them in a row the next one is taken for another.
const SHORT_WAITS: u32 = 4;
/// So long the peer is looked for.
const LOOKED_FOR: Duration = Duration::from_micros(50);
/// After a read of so many bytes more is on its way: who sends long frames is slower than who reads them.
const BULK_LENGTH: usize = 32 * 1024;

/// On a single processor the peer does nothing while it is looked for.
static IS_ALONE: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|count| count.get() == 1));

#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Looking is of some use here.
    is_useful: bool,
    /// Since when the peer is waited for.
    since: Option<Instant>,
    /// Short waits in a row.
    short_waits: u32,
    /// This one will probably be short.
    is_soon_over: bool,
    /// It was not, when that was last thought.
    was_in_vain: bool,
}

impl Lookout {
    /// For a task of the present runtime.
    pub(super) fn here() -> Self {
        let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
        let has_one_thread = matches!(flavor, Ok(RuntimeFlavor::CurrentThread));
        Self { is_useful: has_one_thread && !*IS_ALONE, ..Self::default() }
    }

    /// There is nothing of the peer at this moment. Whether to look again, rather than sleep.
    pub(super) fn is_to_look(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if !self.is_soon_over {
            return false;
        }
        let is_in_vain = now.saturating_duration_since(since) >= LOOKED_FOR;
        if is_in_vain {
            self.is_soon_over = false;
            self.was_in_vain = true;
            self.short_waits = 0;
        }
        !is_in_vain
    }

    /// So many bytes of the peer have come, and with them the rest of a frame or not: who sends frames in crumbs is
    /// not waited for.
    pub(super) fn heard(&mut self, length: usize, has_frame: bool, now: Instant) {
        if let Some(since) = self.since.take() {
            let is_short = has_frame && now.saturating_duration_since(since) <= SHORT_WAIT;
            self.short_waits = if is_short { self.short_waits.saturating_add(1) } else { 0 };
        }
        if self.short_waits >= SHORT_WAITS {
            self.was_in_vain = false;
        }
        let is_likely = length >= BULK_LENGTH || self.short_waits >= SHORT_WAITS;
        self.is_soon_over = self.is_useful && is_likely && !self.was_in_vain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Waits {
        lookout: Lookout,
        now: Instant,
    }

    impl Waits {
        fn none() -> Self {
            let lookout = Lookout { is_useful: true, ..Lookout::default() };
            Self { lookout, now: Instant::now() }
        }

        /// Whether it was looked in a wait, at the end of which so many bytes came.
        fn wait(&mut self, micros: u64, length: usize) -> bool {
            let looks = self.lookout.is_to_look(self.now);
            self.now += Duration::from_micros(micros);
            self.lookout.heard(length, true, self.now);
            looks
        }

        fn wait_shortly(&mut self, times: u32) {
            for _ in 0..times {
                assert!(!self.wait(80, 64));
            }
        }
    }

    #[test]
    fn who_has_waited_shortly_looks_for_as_long_as_it_finds_its_peer() {
        let mut waits = Waits::none();
        waits.wait_shortly(SHORT_WAITS);
        for _ in 0..100 {
            assert!(waits.wait(5, 64));
        }
    }

    #[test]
    fn who_looked_in_vain_waits_again_before() {
        let mut waits = Waits::none();
        for _ in 0..3 {
            waits.wait_shortly(SHORT_WAITS);
            assert!(waits.lookout.is_to_look(waits.now));
            waits.now += LOOKED_FOR;
            assert!(!waits.lookout.is_to_look(waits.now), "it was in vain");
            waits.lookout.heard(64, true, waits.now + SHORT_WAIT);
        }
    }

    #[test]
    fn one_long_wait_is_enough_to_sleep() {
        let mut waits = Waits::none();
        waits.wait_shortly(SHORT_WAITS - 1);
        waits.wait(101, 64);
        assert!(!waits.wait(80, 64));
    }

    #[test]
    fn after_a_long_read_more_is_looked_for() {
        let mut waits = Waits::none();
        waits.wait(1000, BULK_LENGTH);
        assert!(waits.wait(1000, BULK_LENGTH - 1));
        assert!(!waits.wait(1000, BULK_LENGTH));
        assert!(waits.lookout.is_to_look(waits.now));
        waits.now += LOOKED_FOR;
        assert!(!waits.lookout.is_to_look(waits.now), "it was in vain");
        waits.lookout.heard(BULK_LENGTH, true, waits.now);
        assert!(!waits.wait(1000, BULK_LENGTH), "nor is it looked for after the next");
    }

    #[test]
    fn who_sends_a_frame_in_crumbs_is_not_looked_for() {
        let mut waits = Waits::none();
        for _ in 0..2 * SHORT_WAITS {
            assert!(!waits.lookout.is_to_look(waits.now));
            waits.lookout.heard(1, false, waits.now);
        }
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_looks_where_there_are_several_processors() {
        assert_eq!(Lookout::here().is_useful, !*IS_ALONE);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_runtime_of_several_threads_does_not_look() {
        assert!(!Lookout::here().is_useful);
    }
}
