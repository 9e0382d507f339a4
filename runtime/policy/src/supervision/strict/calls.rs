//! Calls: OTP's `handle_call` and `code_change`.

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

use super::{Pid, Strict, starting::Purpose, stopping::Reason};
use crate::supervision::{
    Answer, Call, CallId, ChildSpec, Generation, Refusal, Reply, SupervisorSpec, Transition,
    decision::Turn, roster::Position, spec,
};

impl<Id: Clone + Eq + Hash + Debug> Strict<Id> {
    /// Answers at once, or starts what will end with the answer.
    pub(super) fn answer(&mut self, turn: &mut Turn<Id>, call: CallId, request: Call<Id>) {
        let refused = match request {
            Call::AddChild(spec) => self.add_child(turn, call, spec),
            Call::AddInstance(id) => self.add_instance(turn, call, id),
            Call::StopChild(id) => self.stop_child(turn, call, &id),
            Call::StopIncarnation(id, generation) => {
                self.stop_incarnation(turn, call, &id, generation)
            }
            Call::StartChild(id) => self.start_child(turn, call, &id),
            Call::RestartChild(id) => self.restart_child(turn, call, &id),
            Call::RemoveChild(id) => {
                self.remove_child(turn, &id).map(|answer| turn.reply(call, Ok(answer)))
            }
            Call::UpdateChild(spec) => {
                self.update_child(spec).map(|answer| turn.reply(call, Ok(answer)))
            }
            Call::Reconfigure(spec, children) => {
                self.reconfigure(spec, children).map(|answer| turn.reply(call, Ok(answer)))
            }
            Call::DescribeChild(id) => self
                .children
                .describe(&id, self.template.as_ref())
                .map(|answer| turn.reply(call, Ok(answer))),
            Call::WhichChildren => {
                turn.reply(call, Ok(Answer::Children(self.which_children())));
                Ok(())
            }
            Call::CountChildren => {
                turn.reply(call, Ok(Answer::Counts(self.count_children())));
                Ok(())
            }
        };
        if let Err(refusal) = refused {
            turn.reply(call, Err(refusal));
        }
    }

    fn refuse_simple(&self) -> Result<(), Refusal<Id>> {
        if self.is_simple() { Err(Refusal::SimpleOneForOne) } else { Ok(()) }
    }

    fn add_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        spec: ChildSpec<Id>,
    ) -> Result<(), Refusal<Id>> {
        self.refuse_simple()?;
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
            return Err(match self.children.at(position).state {
                Pid::Running(generation) | Pid::Dead(generation) | Pid::Stopping(generation) => {
                    Refusal::AlreadyStarted(generation)
                }
                Pid::Undefined | Pid::Starting { .. } | Pid::Restarting(_) => {
                    Refusal::AlreadyPresent
                }
            });
        }
        turn.report(Transition::Added { child: spec.id.clone(), call });
        let child = self.children.push(spec, Pid::Undefined);
        self.start_next(turn, VecDeque::from([child]), Purpose::Add(call));
        Ok(())
    }

    fn stop_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
    ) -> Result<(), Refusal<Id>> {
        self.refuse_simple()?;
        let child = self.children.named(id)?;
        self.stop_next(turn, vec![child], Reason::Call(call));
        Ok(())
    }

    /// As OTP's `terminate_child` with a pid: one that is dead is fine, one that never was a child
    /// is not found.
    fn stop_incarnation(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
        generation: Generation,
    ) -> Result<(), Refusal<Id>> {
        if !self.is_simple() {
            return Err(Refusal::NotFound);
        }
        let named = self.children.find(id);
        let is_named = |child: &Position| self.children.at(*child).state.pid() == Some(generation);
        match named.filter(is_named) {
            Some(child) => self.stop_next(turn, vec![child], Reason::Call(call)),
            None if self.children.was_issued(generation) => turn.reply(call, Ok(Answer::Done)),
            None => return Err(Refusal::NotFound),
        }
        Ok(())
    }

    /// For what only makes sense with a child that is down.
    fn refuse_unless_down(&self, child: Position) -> Result<(), Refusal<Id>> {
        match self.children.at(child).state {
            Pid::Undefined => Ok(()),
            Pid::Restarting(_) => Err(Refusal::Restarting),
            Pid::Starting { .. } | Pid::Running(_) | Pid::Dead(_) | Pid::Stopping(_) => {
                Err(Refusal::Running)
            }
        }
    }

    fn start_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
    ) -> Result<(), Refusal<Id>> {
        self.refuse_simple()?;
        let child = self.children.named(id)?;
        self.refuse_unless_down(child)?;
        self.start_next(turn, VecDeque::from([child]), Purpose::Start(call));
        Ok(())
    }

    fn restart_child(
        &mut self,
        turn: &mut Turn<Id>,
        call: CallId,
        id: &Id,
    ) -> Result<(), Refusal<Id>> {
        self.refuse_simple()?;
        let child = self.children.named(id)?;
        self.stop_next(turn, vec![child], Reason::Restart(child, call));
        Ok(())
    }

    fn remove_child(&mut self, turn: &mut Turn<Id>, id: &Id) -> Reply<Id> {
        self.refuse_simple()?;
        let child = self.children.named(id)?;
        self.refuse_unless_down(child)?;
        self.remove(turn, child);
        Ok(Answer::Done)
    }

    fn update_child(&mut self, spec: ChildSpec<Id>) -> Reply<Id> {
        self.refuse_simple()?;
        spec::check_child(&self.spec, &spec).map_err(Refusal::Invalid)?;
        let child = self.children.named(&spec.id)?;
        self.children.at_mut(child).spec = spec;
        Ok(Answer::Done)
    }

    /// OTP's `code_change` starts and stops nothing.
    fn reconfigure(&mut self, spec: SupervisorSpec, children: Vec<ChildSpec<Id>>) -> Reply<Id> {
        spec::check_change(&self.spec, &spec, &children).map_err(Refusal::Invalid)?;
        let limit = spec::shared_limit(&spec).map_err(Refusal::Invalid)?;
        self.spec = spec;
        self.limit = limit;
        if self.is_simple() {
            for template in children {
                for member in self.children.iter_mut() {
                    member.spec = ChildSpec { id: member.spec.id.clone(), ..template.clone() };
                }
                self.template = Some(template);
            }
        } else {
            self.children.rebuild(children, || Pid::Undefined);
        }
        Ok(Answer::Done)
    }
}
