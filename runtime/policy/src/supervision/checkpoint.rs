//! Everything that a concurrent supervisor remembers, as plain data: to write it down, and to have
//! another machine go on from there.
//!
//! A machine that goes on from a checkpoint decides as the first one would have: the same commands in
//! the same order for the same events at the same moments.

use super::{CallId, ChildSpec, Generation, SupervisorSpec};
use crate::moment::Moment;

pub use super::{
    concurrent::{Course, Graces, Next, State},
    grace::Grace,
};

/// A supervisor at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint<Id> {
    /// What it was told to be, last.
    pub spec: SupervisorSpec,
    /// What instances are like, under `simple_one_for_one`.
    pub template: Option<ChildSpec<Id>>,
    /// In start order.
    pub children: Vec<ChildCheckpoint<Id>>,
    /// Restarts that still count, under shared counting.
    pub restarts: Vec<Moment>,
    /// Children that go down and up again together.
    pub groups: Vec<GroupCheckpoint<Id>>,
    /// What it is doing as a whole.
    pub course: Course<Id>,
    /// No removed child got further.
    pub generation_floor: Generation,
    /// No child got further.
    pub generation_max: Generation,
}

/// One child of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildCheckpoint<Id> {
    /// What it was told to be, last.
    pub spec: ChildSpec<Id>,
    /// Its latest incarnation.
    pub generation: Generation,
    /// What it is doing.
    pub state: State,
    /// Restarts that still count, under counting per child.
    pub restarts: Vec<Moment>,
    /// Restarts since the last healthy run.
    pub restarts_in_a_row: u32,
    /// Who waits for it.
    pub callers: Vec<CallId>,
}

/// A restart of several children that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupCheckpoint<Id> {
    /// Which.
    pub members: Vec<Id>,
    /// What their start waits for besides each other.
    pub until: Option<Moment>,
}
