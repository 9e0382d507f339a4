//! Stopping children one after the other, the newest first: OTP's `terminate_children` and
//! `shutdown`; and instances all at once: `terminate_dynamic_children`.

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

use super::{Activity, Message, Pid, Strict, Urgency, starting::Purpose};
use crate::supervision::{
    Answer, CallId, Command, Generation, Shutdown, SupervisorExit, Transition,
    decision::Turn,
    grace::{Grace, Measure},
    roster::Position,
};

/// A stop in progress, and what comes after it.
#[derive(Debug, Clone)]
pub(super) struct Stopping<Id> {
    child: Position,
    pub(super) grace: Grace,
    /// In start order: the last is the next.
    rest: Vec<Position>,
    reason: Reason<Id>,
}

/// Why children are stopped.
#[derive(Debug, Clone)]
pub(super) enum Reason<Id> {
    /// The strategy restarts this group.
    Group(Vec<Position>),
    /// `terminate_child`.
    Call(CallId),
    /// Stop this one, then start it again.
    Restart(Position, CallId),
    /// The supervisor ends.
    End(SupervisorExit<Id>),
}

impl<Id: Clone + Eq + Hash + Debug> Strict<Id> {
    pub(super) fn on_stop_requested(&mut self, turn: &mut Turn<Id>) {
        match self.urgency {
            Urgency::None => {
                self.urgency = Urgency::Asked;
                match self.activity {
                    Activity::Unstarted => self.on_exited_supervisor(turn, SupervisorExit::Stopped),
                    Activity::Idle
                    | Activity::Starting(_)
                    | Activity::Stopping(_)
                    | Activity::StoppingInstances { .. } => self.inbox.push_back(Message::Stop),
                    Activity::Ended => {}
                }
            }
            Urgency::Asked => {
                self.urgency = Urgency::Hurried;
                self.hurry(turn);
            }
            Urgency::Hurried => {}
        }
    }

    fn hurry(&mut self, turn: &mut Turn<Id>) {
        let now = turn.now;
        match &mut self.activity {
            Activity::Starting(starting) => {
                let (child, generation) = (starting.child, starting.generation);
                let child = self.children.at(child).spec.id.clone();
                turn.push(Command::Kill { child, generation });
            }
            Activity::Stopping(stopping) => {
                let (child, measure) = (stopping.child, stopping.grace.skip(now));
                self.take(turn, child, measure);
            }
            Activity::StoppingInstances { grace, .. } => {
                let measure = grace.skip(now);
                self.take_on_instances(turn, measure);
            }
            Activity::Unstarted | Activity::Idle | Activity::Ended => {}
        }
    }

    pub(super) fn end(&mut self, turn: &mut Turn<Id>, why: SupervisorExit<Id>) {
        if self.is_simple() {
            return self.stop_instances(turn, why);
        }
        let all = self.children.iter().map(|(position, _)| position).collect();
        self.stop_next(turn, all, Reason::End(why));
    }

    /// Stops these, the last first.
    pub(super) fn stop_next(
        &mut self,
        turn: &mut Turn<Id>,
        mut rest: Vec<Position>,
        reason: Reason<Id>,
    ) {
        while let Some(child) = rest.pop() {
            match self.children.at(child).state {
                Pid::Running(generation) => {
                    let grace = self.stop(turn, child, generation);
                    self.activity = Activity::Stopping(Stopping { child, grace, rest, reason });
                    return;
                }
                // A dead child's exit, still in the inbox, is absorbed; a restart is called off.
                Pid::Undefined | Pid::Dead(_) | Pid::Restarting(_) => {
                    self.on_child_down(turn, child, &reason)
                }
                Pid::Starting { .. } | Pid::Stopping(_) => {
                    unreachable!("strict does one thing at a time")
                }
            }
        }
        self.after_stops(turn, reason);
    }

    fn stop(&mut self, turn: &mut Turn<Id>, child: Position, generation: Generation) -> Grace {
        let budget = self.budget(self.children.at(child).spec.shutdown);
        self.children.at_mut(child).state = Pid::Stopping(generation);
        let (grace, measure) = Grace::begin(turn.now, budget);
        self.take(turn, child, Some(measure));
        grace
    }

    const fn budget(&self, shutdown: Shutdown) -> Shutdown {
        match self.urgency {
            Urgency::None | Urgency::Asked => shutdown,
            Urgency::Hurried => Shutdown::Brutal,
        }
    }

    fn take(&self, turn: &mut Turn<Id>, child: Position, measure: Option<Measure>) {
        let member = self.children.at(child);
        let (Some(measure), Some(generation)) = (measure, member.state.live_generation()) else {
            return;
        };
        turn.take(measure, &member.spec, generation);
    }

    pub(super) fn on_stopped(&mut self, turn: &mut Turn<Id>, position: Position) {
        match std::mem::replace(&mut self.activity, Activity::Idle) {
            Activity::Stopping(Stopping { child, rest, reason, grace: _ }) => {
                debug_assert_eq!(child, position, "only the child that is waited for is stopping");
                self.on_child_down(turn, child, &reason);
                self.stop_next(turn, rest, reason);
            }
            Activity::StoppingInstances { grace, remaining, why } => {
                self.children.at_mut(position).state = Pid::Undefined;
                if remaining == 1 {
                    self.on_exited_supervisor(turn, why);
                } else {
                    let remaining = remaining - 1;
                    self.activity = Activity::StoppingInstances { grace, remaining, why };
                }
            }
            other @ (Activity::Unstarted
            | Activity::Idle
            | Activity::Starting(_)
            | Activity::Ended) => {
                self.activity = other;
            }
        }
    }

    fn on_child_down(&mut self, turn: &mut Turn<Id>, child: Position, reason: &Reason<Id>) {
        match reason {
            Reason::Group(_) => self.put_down(turn, child),
            Reason::Call(_) => {
                turn.report(Transition::Stopped { child: self.children.at(child).spec.id.clone() });
                self.put_down(turn, child);
            }
            Reason::Restart(..) | Reason::End(_) => {
                self.children.at_mut(child).state = Pid::Undefined
            }
        }
    }

    fn after_stops(&mut self, turn: &mut Turn<Id>, reason: Reason<Id>) {
        match reason {
            Reason::Group(members) => {
                let is_left = |position: &Position| self.children.get(*position).is_some();
                let left = members.into_iter().filter(is_left).collect();
                self.start_next(turn, left, Purpose::Restart);
            }
            Reason::Call(call) => {
                self.activity = Activity::Idle;
                turn.reply(call, Ok(Answer::Done));
            }
            Reason::Restart(child, call) => {
                self.start_next(turn, VecDeque::from([child]), Purpose::Start(call));
            }
            Reason::End(why) => self.on_exited_supervisor(turn, why),
        }
    }

    /// All at once, within one common grace.
    fn stop_instances(&mut self, turn: &mut Turn<Id>, why: SupervisorExit<Id>) {
        let shutdown =
            self.template.as_ref().map_or(Shutdown::Brutal, |template| template.shutdown);
        let (grace, measure) = Grace::begin(turn.now, self.budget(shutdown));
        let mut remaining = 0;
        for member in self.children.iter_mut() {
            match member.state {
                Pid::Running(generation) => {
                    member.state = Pid::Stopping(generation);
                    remaining += 1;
                }
                Pid::Undefined | Pid::Dead(_) | Pid::Restarting(_) => member.state = Pid::Undefined,
                Pid::Starting { .. } | Pid::Stopping(_) => {
                    unreachable!("strict does one thing at a time")
                }
            }
        }
        if remaining == 0 {
            return self.on_exited_supervisor(turn, why);
        }
        self.activity = Activity::StoppingInstances { grace, remaining, why };
        self.take_on_instances(turn, Some(measure));
    }

    fn take_on_instances(&self, turn: &mut Turn<Id>, measure: Option<Measure>) {
        for (position, _) in self.children.iter() {
            self.take(turn, position, measure);
        }
    }

    pub(super) fn on_deadline_reached(&mut self, turn: &mut Turn<Id>) {
        let now = turn.now;
        match &mut self.activity {
            Activity::Stopping(stopping) => {
                let (child, measure) = (stopping.child, stopping.grace.on_deadline(now));
                self.take(turn, child, measure);
            }
            Activity::StoppingInstances { grace, .. } => {
                let measure = grace.on_deadline(now);
                self.take_on_instances(turn, measure);
            }
            Activity::Unstarted | Activity::Idle | Activity::Starting(_) | Activity::Ended => {}
        }
    }
}
