//! Passwords: argon2id, on blocking threads, a bounded number at a time.
//!
//! One hash takes 19 MiB and some tens of milliseconds (OWASP's first choice of parameters), so the
//! callers that may wait are bounded too: those beyond are refused at once.

use std::{
    sync::{Arc, OnceLock},
    thread,
};

use argon2::{
    Argon2, PasswordHasher,
    password_hash::{self, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Hashes at a time, whatever the machine: memory is the bound.
const PARALLEL_MAX: usize = 4;

/// Callers that may wait for their turn.
const WAITING_MAX: usize = 128;

/// Of the salt, in bytes: what RFC 9106 recommends.
const SALT_LENGTH: usize = 16;

/// Why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("too many callers wait for their password to be checked; try again later")]
    Busy,
    #[error("could not hash a password")]
    Hash(#[source] password_hash::Error),
    #[error("the work on a password was given up")]
    Stopping,
}

/// Whether a password is the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
}

/// Hashes and compares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passwords(Arc<OnceLock<Bounds>>);

#[derive(Debug)]
struct Bounds {
    admitted: Semaphore,
    turns: Arc<Semaphore>,
}

impl Bounds {
    /// Asking for the number of processors reads a dozen files, so it is done at the first password.
    fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let parallel = processors.min(PARALLEL_MAX);
        Self {
            admitted: Semaphore::new(parallel + WAITING_MAX),
            turns: Arc::new(Semaphore::new(parallel)),
        }
    }
}

impl Passwords {
    /// A text to keep, from which the password cannot be had.
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordError> {
        self.in_turn(move || hash(&password)).await
    }

    /// Compares with what was kept. Without it (there is no such account) the same work is done, so
    /// that the time taken does not tell.
    pub(crate) async fn verify(
        &self,
        password: Zeroizing<String>,
        kept: Option<String>,
    ) -> Result<Verdict, PasswordError> {
        self.in_turn(move || match kept {
            Some(kept) => compare(&password, &kept),
            None => hash(&password).map(|_| Verdict::Wrong),
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let bounds = self.0.get_or_init(Bounds::new);
        let _admitted = bounds.admitted.try_acquire().map_err(|_| PasswordError::Busy)?;
        let turn = bounds.turns.clone().acquire_owned().await.expect("it is never closed");
        // The turn goes with the work: a caller that gives up does not make room for another.
        let work = move || {
            let outcome = work();
            drop(turn);
            outcome
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Stopping)?
    }
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let mut salt = [0; SALT_LENGTH];
    getrandom::fill(&mut salt).map_err(|_| PasswordError::Hash(password_hash::Error::Crypto))?;
    let hash: Result<password_hash::phc::PasswordHash, _> =
        Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    Ok(hash.map_err(PasswordError::Hash)?.to_string())
}

fn compare(password: &str, kept: &str) -> Result<Verdict, PasswordError> {
    let kept = PasswordHash::new(kept)
        .map_err(|_| PasswordError::Hash(password_hash::Error::EncodingInvalid))?;
    match Argon2::default().verify_password(password.as_bytes(), &kept) {
        Ok(()) => Ok(Verdict::Right),
        Err(password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(error) => Err(PasswordError::Hash(error)),
    }
}
