//! Whether a task that has nothing to do looks for its peer a while before it sleeps.
//!
//! To fall asleep and to be woken takes some 50 microseconds, and takes the one who wakes as much as to send 16 KiB.
//! So who has waited shortly a few times in a row looks about as long as that, whatever else is ready having its turn
//! in between: found, the peer is answered at once; not found, no more was lost than a sleep costs, and there have to
//! be as many short waits anew. Who waits long never looks.

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// A wait that took no longer was mostly spent on falling asleep and on being woken.
const SHORT_WAIT: Duration = Duration::from_micros(100);
/// After so many of them in a row the next one is taken for another.
const SHORT_WAITS: u32 = 4;
/// So often it is looked for the peer, a microsecond each.
pub(super) const LOOKS: u32 = 48;
/// After a read of so many bytes more is on its way: who sends long frames is slower than who reads them.
pub(super) const BULK_LENGTH: usize = 32 * 1024;
/// A peer that has been sent so many bytes is busy with them for longer than it would be looked for.
const BUSY_LENGTH: usize = 256 * 1024;

/// On a single processor the peer does nothing while it is looked for.
static IS_ALONE: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|count| count.get() == 1));

#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Since when the peer is waited for.
    since: Option<Instant>,
    /// Bytes that it has been sent since it was heard last.
    sent: usize,
    /// Short waits in a row.
    short_waits: u32,
    /// How often it is still looked for.
    looks: u32,
}

impl Lookout {
    /// The peer has been sent so many bytes.
    pub(super) fn sent(&mut self, length: usize) {
        self.sent += length;
    }

    /// There is nothing of the peer at this moment. Whether to look again, rather than sleep.
    pub(super) fn is_to_look(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        if self.looks == 0 || self.sent > BUSY_LENGTH || *IS_ALONE {
            return false;
        }
        self.looks -= 1;
        if self.looks == 0 {
            self.short_waits = 0;
        }
        true
    }

    /// So many bytes of the peer have come.
    pub(super) fn heard(&mut self, length: usize, now: Instant) {
        self.sent = 0;
        if let Some(since) = self.since.take() {
            let is_short = now.saturating_duration_since(since) <= SHORT_WAIT;
            self.short_waits = if is_short { self.short_waits.saturating_add(1) } else { 0 };
        }
        let is_soon_back = length >= BULK_LENGTH || self.short_waits >= SHORT_WAITS;
        self.looks = if is_soon_back { LOOKS } else { 0 };
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
            let _ = &*IS_ALONE;
            Self { lookout: Lookout::default(), now: Instant::now() }
        }

        /// How often it was looked in a wait, at the end of which so many bytes came.
        fn wait(&mut self, micros: u64, length: usize) -> u32 {
            let looks = self.look();
            self.now += Duration::from_micros(micros);
            self.lookout.heard(length, self.now);
            looks
        }

        fn wait_shortly(&mut self, times: u32) {
            for _ in 0..times {
                self.wait(50, 64);
            }
        }

        fn look(&mut self) -> u32 {
            let mut looks = 0;
            while self.lookout.is_to_look(self.now) {
                looks += 1;
            }
            looks
        }
    }

    /// Of a machine with several processors.
    fn looks() -> u32 {
        if *IS_ALONE { 0 } else { LOOKS }
    }

    #[test]
    fn who_waits_shortly_looks_and_who_looked_in_vain_waits_again_before() {
        let mut waits = Waits::none();
        for _ in 0..3 {
            for _ in 0..SHORT_WAITS {
                assert_eq!(waits.wait(80, 64), 0);
            }
            assert_eq!(waits.wait(200, 64), looks());
        }
    }

    #[test]
    fn who_finds_its_peer_looks_again() {
        let mut waits = Waits::none();
        waits.wait_shortly(SHORT_WAITS);
        for _ in 0..100 {
            assert_eq!(waits.lookout.is_to_look(waits.now), looks() > 0);
            waits.now += Duration::from_micros(5);
            waits.lookout.heard(64, waits.now);
        }
    }

    #[test]
    fn one_long_wait_is_enough_to_sleep() {
        let mut waits = Waits::none();
        waits.wait_shortly(SHORT_WAITS - 1);
        waits.wait(101, 64);
        assert_eq!(waits.wait(50, 64), 0);
    }

    #[test]
    fn after_a_long_read_more_is_looked_for() {
        let mut waits = Waits::none();
        waits.wait(1000, BULK_LENGTH);
        assert_eq!(waits.wait(1000, BULK_LENGTH - 1), looks());
        assert_eq!(waits.look(), 0);
    }

    #[test]
    fn who_has_sent_much_sleeps() {
        let mut waits = Waits::none();
        waits.wait_shortly(SHORT_WAITS);
        waits.lookout.sent(BUSY_LENGTH + 1);
        assert_eq!(waits.wait(50, 64), 0);
        assert_eq!(waits.look(), looks());
    }
}
