//! One timer for one actor: the policy's next deadline, and nothing else.

use blackhole_policy::moment::Moment;
use tokio::task::JoinHandle;

use crate::Clock;

/// Rings once at the moment it is set to. Setting it again forgets the moment before; dropping it
/// silences it.
#[derive(Debug, Default)]
pub struct Alarm(Option<Armed>);

#[derive(Debug)]
struct Armed {
    at: Moment,
    task: JoinHandle<()>,
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Alarm {
    /// Rings at `at`; `None` silences it. Nothing happens when it is set to that already.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn set(&mut self, clock: &Clock, at: Option<Moment>, ring: impl FnOnce() + Send + 'static) {
        if self.0.as_ref().map(|armed| armed.at) == at {
            return;
        }
        self.0 = at.map(|at| {
            let until = clock.instant(at);
            let task = tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                ring();
            });
            Armed { at, task }
        });
    }

    /// It has rung: the same moment may be set again.
    pub fn rang(&mut self) {
        self.0 = None;
    }
}
