//! A tree of supervisors played through with scripted children, in a time of its own.
//!
//! The cast is real: each supervisor of the [`Scenario`] is a
//! [`Supervisor`], and each incarnation of a nested one is a
//! machine of its own. The children are not: a [`Behaviour`] says how each of them starts and
//! stops, and starting and stopping take no time unless it says so. What comes out is the story.
//!
//! Between two steps everything that needs no time has happened: a rehearsal is as deterministic as
//! the machines in it. Time moves only when asked to.

mod stage;

use std::time::Duration;

pub use self::stage::Rehearsal;
use crate::{
    moment::Moment,
    supervision::{ChildSpec, Exit, Reply, SupervisorExit, SupervisorSpec, Transition},
};

#[expect(unused_imports, reason = "named in the docs")]
use crate::supervision::Supervisor;

/// What children and nested supervisors are called: unique under one supervisor.
pub type Name = String;

/// A supervisor and all that is under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The supervisor itself.
    pub spec: SupervisorSpec,
    /// Its children.
    pub children: Vec<Role>,
}

/// A child and what is under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// What its supervisor knows of it.
    pub spec: ChildSpec<Name>,
    /// How it starts and stops.
    pub behaviour: Behaviour,
    /// If it is a supervisor: of what.
    pub nested: Option<Scenario>,
}

/// How a child starts and stops, and whether it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// What comes of its starts.
    pub start: Start,
    /// How long it takes to stop when asked.
    pub stop_after: Duration,
    /// It ends by itself so long after it is up.
    pub exit_after: Option<(Duration, Exit)>,
}

/// What comes of the attempts to start a child. The first attempt is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It is up after so long.
    UpAfter(Duration),
    /// It has nothing to do.
    Ignored,
    /// It is up at once, but from the attempt of this number on it fails.
    FailsFrom(u64),
    /// It is up at once, but the attempts from the first number to the one before the second fail.
    FailsBetween(u64, u64),
}

impl Behaviour {
    /// Up and down without delay.
    pub const PROMPT: Self = Self {
        start: Start::UpAfter(Duration::ZERO),
        stop_after: Duration::ZERO,
        exit_after: None,
    };

    /// Prompt, if it starts at all.
    pub const fn starting(start: Start) -> Self {
        Self { start, ..Self::PROMPT }
    }

    /// Prompt to start, slow to stop.
    pub const fn stopping_after(stop_after: Duration) -> Self {
        Self { stop_after, ..Self::PROMPT }
    }
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When.
    pub at: Moment,
    /// What.
    pub happened: Happened,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A child is up; this was the attempt of that number to start it, over the whole rehearsal.
    Started {
        /// Which child.
        child: Name,
        /// The attempt.
        attempt: u64,
    },
    /// A child did not get up.
    StartFailed {
        /// Which child.
        child: Name,
        /// The attempt.
        attempt: u64,
    },
    /// A child had nothing to do.
    Ignored {
        /// Which child.
        child: Name,
    },
    /// A child ended by itself; a supervisor too, when it gave up.
    Exited {
        /// Which child.
        child: Name,
        /// How.
        exit: Exit,
    },
    /// A child was ended by its supervisor.
    Stopped {
        /// Which child.
        child: Name,
    },
    /// A call was answered.
    Answered(Reply<Name>),
    /// A supervisor reported this.
    Reported(Transition<Name>),
    /// The outermost supervisor is up.
    SupervisorUp,
    /// The outermost supervisor has ended.
    SupervisorExited(SupervisorExit<Name>, Exit),
}
