//! After an exit: OTP's `do_restart`, `restart` and `do_auto_shutdown`.

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

use super::{Pid, Strict, starting::Purpose, stopping::Reason};
use crate::supervision::{
    AutoShutdown, Exit, Generation, Strategy, SupervisorExit, Transition,
    decision::Turn,
    restarts::{Grain, Tally},
    roster::Position,
};

impl<Id: Clone + Eq + Hash + Debug> Strict<Id> {
    /// An exit whose child was stopped or replaced meanwhile has been absorbed.
    pub(super) fn on_exit_read(
        &mut self,
        turn: &mut Turn<Id>,
        id: &Id,
        generation: Generation,
        exit: Exit,
    ) {
        let Some(child) = self.children.find(id) else {
            return;
        };
        let member = self.children.at(child);
        if member.state != Pid::Dead(generation) {
            return;
        }
        if member.spec.restart.follows(exit) {
            return self.restart(turn, child);
        }
        let is_significant = member.spec.significant;
        turn.report(Transition::Completed { child: id.clone(), exit });
        self.put_down(turn, child);
        if is_significant && self.is_to_shut_down() {
            self.end(turn, SupervisorExit::AutoShutdown(id.clone()));
        }
    }

    /// Asked when a significant child has ended by itself and was put down.
    fn is_to_shut_down(&self) -> bool {
        match self.spec.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !self
                .children
                .iter()
                .any(|(_, member)| member.spec.significant && member.state != Pid::Undefined),
        }
    }

    /// The next attempt, unless the child was stopped or started in between.
    pub(super) fn try_again_restart(&mut self, turn: &mut Turn<Id>, id: &Id, pid: Pid) {
        let Some(child) = self.children.find(id) else {
            return;
        };
        match self.children.at(child).state {
            // OTP finds an instance by its old pid, any other child by its id.
            state @ Pid::Restarting(_) if !self.is_simple() || state == pid => {
                self.restart(turn, child)
            }
            Pid::Undefined
            | Pid::Starting { .. }
            | Pid::Running(_)
            | Pid::Dead(_)
            | Pid::Restarting(_)
            | Pid::Stopping(_) => {}
        }
    }

    /// Counts once, however many children the strategy takes along.
    fn restart(&mut self, turn: &mut Turn<Id>, child: Position) {
        match self.restarts.count(turn.now, self.limit, Grain::WholeSeconds) {
            Tally::Exceeded(restarts) => {
                let id = self.children.at(child).spec.id.clone();
                turn.report(Transition::Failed { child: id.clone(), restarts });
                self.put_down(turn, child);
                self.end(turn, SupervisorExit::RestartedTooOften(id));
            }
            Tally::Within => match self.spec.strategy {
                Strategy::OneForOne | Strategy::SimpleOneForOne => {
                    self.start_next(turn, VecDeque::from([child]), Purpose::Restart);
                }
                Strategy::OneForAll => {
                    let all = self.children.iter().map(|(position, _)| position).collect();
                    self.restart_group(turn, child, all);
                }
                Strategy::RestForOne => {
                    let later = self.children.from(child).collect();
                    self.restart_group(turn, child, later);
                }
            },
        }
    }

    fn restart_group(&mut self, turn: &mut Turn<Id>, cause: Position, members: Vec<Position>) {
        let name = |position: &Position| self.children.at(*position).spec.id.clone();
        let transition = Transition::GroupRestarting {
            cause: name(&cause),
            members: members.iter().map(name).collect(),
        };
        turn.report(transition);
        self.stop_next(turn, members.clone(), Reason::Group(members));
    }
}
