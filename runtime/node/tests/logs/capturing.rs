//! From a process's outputs to records.

use std::{
    io::Write as _,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use blackhole_node::logs::{Closed, Entry, Filter, Level, LineWatch, Query, Stream};
use regex::Regex;

use crate::fixture::{DEADLINE, Fixture, limits, next, origin, outputs, shell, until};

#[tokio::test]
async fn lines_become_records() {
    let fixture = Fixture::new(limits());
    let script = r#"
        echo plain
        echo '{"level":"warn","msg":"json","n":1}'
        printf '\033[31mred\033[0m \033[2J\000\n'
        printf unfinished
        printf 'trouble\nERROR more\n' >&2"#;
    assert_eq!(fixture.run("web", script).await, "trouble\nERROR more");

    let records = fixture.read(Query::default()).await;
    let of = |stream| {
        let records = records.iter().filter(move |record| record.stream == stream);
        let told = records.map(|record| (record.level, &*record.message, &*record.fields));
        told.collect::<Vec<_>>()
    };
    let expected = [
        (Level::Info, "plain", ""),
        (Level::Warn, "json", r#"{"n":1}"#),
        (Level::Info, r"red \u{1b}[2J\0", ""),
        (Level::Info, "unfinished", ""),
    ];
    assert_eq!(of(Stream::Stdout), expected);
    assert_eq!(
        of(Stream::Stderr),
        [(Level::Info, "trouble", ""), (Level::Error, "ERROR more", "")]
    );
    assert!(records.iter().all(|record| record.origin == origin("web") && &*record.node == "dev"));
}

#[tokio::test]
async fn binary_output_is_harmless() {
    let fixture = Fixture::new(limits());
    fixture.run("noise", "head -c 1000000 /dev/urandom; head -c 100000 /dev/urandom >&2").await;
    let records = fixture.read(Query::default()).await;
    assert!(records.len() > 1000, "{} records", records.len());
    let harmful = |c: char| c.is_control() && c != '\t';
    assert!(!records.iter().any(|record| record.message.contains(harmful)));
    let file = std::fs::read_to_string(fixture.path("noise-1.log")).expect("UTF-8");
    assert!(!file.contains(|c| c != '\n' && harmful(c)));
}

#[tokio::test]
async fn a_line_without_end_is_split() {
    let limits = blackhole_config::Logs { line_length_max: 4096, ..limits() };
    let fixture = Fixture::new(limits);
    fixture.run("endless", "head -c 300000 /dev/zero | tr '\\0' x").await;
    let records = fixture.read(Query::default()).await;
    let (last, pieces) = records.split_last().expect("records");
    assert_eq!((pieces.len(), last.message.len()), (73, 300_000 - 73 * 4096));
    assert!(pieces.iter().all(|piece| piece.message.len() == 4096));
    assert!(pieces.iter().all(|piece| piece.fields == r#"{"split":true}"#));
    assert_eq!(last.fields, "");
}

/// Lines that were read together have one time of arrival.
#[tokio::test]
async fn lines_that_come_all_the_time_are_read_many_at_once() {
    const LINES: usize = 20_000;
    let fixture = Fixture::new(limits());
    let (capture, mut stdout, _) = fixture.pipes("steady");
    let print = move || {
        for number in 0..LINES {
            let begun = Instant::now();
            writeln!(stdout, "line {number}").expect("a pipe");
            while begun.elapsed() < Duration::from_micros(20) {
                thread::yield_now();
            }
        }
    };
    tokio::task::spawn_blocking(print).await.expect("no panic");
    assert_eq!(capture.closed(DEADLINE).await, Closed::Clean);

    let records = fixture.read(Query::default()).await;
    let in_order = records.iter().enumerate().all(|(n, it)| it.message == format!("line {n}"));
    assert!(in_order && records.len() == LINES, "{} records", records.len());
    let reads = records.chunk_by(|before, after| before.at == after.at).count();
    assert!(reads < LINES / 4, "{reads} reads");
}

#[tokio::test]
async fn a_line_that_is_waited_for_is_told_once() {
    let fixture = Fixture::new(limits());
    let (sender, told) = mpsc::channel();
    let pattern = Regex::new("ready on port [0-9]+").expect("a pattern");
    let watch = LineWatch::new(pattern, move |line| sender.send(line).expect("a receiver"));
    let mut child = shell("echo starting; echo ready on port 80 >&2; echo ready on port 81");
    let capture = fixture.logs.capture(origin("web"), outputs(&mut child), Some(watch));
    assert_eq!(capture.expect("two pipes").closed(DEADLINE).await, Closed::Clean);
    child.wait().expect("our child");
    let lines: Vec<_> = told.iter().collect();
    assert!(matches!(&*lines, [line] if line.starts_with("ready on port 8")), "{lines:?}");
}

#[tokio::test]
async fn an_output_that_somebody_keeps_open_is_leaked() {
    let fixture = Fixture::new(limits());
    // A shell's background jobs read nothing unless they are told to.
    let mut child = shell("exec 3<&0; cat <&3 & echo started");
    let capture = fixture.logs.capture(origin("web"), outputs(&mut child), None);
    let capture = capture.expect("two pipes");
    let stdin = child.stdin.take();
    child.wait().expect("our child");
    assert_eq!(capture.closed(Duration::from_millis(20)).await, Closed::Leaked);
    drop(stdin);
    assert_eq!(capture.closed(DEADLINE).await, Closed::Clean);
    assert_eq!(fixture.messages(Query::default()).await, ["started"]);
}

#[tokio::test]
async fn who_gives_up_a_capture_still_stores_what_was_printed() {
    let fixture = Fixture::new(limits());
    let (capture, mut stdout, _stderr) = fixture.pipes("web");
    stdout.write_all(b"last words\nhalf a line").expect("a pipe");
    drop(capture);
    until("the pipe is closed", || stdout.write_all(b"\n").is_err()).await;
    let told = fixture.messages(Query::default()).await;
    assert_eq!(told.first().map(String::as_str), Some("last words"));
    assert!(told[1].starts_with("half a line"));
}

#[tokio::test]
async fn who_is_slow_is_told_what_is_missing() {
    let fixture = Fixture::new(limits());
    let mut live = fixture.logs.follow(Filter::all()).expect("a free seat");
    fixture.run("web", "seq 20000").await;
    let mut echo = fixture.echo("web");
    let (mut expected, mut gaps) = (1, 0);
    while expected <= 20_000 {
        match next(&mut live).await {
            Entry::Record(record) => {
                assert_eq!(record.message, expected.to_string());
                expected += 1;
            }
            Entry::Skipped(count) => {
                gaps += 1;
                expected += count;
            }
        }
    }
    assert_eq!((expected, gaps), (20_001, 1));
    echo.say("later");
    assert!(matches!(next(&mut live).await, Entry::Record(record) if record.message == "later"));
    echo.end().await;
}
