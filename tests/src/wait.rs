//! Waiting for a condition, with a deadline and the last thing seen.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

/// What has not happened by then will not.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `seen` is what `wanted` accepts, and gives it back.
///
/// # Panics
/// When the deadline passes, with the last thing seen.
#[track_caller]
pub fn until<T: Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    mut wanted: impl FnMut(&T) -> bool,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen = look();
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: never came true; last seen:\n{seen:#?}");
        thread::sleep(PAUSE);
    }
}
