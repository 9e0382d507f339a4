//! Work that blocks, kept off the thread that answers everybody.

use super::ServiceError;
use crate::StoreError;

/// Runs `work` where it may block.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ServiceError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(ServiceError::Unfinished)??)
}

/// A value that blocks whoever uses or drops it, and therefore lives on threads made for that.
///
/// Whoever awaits may be dropped at any time, for instance when the client goes away; the work at hand
/// is then finished and the value dropped after it.
#[derive(Debug)]
pub(super) struct OffThread<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> OffThread<T> {
    pub(super) async fn make(
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Self, ServiceError> {
        // The wrapper is made on that thread, too: its value must not be dropped on this one.
        off_thread(|| work().map(|value| Self(Some(value)))).await
    }

    pub(super) async fn with<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut T) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, ServiceError> {
        let mut value = self.take();
        let (value, result) = off_thread(move || {
            let result = work(&mut value)?;
            Ok((Self(Some(value)), result))
        })
        .await?;
        *self = value;
        Ok(result)
    }

    pub(super) async fn consume<R: Send + 'static>(
        mut self,
        work: impl FnOnce(T) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, ServiceError> {
        let value = self.take();
        off_thread(move || work(value)).await
    }

    fn take(&mut self) -> T {
        self.0.take().expect("after an error it is not used again")
    }
}

impl<T: Send + 'static> Drop for OffThread<T> {
    fn drop(&mut self) {
        let Some(value) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(value))),
            Err(_no_runtime) => drop(value),
        }
    }
}
