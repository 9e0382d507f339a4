//! A run: rounds of abuse, and what must hold at the end of each.

mod report;
mod settling;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::Signal;

pub use report::Report;

use super::{
    abuse::{Abuser, Victim},
    action::Action,
    calls::Control,
    disks::{Disks, Sandbox},
    identities::Thoroughness,
    journal::Journal,
    leaks::Descriptors,
    memory::Memory,
    processes::{marked, signal_if},
    records::Records,
    script::Script,
    subject::Subject,
    workload::Workload,
};

/// After the abuse everything is ready again within this.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
/// A guardian or node that was killed takes everything along within this.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What to run.
#[derive(Debug)]
pub struct Settings {
    /// Decides the script.
    pub seed: u64,
    /// At the first end of a round after this time it ends; without, when its script does, which only that of
    /// a replay has.
    pub length: Option<Duration>,
    /// Where the record goes: a file that does not exist yet.
    pub record: PathBuf,
    /// The record of a run to be repeated, instead of a script of the seed.
    pub replay: Option<PathBuf>,
    /// Whether disks can be filled.
    pub sandbox: Sandbox,
}

/// Runs, and says what happened; `progress` is told after each round. An error means that nothing could
/// be found out.
pub async fn run(settings: &Settings, progress: impl Fn(&Report)) -> Result<Report> {
    let (seed, script) = match &settings.replay {
        Some(path) => Script::recorded(path)?,
        None => (settings.seed, Script::seeded(settings.seed)),
    };
    let mut run = Run::begin(settings, seed).await?;
    run.settle().await?;
    for step in script {
        if !run.is_well() {
            break;
        }
        tokio::time::sleep(step.after).await;
        let settles = step.action == Action::Settle;
        run.act(step.action).await?;
        if settles {
            progress(&run.report());
            if settings.length.is_some_and(|length| run.report.began.elapsed() >= length) {
                break;
            }
        }
    }
    run.end().await
}

struct Run {
    journal: Journal,
    subject: Subject,
    control: Control,
    abuser: Abuser,
    workload: Workload,
    descriptors: Descriptors,
    memory: Memory,
    thoroughness: Thoroughness,
    report: Report,
    // Last, so that nobody uses what they take away.
    disks: Disks,
    directory: tempfile::TempDir,
}

impl Run {
    async fn begin(settings: &Settings, seed: u64) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("chaos").tempdir();
        let directory = directory.context("could not create a directory")?;
        let journal = Journal::begin(&settings.record, seed)?;
        let paths = ["data", "log"].map(|name| directory.path().join(name));
        let disks = Disks::mount(settings.sandbox, &paths[0], &paths[1])?;
        let subject = Subject::start(directory.path())?;
        let place = subject.place.clone();
        let records = Arc::new(Mutex::new(Records::default()));
        let may_fill_disks = disks.may_be_filled();
        let abuser = Abuser::new(place.clone(), journal.clone(), records, may_fill_disks);
        let mut run = Self {
            control: Control::connect(&place.control()),
            workload: Workload::start(&place, &journal, seed),
            abuser,
            journal,
            subject,
            descriptors: Descriptors::default(),
            memory: Memory::default(),
            thoroughness: Thoroughness::All,
            report: Report::begin(seed, settings),
            disks,
            directory,
        };
        run.until_it_answers().await?;
        Ok(run)
    }

    fn is_well(&self) -> bool {
        self.journal.violations().is_empty()
    }

    fn report(&self) -> Report {
        let mut report = self.report.clone();
        report.violations = self.journal.violations();
        report.events = self.journal.latest();
        report.kills = self.abuser.records().kills_total();
        report.fits = self.memory.fits().to_vec();
        report.lives = self.subject.life;
        report
    }

    async fn act(&mut self, action: Action) -> Result<()> {
        self.journal.action(&action);
        self.report.count(&action);
        match action {
            Action::Settle => return self.settle().await,
            Action::KillNode | Action::KillGuardian | Action::EndNode => {
                return self.die(&action).await;
            }
            _ => {}
        }
        if let Some(status) = self.subject.ended()? {
            self.journal.violated(format!("the node ended by itself: {status}"));
            return Ok(());
        }
        match self.victim() {
            Some(victim) => self.abuser.act(action, victim),
            None => self.journal.seen("not done: there is no node yet"),
        }
        Ok(())
    }

    fn victim(&self) -> Option<Victim> {
        let node = self.subject.node_pid()?;
        Some(Victim { guardian: self.subject.guardian_pid(), node })
    }

    /// Ends the node in one way or another, sees that nothing is left of it, and starts it again.
    async fn die(&mut self, action: &Action) -> Result<()> {
        let guardian = self.subject.guardian_pid();
        let node = self.subject.node_pid();
        let ours = |_| true;
        match action {
            // The guardian is our child, and not yet reaped: its number cannot be somebody else's.
            Action::KillGuardian => signal_if(guardian, Signal::KILL, ours)?,
            Action::EndNode => signal_if(guardian, Signal::TERM, ours)?,
            _ => match node {
                Some(node) => signal_if(node, Signal::KILL, super::processes::is_node)?,
                None => signal_if(guardian, Signal::KILL, ours)?,
            },
        };
        self.until_gone(node).await?;
        if !self.is_well() {
            return Ok(());
        }
        if let Some(grown) = self.memory.close() {
            self.journal.violated(grown);
        }
        self.abuser.records().new_life();
        self.descriptors = Descriptors::default();
        self.thoroughness = Thoroughness::All;
        self.subject.start_again()?;
        self.until_it_answers().await
    }

    /// The node may outlive its guardian for a moment, to write what services said last.
    async fn until_gone(&mut self, node: Option<i32>) -> Result<()> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let ended = self.subject.ended()?;
            let left = marked(&self.subject.place.mark());
            let node_lives = node.is_some_and(super::processes::is_node);
            if let (Some(status), true, false) = (ended, left.is_empty(), node_lives) {
                self.journal.seen(format!("the node has ended: {status}"));
                return Ok(());
            }
            if Instant::now() > deadline {
                let what = format!("the node did not end: {ended:?}, left behind: {left:?}");
                self.journal.violated(what);
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A start may fail while a disk is full or descriptors are short; it is then tried again.
    async fn until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while self.control.status().await.is_err() {
            if let Some(status) = self.subject.ended()? {
                self.journal.seen(format!("the node could not start: {status}; it is tried again"));
                self.subject.start_again()?;
            }
            if Instant::now() > deadline {
                self.journal.violated("the node does not answer");
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends the node as an operator does, and sees that nothing is left.
    async fn end(mut self) -> Result<Report> {
        if self.is_well() {
            self.thoroughness = Thoroughness::All;
            self.settle().await?;
        }
        if let Some(grown) = self.memory.close() {
            self.journal.violated(grown);
        }
        let node = self.subject.node_pid();
        // Once it is reaped, its number may be somebody else's.
        if self.subject.ended()?.is_none() {
            signal_if(self.subject.guardian_pid(), Signal::TERM, |_| true)?;
        }
        self.until_gone(node).await?;
        self.look_for_leftovers();
        let mut report = self.report();
        if !self.is_well() {
            report.keep_evidence(self.journal.path(), &self.subject.place)?;
        }
        drop((self.workload, self.abuser, self.subject, self.disks));
        if let Err(error) = self.directory.close() {
            report.violations.push(format!("its own directory stays behind: {error}"));
        }
        Ok(report)
    }

    fn look_for_leftovers(&self) {
        let place = &self.subject.place;
        for group in super::leaks::control_groups(place) {
            self.journal.violated(format!("a control group is left: {}", group.display()));
        }
        let clean_end = matches!(self.subject.life, 1..) && self.is_well();
        if clean_end {
            let strays = super::leaks::stray_files(place, &[]);
            strays.into_iter().filter(|stray| !stray.contains("control.sock")).for_each(|stray| {
                self.journal.violated(stray);
            });
        }
    }
}
