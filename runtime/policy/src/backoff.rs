//! How long to wait before the next restart.
//!
//! The first restart after a healthy while is immediate; `initial` starts with the second, and each
//! further one waits `factor` times longer, up to `max`. A run longer than `reset_after` starts the
//! count again. Jitter shortens or lengthens a wait by up to its share, so that two hundred clients
//! of one dead server do not come back in step.

use std::time::Duration;

/// The settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait before the second restart in a row. Zero is legal: no restart ever waits.
    pub initial: Duration,
    /// How much longer each further wait is; at least 1.
    pub factor: f64,
    /// No wait is longer than this, jitter included.
    pub max: Duration,
    /// The share, 0 to 1, by which a wait may be shortened or lengthened.
    pub jitter: f64,
    /// A run at least this long was healthy: the count starts over.
    pub reset_after: Duration,
}

impl Backoff {
    /// Never waits: OTP's own behaviour.
    pub const NONE: Self = Self {
        initial: Duration::ZERO,
        factor: 1.0,
        max: Duration::ZERO,
        jitter: 0.0,
        reset_after: Duration::ZERO,
    };

    /// The wait before a restart.
    ///
    /// `restarts_before` counts the restarts in a row before this one; `draw`, from -1 to 1, is a
    /// uniform random number that the caller drew.
    pub fn delay(&self, restarts_before: u32, draw: f64) -> Duration {
        let Some(exponent) = restarts_before.checked_sub(1) else {
            return Duration::ZERO;
        };
        // Growth without bound would make something of nothing: zero times infinity.
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let exponent = i32::try_from(exponent).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.factor.powi(exponent);
        let jittered =
            grown.min(self.max.as_secs_f64()) * (1.0 + self.jitter * draw.clamp(-1.0, 1.0));
        Duration::try_from_secs_f64(jittered.max(0.0)).unwrap_or(self.max).min(self.max)
    }
}

/// 200 ms, doubling up to 30 s, a tenth of jitter, starting over after a healthy minute.
impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(200),
            factor: 2.0,
            max: Duration::from_secs(30),
            jitter: 0.1,
            reset_after: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_the_following_ones_grow_up_to_the_cap() {
        let backoff = Backoff { jitter: 0.0, max: Duration::from_secs(1), ..Backoff::default() };
        let delays: Vec<u128> = (0..6).map(|n| backoff.delay(n, 0.7).as_millis()).collect();
        assert_eq!(delays, [0, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn jitter_moves_a_wait_both_ways_and_never_over_the_cap() {
        let backoff = Backoff { jitter: 0.5, ..Backoff::default() };
        assert_eq!(backoff.delay(1, -1.0).as_millis(), 100);
        assert_eq!(backoff.delay(1, 1.0).as_millis(), 300);
        assert_eq!(backoff.delay(u32::MAX, 1.0), backoff.max);
    }

    #[test]
    fn an_initial_wait_of_zero_never_waits() {
        let backoff = Backoff { initial: Duration::ZERO, ..Backoff::default() };
        let restarts = [0, 1, 2, 1_000, 1_025, 1_026, u32::MAX];
        assert_eq!(restarts.map(|n| backoff.delay(n, 1.0)), [Duration::ZERO; 7]);
    }
}
