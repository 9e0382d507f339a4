//! Who may speak to the gateway: how many peers at a time, and how many of them may be one program.
//!
//! What is spoken is not known here.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use super::{
    Drained, Shared,
    session::{farewell, session},
};
use crate::link::{LinkError, Program};

/// Peers at a time; further ones wait in the backlog.
const SESSIONS_MAX: u32 = 1024;
/// How many of them may be one program, so that it shuts nobody else out. One that refers to any number of
/// actors needs a single one; a node speaks for each service that is embedded in it.
const SESSIONS_PER_PROGRAM_MAX: u32 = SESSIONS_MAX / 64;
/// Programs that this one cannot see, as from a namespace of processes of its own, cannot be told apart: all
/// of one user together leave this many to others.
const SESSIONS_OF_UNSEEN_MAX: u32 = SESSIONS_MAX / 2;
/// The pause after a failed accept: the usual reason is that descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// At most one refused peer in this time is logged, so that one that comes again and again does not fill the log.
const REFUSED_EVERY: Duration = Duration::from_secs(1);

/// Accepts until the listener fails.
pub(super) async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let Sessions { places, closing, .. } = &shared.sessions;
    let mut closed = closing.subscribe();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            _ = closed.wait_for(|closing| *closing) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    if let Err(error) = admit(stream, place, shared.clone()).await {
                        shared.sessions.warn(&error);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a peer of the gateway, will try again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Speaks to a program that may be spoken to and has not got its share already.
async fn admit(
    stream: UnixStream,
    place: OwnedSemaphorePermit,
    shared: Arc<Shared>,
) -> Result<(), LinkError> {
    let program = Program::at(&stream)?;
    let admitted = program.check().and_then(|()| shared.sessions.shares.take(program));
    match admitted {
        Ok(share) => {
            let seat = Seat { left: AtomicBool::new(false), _place: place };
            session(stream, Arc::new(seat), share, shared).await
        }
        Err(refused) => {
            farewell(&stream, [&[], &[]], &refused).await;
            Err(refused)
        }
    }
}

/// One peer's place: until it has left and its messages have been handled, or are not to be.
#[derive(Debug)]
pub(super) struct Seat {
    left: AtomicBool,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    /// The peer is gone, and hears no answer.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl Seat {
    /// Of a peer that has the gateway to itself.
    pub(super) fn alone() -> Arc<Self> {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is free");
        Arc::new(Self { left: AtomicBool::new(false), _place: place })
    }
}

/// Those that speak to the gateway.
#[derive(Debug)]
pub(super) struct Sessions {
    places: Arc<Semaphore>,
    shares: Arc<Shares>,
    refused: Mutex<Refused>,
    closing: watch::Sender<bool>,
}

impl Default for Sessions {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(SESSIONS_MAX as usize));
        Self {
            places,
            shares: Arc::default(),
            refused: Mutex::default(),
            closing: watch::Sender::new(false),
        }
    }
}

impl Sessions {
    fn warn(&self, error: &LinkError) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(others) = refused.note(Instant::now()) {
            tracing::warn!(%error, others, "refused or cut a peer of the gateway");
        }
    }

    /// No further ones are accepted.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until all of them are over and their messages are done, but no longer than `patience`.
    pub(super) async fn ended(&self, patience: Duration) -> Drained {
        let all = self.places.acquire_many(SESSIONS_MAX);
        match tokio::time::timeout(patience, all).await {
            Ok(_all) => Drained::Whole,
            Err(_elapsed) => {
                let free = u32::try_from(self.places.available_permits()).unwrap_or(SESSIONS_MAX);
                Drained::Cut { peers: SESSIONS_MAX - free.min(SESSIONS_MAX) }
            }
        }
    }
}

/// Peers that were refused or cut.
#[derive(Debug, Default)]
struct Refused {
    said_at: Option<Instant>,
    /// How many since then.
    unsaid: u32,
}

impl Refused {
    /// Whether one more is worth a line; then, how many others there were since the last one.
    fn note(&mut self, now: Instant) -> Option<u32> {
        if self.said_at.is_some_and(|said| now.duration_since(said) < REFUSED_EVERY) {
            self.unsaid = self.unsaid.saturating_add(1);
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// How many sessions each program has.
#[derive(Debug, Default)]
struct Shares(Mutex<HashMap<Program, u32>>);

/// One session's part of its program's share: until the peer has left and all its questions are answered,
/// whoever keeps them. Otherwise a peer that comes again and again would leave a window of them each time.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    program: Program,
}

impl Shares {
    fn take(self: &Arc<Self>, program: Program) -> Result<Share, LinkError> {
        let mut taken = self.taken();
        let sessions = taken.entry(program).or_default();
        let connections_max = match program.pid {
            Some(_) => SESSIONS_PER_PROGRAM_MAX,
            None => SESSIONS_OF_UNSEEN_MAX,
        };
        if *sessions == connections_max {
            return Err(LinkError::TooManyConnections { connections_max });
        }
        *sessions += 1;
        Ok(Share { shares: self.clone(), program })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Program, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        if let Some(sessions) = taken.get_mut(&self.program) {
            *sessions -= 1;
            if *sessions == 0 {
                taken.remove(&self.program);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_are_refused_one_in_a_while_is_logged_and_the_others_are_counted() {
        let (mut refused, begun) = (Refused::default(), Instant::now());
        assert_eq!(refused.note(begun), Some(0));
        for _ in 0..100 {
            assert_eq!(refused.note(begun + REFUSED_EVERY / 2), None);
        }
        assert_eq!(refused.note(begun + REFUSED_EVERY), Some(100));
        assert_eq!(refused.note(begun + REFUSED_EVERY * 2), Some(0));
    }

    #[test]
    fn programs_that_cannot_be_told_from_each_other_share_a_larger_part() {
        let shares = Arc::new(Shares::default());
        let unseen = Program { uid: 1000, pid: None };
        let held: Vec<_> = (0..SESSIONS_OF_UNSEEN_MAX).map(|_| shares.take(unseen)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(shares.take(unseen).is_err());
    }

    #[test]
    fn a_program_has_its_share_and_leaves_the_rest_to_others() {
        let shares = Arc::new(Shares::default());
        let [greedy, other] = [7, 8].map(|pid| Program { uid: 1000, pid: Some(pid) });
        let mut held: Vec<_> = (0..SESSIONS_PER_PROGRAM_MAX)
            .map(|_| shares.take(greedy).expect("it is within its share"))
            .collect();
        let refused = shares.take(greedy).expect_err("it has its share").to_string();
        assert_eq!(
            refused,
            "the peer's program has 16 connections already, which is the most for one"
        );
        let _others = shares.take(other).expect("there is room for others");
        held.pop();
        held.push(shares.take(greedy).expect("it gave one back"));
        drop(held);
        assert_eq!(shares.taken().len(), 1, "who has none is forgotten");
    }
}
