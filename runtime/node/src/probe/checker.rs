//! One kind of check, with the state that it keeps between tries.

use std::{error::Error, time::Duration};

use blackhole_mesh::{HttpUrl, Protocol, Target, TlsFiles};

use super::{Failure, ResolvedCheck, exec::ExecChecker, grpc::GrpcChecker};

/// What makes the tries of a probe.
pub(super) struct Checker {
    kind: Kind,
    timeout: Duration,
}

enum Kind {
    Grpc(Box<GrpcChecker>),
    Http { url: HttpUrl, tls: Option<TlsFiles> },
    Socket(Target),
    Exec(ExecChecker),
}

/// Why a try is made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Its time has come.
    Due,
    /// The connection on which changes are pushed was lost.
    Lost,
}

/// What comes between tries.
pub(super) enum Push {
    /// The server told a change.
    Outcome(Result<(), Failure>),
    /// The connection was lost; a try tells whether the server was lost too.
    Lost,
}

impl Checker {
    pub(super) fn new(check: ResolvedCheck, timeout: Duration) -> Self {
        let kind = match check {
            ResolvedCheck::Grpc { target, service, tls } => {
                Kind::Grpc(Box::new(GrpcChecker::new(target, service, tls)))
            }
            ResolvedCheck::Http { url, tls } => Kind::Http { url, tls },
            ResolvedCheck::Socket(target) => Kind::Socket(target),
            ResolvedCheck::Exec(exec) => Kind::Exec(ExecChecker::new(exec)),
        };
        Self { kind, timeout }
    }

    /// Makes one try. Dropping the future gives up; then call [`Self::give_up`].
    pub(super) async fn attempt(&mut self, occasion: Occasion) -> Result<(), Failure> {
        match &mut self.kind {
            Kind::Grpc(grpc) => grpc.attempt(occasion).await,
            Kind::Http { url, tls } => attempt_http(url, tls.as_ref()).await,
            Kind::Socket(target) => blackhole_mesh::connect(target, None, Protocol::Http1)
                .await
                .map(drop)
                .map_err(|error| chain(&error)),
            Kind::Exec(exec) => exec.attempt().await,
        }
    }

    /// Cleans up after a try that took too long, and says so.
    pub(super) async fn give_up(&mut self) -> Failure {
        match &mut self.kind {
            Kind::Grpc(grpc) => grpc.disconnect(),
            Kind::Exec(exec) => exec.give_up().await,
            Kind::Http { .. } | Kind::Socket(_) => {}
        }
        format!("timed out after {:?}", self.timeout)
    }

    /// Waits for a change that the server tells by itself; for ever, where none does.
    pub(super) async fn pushed(&mut self) -> Push {
        match &mut self.kind {
            Kind::Grpc(grpc) => grpc.pushed().await,
            Kind::Http { .. } | Kind::Socket(_) | Kind::Exec(_) => std::future::pending().await,
        }
    }
}

async fn attempt_http(url: &HttpUrl, tls: Option<&TlsFiles>) -> Result<(), Failure> {
    let status =
        blackhole_mesh::http_status(url, tls).await.map_err(|error| chain(&error))?.as_u16();
    match status {
        200..=399 => Ok(()),
        _ => Err(format!("HTTP {status} from {url}")),
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.replace('\n', "; ")
}
