//! The record of a run: what was done and seen when, as JSON lines, and what was not as it should.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::action::Action;

/// More of them say nothing new.
const VIOLATIONS_MAX: usize = 20;
/// Of the lines before the first violation, so many are told with it.
const LATEST_MAX: usize = 40;

/// Clones write into the same file.
#[derive(Debug, Clone)]
pub(super) struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    latest: VecDeque<String>,
    violations: Vec<String>,
}

impl Journal {
    /// Begins the record in a new file: what is in another may be all that is left of a failure.
    pub(super) fn begin(path: &Path, seed: u64) -> Result<Self> {
        let failed = || format!("could not write the record `{}`", path.display());
        let file = File::create_new(path).with_context(failed)?;
        let inner = Mutex::new(Inner { file, latest: VecDeque::new(), violations: Vec::new() });
        let journal = Self(Arc::new(Shared { path: path.into(), began: Instant::now(), inner }));
        journal.write(json!({ "seed": seed }));
        Ok(journal)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn action(&self, action: &Action) {
        self.write(json!({ "ms": self.ms(), "action": action }));
    }

    pub(super) fn settled(&self) {
        self.write(json!({ "ms": self.ms(), "settled_ms": self.ms() }));
    }

    pub(super) fn seen(&self, what: impl Into<String>) {
        self.write(json!({ "ms": self.ms(), "seen": what.into() }));
    }

    /// Something is not as it should: the run has failed.
    pub(super) fn violated(&self, what: impl Into<String>) {
        let what = what.into();
        self.write(json!({ "ms": self.ms(), "violated": what }));
        self.inner().violations.push(what);
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }

    /// The last lines, up to the first violation.
    pub(super) fn latest(&self) -> Vec<String> {
        self.inner().latest.iter().cloned().collect()
    }

    /// So much is wrong that looking further only takes time.
    pub(super) fn is_hopeless(&self) -> bool {
        self.inner().violations.len() >= VIOLATIONS_MAX
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn write(&self, line: Value) {
        let line = line.to_string();
        let mut inner = self.inner();
        // A record that cannot be written must not end the run that it is about.
        let _ = writeln!(inner.file, "{line}");
        if inner.violations.is_empty() {
            inner.latest.push_back(line);
            let surplus = inner.latest.len().saturating_sub(LATEST_MAX);
            inner.latest.drain(..surplus);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
