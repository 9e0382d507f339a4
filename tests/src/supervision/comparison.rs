//! The same scripts, played by the policy machine and by OTP, and the stories compared.

use std::{fmt, time::Duration};

use anyhow::Result;
use blackhole_policy::{moment::Moment, rehearsal::Role, supervision::Shutdown};
use serde_json::Value;

use super::{
    erlang::{Erlang, Pace},
    invention::{self, Dice},
    scenario::{Action, Request, Script, Step},
    story,
};

/// How many scripts one run of Erlang plays.
const BATCH: usize = 1_000;
const PROMPT_AT_A_TIME: usize = 32;
const TIMED_AT_A_TIME: usize = 100;
/// A story that would be another if something took so much longer is not compared: clocks decide it.
const TOLERANCE_MILLIS: u64 = 45;
const PERTURBATIONS: u64 = 24;
/// How often a difference must show.
const LOOKS: usize = 3;
/// How much calmer a difference is looked at a second time.
const CAREFUL: Pace = Pace::Prompt(5);

/// What to compare.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where the dice start.
    pub seed: u64,
    /// Scripts in which no time passes.
    pub prompt: usize,
    /// Scripts with slow stops and short periods, played by the clock.
    pub timed: usize,
}

/// A script that is told in two ways.
#[derive(Debug)]
pub struct Difference {
    /// The shortest one found.
    pub script: Script,
    /// The machine's story.
    pub ours: Vec<Value>,
    /// OTP's.
    pub theirs: Vec<Value>,
}

/// Makes scripts up and compares; `None` if all stories are the same.
///
/// # Errors
/// Erlang could not be run.
pub fn compare(plan: Plan) -> Result<Option<Difference>> {
    let erlang = Erlang::new()?;
    let mut dice = Dice::new(plan.seed);
    for (count, pace, at_a_time) in [
        (plan.prompt, Pace::Prompt(0), PROMPT_AT_A_TIME),
        (plan.timed, Pace::Timed, TIMED_AT_A_TIME),
    ] {
        let mut left = count;
        while left > 0 {
            let batch: Vec<Script> =
                (0..left.min(BATCH)).map(|_| comparable_script(&mut dice, pace)).collect();
            left -= batch.len();
            let differing = differences(&erlang, &batch, pace, at_a_time)?;
            if let Some(difference) = look_again(&erlang, differing, calm(pace))? {
                return shrink(&erlang, difference, calm(pace)).map(Some);
            }
        }
    }
    Ok(None)
}

const fn calm(pace: Pace) -> Pace {
    match pace {
        Pace::Prompt(_) => CAREFUL,
        Pace::Timed => Pace::Timed,
    }
}

fn comparable_script(dice: &mut Dice, pace: Pace) -> Script {
    match pace {
        Pace::Prompt(_) => invention::script(dice, pace),
        Pace::Timed => robust_script(dice),
    }
}

/// The scripts that are told in two ways, when played at that pace.
fn differences(
    erlang: &Erlang,
    scripts: &[Script],
    pace: Pace,
    at_a_time: usize,
) -> Result<Vec<Difference>> {
    let stories = erlang.play(scripts, pace, at_a_time)?;
    let told = scripts.iter().zip(stories).map(|(script, theirs)| Difference {
        script: script.clone(),
        ours: comparable(script, story::play(script)),
        theirs: comparable(script, theirs),
    });
    Ok(told.filter(|difference| difference.ours != difference.theirs).collect())
}

/// Alone on the machine, and more than once: what a busy machine delayed is no difference.
fn look_again(
    erlang: &Erlang,
    mut differing: Vec<Difference>,
    pace: Pace,
) -> Result<Option<Difference>> {
    for _ in 0..LOOKS {
        if differing.is_empty() {
            break;
        }
        let scripts: Vec<Script> =
            differing.into_iter().map(|difference| difference.script).collect();
        differing = differences(erlang, &scripts, pace, 1)?;
    }
    Ok(differing.into_iter().min_by_key(|difference| difference.script.steps.len()))
}

/// Instances that are stopped together end in no certain order in OTP.
fn comparable(script: &Script, mut story: Vec<Value>) -> Vec<Value> {
    if !script.has_instances() {
        return story;
    }
    for stops in story.chunk_by_mut(|a, b| a.get("stopped").is_some() && b.get("stopped").is_some())
    {
        stops.sort_by_key(Value::to_string);
    }
    story
}

/// A script with time in it whose story does not hang on a few milliseconds.
fn robust_script(dice: &mut Dice) -> Script {
    loop {
        let script = invention::script(dice, Pace::Timed);
        if is_robust(&script, dice) {
            return script;
        }
    }
}

fn is_robust(script: &Script, dice: &mut Dice) -> bool {
    let story = story::play(script);
    (0..PERTURBATIONS).all(|_| story::play(&perturbed(script, dice)) == story)
}

/// The same script, with everything a little later, the stop at its end as well.
fn perturbed(script: &Script, dice: &mut Dice) -> Script {
    let mut script = script.clone();
    let end = script.steps.last().map_or(Moment::ORIGIN, |step| step.at);
    script.steps.push(Step { at: end, action: Action::Stop });
    for step in &mut script.steps {
        step.at = step.at + Duration::from_millis(dice.below(TOLERANCE_MILLIS));
        if let Action::Call(_, Request::StartChild(Some(role))) = &mut step.action {
            perturb(role, dice);
        }
    }
    for role in &mut script.tree.children {
        perturb(role, dice);
    }
    script
}

fn perturb(role: &mut Role, dice: &mut Dice) {
    if !role.behaviour.stop_after.is_zero() {
        role.behaviour.stop_after += Duration::from_millis(dice.below(TOLERANCE_MILLIS));
    }
    if let Shutdown::Timeout(grace) = &mut role.spec.shutdown {
        *grace += Duration::from_millis(dice.below(TOLERANCE_MILLIS));
    }
    for under in role.nested.iter_mut().flat_map(|nested| &mut nested.children) {
        perturb(under, dice);
    }
}

/// Takes steps and children away while the difference stays.
fn shrink(erlang: &Erlang, mut difference: Difference, pace: Pace) -> Result<Difference> {
    loop {
        let mut candidates = candidates(&difference.script);
        if pace == Pace::Timed {
            let mut dice = Dice::new(0);
            candidates.retain(|candidate| is_robust(candidate, &mut dice));
        }
        let differing = differences(erlang, &candidates, pace, 1)?;
        match look_again(erlang, differing, pace)? {
            Some(smaller) => difference = smaller,
            None => return Ok(difference),
        }
    }
}

fn candidates(script: &Script) -> Vec<Script> {
    let without_step = (0..script.steps.len()).map(|index| {
        let mut script = script.clone();
        script.steps.remove(index);
        script
    });
    let without_child = (0..script.tree.children.len()).map(|index| {
        let mut script = script.clone();
        script.tree.children.remove(index);
        script
    });
    without_step.chain(without_child).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.script.to_json())?;
        for (name, story) in [("ours", &self.ours), ("OTP's", &self.theirs)] {
            writeln!(formatter, "{name}:")?;
            for line in story {
                writeln!(formatter, "  {}", story::text(line))?;
            }
        }
        Ok(())
    }
}
