//! What the programs of the family *link* have in common: one process serves on a Unix socket, the other
//! measures one case and prints one number.
//!
//! This file is a module of each of them, and depends on nothing that only some of them have.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Bytes that are encoded as such, and not one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payload(pub(crate) Vec<u8>);

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Payload;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Payload, E> {
                Ok(Payload(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Payload, E> {
                Ok(Payload(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// What is usually sent.
pub(crate) const SMALL: usize = 64;
/// What is sent where bandwidth counts.
pub(crate) const LARGE: usize = 64 * 1024;
/// Calls under way at a time.
pub(crate) const IN_FLIGHT: usize = 64;
/// The same for large ones.
pub(crate) const IN_FLIGHT_LARGE: usize = 16;
/// How long one number is measured.
pub(crate) const SPAN: Duration = Duration::from_millis(1500);
/// How often something is done between two looks at the clock.
pub(crate) const BETWEEN_LOOKS: u64 = 8;
/// What is done before, so that nothing is done for the first time.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);

/// One wire.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// Connects to who serves there; it may not serve yet.
    fn connect(path: &Path) -> impl Future<Output = Self> + Send;

    /// Sends a payload and waits for the same payload.
    fn call(&self, payload: Payload) -> impl Future<Output = ()> + Send;

    /// Sends a payload and waits for the word that it came.
    fn put(&self, payload: Payload) -> impl Future<Output = ()> + Send;

    /// Sends a payload, and waits for nothing but the permission to send.
    fn cast(&self, payload: Payload) -> impl Future<Output = ()> + Send;
}

/// `PROGRAM serve PATH`, or `PROGRAM CASE`.
pub(crate) fn main<C: Contender>(serve: impl FnOnce(PathBuf)) -> ExitCode {
    let mut words = env::args().skip(1);
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    if let ("serve", Some(path)) = (first.as_str(), second) {
        serve(path.into());
        return ExitCode::SUCCESS;
    }
    let server = Server::start();
    let value = runtime().block_on(async {
        let wire = C::connect(&server.path).await;
        match first.as_str() {
            "call" => Some(call(&wire).await),
            "flight" => Some(flight(&wire, SMALL, IN_FLIGHT).await),
            "large" => Some(large(&wire).await),
            "cast" => Some(cast(&wire).await),
            _ => None,
        }
    });
    finish(&first, value)
}

/// Prints the number.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program whose result is that")]
pub(crate) fn finish(case: &str, value: Option<f64>) -> ExitCode {
    match value {
        Some(value) => println!("{value}"),
        None => {
            eprintln!("there is no case `{case}`");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The median of calls one after the other, in milliseconds.
async fn call<C: Contender>(wire: &C) -> f64 {
    let payload = Payload(vec![7; SMALL]);
    let start = Instant::now();
    let mut taken = Vec::new();
    while start.elapsed() < WARM_UP + SPAN {
        let before = Instant::now();
        wire.call(payload.clone()).await;
        if start.elapsed() > WARM_UP {
            taken.push(before.elapsed());
        }
    }
    median(&mut taken)
}

/// In milliseconds.
pub(crate) fn median(taken: &mut [Duration]) -> f64 {
    taken.sort_unstable();
    taken[taken.len() / 2].as_secs_f64() * 1e3
}

/// Calls in a second, so many at a time.
async fn flight<C: Contender>(wire: &C, length: usize, in_flight: usize) -> f64 {
    let (wire, payload) = (wire.clone(), Payload(vec![7; length]));
    during(in_flight, move || {
        let (wire, payload) = (wire.clone(), payload.clone());
        async move { wire.call(payload).await }
    })
    .await
}

async fn large<C: Contender>(wire: &C) -> f64 {
    let (wire, payload) = (wire.clone(), Payload(vec![7; LARGE]));
    during(IN_FLIGHT_LARGE, move || {
        let (wire, payload) = (wire.clone(), payload.clone());
        async move { wire.put(payload).await }
    })
    .await
}

/// How often something is done in a second by so many tasks.
async fn during<F: Future<Output = ()> + Send + 'static>(
    tasks: usize,
    mut once: impl FnMut() -> F + Clone + Send + 'static,
) -> f64 {
    let start = Instant::now();
    let workers: Vec<_> = (0..tasks)
        .map(|_| {
            let mut once = once.clone();
            tokio::spawn(async move {
                let mut count = 0u64;
                loop {
                    // Looking at the clock after each would be measured too.
                    for _ in 0..BETWEEN_LOOKS {
                        once().await;
                    }
                    match start.elapsed() {
                        elapsed if elapsed > WARM_UP + SPAN => return count,
                        elapsed if elapsed > WARM_UP => count += BETWEEN_LOOKS,
                        _ => {}
                    }
                }
            })
        })
        .collect();
    let mut total = 0;
    for worker in workers {
        total += worker.await.expect("no worker panics");
    }
    once().await;
    total as f64 / SPAN.as_secs_f64()
}

/// Casts in a second, until all of them have been done.
async fn cast<C: Contender>(wire: &C) -> f64 {
    let payload = Payload(vec![7; SMALL]);
    wire.call(payload.clone()).await;
    let start = Instant::now();
    let mut count = 0u64;
    while start.elapsed() < SPAN {
        for _ in 0..1000 {
            wire.cast(payload.clone()).await;
        }
        count += 1000;
    }
    wire.call(payload).await;
    count as f64 / start.elapsed().as_secs_f64()
}

/// One thread, as a service has.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The other process, for as long as this lives.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) path: PathBuf,
    folder: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = env::temp_dir().join(format!("link-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("socket");
        let mut command = Command::new(env::current_exe().expect("it runs"));
        let command = command.arg("serve").arg(&path).stdin(Stdio::null());
        Self { child: command.spawn().expect("it starts"), path, folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until somebody serves there.
pub(crate) async fn stream(path: &Path) -> tokio::net::UnixStream {
    loop {
        match tokio::net::UnixStream::connect(path).await {
            Ok(stream) => return stream,
            Err(_not_yet) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
