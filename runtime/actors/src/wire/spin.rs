//! Whether an idle connection task polls its peer briefly before it sleeps.
//!
//! Falling asleep and being woken costs about 50 µs, and costs the waker as much as sending 16 KiB. So a task whose
//! last few waits were short, or whose last read was long, keeps polling for about that long, and yields meanwhile to
//! everything else that is ready, other processes included. If the peer speaks, it is answered at once; if not, no
//! more was lost than one sleep costs, and polling resumes only after as many short waits again.
//!
//! It never polls after a long wait for a short read, on a single processor, or in a multi-threaded runtime, where
//! another worker asks the system what is ready.

use std::{
    num::NonZero,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Handle, RuntimeFlavor};

/// A wait that took no longer was mostly spent on falling asleep and being woken.
const SHORT_WAIT: Duration = Duration::from_micros(100);
/// After this many in a row the next one is expected to be short, too.
const SHORT_WAITS_MIN: u32 = 4;
/// How long to poll.
const SPIN_MAX: Duration = Duration::from_micros(50);
/// After a read of this many bytes more is on its way: long frames take longer to send than to read.
const BULK_LENGTH_MIN: usize = 32 * 1024;

/// An unknown number counts as several.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(usize::MAX, NonZero::get));

/// On a single processor the peer does nothing while we poll.
fn is_useful(flavor: RuntimeFlavor, processors: usize) -> bool {
    flavor == RuntimeFlavor::CurrentThread && processors > 1
}

#[derive(Debug, Default)]
pub(super) struct Spinner {
    is_useful: bool,
    /// When the present wait began.
    since: Option<Instant>,
    /// Short waits in a row.
    short_waits: u32,
    idle: Idle,
}

/// What to do while there is nothing to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Idle {
    #[default]
    Sleep,
    /// The wait will probably be short.
    Spin,
    /// The last spin was in vain: sleep, even after a long read, until enough waits were short.
    SleepAfterSpin,
}

impl Spinner {
    /// For a task of the present runtime.
    pub(super) fn here() -> Self {
        let is_useful = Handle::try_current()
            .is_ok_and(|runtime| is_useful(runtime.runtime_flavor(), *PROCESSORS));
        Self { is_useful, ..Self::default() }
    }

    /// There is nothing to read now: whether to poll again, rather than sleep.
    pub(super) fn should_spin(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if self.idle != Idle::Spin {
            return false;
        }
        let is_in_vain = now.saturating_duration_since(since) >= SPIN_MAX;
        if is_in_vain {
            self.idle = Idle::SleepAfterSpin;
            self.short_waits = 0;
        }
        !is_in_vain
    }

    /// This many bytes were read, and they completed a frame or not: waiting for a peer that sends its frames byte by
    /// byte gains nothing.
    pub(super) fn on_read(&mut self, length: usize, has_frame: bool, now: Instant) {
        if let Some(since) = self.since.take() {
            let is_short = has_frame && now.saturating_duration_since(since) <= SHORT_WAIT;
            self.short_waits = if is_short { self.short_waits.saturating_add(1) } else { 0 };
        }
        if !self.is_useful {
            return;
        }
        self.idle = match self.idle {
            _ if self.short_waits >= SHORT_WAITS_MIN => Idle::Spin,
            Idle::SleepAfterSpin => Idle::SleepAfterSpin,
            Idle::Sleep | Idle::Spin if length >= BULK_LENGTH_MIN => Idle::Spin,
            Idle::Sleep | Idle::Spin => Idle::Sleep,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Waits {
        spinner: Spinner,
        now: Instant,
    }

    impl Waits {
        fn none() -> Self {
            let spinner = Spinner { is_useful: true, ..Spinner::default() };
            Self { spinner, now: Instant::now() }
        }

        /// Whether the task spun at the start of a wait that ended with a read of this many bytes.
        fn wait(&mut self, micros: u64, length: usize) -> bool {
            let spins = self.spinner.should_spin(self.now);
            self.now += Duration::from_micros(micros);
            self.spinner.on_read(length, true, self.now);
            spins
        }

        fn wait_shortly(&mut self, times: u32) {
            for _ in 0..times {
                assert!(!self.wait(80, 64));
            }
        }
    }

    #[test]
    fn after_short_waits_it_spins_as_long_as_that_succeeds() {
        let mut waits = Waits::none();
        waits.wait_shortly(SHORT_WAITS_MIN);
        for _ in 0..100 {
            assert!(waits.wait(5, 64));
        }
    }

    #[test]
    fn after_a_spin_in_vain_it_takes_short_waits_to_spin_again() {
        let mut waits = Waits::none();
        for _ in 0..3 {
            waits.wait_shortly(SHORT_WAITS_MIN);
            assert!(waits.spinner.should_spin(waits.now));
            waits.now += SPIN_MAX;
            assert!(!waits.spinner.should_spin(waits.now), "it was in vain");
            waits.spinner.on_read(64, true, waits.now + SHORT_WAIT);
        }
    }

    #[test]
    fn one_long_wait_is_enough_to_sleep() {
        let mut waits = Waits::none();
        waits.wait_shortly(SHORT_WAITS_MIN - 1);
        waits.wait(101, 64);
        assert!(!waits.wait(80, 64));
    }

    #[test]
    fn it_spins_after_a_long_read() {
        let mut waits = Waits::none();
        waits.wait(1000, BULK_LENGTH_MIN);
        assert!(waits.wait(1000, BULK_LENGTH_MIN - 1));
        assert!(!waits.wait(1000, BULK_LENGTH_MIN));
        assert!(waits.spinner.should_spin(waits.now));
        waits.now += SPIN_MAX;
        assert!(!waits.spinner.should_spin(waits.now), "it was in vain");
        waits.spinner.on_read(BULK_LENGTH_MIN, true, waits.now);
        assert!(!waits.wait(1000, BULK_LENGTH_MIN), "nor does it spin after the next");
    }

    #[test]
    fn it_does_not_spin_for_a_frame_that_comes_byte_by_byte() {
        let mut waits = Waits::none();
        for _ in 0..2 * SHORT_WAITS_MIN {
            assert!(!waits.spinner.should_spin(waits.now));
            waits.spinner.on_read(1, false, waits.now);
        }
    }

    #[test]
    fn spinning_is_useful_on_one_thread_that_has_several_processors() {
        assert!(is_useful(RuntimeFlavor::CurrentThread, 2));
        assert!(!is_useful(RuntimeFlavor::CurrentThread, 1));
        assert!(!is_useful(RuntimeFlavor::MultiThread, 2));
        assert!(!is_useful(RuntimeFlavor::MultiThread, 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_runtime_of_several_threads_does_not_spin() {
        assert!(!Spinner::here().is_useful);
    }
}
