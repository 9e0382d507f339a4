//! Every parser of bytes from outside with its corpus, and with what some changes make of it.
//! `tests/fuzz --minutes 60` searches.

use std::panic::catch_unwind;

use blackhole_tests::fuzz::{Mutator, TARGETS, Target};

/// The same changes in each run: what fails here fails again. `tests/fuzz` tries others.
const SEED: u64 = 1;
/// For each target.
const INPUTS: u32 = 3000;

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
fn every_target_takes_what_changes_make_of_it() {
    TARGETS.iter().for_each(change);
}

fn change(target: &Target) {
    let corpus = target.corpus().expect("the corpus is readable");
    let mut mutator = Mutator::new(SEED, corpus.into_iter().map(|(_, bytes)| bytes).collect());
    for _ in 0..INPUTS {
        let bytes = mutator.next_input();
        let outcome = catch_unwind(|| (target.run)(&bytes));
        assert!(outcome.is_ok(), "{}, seed {SEED}, breaks on {:?}", target.name, shown(&bytes));
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
