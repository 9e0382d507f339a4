//! What is done when: drawn from a seed, or read from the record of a run.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};

use super::action::Action;
use crate::random::Random;

/// Actions of one round.
const ROUND_LENGTH: std::ops::Range<u64> = 5..15;
/// From one action to the next, in milliseconds.
const PAUSE: std::ops::Range<u64> = 5..500;
/// The node dies in the first rounds of an age, and then lives through the others: what grows shows only
/// in a long life. The first two ages have so many rounds, each further one twice as many.
const ROUNDS_OF_AN_AGE: u64 = 64;
/// One round of so many has a death in it.
const ROUNDS_OF_A_DEATH: u64 = 16;

/// An action, and how long after the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) after: Duration,
    pub(super) action: Action,
}

/// Steps, for ever or until the record ends.
pub(super) enum Script {
    Seeded { random: Random, round: u64, rest: Vec<Step> },
    Recorded(std::vec::IntoIter<Step>),
}

impl Script {
    pub(super) fn seeded(seed: u64) -> Self {
        Self::Seeded { random: Random::new(seed), round: 0, rest: Vec::new() }
    }

    /// The seed and the steps of the record of a run.
    pub(super) fn recorded(path: &Path) -> Result<(u64, Self)> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read the record `{}`", path.display()))?;
        let mut seed = 0;
        let mut steps = Vec::new();
        let mut before = 0;
        for (index, line) in text.lines().enumerate() {
            let broken = || format!("`{}`, line {}", path.display(), index + 1);
            let line: serde_json::Value = serde_json::from_str(line).with_context(broken)?;
            if let Some(number) = line["seed"].as_u64() {
                seed = number;
            }
            if !line["action"].is_null() {
                let action = serde_json::from_value(line["action"].clone()).with_context(broken)?;
                let at = line["ms"].as_u64().unwrap_or(before);
                steps.push(Step { after: Duration::from_millis(at - before), action });
                before = at;
            }
            // The time that a round's end took says nothing about the next action.
            before = line["settled_ms"].as_u64().unwrap_or(before);
        }
        Ok((seed, Self::Recorded(steps.into_iter())))
    }
}

impl Iterator for Script {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        match self {
            Self::Recorded(steps) => steps.next(),
            Self::Seeded { random, round, rest } => {
                if rest.is_empty() {
                    *rest = one_round(random, *round);
                    *round += 1;
                }
                rest.pop()
            }
        }
    }
}

/// Last step first.
fn one_round(random: &mut Random, round: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..random.between(ROUND_LENGTH.start, ROUND_LENGTH.end) {
        let after = Duration::from_millis(random.between(PAUSE.start, PAUSE.end));
        steps.push(Step { after, action: Action::draw(random) });
    }
    if has_death(round) {
        let place = usize::try_from(random.between(0, steps.len() as u64 + 1)).expect("an index");
        let step = Step { after: Duration::ZERO, action: Action::draw_death(random) };
        steps.insert(place, step);
    }
    steps.push(Step { after: Duration::ZERO, action: Action::Settle });
    steps.reverse();
    steps
}

fn has_death(round: u64) -> bool {
    let (began, length) = match (round / ROUNDS_OF_AN_AGE).checked_ilog2() {
        None => (0, ROUNDS_OF_AN_AGE),
        Some(doublings) => (ROUNDS_OF_AN_AGE << doublings, ROUNDS_OF_AN_AGE << doublings),
    };
    round - began < length / ROUNDS_OF_A_DEATH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_come_at_the_beginning_of_ages_that_grow() {
        let deaths: Vec<u64> = (0..300).filter(|round| has_death(*round)).collect();
        let expected: Vec<u64> = [0..4, 64..68, 128..136, 256..272].into_iter().flatten().collect();
        assert_eq!(deaths, expected);
    }

    #[test]
    fn a_seed_makes_the_same_script_every_time() {
        let first: Vec<Step> = Script::seeded(11).take(500).collect();
        let second: Vec<Step> = Script::seeded(11).take(500).collect();
        assert_eq!(first, second);
        let other: Vec<Step> = Script::seeded(12).take(500).collect();
        assert_ne!(first, other);
        assert!(first.iter().any(|step| step.action == Action::Settle));
    }

    #[test]
    fn a_record_makes_the_script_that_was_carried_out() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let lines = [
            r#"{"seed":5}"#,
            r#"{"ms":100,"action":{"kill":{"service":"clock"}}}"#,
            r#"{"ms":120,"seen":"something"}"#,
            r#"{"ms":300,"action":"settle"}"#,
            r#"{"ms":2000,"settled_ms":2000}"#,
            r#"{"ms":2050,"action":"kill_node"}"#,
        ];
        std::fs::write(file.path(), lines.join("\n")).expect("it is written");
        let (seed, script) = Script::recorded(file.path()).expect("it is read");
        let after = |step: Step| (step.after.as_millis(), step.action.kind());
        let steps: Vec<_> = script.map(after).collect();
        assert_eq!(seed, 5);
        let expected = [(100, "kill"), (200, "settle"), (50, "kill_node")];
        assert_eq!(steps, expected.map(|(ms, kind)| (ms, kind.to_owned())));
    }
}
