//! What the programs of the family *link* have in common: one process serves on a Unix socket, the other
//! measures one case and prints one number.
//!
//! This file is a module of each of them, and depends on nothing that only some of them have.

use std::{
    cell::Cell,
    env,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

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
/// Calls under way at a time.
pub(crate) const IN_FLIGHT: usize = 64;
/// How long one number is measured. Short and often: a disturbance then spoils one of many rounds.
pub(crate) const SPAN: Duration = Duration::from_millis(500);
/// What is done before, so that nothing is done for the first time.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);
/// How often something small is done between two looks at the clock.
pub(crate) const BETWEEN_LOOKS: u64 = 8;
/// What is this long is not small.
const LARGE: usize = 64 * 1024;

/// What is to be measured.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    /// One after the other: the median, in milliseconds.
    Latency { message: Answered, length: usize },
    /// Calls one after the other: the processor time of both processes for each, in milliseconds.
    ProcessorTime,
    /// So many at a time: how many in a second.
    Rate { message: Answered, length: usize, in_flight: usize },
    /// Messages without an answer in a second, until all have been done.
    Casts,
}

/// What comes back.
#[derive(Clone, Copy)]
pub(crate) enum Answered {
    /// The payload.
    Call,
    /// The word that it came.
    Put,
}

impl Case {
    /// `call`, `processor`, `flight`, `cast`, or `put LENGTH IN_FLIGHT`.
    pub(crate) fn of(words: &[String]) -> Option<Self> {
        let (call, put) = (Answered::Call, Answered::Put);
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["call"] => Some(Self::Latency { message: call, length: SMALL }),
            ["processor"] => Some(Self::ProcessorTime),
            ["flight"] => Some(Self::Rate { message: call, length: SMALL, in_flight: IN_FLIGHT }),
            ["cast"] => Some(Self::Casts),
            ["put", length, in_flight] => match (length.parse().ok()?, in_flight.parse().ok()?) {
                (length, 1) => Some(Self::Latency { message: put, length }),
                (length, in_flight) => Some(Self::Rate { message: put, length, in_flight }),
            },
            _ => None,
        }
    }
}

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
    let words: Vec<String> = env::args().skip(1).collect();
    if let [first, path] = words.as_slice()
        && first == "serve"
    {
        serve(path.into());
        return ExitCode::SUCCESS;
    }
    let measured = Case::of(&words).map(|case| {
        let server = Server::start();
        runtime().block_on(async { measure(&C::connect(&server.path).await, case, &server).await })
    });
    finish(&words.join(" "), measured)
}

async fn measure<C: Contender>(wire: &C, case: Case, server: &Server) -> f64 {
    match case {
        Case::Latency { message, length } => {
            one_by_one(wire, message, length, server).await.median()
        }
        Case::ProcessorTime => {
            one_by_one(wire, Answered::Call, SMALL, server).await.processor_time()
        }
        Case::Rate { message, length, in_flight } => rate(wire, message, length, in_flight).await,
        Case::Casts => casts(wire).await,
    }
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

async fn once<C: Contender>(wire: &C, message: Answered, payload: Payload) {
    match message {
        Answered::Call => wire.call(payload).await,
        Answered::Put => wire.put(payload).await,
    }
}

async fn one_by_one<'a, C: Contender>(
    wire: &C,
    message: Answered,
    length: usize,
    server: &'a Server,
) -> Calls<'a> {
    let payload = Payload(vec![7; length]);
    let mut calls = Calls::to(server);
    while calls.is_more_wanted() {
        let sent = payload.clone();
        let before = Instant::now();
        once(wire, message, sent).await;
        calls.add(before);
    }
    calls
}

/// What came out of messages that were sent one after the other.
pub(crate) struct Calls<'a> {
    server: &'a Server,
    start: Instant,
    /// What had been spent when the warm-up was over.
    spent_before: Option<Duration>,
    taken: Vec<Duration>,
}

impl<'a> Calls<'a> {
    pub(crate) fn to(server: &'a Server) -> Self {
        Self { server, start: Instant::now(), spent_before: None, taken: Vec::new() }
    }

    pub(crate) fn is_more_wanted(&self) -> bool {
        self.start.elapsed() < WARM_UP + SPAN
    }

    /// One that began then has been answered.
    pub(crate) fn add(&mut self, began: Instant) {
        let taken = began.elapsed();
        if self.spent_before.is_some() {
            self.taken.push(taken);
        } else if self.start.elapsed() > WARM_UP {
            self.spent_before = Some(self.spent());
        }
    }

    /// In milliseconds.
    pub(crate) fn median(mut self) -> f64 {
        self.taken.sort_unstable();
        self.taken[self.taken.len() / 2].as_secs_f64() * 1e3
    }

    /// Of both processes, for each call, in milliseconds.
    pub(crate) fn processor_time(self) -> f64 {
        let before = self.spent_before.expect("the warm-up is over");
        (self.spent() - before).as_secs_f64() * 1e3 / self.taken.len() as f64
    }

    fn spent(&self) -> Duration {
        processor_time(std::process::id()) + processor_time(self.server.child.id())
    }
}

/// What the kernel has counted of all threads of a process that live.
fn processor_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").flatten();
    let spent = threads.filter_map(|thread| {
        let counted = std::fs::read_to_string(thread.path().join("schedstat"));
        let counted =
            counted.inspect_err(|error| assert!(!thread.path().exists(), "{error}")).ok()?;
        let nanoseconds = counted.split(' ').next().expect("a first number");
        Some(Duration::from_nanos(nanoseconds.parse().expect("a number")))
    });
    spent.sum()
}

/// How many in a second, so many at a time.
async fn rate<C: Contender>(wire: &C, message: Answered, length: usize, in_flight: usize) -> f64 {
    let start = Instant::now();
    // Looking at the clock after each small one would be measured too.
    let between_looks = if length < LARGE { BETWEEN_LOOKS } else { 1 };
    let tally = Rc::new(Tally::default());
    // All of them copy the same one, as the limit does.
    let payload = Rc::new(Payload(vec![7; length]));
    let tasks = LocalSet::new();
    for _ in 0..in_flight {
        let (wire, payload, tally) = (wire.clone(), Rc::clone(&payload), Rc::clone(&tally));
        tasks.spawn_local(async move {
            while start.elapsed() < WARM_UP + SPAN {
                for _ in 0..between_looks {
                    once(&wire, message, Payload::clone(&payload)).await;
                }
                tally.add(between_looks, start.elapsed());
            }
        });
    }
    tasks.await;
    tally.rate(start.elapsed())
}

/// How many there were, and how many of them before the warm-up was over.
#[derive(Default)]
pub(crate) struct Tally {
    count: Cell<u64>,
    warm: Cell<Option<(u64, Duration)>>,
}

impl Tally {
    pub(crate) fn add(&self, count: u64, elapsed: Duration) {
        self.count.set(self.count.get() + count);
        if elapsed > WARM_UP && self.warm.get().is_none() {
            self.warm.set(Some((self.count.get(), elapsed)));
        }
    }

    /// In a second since the warm-up was over.
    pub(crate) fn rate(&self, elapsed: Duration) -> f64 {
        let (count, since) = self.warm.get().unwrap_or_default();
        (self.count.get() - count) as f64 / (elapsed - since).as_secs_f64()
    }
}

/// Casts in a second, until all of them have been done.
async fn casts<C: Contender>(wire: &C) -> f64 {
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
