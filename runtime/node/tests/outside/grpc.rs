//! gRPC health v1 over a Unix socket; TCP and TLS are the mesh's own tests.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use blackhole_config::{Check, GrpcCheck, Probe};
use blackhole_node::probe::Assumed;
use tokio::{net::UnixListener, sync::oneshot};
use tokio_stream::{Stream, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status, transport::server::Router};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_check_response::ServingStatus as Answer,
        health_server::{Health, HealthServer},
    },
    server::{HealthReporter, health_reporter},
};

use super::{NEVER, eventually, probe, text, watch};

fn grpc(path: &Path, service: &str) -> Probe {
    probe(Check::Grpc(GrpcCheck {
        target: text(&format!("unix:{}", path.display())),
        service: service.to_owned(),
        tls: None,
    }))
}

/// A server on a runtime of its own, so that its connections end with it.
struct Server {
    _stop: oneshot::Sender<()>,
}

fn serve(path: &Path, server: Router) -> Server {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (stop, stopped) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = UnixListener::from_std(listener).unwrap();
            tokio::select! {
                ended = server.serve_with_incoming(UnixListenerStream::new(listener)) => {
                    panic!("the server ended: {ended:?}")
                }
                // Its sender is dropped, not used.
                _ = stopped => {}
            }
        });
    });
    Server { _stop: stop }
}

fn router<H: Health>(health: HealthServer<H>) -> Router {
    tonic::transport::Server::builder().add_service(health)
}

/// A server with the reporter of its health.
fn real(path: &Path) -> (HealthReporter, Server) {
    let (reporter, health) = health_reporter();
    (reporter, serve(path, router(health)))
}

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    Place { _folder: folder, path }
}

#[tokio::test]
async fn changes_are_pushed_and_need_no_try() {
    let place = place();
    let (reporter, _server) = real(&place.path);
    let mut probe = grpc(&place.path, "api");
    probe.every = NEVER;
    reporter.set_service_status("api", ServingStatus::Serving).await;
    let mut watched = watch(&probe, Assumed::Unhealthy);
    watched.becomes_healthy().await;
    for _ in 0..3 {
        reporter.set_service_status("api", ServingStatus::NotServing).await;
        let reason = watched.becomes_unhealthy().await;
        assert_eq!(reason, format!("unix:{} says NOT_SERVING for `api`", place.path.display()));
        reporter.set_service_status("api", ServingStatus::Serving).await;
        watched.becomes_healthy().await;
    }
}

#[tokio::test]
async fn a_silent_stream_reaches_both_thresholds() {
    let place = place();
    let (reporter, _server) = real(&place.path);
    let mut probe = grpc(&place.path, "");
    probe.successes_min = std::num::NonZeroU32::new(3).unwrap();
    probe.failures_max = std::num::NonZeroU32::new(3).unwrap();
    let mut watched = watch(&probe, Assumed::Unhealthy);
    watched.becomes_healthy().await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
    watched.becomes_unhealthy().await;
}

#[tokio::test]
async fn a_service_that_the_server_does_not_know_is_not_healthy() {
    let place = place();
    let (_reporter, _server) = real(&place.path);
    let reason = watch(&grpc(&place.path, "typo"), Assumed::Healthy).becomes_unhealthy().await;
    assert_eq!(reason, format!("unix:{} knows no health for `typo`", place.path.display()));
}

#[tokio::test]
async fn a_lost_stream_is_followed_by_a_try_that_tells_whether_the_server_is_lost() {
    let place = place();
    let (_reporter, server) = real(&place.path);
    let mut probe = grpc(&place.path, "");
    probe.every = NEVER;
    let mut watched = watch(&probe, Assumed::Unhealthy);
    watched.becomes_healthy().await;
    drop(server);
    let reason = watched.becomes_unhealthy().await;
    // Reset, when a program that is just being started holds a copy of the listener.
    assert!(reason.contains("connection refused") || reason.contains("reset"), "{reason}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let place = place();
    let (_reporter, server) = real(&place.path);
    let mut watched = watch(&grpc(&place.path, ""), Assumed::Unhealthy);
    watched.becomes_healthy().await;
    drop(server);
    watched.becomes_unhealthy().await;
    std::fs::remove_file(&place.path).unwrap();
    let (reporter, _server) = real(&place.path);
    watched.becomes_healthy().await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
    watched.becomes_unhealthy().await;
}

/// Answers until it is stuck, then lets everybody wait; its streams stay open.
#[derive(Clone, Default)]
struct Sticky {
    is_stuck: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl Health for Sticky {
    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if self.is_stuck.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(answer(Answer::Serving)))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::pending()))
    }
}

#[tokio::test]
async fn a_server_that_gets_stuck_behind_an_open_stream_is_found_out() {
    let place = place();
    let sticky = Sticky::default();
    let _server = serve(&place.path, router(HealthServer::new(sticky.clone())));
    let mut probe = grpc(&place.path, "");
    probe.timeout = Duration::from_millis(300);
    let mut watched = watch(&probe, Assumed::Unhealthy);
    watched.becomes_healthy().await;
    sticky.is_stuck.store(true, Ordering::Relaxed);
    assert_eq!(watched.becomes_unhealthy().await, "timed out after 300ms");
}

/// What a stream tells before it ends.
type Answers = Vec<Result<Answer, Status>>;

/// A server whose answers the test chooses, and that counts how it was asked.
#[derive(Clone)]
struct Odd {
    check: fn() -> Result<Answer, Status>,
    watch: fn() -> Result<Answers, Status>,
    checks: Arc<AtomicU32>,
    watches: Arc<AtomicU32>,
}

fn odd(check: fn() -> Result<Answer, Status>, watch: fn() -> Result<Answers, Status>) -> Odd {
    Odd { check, watch, checks: Arc::default(), watches: Arc::default() }
}

fn answer(status: Answer) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Odd {
    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        (self.check)().map(|status| Response::new(answer(status)))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        let answers = (self.watch)()?.into_iter().map(|status| status.map(answer));
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }
}

#[tokio::test]
async fn a_server_without_watch_is_asked_by_check_alone() {
    let place = place();
    let odd = odd(|| Ok(Answer::Serving), || Err(Status::unimplemented("no watch")));
    let _server = serve(&place.path, router(HealthServer::new(odd.clone())));
    let mut watched = watch(&grpc(&place.path, ""), Assumed::Unhealthy);
    watched.becomes_healthy().await;
    eventually(|| {
        let checks = odd.checks.load(Ordering::Relaxed);
        (checks > 5, checks)
    })
    .await;
    assert_eq!(odd.watches.load(Ordering::Relaxed), 1);
    assert!(watched.verdicts.is_empty());
}

#[tokio::test]
async fn a_server_that_ends_every_stream_is_healthy_and_not_asked_without_pause() {
    let place = place();
    let odd = odd(|| Ok(Answer::Serving), || Ok(vec![Ok(Answer::Serving)]));
    let _server = serve(&place.path, router(HealthServer::new(odd.clone())));
    let mut watched = watch(&grpc(&place.path, ""), Assumed::Unhealthy);
    watched.becomes_healthy().await;
    let begun = std::time::Instant::now();
    eventually(|| {
        let watches = odd.watches.load(Ordering::Relaxed);
        (watches > 5, watches)
    })
    .await;
    let tries = begun.elapsed().as_millis() / 20 + 2;
    let checks = u128::from(odd.checks.load(Ordering::Relaxed));
    assert!(checks <= 2 * tries, "{checks} checks in the time of {tries} tries");
    assert!(watched.verdicts.is_empty());
}

#[tokio::test]
async fn a_server_with_watch_alone_is_believed_what_it_says_there() {
    let place = place();
    let odd = odd(|| Err(Status::unimplemented("no check")), || Ok(vec![Ok(Answer::NotServing)]));
    let _server = serve(&place.path, router(HealthServer::new(odd.clone())));
    let reason = watch(&grpc(&place.path, ""), Assumed::Healthy).becomes_unhealthy().await;
    assert_eq!(reason, format!("unix:{} says NOT_SERVING", place.path.display()));
}

#[tokio::test]
async fn a_server_that_refuses_or_has_no_health_says_so() {
    let place = place();
    let refusing = odd(|| Err(Status::permission_denied("who are you?")), || Ok(Vec::new()));
    let server = serve(&place.path, router(HealthServer::new(refusing)));
    let mut watched = watch(&grpc(&place.path, ""), Assumed::Healthy);
    let mut story = vec![watched.becomes_unhealthy().await];
    drop(server);
    std::fs::remove_file(&place.path).unwrap();
    let without = odd(|| Err(Status::unimplemented("")), || Err(Status::unimplemented("")));
    let _server = serve(&place.path, router(HealthServer::new(without)));
    story.push(watch(&grpc(&place.path, ""), Assumed::Healthy).becomes_unhealthy().await);
    let story = story.join("\n").replace(&place.path.display().to_string(), "[path]");
    insta::assert_snapshot!(story, @"
    unix:[path]: gRPC health failed: PermissionDenied: who are you?
    unix:[path] serves no gRPC health
    ");
}
