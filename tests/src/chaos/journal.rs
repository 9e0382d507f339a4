//! The record of a run: what was done and seen when, as JSON lines, and what was not as it should.

use std::{
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
    violations: Vec<String>,
}

impl Journal {
    /// Begins the record in a file, which is emptied.
    pub(super) fn begin(path: &Path, seed: u64) -> Result<Self> {
        let failed = || format!("could not write the record `{}`", path.display());
        let file = File::create(path).with_context(failed)?;
        let inner = Mutex::new(Inner { file, violations: Vec::new() });
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

    /// So much is wrong that looking further only takes time.
    pub(super) fn is_hopeless(&self) -> bool {
        self.inner().violations.len() >= VIOLATIONS_MAX
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn write(&self, line: Value) {
        // A record that cannot be written must not end the run that it is about.
        let _ = writeln!(self.inner().file, "{line}");
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
