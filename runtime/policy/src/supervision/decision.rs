//! What both disciplines decide alike, and the turn in which they do.

use super::{
    CallId, ChildKind, ChildSpec, Command, Counts, Exit, Generation, Reply, Restart, Transition,
    grace::Measure,
};
use crate::moment::Moment;

/// One call of `on_event`: when it is, and what it has decided so far.
#[derive(Debug)]
pub(super) struct Turn<Id> {
    pub(super) now: Moment,
    pub(super) commands: Vec<Command<Id>>,
}

impl<Id> Turn<Id> {
    pub(super) const fn new(now: Moment) -> Self {
        Self { now, commands: Vec::new() }
    }

    pub(super) fn push(&mut self, command: Command<Id>) {
        self.commands.push(command);
    }

    pub(super) fn reply(&mut self, call: CallId, reply: Reply<Id>) {
        self.push(Command::Reply { call, reply });
    }

    pub(super) fn report(&mut self, transition: Transition<Id>) {
        self.push(Command::Report(transition));
    }

    /// Carries out what a grace says is to be done to a child now.
    pub(super) fn take(&mut self, measure: Measure, spec: &ChildSpec<Id>, generation: Generation)
    where
        Id: Clone,
    {
        let child = spec.id.clone();
        self.push(match measure {
            Measure::Ask => Command::Stop { child, generation, budget: spec.shutdown },
            Measure::Kill => Command::Kill { child, generation },
            Measure::Report => Command::Report(Transition::Unkillable { child, generation }),
        });
    }
}

impl Restart {
    /// Whether a child that ended so by itself is restarted: OTP's `do_restart`.
    pub const fn follows(self, exit: Exit) -> bool {
        match (self, exit) {
            (Self::Permanent, Exit::Normal | Exit::Shutdown | Exit::Killed | Exit::Abnormal)
            | (Self::Transient, Exit::Killed | Exit::Abnormal) => true,
            (Self::Transient, Exit::Normal | Exit::Shutdown)
            | (Self::Temporary, Exit::Normal | Exit::Shutdown | Exit::Killed | Exit::Abnormal) => {
                false
            }
        }
    }
}

impl Counts {
    pub(super) fn of(specs: usize, children: impl Iterator<Item = (ChildKind, bool)>) -> Self {
        let mut counts = Self { specs, ..Self::default() };
        for (kind, is_active) in children {
            counts.active += usize::from(is_active);
            match kind {
                ChildKind::Worker => counts.workers += 1,
                ChildKind::Supervisor => counts.supervisors += 1,
            }
        }
        counts
    }
}
