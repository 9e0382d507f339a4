//! How a connection that is no longer needed ends, whatever its gateway does: otherwise each one that a gateway
//! says it will leave, and keeps, would cost a descriptor.
//!
//! | stage     | since                                    | ends when                                    |
//! |-----------|------------------------------------------|----------------------------------------------|
//! | `Open`    | the greeting                             | the peer goes                                |
//! | `Retired` | the gateway is about to stop             | as `Left`, and no answer is awaited any more |
//! | `Left`    | nobody refers to its actors any more     | all is sent, or nothing of it for a moment   |
//! | `Cut`     | too many are retired, or it is of no use | at once                                      |

use std::{
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::watch;

use super::connection::Connection;

/// How long a gateway may take to hear what was said last, and to close.
const PARTING_TIMEOUT: Duration = Duration::from_secs(5);
/// How many retired connections to one peer are kept for the answers that are still to come.
const RETIRED_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    Retired,
    Left,
    Cut,
}

/// What of a connection's business is left.
pub(super) struct Undone {
    /// Somebody waits for an answer.
    pub(super) is_awaited: bool,
    /// Bytes that the gateway has not taken.
    pub(super) unsent: usize,
}

/// The stage of one connection, which only advances.
pub(super) struct Parting(watch::Sender<Stage>);

impl Default for Parting {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Open))
    }
}

impl Parting {
    pub(super) fn advance(&self, next: Stage) {
        self.0.send_if_modified(|stage| {
            let advances = *stage < next;
            *stage = next.max(*stage);
            advances
        });
    }

    /// Resolves when we must close the connection because the gateway did not.
    pub(super) async fn overdue(&self, undone: impl Fn() -> Undone) {
        let mut stages = self.0.subscribe();
        loop {
            let stage = *stages.borrow_and_update();
            let unsent_before = undone().unsent;
            let timeout = async {
                match stage {
                    Stage::Open => std::future::pending().await,
                    Stage::Retired | Stage::Left => tokio::time::sleep(PARTING_TIMEOUT).await,
                    Stage::Cut => {}
                }
            };
            tokio::select! {
                _ = stages.changed() => {}
                () = timeout => {
                    // If we stood still ourselves, we have not tried to send yet.
                    tokio::task::yield_now().await;
                    let Undone { is_awaited, unsent } = undone();
                    let goes_out = (1..unsent_before).contains(&unsent);
                    let is_needed = goes_out || (stage == Stage::Retired && is_awaited);
                    if !is_needed {
                        return;
                    }
                }
            }
        }
    }
}

/// Connections to one peer that are retired, the oldest first.
#[derive(Default)]
pub(super) struct Retired(Mutex<Vec<Weak<Connection>>>);

impl Retired {
    /// Keeps one more, and cuts the oldest one if they are too many.
    pub(super) fn keep(&self, connection: Weak<Connection>) {
        let mut kept = self.kept();
        kept.push(connection);
        kept.retain(|kept| kept.upgrade().is_some_and(|kept| !kept.is_lost()));
        let surplus = (kept.len() > RETIRED_MAX).then(|| kept.remove(0));
        drop(kept);
        if let Some(oldest) = surplus.and_then(|oldest| oldest.upgrade()) {
            oldest.cut("too many of its predecessors have not ended".to_owned());
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Weak<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_retired_connection_is_kept_while_it_is_needed() {
        let (parting, is_awaited) = (Parting::default(), AtomicBool::new(true));
        parting.advance(Stage::Retired);
        let undone = || Undone { is_awaited: is_awaited.load(Ordering::Relaxed), unsent: 0 };
        let mut overdue = std::pin::pin!(parting.overdue(undone));
        assert!(tokio::time::timeout(LONG, &mut overdue).await.is_err());
        is_awaited.store(false, Ordering::Relaxed);
        tokio::time::timeout(LONG, overdue).await.expect("nobody needs it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_is_kept_while_its_last_words_go_out() {
        let (parting, unsent) = (Parting::default(), AtomicUsize::new(1000));
        parting.advance(Stage::Left);
        let undone = || Undone { is_awaited: false, unsent: unsent.load(Ordering::Relaxed) };
        let mut overdue = std::pin::pin!(parting.overdue(undone));
        for _ in 0..10 {
            assert!(tokio::time::timeout(PARTING_TIMEOUT / 2, &mut overdue).await.is_err());
            unsent.fetch_sub(10, Ordering::Relaxed);
        }
        tokio::time::timeout(PARTING_TIMEOUT * 3, overdue).await.expect("nothing goes out");
    }
}
