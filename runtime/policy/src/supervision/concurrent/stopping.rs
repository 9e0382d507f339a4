//! From up to down: one child, or all of them.

use std::{fmt::Debug, hash::Hash};

use super::{Concurrent, Course, Graces, State, state::Next};
use crate::supervision::{
    Answer, Exit, Refusal, Shutdown, SupervisorExit, Transition,
    decision::Turn,
    grace::{Grace, Measure},
    roster::Position,
};

impl<Id: Clone + Eq + Hash + Debug> Concurrent<Id> {
    pub(super) fn on_stop_requested(&mut self, turn: &mut Turn<Id>) {
        match &mut self.course {
            Course::Unstarted | Course::Rising | Course::Risen => {
                self.end(turn, SupervisorExit::Stopped)
            }
            Course::Ending { graces, .. } => {
                *graces = Graces::Skipped;
                let all: Vec<Position> =
                    self.children.iter().map(|(position, _)| position).collect();
                for position in all {
                    self.skip_grace(turn, position);
                }
            }
            Course::Ended => {}
        }
    }

    /// Takes every child down, those that come after others first.
    pub(super) fn end(&mut self, turn: &mut Turn<Id>, why: SupervisorExit<Id>) {
        self.course = Course::Ending { why, graces: Graces::Given };
        self.groups.clear();
        let all: Vec<Position> = self.children.iter().rev().map(|(position, _)| position).collect();
        for position in &all {
            self.leave_for_good(turn, *position);
        }
        self.stop_leaving(turn, all.into_iter());
    }

    fn leave_for_good(&mut self, turn: &mut Turn<Id>, position: Position) {
        let state = *self.state(position);
        let after = match state {
            State::Pending | State::BackingOff { .. } => State::Stopped,
            State::Starting { generation } | State::Up { generation, .. } => {
                State::Leaving { generation, next: Next::Stop }
            }
            State::Leaving { next: Next::Stop | Next::Remove, .. }
            | State::Stopping { next: Next::Stop | Next::Remove, .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => return,
            State::Leaving { generation, next: Next::Start | Next::Complete } => {
                State::Leaving { generation, next: Next::Stop }
            }
            State::Stopping { generation, grace, next: Next::Start | Next::Complete } => {
                State::Stopping { generation, grace, next: Next::Stop }
            }
        };
        self.reply_all(turn, position, &Err(Refusal::SupervisorEnding));
        self.enter(position, after);
        if after == State::Stopped {
            turn.report(Transition::Stopped { child: self.id(position) });
        }
    }

    /// Asks those of these that are to leave and that nobody who comes after them needs any longer.
    pub(super) fn stop_leaving(
        &mut self,
        turn: &mut Turn<Id>,
        leaving: impl Iterator<Item = Position>,
    ) {
        for position in leaving {
            if let State::Leaving { next, .. } = *self.state(position)
                && !self.has_leaving_follower(position)
            {
                self.stop(turn, position, next);
            }
        }
    }

    /// Stops a child that has an incarnation, now.
    pub(super) fn stop(&mut self, turn: &mut Turn<Id>, position: Position, next: Next) {
        let Some(generation) = self.state(position).live_generation() else {
            return;
        };
        let budget = match self.course {
            Course::Ending { graces: Graces::Skipped, .. } => Shutdown::Brutal,
            Course::Unstarted
            | Course::Rising
            | Course::Risen
            | Course::Ending { graces: Graces::Given, .. }
            | Course::Ended => self.children.at(position).spec.shutdown,
        };
        let (grace, measure) = Grace::begin(turn.now, budget);
        self.enter(position, State::Stopping { generation, grace, next });
        self.take(turn, position, Some(measure));
    }

    fn take(&self, turn: &mut Turn<Id>, position: Position, measure: Option<Measure>) {
        let member = self.children.at(position);
        let generation = member.state.state.live_generation();
        let (Some(measure), Some(generation)) = (measure, generation) else {
            return;
        };
        turn.take(measure, &member.spec, generation);
    }

    pub(super) fn skip_grace(&mut self, turn: &mut Turn<Id>, position: Position) {
        if let State::Stopping { generation, mut grace, next } = *self.state(position) {
            let measure = grace.skip(turn.now);
            self.enter(position, State::Stopping { generation, grace, next });
            self.take(turn, position, measure);
        }
    }

    /// A child that was told to stop, or was about to be, is down.
    pub(super) fn on_down(&mut self, turn: &mut Turn<Id>, position: Position, next: Next) {
        let upstream = self.live_prerequisites(position);
        match next {
            Next::Start => self.enter(position, State::Pending),
            // However it took its leave: those after it are to come up again.
            Next::Complete => {
                let exit = Exit::Shutdown;
                self.enter(position, State::Completed(exit));
                self.supersede(turn, position);
                turn.report(Transition::Completed { child: self.id(position), exit });
            }
            Next::Stop => {
                self.enter(position, State::Stopped);
                turn.report(Transition::Stopped { child: self.id(position) });
                self.reply_all(turn, position, &Ok(Answer::Done));
            }
            Next::Remove => {
                self.enter(position, State::Stopped);
                self.remove(turn, position);
            }
        }
        let is_held = self.is_held(position);
        self.after_down(turn, &upstream);
        if next == Next::Start && !is_held {
            self.start_or_wait(turn, position);
        }
    }

    /// Forgets a child that is down, and tells those who wait for that.
    pub(super) fn remove(&mut self, turn: &mut Turn<Id>, position: Position) {
        turn.report(Transition::Removed { child: self.id(position) });
        self.reply_all(turn, position, &Ok(Answer::Done));
        let followers = self.followers(position).to_vec();
        self.forget(position);
        self.wake(turn, &followers);
    }

    pub(super) fn on_deadline_reached(&mut self, turn: &mut Turn<Id>) {
        let now = turn.now;
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        for position in due.map(|(_, position)| *position).collect::<Vec<_>>() {
            self.on_child_deadline(turn, position);
        }
        for group in &mut self.groups {
            group.on_deadline(now);
        }
        self.settle_groups(turn);
    }

    fn on_child_deadline(&mut self, turn: &mut Turn<Id>, position: Position) {
        match *self.state(position) {
            State::BackingOff { .. } => self.start_or_wait(turn, position),
            State::Stopping { generation, mut grace, next } => {
                let measure = grace.on_deadline(turn.now);
                self.enter(position, State::Stopping { generation, grace, next });
                self.take(turn, position, measure);
            }
            State::Pending
            | State::Starting { .. }
            | State::Up { .. }
            | State::Leaving { .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => {}
        }
    }
}
