//! What OS processes need: children that do not depend on each other start and stop side by side.
//!
//! Every child has a state of its own ([`State`]), and no child waits for another except by `after`,
//! or for its group.
//!
//! | state | left by |
//! |---|---|
//! | `Pending` | its prerequisites being up or completed, and its group down: `Starting` |
//! | `Starting` | up: `Up`; failed: as an abnormal exit; nothing to do: `Completed` |
//! | `Up` | its exit: `Pending`, `BackingOff`, `Completed` or `Failed`; a wish to stop it: `Leaving` |
//! | `BackingOff` | the moment it names: `Pending` |
//! | `Leaving` | those after it being down: `Stopping`; its exit: what `next` says |
//! | `Stopping` | its exit: what `next` says. A grace that ends: the kill |
//! | `Completed`, `Stopped`, `Failed` | an operator; `Completed` by a restart of its group too |
//!
//! The supervisor as a whole has a [`Course`]. A restart of several children is a [`Group`]: its
//! members are stopped, and held in `Pending` until all of them are down and the wait is over.
//!
//! Where OTP and processes differ: a first start that fails is retried like any other; temporary
//! children that ended stay in the listing, as `Completed`, so that somebody can look at them
//! (instances of `simple_one_for_one` do go); a group restart does not revive what an operator
//! stopped.

mod calls;
mod checkpoint;
mod order;
mod restarting;
mod starting;
mod state;
mod stopping;

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Debug,
    hash::Hash,
};

pub use self::state::{Next, State};
use self::{restarting::Group, state::Child};
use super::{
    CallId, ChildSpec, ChildStatus, Command, Counts, Event, Exit, Generation, Phase, Refusal,
    Reply, SpecError, Strategy, SupervisorExit, SupervisorSpec,
    decision::Turn,
    restarts::Restarts,
    roster::{Position, Roster},
};
use crate::moment::Moment;

/// The machine.
#[derive(Debug, Clone)]
pub(super) struct Concurrent<Id> {
    spec: SupervisorSpec,
    /// What instances are like; only under `simple_one_for_one`, whose roster holds instances.
    template: Option<ChildSpec<Id>>,
    children: Roster<Id, Child>,
    /// Who names a child in `after`.
    followers: HashMap<Id, Vec<Position>>,
    /// Under shared counting.
    restarts: Restarts,
    groups: Vec<Group>,
    course: Course<Id>,
    /// The deadlines in the children's states, sorted; kept by [`Concurrent::enter`] alone.
    deadlines: BTreeSet<(Moment, Position)>,
    /// How many children have an incarnation; kept by [`Concurrent::enter`] alone.
    live: usize,
    /// How many children are on their way somewhere; kept by [`Concurrent::enter`] alone.
    moving: usize,
}

/// What the supervisor as a whole is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course<Id> {
    /// Nobody has asked it to start.
    Unstarted,
    /// Not yet everything that can be up is.
    Rising,
    /// Everything that can be up has been.
    Risen,
    /// Its children are going.
    Ending {
        /// Why it ends.
        why: SupervisorExit<Id>,
        /// How they are asked to.
        graces: Graces,
    },
    /// Every child is down.
    Ended,
}

/// Whether children are given time to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graces {
    /// They are.
    Given,
    /// They are killed at once.
    Skipped,
}

impl<Id: Clone + Eq + Hash + Debug> Concurrent<Id> {
    /// From a specification that was checked, except for `after`.
    pub(super) fn new(
        spec: SupervisorSpec,
        specs: Vec<ChildSpec<Id>>,
    ) -> Result<Self, SpecError<Id>> {
        order::check(&specs)?;
        let mut concurrent = Self {
            spec,
            template: None,
            children: Roster::new(),
            followers: HashMap::new(),
            restarts: Restarts::default(),
            groups: Vec::new(),
            course: Course::Unstarted,
            deadlines: BTreeSet::new(),
            live: 0,
            moving: 0,
        };
        for child in specs {
            if concurrent.is_simple() {
                concurrent.template = Some(child);
            } else {
                concurrent.insert(child, State::Pending);
            }
        }
        Ok(concurrent)
    }

    pub(super) fn begin_beyond(&mut self, generation: Generation) {
        self.children.begin_beyond(generation);
    }

    fn is_simple(&self) -> bool {
        self.spec.strategy == Strategy::SimpleOneForOne
    }

    pub(super) fn on_event(&mut self, turn: &mut Turn<Id>, event: Event<Id>) {
        match event {
            Event::StartRequested => self.on_start_requested(turn),
            Event::Started { child, generation } => {
                if let Some(position) = self.current(&child, generation) {
                    self.on_started(turn, position);
                }
            }
            Event::StartFailed { child, generation, jitter } => {
                if let Some(position) = self.current(&child, generation) {
                    self.on_start_failed(turn, position, jitter);
                }
            }
            Event::Ignored { child, generation } => {
                if let Some(position) = self.current(&child, generation) {
                    self.on_ignored(turn, position);
                }
            }
            Event::Exited { child, generation, exit, jitter } => {
                if let Some(position) = self.current(&child, generation) {
                    self.on_exited(turn, position, exit, jitter);
                }
            }
            Event::StopRequested => self.on_stop_requested(turn),
            Event::Called { call, request } => self.on_called(turn, call, request),
            Event::DeadlineReached => self.on_deadline_reached(turn),
        }
        self.conclude(turn);
    }

    /// The one place where stale events end: a child's event counts only if it is about its live
    /// incarnation.
    fn current(&self, child: &Id, generation: Generation) -> Option<Position> {
        let position = self.children.find(child)?;
        (self.state(position).live_generation() == Some(generation)).then_some(position)
    }

    fn on_start_requested(&mut self, turn: &mut Turn<Id>) {
        match self.course {
            Course::Unstarted => {
                self.course = Course::Rising;
                let all: Vec<Position> =
                    self.children.iter().map(|(position, _)| position).collect();
                for position in all {
                    self.start_or_wait(turn, position);
                }
            }
            Course::Rising | Course::Risen | Course::Ending { .. } | Course::Ended => {}
        }
    }

    fn on_exited(&mut self, turn: &mut Turn<Id>, position: Position, exit: Exit, jitter: f64) {
        match *self.state(position) {
            State::Starting { .. } => self.on_ended_by_itself(turn, position, exit, jitter),
            State::Up { since, .. } => {
                self.forget_if_healthy(turn.now, position, since);
                self.on_ended_by_itself(turn, position, exit, jitter);
            }
            State::Leaving { next, .. } | State::Stopping { next, .. } => {
                self.on_down(turn, position, next);
            }
            State::Pending
            | State::BackingOff { .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => {}
        }
    }

    /// Says that the supervisor is up, or has ended, once that is so.
    fn conclude(&mut self, turn: &mut Turn<Id>) {
        match &self.course {
            Course::Rising if self.moving == 0 && self.groups.is_empty() => {
                self.course = Course::Risen;
                turn.push(Command::Up);
            }
            Course::Ending { .. } if self.live == 0 => {
                if let Course::Ending { why, .. } =
                    std::mem::replace(&mut self.course, Course::Ended)
                {
                    turn.push(Command::Exit(why));
                }
            }
            Course::Unstarted
            | Course::Rising
            | Course::Risen
            | Course::Ending { .. }
            | Course::Ended => {}
        }
    }

    fn state(&self, position: Position) -> &State {
        &self.children.at(position).state.state
    }

    fn id(&self, position: Position) -> Id {
        self.children.at(position).spec.id.clone()
    }

    /// Changes a child's state; the only place that does.
    fn enter(&mut self, position: Position, state: State) {
        let before = std::mem::replace(&mut self.children.at_mut(position).state.state, state);
        self.uncount(position, &before);
        if let Some(deadline) = state.deadline() {
            self.deadlines.insert((deadline, position));
        }
        self.live += usize::from(state.live_generation().is_some());
        self.moving += usize::from(state.is_moving());
    }

    fn uncount(&mut self, position: Position, before: &State) {
        if let Some(deadline) = before.deadline() {
            self.deadlines.remove(&(deadline, position));
        }
        self.live -= usize::from(before.live_generation().is_some());
        self.moving -= usize::from(before.is_moving());
    }

    /// Answers everybody who waits for this child.
    fn reply_all(&mut self, turn: &mut Turn<Id>, position: Position, reply: &Reply<Id>) {
        for call in std::mem::take(&mut self.children.at_mut(position).state.callers) {
            turn.reply(call, reply.clone());
        }
    }

    fn await_outcome(&mut self, position: Position, call: CallId) {
        self.children.at_mut(position).state.callers.push(call);
    }

    /// Those who wait for the opposite of what is wanted now.
    fn supersede(&mut self, turn: &mut Turn<Id>, position: Position) {
        self.reply_all(turn, position, &Err(Refusal::Superseded));
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let of_child = self.deadlines.first().map(|(deadline, _)| *deadline);
        let of_group = self.groups.iter().filter_map(Group::deadline).min();
        of_child.into_iter().chain(of_group).min()
    }

    pub(super) fn phase(&self, id: &Id) -> Option<Phase> {
        Some(self.state(self.children.find(id)?).phase())
    }

    pub(super) fn which_children(&self) -> Vec<ChildStatus<Id>> {
        let status = |member: &super::roster::Member<Id, Child>| ChildStatus {
            id: member.spec.id.clone(),
            phase: member.state.state.phase(),
            kind: member.spec.kind,
        };
        self.children.iter().rev().map(|(_, member)| status(member)).collect()
    }

    pub(super) fn count_children(&self) -> Counts {
        let is_active = |state: &State| state.live_generation().is_some();
        let children = self.children.iter();
        let children =
            children.map(|(_, member)| (member.spec.kind, is_active(&member.state.state)));
        let specs = if self.is_simple() { 1 } else { self.children.len() };
        Counts::of(specs, children)
    }
}
