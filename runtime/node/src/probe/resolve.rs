//! From what the file says to what a probe of one instance does: placeholders filled in, addresses
//! read.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use blackhole_config::{self as config, Scope};
use blackhole_mesh::{HttpUrl, HttpUrlError, Target, TargetError, TlsFiles};
use blackhole_process::LaunchError;

use super::exec::{Exec, ExecContext};

/// A probe of one instance, with nothing left to fill in.
#[derive(Debug, Clone)]
pub struct ResolvedProbe {
    /// What is tried.
    pub check: ResolvedCheck,
    /// From the end of one try to the start of the next.
    pub every: Duration,
    /// Of one try.
    pub timeout: Duration,
    /// So many failures in a row are a failure.
    pub failures_max: NonZeroU32,
    /// So many successes in a row are a success.
    pub successes_min: NonZeroU32,
}

/// One try of a probe.
#[derive(Debug, Clone)]
pub enum ResolvedCheck {
    /// gRPC health v1.
    Grpc {
        /// Where.
        target: Target,
        /// About what; empty asks about the whole server.
        service: String,
        /// TLS when present.
        tls: Option<TlsFiles>,
    },
    /// An HTTP GET that must answer 200 to 399.
    Http {
        /// Where.
        url: HttpUrl,
        /// For `https`.
        tls: Option<TlsFiles>,
    },
    /// A connection that must be accepted.
    Socket(Target),
    /// A program that must exit with 0.
    Exec(Exec),
}

/// Why a probe cannot be made for this instance: what a placeholder stood for made it senseless.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Of `grpc`, `tcp` and `unix`.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Of `http`.
    #[error(transparent)]
    Url(#[from] HttpUrlError),
    /// Of `exec`.
    #[error(transparent)]
    Exec(#[from] LaunchError),
}

impl ResolvedProbe {
    /// Fills in the placeholders. `context` is how programs of an `exec` check are started.
    pub fn new(
        probe: &config::Probe,
        scope: &Scope<'_>,
        context: &ExecContext,
    ) -> Result<Self, ResolveError> {
        Ok(Self {
            check: ResolvedCheck::new(&probe.check, scope, context)?,
            every: probe.every,
            timeout: probe.timeout,
            failures_max: probe.failures_max,
            successes_min: probe.successes_min,
        })
    }
}

impl ResolvedCheck {
    fn new(
        check: &config::Check,
        scope: &Scope<'_>,
        context: &ExecContext,
    ) -> Result<Self, ResolveError> {
        Ok(match check {
            config::Check::Grpc(grpc) => Self::Grpc {
                target: grpc.target.render(scope).parse()?,
                service: grpc.service.clone(),
                tls: grpc.tls.as_ref().map(|tls| tls_files(tls, scope)),
            },
            config::Check::Http(http) => Self::Http {
                url: http.url.render(scope).parse()?,
                tls: http.tls.as_ref().map(|tls| tls_files(tls, scope)),
            },
            config::Check::Tcp(address) => Self::Socket(address.render(scope).parse()?),
            config::Check::Unix(path) => {
                let path = path.render(scope);
                let path = path.strip_prefix("unix:").unwrap_or(&path);
                Self::Socket(Target::Unix(path.into()))
            }
            config::Check::Exec(command) => {
                let command = command.iter().map(|part| part.render(scope)).collect();
                Self::Exec(Exec::new(command, context)?)
            }
        })
    }
}

fn tls_files(tls: &config::Tls, scope: &Scope<'_>) -> TlsFiles {
    let path = |template: &config::Template| PathBuf::from(template.render(scope));
    TlsFiles {
        ca: tls.ca.as_ref().map(path),
        identity: tls.identity.as_ref().map(|(certificate, key)| (path(certificate), path(key))),
        server_name: tls.server_name.clone(),
    }
}
