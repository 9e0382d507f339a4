//! What the sockets of a group may send and receive.

use std::{
    error::Error,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Instant,
};

use blackhole_isolation::{
    Bandwidth, Enforcement, Host, IsolationError, Limits, Plan, Request, plan,
};

use crate::{
    groups::OwnGroups,
    launch::{misbehave, say, stdout, under},
};

/// Loopback does a hundred times as much, and an emulated one ten times.
const RATE: u64 = 1 << 20;
/// What may pass at once: what the rate allows in 0.3 s, and a packet for each processor.
const BURST: u64 = RATE * 3 / 10 + (256 << 10);
const MILLISECONDS: &str = "2000";

/// `None`, and a word to the reader, where nobody may limit that.
fn limited(own: &OwnGroups, bandwidth: Bandwidth) -> Option<Arc<Plan>> {
    let limits = Limits { bandwidth, ..Limits::default() };
    match plan(&own.request(limits), own.host()) {
        Ok(plan) => Some(Arc::new(plan)),
        Err(IsolationError::Group(error)) => {
            say(&format!("skipped: {}", error.to_string().replace('\n', "; ")));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The bytes that may have passed since then.
fn allowed_since(start: Instant) -> u64 {
    (start.elapsed().as_secs_f64() * RATE as f64) as u64 + BURST
}

/// A peer outside of the group for one connection.
fn peer<T: Send + 'static>(
    talk: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address").to_string();
    (address, thread::spawn(move || talk(listener.accept().expect("a connection").0)))
}

#[test]
fn a_sender_gets_its_rate_and_no_more() {
    let Some(own) = OwnGroups::with(&[]) else { return };
    let egress = Bandwidth { egress_max: Some(RATE), ..Bandwidth::default() };
    let Some(plan) = limited(&own, egress) else { return };
    let start = Instant::now();
    // To the end, so that what the kernel still had to send counts, and so does its time.
    let (address, reader) = peer(move |mut stream| {
        let (mut block, mut bytes) = (vec![0; 64 << 10], 0);
        while let Ok(count @ 1..) = stream.read(&mut block) {
            bytes += count as u64;
        }
        (bytes, allowed_since(start))
    });
    let output = under(&plan, misbehave(&["send", &address, MILLISECONDS])).output();
    let (bytes, allowed) = reader.join().expect("it reads");
    assert!((64 << 10..=allowed).contains(&bytes), "{bytes} of {allowed} bytes, {output:?}");
}

#[test]
fn a_receiver_gets_its_rate_and_no_more() {
    let Some(own) = OwnGroups::with(&[]) else { return };
    let ingress = Bandwidth { ingress_max: Some(RATE), ..Bandwidth::default() };
    let Some(plan) = limited(&own, ingress) else { return };
    let (address, writer) = peer(|mut stream| {
        let block = vec![1; 64 << 10];
        while stream.write(&block).is_ok() {}
    });
    let start = Instant::now();
    let output = under(&plan, misbehave(&["receive", &address, MILLISECONDS])).output();
    let (output, allowed) = (output.expect("a start"), allowed_since(start));
    writer.join().expect("it writes");
    let bytes = stdout(&output).parse::<u64>().expect("a number");
    assert!((64 << 10..=allowed).contains(&bytes), "{bytes} of {allowed} bytes");
}

#[test]
fn without_a_hierarchy_of_v2_it_is_refused_or_said() {
    let bandwidth = Bandwidth { egress_max: Some(RATE), ingress_max: None };
    let limits = Limits { bandwidth, ..Limits::default() };
    let request = Request { instance: "web-0".into(), limits, ..Request::default() };
    let host = Host::detect();
    let refused = plan(&request, &host).expect_err("there are no groups");
    let why = Error::source(&refused).expect("a cause").to_string();
    assert!(why.starts_with("`network` cannot be enforced here: there is no cgroup v2"), "{why}");
    let lenient = Request { enforcement: Enforcement::BestEffort, ..request };
    let plan = plan(&lenient, &host).expect("it may run without");
    assert_eq!(plan.downgraded()[0].key, "network");
    assert!(plan.group().is_none());
}
