//! What a run found out, for people.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::Settings;
use crate::chaos::{action::Action, memory::Fit, subject::Place};

/// The state of a run.
#[derive(Debug, Clone)]
pub struct Report {
    pub(super) seed: u64,
    pub(super) record: PathBuf,
    /// The words that do the same again, beside `--replay`; nothing else repeats a replay.
    repeat: Option<String>,
    pub(super) began: Instant,
    pub(super) actions: BTreeMap<String, u64>,
    pub(super) kills: u64,
    pub(super) lives: u32,
    pub(super) verified: u64,
    pub(super) slowest_recovery: Duration,
    pub(super) memory: u64,
    pub(super) fits: Vec<Fit>,
    /// The last lines of the record, up to the first that is not as it should.
    pub(super) events: Vec<String>,
    /// What was not as it should; empty when all is well.
    pub violations: Vec<String>,
}

impl Report {
    pub(super) fn begin(seed: u64, settings: &Settings) -> Self {
        let repeat = settings.length.filter(|_| settings.replay.is_none());
        Self {
            seed,
            record: settings.record.clone(),
            repeat: repeat.map(|length| format!("--seed {seed} --seconds {}", length.as_secs())),
            began: Instant::now(),
            actions: BTreeMap::new(),
            kills: 0,
            lives: 1,
            verified: 0,
            slowest_recovery: Duration::ZERO,
            memory: 0,
            fits: Vec::new(),
            events: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, action: &Action) {
        *self.actions.entry(action.kind()).or_default() += 1;
    }

    pub(super) fn recovered(&mut self, after: Duration) {
        self.slowest_recovery = self.slowest_recovery.max(after);
    }

    /// Copies what the node and its services said beside the record.
    pub(super) fn keep_evidence(&self, record: &Path, place: &Place) -> Result<()> {
        let kept = record.with_extension("logs");
        fs::create_dir_all(&kept).context("could not keep the logs")?;
        fs::copy(place.output(), kept.join("node.output")).context("could not keep the output")?;
        for entry in fs::read_dir(place.logs()).context("could not keep the logs")?.flatten() {
            // A log that is rotated away in this moment is missing.
            let _ = fs::copy(entry.path(), kept.join(entry.file_name()));
        }
        Ok(())
    }

    /// How many ends of rounds there were.
    fn rounds(&self) -> u64 {
        self.actions.get("settle").copied().unwrap_or_default()
    }

    /// One line while it goes on.
    pub fn progress(&self) -> String {
        format!(
            "{:>5} s  {:>4} rounds  {:>5} kills  {:>3} lives  {:>8} answers verified  {:>6} KiB",
            self.began.elapsed().as_secs(),
            self.rounds(),
            self.kills,
            self.lives,
            self.verified,
            self.memory >> 10
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}", self.seed)?;
        writeln!(formatter, "{}", self.progress().trim_start())?;
        let actions: Vec<_> =
            self.actions.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(formatter, "actions: {}", actions.join(", "))?;
        writeln!(formatter, "slowest recovery: {} ms", self.slowest_recovery.as_millis())?;
        for Fit { samples, median, growth, .. } in &self.fits {
            let (median, growth) = (median >> 10, growth / 1024.0);
            writeln!(
                formatter,
                "memory of a life: {median} KiB, {growth:+.0} KiB over its last {samples} rounds"
            )?;
        }
        if self.violations.is_empty() {
            return write!(formatter, "all is well");
        }
        writeln!(formatter, "the last that happened until then:")?;
        for event in &self.events {
            writeln!(formatter, "  {event}")?;
        }
        for violation in &self.violations {
            writeln!(formatter, "VIOLATED: {violation}")?;
        }
        let record = self.record.display();
        write!(
            formatter,
            "the record is in {record}\nhint: `--replay {record}` does the same again"
        )?;
        match &self.repeat {
            Some(words) => write!(formatter, ", so does `{words}`"),
            None => Ok(()),
        }
    }
}
