//! Probes and notifications with real servers, real programs and real sockets.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod exec;
mod grpc;
mod notify;
mod plain;

use std::{num::NonZeroU32, path::Path, time::Duration};

use blackhole_config::{Check, Probe, Scope, Template};
use blackhole_node::probe::{Assumed, ExecContext, Prober, ResolvedProbe, Verdict};
use tokio::sync::mpsc;

/// What has not happened by then does not happen.
const DEADLINE: Duration = Duration::from_secs(30);
/// From one look at what nobody tells of to the next.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Never, for a test.
const NEVER: Duration = Duration::from_secs(3600);

/// A probe that is tried often; tests change what they are about.
fn probe(check: Check) -> Probe {
    Probe {
        check,
        every: Duration::from_millis(20),
        every_starting: Duration::from_millis(20),
        timeout: Duration::from_secs(20),
        failures_max: NonZeroU32::MIN,
        successes_min: NonZeroU32::MIN,
    }
}

fn text(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn resolve(probe: &Probe, context: &ExecContext) -> ResolvedProbe {
    let service = "cache".parse().expect("a name");
    let scope = Scope {
        runtime_dir: Path::new("/nowhere"),
        data_dir: Path::new("/nowhere"),
        log_dir: Path::new("/nowhere"),
        secrets_dir: Path::new("/nowhere"),
        node: "test",
        service: &service,
        instance: NonZeroU32::MIN,
    };
    ResolvedProbe::new(probe, &scope, context).expect("a probe that can be resolved")
}

/// A running probe and what it has reported.
struct Watched {
    prober: Prober,
    verdicts: mpsc::UnboundedReceiver<Verdict>,
}

fn watch(probe: &Probe, assumed: Assumed) -> Watched {
    watch_in(probe, assumed, &ExecContext::default())
}

fn watch_in(probe: &Probe, assumed: Assumed, context: &ExecContext) -> Watched {
    let (report, verdicts) = mpsc::unbounded_channel();
    let prober = Prober::start(resolve(probe, context), assumed, move |verdict| {
        let _ = report.send(verdict);
    });
    Watched { prober, verdicts }
}

impl Watched {
    async fn next(&mut self) -> Verdict {
        match tokio::time::timeout(DEADLINE, self.verdicts.recv()).await {
            Ok(Some(verdict)) => verdict,
            Ok(None) => panic!("the probe has ended"),
            Err(_) => panic!("no verdict; the last failure was {:?}", self.prober.last_failure()),
        }
    }

    async fn becomes_healthy(&mut self) {
        assert_eq!(self.next().await, Verdict::Healthy);
    }

    /// The reason.
    async fn becomes_unhealthy(&mut self) -> String {
        match self.next().await {
            Verdict::Unhealthy { reason, .. } => reason.to_string(),
            Verdict::Healthy => panic!("it became healthy"),
        }
    }
}

/// Waits until `found` is so, and says what was seen last if it never is.
async fn eventually<T: std::fmt::Debug>(mut look: impl FnMut() -> (bool, T)) {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let (found, seen) = look();
        if found {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "last seen: {seen:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
