//! What a service has to say about itself.

use std::future::Future;

use serde::de::DeserializeOwned;

use crate::{Context, Routes};

/// Why a service could not start. Every error becomes one with `?`.
pub type ServiceError = Box<dyn std::error::Error + Send + Sync>;

/// A native service.
///
/// Dependents wait until [`start`](Self::start) is done, and a crashed service is away for as long:
/// what can be opened at first use should be.
pub trait Service: Sized + Send + Sync + 'static {
    /// Its name in the file, if the file does not give it another.
    const NAME: &'static str;

    /// `[services.X.settings]` of the file. Refuse unknown keys, and give defaults to absent ones.
    type Settings: DeserializeOwned + Send;

    /// Gets ready to be called.
    fn start(
        context: Context<Self::Settings>,
    ) -> impl Future<Output = Result<Self, ServiceError>> + Send;

    /// Adds its gRPC services. Health and reflection are there already.
    fn register(&self, routes: &mut Routes);

    /// What the next incarnation is to have: asked at an orderly stop, when the last request has been
    /// answered. It finds it in [`Context::restored`], and so decides what to make of it.
    /// [`Context::keeper`] hands state on at other times, such as before a crash.
    fn snapshot(&self) -> Option<Vec<u8>> {
        None
    }

    /// Finishes: called when the last request has been answered, or has been given up. The process
    /// ends after it, and is killed when the grace is over.
    fn stop(self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
