//! The machine as its users see it: one of the two disciplines.

use std::{fmt::Debug, hash::Hash};

use super::{
    ChildSpec, ChildStatus, Command, Discipline, Event, Generation, Phase, SpecError,
    SupervisorSpec, checkpoint::Checkpoint, concurrent::Concurrent, decision::Turn, spec,
    strict::Strict,
};
use crate::moment::Moment;

/// A supervisor: events in, commands out.
#[derive(Debug, Clone)]
pub struct Supervisor<Id> {
    machine: Machine<Id>,
}

#[derive(Debug, Clone)]
enum Machine<Id> {
    Strict(Strict<Id>),
    Concurrent(Concurrent<Id>),
}

impl<Id: Clone + Eq + Hash + Debug> Supervisor<Id> {
    /// A supervisor that has not started yet. The order of `children` is the start order.
    ///
    /// # Errors
    /// The first rule that a specification breaks.
    pub fn new(spec: SupervisorSpec, children: Vec<ChildSpec<Id>>) -> Result<Self, SpecError<Id>> {
        spec::check(&spec, &children)?;
        let machine = match spec.discipline {
            Discipline::Strict => Machine::Strict(Strict::new(spec, children)?),
            Discipline::Concurrent => Machine::Concurrent(Concurrent::new(spec, children)?),
        };
        Ok(Self { machine })
    }

    /// Lets every child's generations begin after `generation`, for a supervisor that takes the place of
    /// another with the same children: what is said of an old incarnation is never true of a new one.
    #[must_use]
    pub fn beyond(mut self, generation: Generation) -> Self {
        match &mut self.machine {
            Machine::Strict(strict) => strict.begin_beyond(generation),
            Machine::Concurrent(concurrent) => concurrent.begin_beyond(generation),
        }
        self
    }

    /// Takes an event in, at `now`, which never goes back; gives the commands to carry out in order.
    ///
    /// An event about an incarnation that is not, or no longer, the child's current one has no effect.
    pub fn on_event(&mut self, now: Moment, event: Event<Id>) -> Vec<Command<Id>> {
        let mut turn = Turn::new(now);
        match &mut self.machine {
            Machine::Strict(strict) => strict.on_event(&mut turn, event),
            Machine::Concurrent(concurrent) => concurrent.on_event(&mut turn, event),
        }
        turn.commands
    }

    /// When [`Event::DeadlineReached`] is due.
    pub fn next_deadline(&self) -> Option<Moment> {
        match &self.machine {
            Machine::Strict(strict) => strict.next_deadline(),
            Machine::Concurrent(concurrent) => concurrent.next_deadline(),
        }
    }

    /// Everything that it remembers; `None` under [`Discipline::Strict`], which keeps its own counsel.
    pub fn checkpoint(&self) -> Option<Checkpoint<Id>> {
        match &self.machine {
            Machine::Strict(_) => None,
            Machine::Concurrent(concurrent) => Some(concurrent.checkpoint()),
        }
    }

    /// A machine that goes on from there.
    ///
    /// # Errors
    /// When the children come after each other in a circle.
    pub fn resume(checkpoint: Checkpoint<Id>) -> Result<Self, SpecError<Id>> {
        Ok(Self { machine: Machine::Concurrent(Concurrent::resume(checkpoint)?) })
    }

    /// What a child is doing; `None` if there is no such child.
    pub fn phase(&self, id: &Id) -> Option<Phase> {
        match &self.machine {
            Machine::Strict(strict) => strict.phase(id),
            Machine::Concurrent(concurrent) => concurrent.phase(id),
        }
    }

    /// The children, as OTP lists them: see [`Answer::Children`](super::Answer::Children).
    pub fn which_children(&self) -> Vec<ChildStatus<Id>> {
        match &self.machine {
            Machine::Strict(strict) => strict.which_children(),
            Machine::Concurrent(concurrent) => concurrent.which_children(),
        }
    }
}
