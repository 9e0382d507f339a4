//! How fast and how small: `cargo test --release -p blackhole-node --test logs bench -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use crate::fixture::{Fixture, limits, memory_kib, origin, pipes};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "prints numbers"]
async fn lines_per_second() {
    for (kind, line) in [
        ("short", "y".to_owned()),
        ("text of 100 bytes", "x".repeat(99)),
        ("json", r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","msg":"request","path":"/a/b","status":200,"took_ms":1.5}"#.to_owned()),
    ] {
        let fixture = Fixture::new(limits());
        let (capture, mut stdout, stderr) = fixture.pipes("bench");
        drop(stderr);
        let lines = 500_000_u64;
        let begun = Instant::now();
        // Slower than the writer may be, so that nothing is dropped: one chunk, then wait for it.
        let chunk = format!("{line}\n").repeat(60_000 / (line.len() + 1));
        let per_chunk = chunk.lines().count() as u64;
        let mut sent = 0;
        while sent < lines {
            std::io::Write::write_all(&mut stdout, chunk.as_bytes()).expect("a pipe");
            sent += per_chunk;
            while sent - fixture.logs.totals().records_written > 20 * per_chunk {
                std::thread::yield_now();
            }
        }
        drop(stdout);
        let _closed = capture.closed(DEADLINE).await;
        let took = begun.elapsed();
        let totals = fixture.logs.totals();
        println!("{kind}: {:.0} lines/s, {totals:?}", sent as f64 / took.as_secs_f64());
    }
}

#[tokio::test]
#[ignore = "prints numbers"]
async fn bytes_per_idle_stream() {
    let fixture = Fixture::new(limits());
    let instances = 1000;
    let ends: Vec<_> = (0..instances).map(|_| pipes()).collect();
    let before = memory_kib("VmRSS");
    let mut kept = Vec::with_capacity(instances);
    for (number, (readers, writers)) in ends.into_iter().enumerate() {
        let origin = origin(&format!("idle{number}"));
        kept.push((fixture.logs.capture(origin, readers, None).expect("two pipes"), writers));
    }
    fixture.logs.flush(DEADLINE).await.expect("nothing to write");
    let grown = memory_kib("VmRSS").saturating_sub(before);
    println!("{} bytes per stream at rest", grown * 1024 / (2 * instances as u64));
}
