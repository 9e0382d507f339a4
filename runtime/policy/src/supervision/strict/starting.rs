//! Starting children one after the other: OTP's `start_children` and `do_start_child`.

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

use super::{Activity, Message, Pid, Strict};
use crate::supervision::{
    Answer, CallId, Command, Generation, Refusal, Restart, SupervisorExit, Transition,
    decision::Turn, roster::Position,
};

/// A start in progress, and what comes after it.
#[derive(Debug, Clone)]
pub(super) struct Starting {
    pub(super) child: Position,
    pub(super) generation: Generation,
    replaces: Option<Generation>,
    rest: VecDeque<Position>,
    purpose: Purpose,
}

/// Why children are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The supervisor starts. One failure and it does not.
    Boot,
    /// A restart. A failure is tried again through the inbox.
    Restart,
    /// `start_child`. A failure forgets the child.
    Add(CallId),
    /// `restart_child`. A failure leaves it down.
    Start(CallId),
}

/// How a start went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Up,
    Ignored,
    Failed,
}

impl<Id: Clone + Eq + Hash + Debug> Strict<Id> {
    pub(super) fn boot(&mut self, turn: &mut Turn<Id>) {
        let all = self.children.iter().map(|(position, _)| position).collect();
        self.start_next(turn, all, Purpose::Boot);
    }

    /// Starts these, one after the other.
    pub(super) fn start_next(
        &mut self,
        turn: &mut Turn<Id>,
        mut rest: VecDeque<Position>,
        purpose: Purpose,
    ) {
        let Some(child) = rest.pop_front() else {
            self.activity = Activity::Idle;
            match purpose {
                Purpose::Boot => turn.push(Command::Up),
                Purpose::Restart | Purpose::Add(_) | Purpose::Start(_) => {}
            }
            return;
        };
        let replaces = self.children.at(child).state.pid();
        let generation = if self.is_simple() {
            self.children.issue_unique(child)
        } else {
            self.children.issue(child)
        };
        let member = self.children.at_mut(child);
        member.state = Pid::Starting { generation, replaces };
        turn.push(Command::Start { child: member.spec.id.clone(), generation });
        self.activity = Activity::Starting(Starting { child, generation, replaces, rest, purpose });
    }

    /// Strict knows no other start than the one it waits for.
    pub(super) fn on_start_outcome(
        &mut self,
        turn: &mut Turn<Id>,
        child: &Id,
        generation: Generation,
        outcome: Outcome,
    ) {
        let Some((position, pid)) = self.current(child, generation) else {
            return;
        };
        match pid {
            Pid::Starting { .. } => {}
            // A start that is being hurried to its end may still fail by itself.
            Pid::Stopping(_) if outcome == Outcome::Failed => {
                return self.on_stopped(turn, position);
            }
            Pid::Undefined
            | Pid::Running(_)
            | Pid::Dead(_)
            | Pid::Restarting(_)
            | Pid::Stopping(_) => return,
        }
        match std::mem::replace(&mut self.activity, Activity::Idle) {
            Activity::Starting(starting) => match outcome {
                Outcome::Up => self.on_up(turn, starting),
                Outcome::Ignored => self.on_ignored(turn, starting),
                Outcome::Failed => self.on_start_failed(turn, starting),
            },
            other @ (Activity::Unstarted
            | Activity::Idle
            | Activity::Stopping(_)
            | Activity::StoppingInstances { .. }
            | Activity::Ended) => self.activity = other,
        }
    }

    fn on_up(&mut self, turn: &mut Turn<Id>, starting: Starting) {
        let Starting { child, generation, rest, purpose, .. } = starting;
        self.children.at_mut(child).state = Pid::Running(generation);
        match purpose {
            Purpose::Boot | Purpose::Restart => self.start_next(turn, rest, purpose),
            Purpose::Add(call) | Purpose::Start(call) => {
                turn.reply(call, Ok(Answer::Started(generation)))
            }
        }
    }

    /// The specification stays, unless the child is temporary or an instance.
    ///
    /// OTP 25 has no such case for an instance that ignores its *restart*: it stores `undefined`
    /// among the pids and crashes over it at its end. Here the instance is forgotten as well.
    fn on_ignored(&mut self, turn: &mut Turn<Id>, starting: Starting) {
        let Starting { child, rest, purpose, .. } = starting;
        self.put_down(turn, child);
        match purpose {
            Purpose::Boot | Purpose::Restart => self.start_next(turn, rest, purpose),
            Purpose::Add(call) | Purpose::Start(call) => turn.reply(call, Ok(Answer::Ignored)),
        }
    }

    fn on_start_failed(&mut self, turn: &mut Turn<Id>, starting: Starting) {
        let Starting { child, replaces, purpose, .. } = starting;
        let member = self.children.at_mut(child);
        member.state = Pid::Undefined;
        let id = member.spec.id.clone();
        match purpose {
            Purpose::Boot => self.end(turn, SupervisorExit::StartFailed(id)),
            Purpose::Restart => {
                let pid = Pid::Restarting(replaces);
                member.state = pid;
                self.inbox.push_back(Message::TryAgainRestart { child: id, pid });
            }
            Purpose::Add(call) => {
                self.remove(turn, child);
                turn.reply(call, Err(Refusal::StartFailed));
            }
            Purpose::Start(call) => turn.reply(call, Err(Refusal::StartFailed)),
        }
    }

    /// OTP's `del_child`: what is temporary, or an instance, goes with its pid.
    pub(super) fn put_down(&mut self, turn: &mut Turn<Id>, child: Position) {
        let is_simple = self.is_simple();
        let member = self.children.at_mut(child);
        if is_simple || member.spec.restart == Restart::Temporary {
            self.remove(turn, child);
        } else {
            member.state = Pid::Undefined;
        }
    }

    pub(super) fn remove(&mut self, turn: &mut Turn<Id>, child: Position) {
        if let Some(member) = self.children.remove(child) {
            turn.report(Transition::Removed { child: member.spec.id });
        }
    }
}
