//! Reading secrets off the node's thread, from places that may not answer.
//!
//! A read that the kernel holds fast cannot be given up, only left alone. So each place has one reader at a
//! time: a place that is silent holds one thread, however many services want something of it and however
//! often they are started again, and who asks it meanwhile is answered at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use blackhole_config::SecretSource;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use zeroize::Zeroizing;

use super::source::{SourceError, backend};

/// A start waits so long for one place.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Who is being read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    places: Mutex<HashMap<SecretSource, Arc<Place>>>,
}

#[derive(Debug)]
struct Place {
    /// One permit: for the one who reads.
    reader: Arc<Semaphore>,
    /// When the read began that is not finished yet.
    began: Mutex<Option<Instant>>,
}

impl Reading {
    /// The value, from a thread on which reading may block.
    pub(super) async fn read(
        &self,
        source: &SecretSource,
    ) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        let wanted = source.clone();
        let value = self.place(source).read(move || backend(&wanted).read()).await;
        let silent = || SourceError::Silent { kept: told(source), seconds: WAIT_MAX.as_secs() };
        value.unwrap_or_else(|| Err(silent()))
    }

    fn place(&self, source: &SecretSource) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(source.clone()).or_default().clone()
    }
}

/// One read, which ends whatever becomes of it.
struct Turn {
    place: Arc<Place>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.place.began() = None;
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { reader: Arc::new(Semaphore::new(1)), began: Mutex::default() }
    }
}

impl Place {
    /// `None` if it does not answer in time, or has not answered another one.
    async fn read<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let is_silent = |began: Instant| began.elapsed() >= WAIT_MAX;
        if self.began().is_some_and(is_silent) {
            return None;
        }
        let deadline = Instant::now() + WAIT_MAX;
        let permit = timeout_at(deadline, self.reader.clone().acquire_owned()).await.ok()?.ok()?;
        *self.began() = Some(Instant::now());
        let turn = Turn { place: self, _permit: permit };
        let reading = spawn_blocking(move || {
            let value = read();
            drop(turn);
            value
        });
        timeout_at(deadline, reading).await.ok()?.ok()
    }

    fn began(&self) -> MutexGuard<'_, Option<Instant>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(source: &SecretSource) -> String {
    match source {
        SecretSource::File(path) => format!("`{}`", path.display()),
        SecretSource::Environment(variable) => format!("the variable `{variable}`"),
        SecretSource::Credential(name) => format!("the credential `{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap().block_on(test)
    }

    #[test]
    fn a_place_that_is_silent_holds_one_thread_and_answers_nobody_until_it_speaks() {
        run(async {
            let place = Arc::new(Place::default());
            let (speak, silence) = mpsc::channel::<()>();
            let stuck = tokio::spawn(place.clone().read(move || silence.recv().is_ok()));
            tokio::task::yield_now().await;
            let queued =
                tokio::spawn(place.clone().read(|| -> bool { unreachable!("it was given up") }));
            // Blocking threads hold up paused time, so it is moved by hand.
            tokio::time::advance(WAIT_MAX).await;
            assert_eq!((stuck.await.unwrap(), queued.await.unwrap()), (None, None));
            let before = Instant::now();
            assert_eq!(place.clone().read(|| true).await, None);
            assert_eq!(Instant::now(), before, "nobody waits for it again");
            speak.send(()).unwrap();
            let spoken = tokio::time::timeout(WAIT_MAX, place.reader.acquire());
            drop(spoken.await.expect("the thread has come back"));
            assert_eq!(place.read(|| 7).await, Some(7));
        });
    }

    #[test]
    fn places_do_not_wait_for_each_other() {
        run(async {
            let reading = Reading::default();
            let source = |name: &str| SecretSource::File(format!("/no/such/{name}").into());
            let stuck = reading.place(&source("stuck"));
            let _held = stuck.reader.acquire().await.unwrap();
            let error = reading.read(&source("other")).await.unwrap_err();
            assert!(error.to_string().starts_with("could not read `/no/such/other`"), "{error}");
        });
    }
}
