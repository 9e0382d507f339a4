//! Records read back.

use blackhole_node::logs::{Filter, Query, Selector};
use futures::StreamExt as _;
use regex::Regex;
use tokio::time::timeout;

use crate::fixture::{DEADLINE, Fixture, instance, limits, record, until};

/// Instances that printed in turns, into many small files.
async fn printed() -> (Fixture, Vec<String>) {
    let limits = blackhole_config::Logs { file_size_max: 2000, ..limits() };
    let fixture = Fixture::new(limits);
    let mut echoes = [fixture.echo("web"), fixture.echo("db"), fixture.echo("cache")];
    let mut lines = Vec::new();
    for number in 0..150 {
        let line = format!("line {number}");
        echoes[number % 3].say(&line);
        lines.push(line);
        until("it is stored", || fixture.logs.totals().records_written > number as u64).await;
    }
    for echo in echoes {
        echo.end().await;
    }
    assert!(fixture.files().len() > 9, "{:?}", fixture.files());
    (fixture, lines)
}

#[tokio::test]
async fn records_of_many_files_come_in_order_of_time() {
    let (fixture, lines) = printed().await;
    assert_eq!(fixture.messages(Query::default()).await, lines);

    let chosen = Filter::only(["web", "db"].map(|name| Selector::Instance(instance(name))));
    let told = fixture.messages(Query { instances: chosen, ..Query::default() }).await;
    let expected: Vec<_> = (0..150).filter(|number| number % 3 < 2).map(|n| &lines[n]).collect();
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
    let nobody = Query { instances: Filter::only([]), ..Query::default() };
    assert_eq!(fixture.messages(nobody).await, [""; 0]);
}

#[tokio::test]
async fn since_grep_and_tail_choose_across_files() {
    let (fixture, lines) = printed().await;
    let all = fixture.read(Query::default()).await;
    let since = Some(all[77].at);
    assert_eq!(fixture.messages(Query { since, ..Query::default() }).await, lines[77..]);

    let grep = Some(Regex::new("^line 1[0-9]$").expect("a pattern"));
    let query = Query { grep: grep.clone(), ..Query::default() };
    assert_eq!(fixture.messages(query).await, lines[10..20]);

    for count in [0, 1, 7, 149, 150, 1000] {
        let query = Query { tail: Some(count), ..Query::default() };
        assert_eq!(fixture.messages(query).await, lines[150_usize.saturating_sub(count)..]);
    }
    let query = Query { grep, tail: Some(3), since: Some(all[5].at), ..Query::default() };
    assert_eq!(fixture.messages(query).await, lines[17..20]);
}

#[tokio::test]
async fn the_past_goes_over_into_the_present_without_a_gap() {
    let limits = blackhole_config::Logs { file_size_max: 100_000, ..limits() };
    let fixture = Fixture::new(limits);
    fixture.run("web", "seq 1 5000").await;
    let mut echo = fixture.echo("web");
    let mut records = fixture.logs.read_and_follow(Query::default()).expect("free seats");
    for expected in 1..=9000 {
        // The past is read only as fast as it is taken, so these come in the middle of it.
        if expected <= 4000 {
            echo.say(&(5000 + expected).to_string());
        }
        let entry = timeout(DEADLINE, records.next()).await.expect("in time").expect("no end");
        assert_eq!(record(entry.expect("readable")).message, expected.to_string());
    }
    echo.end().await;
}
