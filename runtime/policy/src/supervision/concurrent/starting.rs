//! From pending to up.

use std::{fmt::Debug, hash::Hash};

use super::{Concurrent, State};
use crate::supervision::{
    Answer, Command, Exit, Refusal, Restart, Transition, decision::Turn, roster::Position,
};

impl<Id: Clone + Eq + Hash + Debug> Concurrent<Id> {
    /// Starts a child that is down if nothing holds it, and says what it waits for otherwise.
    pub(super) fn start_or_wait(&mut self, turn: &mut Turn<Id>, position: Position) {
        self.enter(position, State::Pending);
        if self.is_held(position) {
            return;
        }
        let waits_for = self.missing(position);
        if waits_for.is_empty() {
            self.start(turn, position);
        } else {
            turn.report(Transition::Pending { child: self.id(position), waits_for });
        }
    }

    fn start(&mut self, turn: &mut Turn<Id>, position: Position) {
        let generation = if self.is_simple() {
            self.children.issue_unique(position)
        } else {
            self.children.issue(position)
        };
        self.enter(position, State::Starting { generation });
        turn.push(Command::Start { child: self.id(position), generation });
    }

    /// Starts those who may have waited for this child alone.
    pub(super) fn wake_followers(&mut self, turn: &mut Turn<Id>, position: Position) {
        let followers = self.followers(position).to_vec();
        self.wake(turn, &followers);
    }

    pub(super) fn wake(&mut self, turn: &mut Turn<Id>, pending: &[Position]) {
        for position in pending {
            let is_pending = *self.state(*position) == State::Pending;
            if is_pending && !self.is_held(*position) && self.missing(*position).is_empty() {
                self.start(turn, *position);
            }
        }
    }

    pub(super) fn on_started(&mut self, turn: &mut Turn<Id>, position: Position) {
        match *self.state(position) {
            State::Starting { generation } => {
                self.enter(position, State::Up { generation, since: turn.now });
                self.reply_all(turn, position, &Ok(Answer::Started(generation)));
                self.wake_followers(turn, position);
            }
            State::Up { .. }
            | State::Leaving { .. }
            | State::Stopping { .. }
            | State::Pending
            | State::BackingOff { .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => {}
        }
    }

    /// Counts like a crash; only a temporary child is not tried again.
    pub(super) fn on_start_failed(&mut self, turn: &mut Turn<Id>, position: Position, jitter: f64) {
        match *self.state(position) {
            State::Starting { .. } | State::Up { .. } => {
                self.reply_all(turn, position, &Err(Refusal::StartFailed));
                match self.children.at(position).spec.restart {
                    Restart::Permanent | Restart::Transient => self.restart(turn, position, jitter),
                    Restart::Temporary => self.complete(turn, position, Exit::Abnormal),
                }
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

    /// Nothing to do is as good as done, but it is no end that [`AutoShutdown`] would see.
    ///
    /// [`AutoShutdown`]: crate::supervision::AutoShutdown
    pub(super) fn on_ignored(&mut self, turn: &mut Turn<Id>, position: Position) {
        match *self.state(position) {
            State::Starting { .. } | State::Up { .. } => {
                self.reply_all(turn, position, &Ok(Answer::Ignored));
                self.complete(turn, position, Exit::Normal);
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
}
