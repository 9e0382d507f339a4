//! Plays one scenario and prints the story; or makes scenarios up and compares with Erlang's OTP.
//!
//! `supervision-trace.md` beside this file is the description.

use std::{
    io::{Read as _, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use blackhole_tests::supervision::{
    comparison::{self, Plan},
    erlang::{self, Erlang},
    scenario::Script,
    story,
};
use serde_json::Value;

const USAGE: &str = "usage: supervision-trace < SCENARIO.json
       supervision-trace --erl < SCENARIO.json
       supervision-trace --compare [PROMPT [TIMED]] [--seed SEED]";

/// Of a comparison that names no numbers.
const PROMPT: usize = 3_000;
const TIMED: usize = 200;

/// 0: all was told, and no difference found. 1: a difference. 2: it could not be done.
fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => trace(|script| Ok(story::play(script))),
        ["--erl"] => trace(|script| Erlang::new()?.play_one(script)),
        ["--compare", rest @ ..] => compare(rest),
        _ => bail!("{USAGE}"),
    }
}

fn trace(play: impl FnOnce(&Script) -> Result<Vec<Value>>) -> Result<ExitCode> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("could not read standard input")?;
    let script = Script::from_json(&text)?;
    let mut told = String::new();
    for line in play(&script)? {
        told.push_str(&story::text(&line));
        told.push('\n');
    }
    std::io::stdout().write_all(told.as_bytes()).context("could not print the story")?;
    Ok(ExitCode::SUCCESS)
}

fn compare(words: &[&str]) -> Result<ExitCode> {
    let (numbers, seed) = match words {
        [numbers @ .., "--seed", seed] => (numbers, Some(*seed)),
        numbers => (numbers, None),
    };
    let seed = match seed {
        Some(seed) => seed.parse().context(USAGE)?,
        None => clock_seed(),
    };
    let (prompt, timed) = match numbers {
        [] => (PROMPT, TIMED),
        [prompt] => (prompt.parse().context(USAGE)?, 0),
        [prompt, timed] => (prompt.parse().context(USAGE)?, timed.parse().context(USAGE)?),
        _ => bail!("{USAGE}"),
    };
    if !erlang::is_installed() {
        bail!("there is no `erl` to compare with\nhint: apt-get install erlang-base");
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "comparing {prompt} prompt and {timed} timed scenarios, seed {seed}")?;
    match comparison::compare(Plan { seed, prompt, timed })? {
        None => {
            writeln!(stdout, "no difference")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(difference) => {
            writeln!(stdout, "{difference}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn clock_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
