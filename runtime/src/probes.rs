//! When a service may be called, and when it counts as stuck, said in code.

use std::{path::Path, time::Duration};

use blackhole_config::{Table, Value};

/// A check from outside, repeated.
///
/// ```
/// use std::time::Duration;
/// use blackhole::{Probe, ServiceSpec};
///
/// let alive = Probe::tcp("127.0.0.1:6379").every(Duration::from_secs(5)).failures_max(3);
/// let cache = ServiceSpec::command(["redis-server"]).ready(alive.clone()).live(alive);
/// # drop(cache);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Probe(Table);

impl Probe {
    /// gRPC health v1 at `unix:/path` or `host:port`.
    #[track_caller]
    pub fn grpc(target: impl Into<String>) -> Self {
        Self(Table::new()).set("grpc", target.into())
    }

    /// gRPC health v1 on a native service's own socket.
    #[track_caller]
    pub fn own_grpc() -> Self {
        Self(Table::new()).set("grpc", true)
    }

    /// A GET that must answer 200 to 399.
    #[track_caller]
    pub fn http(url: impl Into<String>) -> Self {
        Self(Table::new()).set("http", url.into())
    }

    /// A connection to `host:port`.
    #[track_caller]
    pub fn tcp(address: impl Into<String>) -> Self {
        Self(Table::new()).set("tcp", address.into())
    }

    /// A connection to a Unix socket.
    #[track_caller]
    pub fn unix(path: impl Into<String>) -> Self {
        Self(Table::new()).set("unix", path.into())
    }

    /// A program that must exit with 0.
    #[track_caller]
    pub fn exec<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        Self(Table::new()).set("exec", words)
    }

    /// From the end of one try to the start of the next. Default: 10 s; 200 ms until the first success.
    #[track_caller]
    pub fn every(self, every: Duration) -> Self {
        self.set("every", every)
    }

    /// Of one try. Default: 1 s.
    #[track_caller]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set("timeout", timeout)
    }

    /// This many failures in a row make it unhealthy. Default: 3.
    #[track_caller]
    pub fn failures_max(self, failures_max: u32) -> Self {
        self.set("failures_max", failures_max)
    }

    /// This many successes in a row make it healthy. Default: 1.
    #[track_caller]
    pub fn successes_min(self, successes_min: u32) -> Self {
        self.set("successes_min", successes_min)
    }

    /// With [`grpc`](Self::grpc): the service to ask for. Default: the whole server.
    #[track_caller]
    pub fn service(self, service: impl Into<String>) -> Self {
        self.set("service", service.into())
    }

    /// With [`grpc`](Self::grpc) or an `https` URL: certificates.
    #[track_caller]
    pub fn tls(self, tls: Tls) -> Self {
        self.set("tls", tls.0)
    }

    /// From spawn to ready, at most: the same as
    /// [`ServiceSpec::start_deadline`](crate::ServiceSpec::start_deadline), and not to be said twice.
    #[track_caller]
    pub fn deadline(self, deadline: Duration) -> Self {
        self.set("deadline", deadline)
    }

    /// Any key of a probe, as the file would say it.
    #[track_caller]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.set(key, value);
        self
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Table(self.0)
    }
}

/// Certificates of a probe, in PEM files.
///
/// ```
/// use blackhole::{Probe, Tls};
///
/// let tls = Tls::new().ca("/etc/ca.pem").identity("/etc/probe.pem", "/etc/probe.key");
/// let healthy = Probe::http("https://127.0.0.1:8443/health").tls(tls);
/// # drop(healthy);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Tls(Table);

impl Tls {
    /// The host's authorities are trusted, and no certificate is shown.
    pub fn new() -> Self {
        Self::default()
    }

    /// The authorities to trust. Default: the host's.
    #[track_caller]
    pub fn ca(mut self, path: impl AsRef<Path>) -> Self {
        self.0.set("ca", path.as_ref());
        self
    }

    /// Our certificate chain, and its key.
    #[track_caller]
    pub fn identity(mut self, cert: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.0.set("cert", cert.as_ref()).set("key", key.as_ref());
        self
    }

    /// The name that the certificate must carry. Default: the target's host.
    #[track_caller]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.0.set("server_name", name.into());
        self
    }
}

/// When a service may be depended on and called.
#[derive(Debug, Clone)]
#[must_use]
pub struct Ready(Value);

impl Ready {
    /// Once it has been started: the default of commands.
    pub fn spawned() -> Self {
        Self("spawned".into())
    }

    /// Once it says so by sd_notify: `READY=1`.
    pub fn notify() -> Self {
        Self("notify".into())
    }

    /// Once it says so on its link: the default of native services.
    pub fn native() -> Self {
        Self("native".into())
    }

    /// Once a line of its output matches this regular expression.
    #[track_caller]
    pub fn log(pattern: impl Into<String>) -> Self {
        let mut table = Table::new();
        table.set("log", pattern.into());
        Self(table.into())
    }

    /// Once it has stayed up for this long.
    #[track_caller]
    pub fn up_for(duration: Duration) -> Self {
        let mut table = Table::new();
        table.set("up_for", duration);
        Self(table.into())
    }

    pub(crate) fn into_value(self) -> Value {
        self.0
    }
}

impl From<Probe> for Ready {
    fn from(probe: Probe) -> Self {
        Self(probe.into_value())
    }
}

/// How a stuck process is found.
#[derive(Debug, Clone)]
#[must_use]
pub struct Live(Value);

impl Live {
    /// `WATCHDOG=1` must come by sd_notify at least this often.
    #[track_caller]
    pub fn notify(timeout: Duration) -> Self {
        let mut table = Table::new();
        table.set("notify", true).set("timeout", timeout);
        Self(table.into())
    }

    /// A native child must answer its node's pings within this: the default of native services, with
    /// their default.
    #[track_caller]
    pub fn native(timeout: Duration) -> Self {
        let mut table = Table::new();
        table.set("native", true).set("timeout", timeout);
        Self(table.into())
    }

    pub(crate) fn into_value(self) -> Value {
        self.0
    }
}

impl From<Probe> for Live {
    fn from(probe: Probe) -> Self {
        Self(probe.into_value())
    }
}
