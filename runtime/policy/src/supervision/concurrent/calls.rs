//! What operators and parents ask for.

use std::{fmt::Debug, hash::Hash};

use super::{Concurrent, Course, State, state::Next};
use crate::supervision::{
    Answer, Call, CallId, ChildSpec, Generation, Refusal, Reply, SupervisorSpec, Transition,
    decision::Turn, roster::Position, spec,
};

impl<Id: Clone + Eq + Hash + Debug> Concurrent<Id> {
    pub(super) fn on_called(&mut self, turn: &mut Turn<Id>, call: CallId, request: Call<Id>) {
        match self.course {
            Course::Rising | Course::Risen => {
                if let Err(refusal) = self.answer(turn, call, request) {
                    turn.reply(call, Err(refusal));
                }
            }
            Course::Unstarted | Course::Ending { .. } | Course::Ended => {
                turn.reply(call, Err(Refusal::SupervisorEnding));
            }
        }
    }

    /// Answers at once, or lets the call wait for the outcome.
    fn answer(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        request: Call<Id>,
    ) -> Result<(), Refusal<Id>> {
        let answer = match request {
            Call::AddChild(spec) => return self.add_child(turn, call, spec),
            Call::AddInstance(id) => return self.add_instance(turn, call, id),
            Call::StopChild(id) => return self.stop_child(turn, call, &id),
            Call::StopIncarnation(id, generation) => {
                return self.stop_incarnation(turn, call, &id, generation);
            }
            Call::StartChild(id) => return self.start_child(turn, call, &id),
            Call::RestartChild(id) => return self.restart_child(turn, call, &id),
            Call::RemoveChild(id) => return self.remove_child(turn, call, &id),
            Call::UpdateChild(spec) => self.update_child(turn, spec)?,
            Call::Reconfigure(spec, children) => self.reconfigure(turn, spec, children)?,
            Call::DescribeChild(id) => self.children.describe(&id, self.template.as_ref())?,
            Call::WhichChildren => Answer::Children(self.which_children()),
            Call::CountChildren => Answer::Counts(self.count_children()),
        };
        turn.reply(call, Ok(answer));
        Ok(())
    }

    fn add_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        spec: ChildSpec<Id>,
    ) -> Result<(), Refusal<Id>> {
        if self.is_simple() {
            return Err(Refusal::SimpleOneForOne);
        }
        spec::check_child(&self.spec, &spec).map_err(Refusal::Invalid)?;
        self.start_new(turn, call, spec)
    }

    fn add_instance(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: Id,
    ) -> Result<(), Refusal<Id>> {
        let template = self.template.as_ref().ok_or(Refusal::NotSimpleOneForOne)?;
        let spec = ChildSpec { id, ..template.clone() };
        self.start_new(turn, call, spec)
    }

    fn start_new(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        spec: ChildSpec<Id>,
    ) -> Result<(), Refusal<Id>> {
        if let Some(position) = self.children.find(&spec.id) {
            return self.start_again(turn, call, position, spec);
        }
        self.check_order(std::slice::from_ref(&spec)).map_err(Refusal::Invalid)?;
        turn.report(Transition::Added { child: spec.id.clone(), call });
        let position = self.insert(spec, State::Pending);
        self.await_outcome(position, call);
        self.start_or_wait(turn, position);
        Ok(())
    }

    /// A child that is on its way out for good stays after all; any other is there already.
    fn start_again(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        position: Position,
        spec: ChildSpec<Id>,
    ) -> Result<(), Refusal<Id>> {
        let state = *self.state(position);
        let stays = match state {
            State::Leaving { generation, next: Next::Remove } => {
                State::Leaving { generation, next: Next::Start }
            }
            State::Stopping { generation, grace, next: Next::Remove } => {
                State::Stopping { generation, grace, next: Next::Start }
            }
            State::Leaving { .. }
            | State::Stopping { .. }
            | State::Starting { .. }
            | State::Up { .. }
            | State::Pending
            | State::BackingOff { .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => {
                return Err(match state.live_generation() {
                    Some(generation) => Refusal::AlreadyStarted(generation),
                    None => Refusal::AlreadyPresent,
                });
            }
        };
        self.check_order(std::slice::from_ref(&spec)).map_err(Refusal::Invalid)?;
        turn.report(Transition::Added { child: spec.id.clone(), call });
        self.respecify(position, spec);
        self.forgive(position);
        self.redirect(turn, position, Next::Remove, Next::Start);
        self.await_outcome(position, call);
        self.enter(position, stays);
        Ok(())
    }

    /// Asked the second time, the grace is over.
    fn stop_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
    ) -> Result<(), Refusal<Id>> {
        let position = self.children.named(id)?;
        let next = if self.is_simple() { Next::Remove } else { Next::Stop };
        self.bring_down(turn, call, position, next);
        Ok(())
    }

    fn stop_incarnation(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
        generation: Generation,
    ) -> Result<(), Refusal<Id>> {
        let position = self.children.named(id)?;
        if self.state(position).live_generation() == Some(generation) {
            self.stop_child(turn, call, id)
        } else if self.children.was_issued(generation) {
            turn.reply(call, Ok(Answer::Done));
            Ok(())
        } else {
            Err(Refusal::NotFound)
        }
    }

    fn remove_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
    ) -> Result<(), Refusal<Id>> {
        let position = self.children.named(id)?;
        self.bring_down(turn, call, position, Next::Remove);
        Ok(())
    }

    fn bring_down(&mut self, turn: &mut Turn<Id>, call: CallId, position: Position, next: Next) {
        match *self.state(position) {
            State::Starting { .. } | State::Up { .. } => {
                self.supersede(turn, position);
                self.await_outcome(position, call);
                self.stop(turn, position, next);
            }
            State::Leaving { generation, next: before } => {
                self.redirect(turn, position, before, next);
                self.await_outcome(position, call);
                self.enter(position, State::Leaving { generation, next });
            }
            State::Stopping { generation, grace, next: before } => {
                self.redirect(turn, position, before, next);
                self.await_outcome(position, call);
                self.enter(position, State::Stopping { generation, grace, next });
                match before {
                    Next::Stop | Next::Remove => self.skip_grace(turn, position),
                    Next::Start | Next::Complete => {}
                }
            }
            State::Pending
            | State::BackingOff { .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => {
                self.supersede(turn, position);
                self.await_outcome(position, call);
                self.rest(turn, position, next);
            }
        }
    }

    /// A child without an incarnation stays down.
    fn rest(&mut self, turn: &mut Turn<Id>, position: Position, next: Next) {
        self.enter(position, State::Stopped);
        match next {
            Next::Remove => self.remove(turn, position),
            Next::Stop | Next::Start | Next::Complete => {
                turn.report(Transition::Stopped { child: self.id(position) });
                self.reply_all(turn, position, &Ok(Answer::Done));
            }
        }
    }

    /// Those who wait for the opposite of `next` learn that it will not be.
    fn redirect(&mut self, turn: &mut Turn<Id>, position: Position, before: Next, next: Next) {
        let is_down = |next: Next| match next {
            Next::Stop | Next::Remove | Next::Complete => true,
            Next::Start => false,
        };
        if is_down(before) != is_down(next) {
            self.supersede(turn, position);
        }
    }

    fn start_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
    ) -> Result<(), Refusal<Id>> {
        let position = self.children.named(id)?;
        match *self.state(position) {
            State::Starting { .. } | State::Up { .. } => return Err(Refusal::Running),
            State::Leaving { next: Next::Remove, .. }
            | State::Stopping { next: Next::Remove, .. } => {
                return Err(Refusal::NotFound);
            }
            State::Leaving { .. }
            | State::Stopping { .. }
            | State::Pending
            | State::BackingOff { .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => {}
        }
        self.bring_up(turn, position);
        self.await_outcome(position, call);
        Ok(())
    }

    fn restart_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
    ) -> Result<(), Refusal<Id>> {
        let position = self.children.named(id)?;
        match *self.state(position) {
            State::Starting { .. } | State::Up { .. } => {
                self.forgive(position);
                self.await_outcome(position, call);
                self.bring_up_prerequisites(turn, position);
                self.stop(turn, position, Next::Start);
                Ok(())
            }
            State::Leaving { .. }
            | State::Stopping { .. }
            | State::Pending
            | State::BackingOff { .. }
            | State::Completed(_)
            | State::Stopped
            | State::Failed => self.start_child(turn, call, id),
        }
    }

    /// Wants a child, and what it comes after, to be up.
    fn bring_up(&mut self, turn: &mut Turn<Id>, position: Position) {
        match *self.state(position) {
            State::Leaving { generation, next: next @ (Next::Stop | Next::Complete) } => {
                self.redirect(turn, position, next, Next::Start);
                self.enter(position, State::Leaving { generation, next: Next::Start });
            }
            State::Stopping { generation, grace, next: next @ (Next::Stop | Next::Complete) } => {
                self.redirect(turn, position, next, Next::Start);
                self.enter(position, State::Stopping { generation, grace, next: Next::Start });
            }
            State::Leaving { next: Next::Start | Next::Remove, .. }
            | State::Stopping { next: Next::Start | Next::Remove, .. }
            | State::Starting { .. }
            | State::Up { .. } => {}
            State::Pending | State::BackingOff { .. } => self.bring_up_after(turn, position),
            State::Completed(_) | State::Stopped | State::Failed => {
                self.forgive(position);
                self.bring_up_after(turn, position);
            }
        }
    }

    fn bring_up_after(&mut self, turn: &mut Turn<Id>, position: Position) {
        self.bring_up_prerequisites(turn, position);
        self.start_or_wait(turn, position);
    }

    fn bring_up_prerequisites(&mut self, turn: &mut Turn<Id>, position: Position) {
        let prerequisites: Vec<Position> = self.prerequisites(position).collect();
        for sibling in prerequisites {
            if !self.state(sibling).satisfies() {
                self.bring_up(turn, sibling);
            }
        }
    }

    fn forgive(&mut self, position: Position) {
        let child = &mut self.children.at_mut(position).state;
        child.restarts.clear();
        child.restarts_in_a_row = 0;
    }

    fn update_child(&mut self, turn: &mut Turn<Id>, spec: ChildSpec<Id>) -> Reply<Id> {
        spec::check_child(&self.spec, &spec).map_err(Refusal::Invalid)?;
        let position = self.children.named(&spec.id)?;
        self.check_order(std::slice::from_ref(&spec)).map_err(Refusal::Invalid)?;
        self.respecify(position, spec);
        self.wake(turn, &[position]);
        Ok(Answer::Done)
    }

    /// Newcomers are stopped until somebody starts them, as OTP's `code_change` leaves them.
    fn reconfigure(
        &mut self,
        turn: &mut Turn<Id>,
        spec: SupervisorSpec,
        children: Vec<ChildSpec<Id>>,
    ) -> Reply<Id> {
        spec::check_change(&self.spec, &spec, &children).map_err(Refusal::Invalid)?;
        if self.is_simple() {
            self.spec = spec;
            self.template = children.into_iter().next();
            return Ok(Answer::Done);
        }
        self.check_order(&children).map_err(Refusal::Invalid)?;
        self.spec = spec;
        for child in children {
            match self.children.find(&child.id) {
                Some(position) => self.respecify(position, child),
                None => {
                    self.insert(child, State::Stopped);
                }
            }
        }
        let all: Vec<Position> = self.children.iter().map(|(position, _)| position).collect();
        self.wake(turn, &all);
        Ok(Answer::Done)
    }
}
