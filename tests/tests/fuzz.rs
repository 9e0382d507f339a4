//! Every parser of bytes from outside with its corpus, and for a moment with what changes make of it.
//! `tests/fuzz --minutes 60` searches.

use std::{
    panic::catch_unwind,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use blackhole_tests::fuzz::{Mutator, TARGETS, Target};

/// For each target.
const MOMENT: Duration = Duration::from_millis(1200);

#[test]
fn every_target_takes_its_corpus() {
    for target in &TARGETS {
        let corpus = target.corpus().expect("the corpus is readable");
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        for (path, bytes) in corpus {
            let outcome = catch_unwind(|| (target.run)(&bytes));
            assert!(outcome.is_ok(), "{} breaks on {}", target.name, path.display());
        }
    }
}

#[test]
fn every_target_takes_what_a_moment_of_changes_makes() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = u64::from(since.subsec_nanos());
    TARGETS.iter().for_each(|target| change_for_a_moment(target, seed));
}

#[expect(clippy::print_stdout, reason = "a run that chance decided says by which seed")]
fn change_for_a_moment(target: &Target, seed: u64) {
    let corpus = target.corpus().expect("the corpus is readable");
    let mut mutator = Mutator::new(seed, corpus.into_iter().map(|(_, bytes)| bytes).collect());
    let end = Instant::now() + MOMENT;
    let mut count = 0_u32;
    while Instant::now() < end {
        let bytes = mutator.next_input();
        let outcome = catch_unwind(|| (target.run)(&bytes));
        assert!(outcome.is_ok(), "{}, seed {seed}, breaks on {:?}", target.name, shown(&bytes));
        count += 1;
    }
    println!("{}: {count} inputs, seed {seed}", target.name);
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
