//! From records to files, and what can go wrong there.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::symlink,
    time::Duration,
};

use blackhole_node::logs::{Filter, Level, Query, Selector};

use crate::fixture::{DEADLINE, Fixture, instance, limits, memory_kib, open, until};

#[tokio::test]
async fn full_files_are_renamed_and_old_ones_removed() {
    let limits = blackhole_config::Logs { file_size_max: 10_000, files_max: 3, ..limits() };
    let fixture = Fixture::new(limits);
    let mut echo = fixture.echo("web");
    for number in 0..40_u64 {
        echo.say(&"x".repeat(1000));
        until("the line is stored", || fixture.logs.totals().records_written > number).await;
    }
    echo.end().await;
    let files = fixture.files();
    assert_eq!(files.len(), 4, "{files:?}");
    assert_eq!(files.last().expect("four"), "web-1.log");
    for file in &files {
        let size = fs::metadata(fixture.path(file)).expect("a file").len();
        assert!(size <= 10_000, "{file}: {size}");
    }
}

#[tokio::test]
async fn files_are_renamed_and_removed_by_age() {
    let limits = blackhole_config::Logs { file_age_max: Duration::ZERO, ..limits() };
    let fixture = Fixture::new(limits);
    for number in 0..3 {
        fixture.run("web", &format!("echo {number}")).await;
    }
    assert_eq!(fixture.files().len(), 3);
    assert_eq!(fixture.messages(Query::default()).await, ["0", "1", "2"]);

    let strict = blackhole_config::Logs { retention: Duration::ZERO, ..limits };
    let logs = open(&fixture.directory, strict);
    until("old files are removed at the start", || fixture.files() == ["web-1.log"]).await;
    drop(logs);
}

#[tokio::test]
async fn a_directory_that_vanishes_is_made_again() {
    let fixture = Fixture::new(limits());
    let mut echo = fixture.echo("web");
    echo.say("before");
    until("it is stored", || fixture.logs.totals().records_written == 1).await;
    fs::remove_dir_all(&fixture.directory).expect("ours");
    echo.say("after");
    echo.end().await;
    assert_eq!(fixture.messages(Query::default()).await, ["after"]);
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_begun_again() {
    let fixture = Fixture::new(limits());
    let mut echo = fixture.echo("web");
    echo.say("before");
    until("it is stored", || fixture.logs.totals().records_written == 1).await;
    fs::rename(fixture.path("web-1.log"), fixture.path("elsewhere")).expect("ours");
    echo.say("after");
    echo.end().await;
    assert_eq!(fixture.messages(Query::default()).await, ["after"]);
}

#[tokio::test]
async fn a_full_disk_harms_nobody_and_is_told_afterwards() {
    let fixture = Fixture::new(limits());
    symlink("/dev/full", fixture.path("web-1.log")).expect("ours");
    let mut echo = fixture.echo("web");
    echo.say("one");
    until("it is lost", || fixture.logs.totals().records_unwritten == 1).await;
    echo.say("two");
    until("it is lost", || fixture.logs.totals().records_unwritten == 2).await;
    fixture.run("other", "echo fine").await;

    fs::remove_file(fixture.path("web-1.log")).expect("ours");
    echo.say("three");
    echo.end().await;
    let web = Filter::only([Selector::Instance(instance("web"))]);
    let records = fixture.read(Query { instances: web, ..Query::default() }).await;
    let told: Vec<_> = records.iter().map(|record| (record.level, &*record.message)).collect();
    let note = "2 records lost: the log file could not be written";
    assert_eq!(told, [(Level::Info, "three"), (Level::Warn, note)]);
    let other = Filter::only([Selector::Service(instance("other").service)]);
    assert_eq!(fixture.messages(Query { instances: other, ..Query::default() }).await, ["fine"]);
}

#[tokio::test]
async fn a_torn_line_spoils_no_other() {
    let mut fixture = Fixture::new(limits());
    fixture.run("web", "echo before").await;
    let file = OpenOptions::new().append(true).open(fixture.path("web-1.log"));
    file.expect("ours").write_all(br#"{"timestamp":"2026-"#).expect("room");
    let logs = open(&fixture.directory, limits());
    fixture.logs = logs;
    fixture.run("web", "echo after").await;
    assert_eq!(fixture.messages(Query::default()).await, ["before", "after"]);
    let last = Query { tail: Some(2), ..Query::default() };
    assert_eq!(fixture.messages(last).await, ["before", "after"]);
}

#[tokio::test]
async fn few_files_are_open_for_many_instances() {
    let fixture = Fixture::new(limits());
    for number in 0..150 {
        let (capture, mut stdout, _stderr) = fixture.pipes(&format!("many{number}"));
        stdout.write_all(b"hello\n").expect("a pipe");
        drop((stdout, _stderr));
        let _closed = capture.closed(DEADLINE).await;
    }
    assert_eq!(fixture.files().len(), 150);
    let links = fs::read_dir("/proc/self/fd").expect("procfs");
    let targets = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    let open = targets.filter(|target| target.starts_with(&fixture.directory)).count();
    assert!((1..=64).contains(&open), "{open} open");
    assert_eq!(fixture.messages(Query::default()).await.len(), 150);
}

/// The writer hangs as on a dead disk: the log file is a pipe that nobody reads.
#[tokio::test]
async fn a_disk_that_hangs_blocks_no_process_and_costs_bounded_memory() {
    let fixture = Fixture::new(limits());
    let fifo = fixture.path("web-1.log");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).expect("ours");
    let before = memory_kib("VmRSS");

    let mut child = crate::fixture::shell("yes | head -c 20000000");
    let outputs = crate::fixture::outputs(&mut child);
    let capture = fixture.logs.capture(crate::fixture::origin("web"), outputs, None);
    let capture = capture.expect("two pipes");
    let exited = tokio::task::spawn_blocking(move || child.wait());
    let exited = tokio::time::timeout(DEADLINE, exited).await.expect("it is not blocked");
    assert!(exited.expect("no panic").expect("our child").success());
    let grown = memory_kib("VmRSS").saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB");

    let mut hung = fs::File::open(&fifo).expect("the pipe");
    std::thread::spawn(move || std::io::copy(&mut hung, &mut std::io::sink()));
    assert_eq!(capture.closed(DEADLINE).await, blackhole_node::logs::Closed::Clean);
    let dropped = fixture.logs.totals().lines_dropped;
    assert!((7_000_000..10_000_000).contains(&dropped), "{dropped}");
}

#[tokio::test]
async fn a_flood_does_not_silence_others() {
    let limits = blackhole_config::Logs { file_size_max: 1 << 20, files_max: 2, ..limits() };
    let fixture = Fixture::new(limits);
    let flood = fixture.run("flood", "yes | head -c 20000000");
    let quiet = async {
        until("the flood has come", || fixture.logs.totals().records_written > 0).await;
        let mut echo = fixture.echo("quiet");
        for number in 0..100 {
            echo.say(&number.to_string());
        }
        echo.end().await;
    };
    tokio::join!(flood, quiet);
    let quiet = Filter::only([Selector::Instance(instance("quiet"))]);
    let told = fixture.messages(Query { instances: quiet, ..Query::default() }).await;
    assert_eq!(told, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());

    let totals = fixture.logs.totals();
    let lines = totals.records_written + totals.lines_dropped - 100;
    assert!(lines.abs_diff(10_000_000) < 100_000, "{totals:?}");
    let size = |file: &String| fs::metadata(fixture.path(file)).expect("a file").len();
    let stored: u64 = fixture.files().iter().map(size).sum();
    assert!(stored < 4 << 20, "{stored}");
}
