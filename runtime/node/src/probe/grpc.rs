//! gRPC health v1 of one server: asked by `Check` when a try is due, told by `Watch` in between.
//!
//! | `Updates` | what it means | left by |
//! |---|---|---|
//! | `Wanted` | the next pause opens a stream | the stream, or its refusal |
//! | `Streaming` | changes are pushed | a lost stream |
//! | `Resting` | a stream was lost; not before the next due try is another opened | a due try |
//! | `Unserved` | the server has no `Watch` | a new connection |

use blackhole_mesh::{
    Target, TlsFiles,
    health::{HealthConnection, HealthError, Serving, Watch},
};

use super::{
    Failure,
    checker::{Occasion, Push, chain},
};

pub(super) struct GrpcChecker {
    target: Target,
    service: String,
    tls: Option<TlsFiles>,
    connection: Option<HealthConnection>,
    updates: Updates,
    /// What the server said last, so that a stream's first message is no news.
    latest: Option<Serving>,
}

enum Updates {
    Wanted,
    Streaming(Watch),
    Resting,
    Unserved,
}

impl GrpcChecker {
    pub(super) fn new(target: Target, service: String, tls: Option<TlsFiles>) -> Self {
        Self { target, service, tls, connection: None, updates: Updates::Wanted, latest: None }
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        self.updates = Updates::Wanted;
        self.latest = None;
    }

    pub(super) async fn attempt(&mut self, occasion: Occasion) -> Result<(), Failure> {
        self.updates = match (occasion, std::mem::replace(&mut self.updates, Updates::Wanted)) {
            (Occasion::Lost, _) => Updates::Resting,
            (Occasion::Due, Updates::Resting) => Updates::Wanted,
            (Occasion::Due, unchanged) => unchanged,
        };
        let connection = match &mut self.connection {
            Some(connection) => connection,
            unconnected => {
                let opened = HealthConnection::open(&self.target, self.tls.as_ref()).await;
                unconnected.insert(opened.map_err(|error| chain(&error))?)
            }
        };
        let asked = match connection.check(&self.service).await {
            Err(HealthError::Unimplemented) => self.first_update().await,
            asked => asked,
        };
        match asked {
            Ok(serving) => {
                self.latest = Some(serving);
                self.judge(serving)
            }
            Err(error) => {
                self.disconnect();
                Err(self.explain(&error))
            }
        }
    }

    /// Waits for a change. Dropping the future loses none: what was pushed stays in the stream.
    pub(super) async fn pushed(&mut self) -> Push {
        loop {
            match self.next_update().await {
                Ok(serving) if self.latest == Some(serving) => {}
                Ok(serving) => {
                    self.latest = Some(serving);
                    return Push::Outcome(self.judge(serving));
                }
                Err(HealthError::Unimplemented) => self.updates = Updates::Unserved,
                Err(HealthError::Failed(_) | HealthError::Ended) => {
                    self.disconnect();
                    return Push::Lost;
                }
            }
        }
    }

    /// The state as told by a stream, for a server that has `Watch` and no `Check`.
    async fn first_update(&mut self) -> Result<Serving, HealthError> {
        if let (Updates::Streaming(_), Some(latest)) = (&self.updates, self.latest) {
            return Ok(latest);
        }
        match self.updates {
            Updates::Unserved => Err(HealthError::Unimplemented),
            Updates::Resting => Err(HealthError::Ended),
            Updates::Wanted | Updates::Streaming(_) => self.next_update().await,
        }
    }

    async fn next_update(&mut self) -> Result<Serving, HealthError> {
        loop {
            match (&mut self.updates, &mut self.connection) {
                (Updates::Streaming(watch), _) => return watch.next().await,
                (Updates::Wanted, Some(connection)) => {
                    let watch = connection.watch(&self.service).await?;
                    self.updates = Updates::Streaming(watch);
                }
                (Updates::Wanted, None) | (Updates::Resting | Updates::Unserved, _) => {
                    std::future::pending().await
                }
            }
        }
    }

    fn judge(&self, serving: Serving) -> Result<(), Failure> {
        let (target, service) = (&self.target, &self.service);
        let about = if service.is_empty() { String::new() } else { format!(" for `{service}`") };
        match serving {
            Serving::Serving => Ok(()),
            Serving::NotServing => Err(format!("{target} says NOT_SERVING{about}")),
            Serving::Unknown => Err(format!("{target} says UNKNOWN{about}")),
            Serving::ServiceUnknown => Err(format!("{target} knows no health{about}")),
        }
    }

    fn explain(&self, error: &HealthError) -> Failure {
        match error {
            HealthError::Unimplemented => format!("{} serves no gRPC health", self.target),
            error => format!("{} by {}", chain(error), self.target),
        }
    }
}
