//! How long a process that goes away is tried again.

use std::time::Duration;

use tokio::time::Instant;

use super::{Patience, Unreachable};
use crate::link::LinkError;

/// The pause before trying a process again that went away while it was spoken to.
const PAUSE: Duration = Duration::from_millis(10);

/// The tries of one message, of which nothing has been sent yet: all of them together take no longer than
/// the patience.
pub(super) struct Tries {
    patience: Patience,
    since: Option<Instant>,
}

impl Tries {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, since: None }
    }

    /// What the next one may take; the first call begins the count.
    pub(super) fn patience_left(&mut self) -> Patience {
        let since = *self.since.get_or_insert_with(Instant::now);
        match self.patience {
            Patience::FailFast => Patience::FailFast,
            Patience::WaitFor(all) => Patience::WaitFor(all.saturating_sub(since.elapsed())),
        }
    }

    /// Gives way to the process's successor.
    ///
    /// # Errors
    /// The failure itself, where another try is of no use or not wanted.
    pub(super) async fn again(&mut self, failure: Unreachable) -> Result<(), Unreachable> {
        match (self.patience_left(), self.patience) {
            (Patience::WaitFor(left), _) if !left.is_zero() && went_away(&failure) => {
                tokio::time::sleep(PAUSE.min(left)).await;
                Ok(())
            }
            (_, Patience::WaitFor(all)) => Err(waited(all, failure)),
            _ => Err(failure),
        }
    }
}

/// The process was there and went, before anything was sent to it.
fn went_away(failure: &Unreachable) -> bool {
    match failure {
        Unreachable::Lost(_) => true,
        Unreachable::Link { source, .. } => matches!(**source, LinkError::Closed),
        _ => false,
    }
}

/// Whoever was told to wait waited for all tries, not for the last one alone.
fn waited(all: Duration, failure: Unreachable) -> Unreachable {
    match failure {
        Unreachable::NotThere { instance, .. } => Unreachable::NotThere { instance, waited: all },
        other => other,
    }
}
