//! After a child ended by itself: alone or with its group, now or later, or no more.

use std::{collections::BTreeSet, fmt::Debug, hash::Hash};

use super::{
    Concurrent, State,
    state::{Child, Next},
};
use crate::{
    moment::Moment,
    supervision::{
        Answer, AutoShutdown, ChildSpec, Counting, Exit, OnFailed, Refusal, Restart, Strategy,
        SupervisorExit, Transition,
        decision::Turn,
        restarts::{Grain, Tally},
        roster::{Member, Position},
    },
};

/// Children that the strategy takes down and up again together.
#[derive(Debug, Clone)]
pub(super) struct Group {
    members: BTreeSet<Position>,
    wait: Wait,
}

/// Whether the group's backoff is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    Over,
    Until(Moment),
}

impl<Id: Clone + Eq + Hash + Debug> Concurrent<Id> {
    pub(super) fn forget_if_healthy(&mut self, now: Moment, position: Position, since: Moment) {
        let member = self.children.at_mut(position);
        if now.since(since) >= member.spec.backoff.reset_after {
            member.state.restarts_in_a_row = 0;
        }
    }

    /// A child ended, and nobody had told it to.
    pub(super) fn on_ended_by_itself(
        &mut self,
        turn: &mut Turn<Id>,
        position: Position,
        exit: Exit,
        jitter: f64,
    ) {
        let ChildSpec { restart, significant, .. } = self.children.at(position).spec;
        if restart.follows(exit) {
            self.reply_all(turn, position, &Err(Refusal::StartFailed));
            return self.restart(turn, position, jitter);
        }
        let reply = match exit {
            Exit::Normal | Exit::Shutdown => Ok(Answer::Done),
            Exit::Killed | Exit::Abnormal => Err(Refusal::StartFailed),
        };
        self.reply_all(turn, position, &reply);
        let id = self.id(position);
        self.complete(turn, position, exit);
        if significant && self.is_to_shut_down(&id) {
            self.end(turn, SupervisorExit::AutoShutdown(id));
        }
    }

    /// Asked when a significant child has ended by itself.
    fn is_to_shut_down(&self, ended: &Id) -> bool {
        let is_active = |member: &Member<Id, Child>| {
            member.spec.significant && member.spec.id != *ended && !member.state.state.is_at_rest()
        };
        match self.spec.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => {
                !self.children.iter().any(|(_, member)| is_active(member))
            }
        }
    }

    /// The child rests; an instance is forgotten.
    pub(super) fn complete(&mut self, turn: &mut Turn<Id>, position: Position, exit: Exit) {
        turn.report(Transition::Completed { child: self.id(position), exit });
        let upstream = self.live_prerequisites(position);
        self.enter(position, State::Completed(exit));
        if self.is_simple() {
            turn.report(Transition::Removed { child: self.id(position) });
            self.forget(position);
        } else {
            self.wake_followers(turn, position);
        }
        self.after_down(turn, &upstream);
    }

    /// A child that is down is to be up again, if that does not happen too often.
    pub(super) fn restart(&mut self, turn: &mut Turn<Id>, position: Position, jitter: f64) {
        let member = self.children.at_mut(position);
        let tally = match self.spec.counting {
            Counting::Shared(limit) => self.restarts.count(turn.now, limit, Grain::Exact),
            Counting::PerChild => {
                member.state.restarts.count(turn.now, member.spec.limit, Grain::Exact)
            }
        };
        if let Tally::Exceeded(restarts) = tally {
            return self.give_up(turn, position, restarts);
        }
        let delay = member.spec.backoff.delay(member.state.restarts_in_a_row, jitter);
        member.state.restarts_in_a_row = member.state.restarts_in_a_row.saturating_add(1);
        let wait = if delay.is_zero() { Wait::Over } else { Wait::Until(turn.now + delay) };
        match self.spec.strategy {
            Strategy::OneForOne | Strategy::SimpleOneForOne => {
                self.restart_alone(turn, position, wait)
            }
            Strategy::OneForAll => {
                let all = self.children.iter().map(|(position, _)| position).collect();
                self.restart_group(turn, position, Group { members: all, wait });
            }
            Strategy::RestForOne => {
                let members = self.with_followers(position);
                self.restart_group(turn, position, Group { members, wait });
            }
        }
    }

    fn give_up(&mut self, turn: &mut Turn<Id>, position: Position, restarts: u32) {
        let upstream = self.live_prerequisites(position);
        self.enter(position, State::Failed);
        let child = self.id(position);
        turn.report(Transition::Failed { child: child.clone(), restarts });
        match (self.spec.counting, self.children.at(position).spec.on_failed) {
            (Counting::Shared(_), OnFailed::Rest | OnFailed::Escalate)
            | (Counting::PerChild, OnFailed::Escalate) => {
                self.end(turn, SupervisorExit::RestartedTooOften(child));
            }
            (Counting::PerChild, OnFailed::Rest) => self.after_down(turn, &upstream),
        }
    }

    fn restart_alone(&mut self, turn: &mut Turn<Id>, position: Position, wait: Wait) {
        match wait {
            Wait::Over => self.start_or_wait(turn, position),
            Wait::Until(until) => {
                self.enter(position, State::BackingOff { until });
                self.report_backoff(turn, position, until);
            }
        }
    }

    fn report_backoff(&self, turn: &mut Turn<Id>, position: Position, until: Moment) {
        let restarts = self.children.at(position).state.restarts_in_a_row;
        turn.report(Transition::BackingOff { child: self.id(position), until, restarts });
    }

    /// Takes the group down, together with any group that it meets.
    fn restart_group(&mut self, turn: &mut Turn<Id>, cause: Position, mut group: Group) {
        let (met, others) = std::mem::take(&mut self.groups)
            .into_iter()
            .partition::<Vec<Group>, _>(|other| !other.members.is_disjoint(&group.members));
        self.groups = others;
        for other in met {
            group.members.extend(other.members);
            group.wait = group.wait.max(other.wait);
        }
        self.enter(cause, State::Pending);
        let members: Vec<Position> =
            group.members.iter().copied().filter(|member| self.take_along(*member)).collect();
        if members.len() > 1 {
            let ids = members.iter().map(|member| self.id(*member)).collect();
            turn.report(Transition::GroupRestarting { cause: self.id(cause), members: ids });
        }
        if let Wait::Until(until) = group.wait {
            self.report_backoff(turn, cause, until);
        }
        self.groups.push(group);
        self.stop_leaving(turn, members.into_iter().rev());
        self.settle_groups(turn);
    }

    /// Makes a member of a group go down; whether it will come up again with the others.
    fn take_along(&mut self, position: Position) -> bool {
        let next = match self.children.at(position).spec.restart {
            Restart::Permanent | Restart::Transient => Next::Start,
            Restart::Temporary => Next::Complete,
        };
        match (*self.state(position), next) {
            (State::Up { generation, .. } | State::Starting { generation }, _) => {
                self.enter(position, State::Leaving { generation, next });
            }
            (State::Pending | State::BackingOff { .. }, _) | (State::Completed(_), Next::Start) => {
                self.enter(position, State::Pending);
            }
            (State::Leaving { .. } | State::Stopping { .. }, _) => {}
            (State::Completed(_), Next::Complete | Next::Stop | Next::Remove)
            | (State::Stopped | State::Failed, _) => return false,
        }
        true
    }

    /// Whether a group that is not down keeps this child from starting.
    pub(super) fn is_held(&self, position: Position) -> bool {
        self.groups.iter().any(|group| group.members.contains(&position))
    }

    /// Starts the groups that are down and whose wait is over.
    pub(super) fn settle_groups(&mut self, turn: &mut Turn<Id>) {
        let is_down = |group: &Group| {
            let mut states = group.members.iter().map(|member| self.state(*member));
            group.wait == Wait::Over && states.all(|state| state.live_generation().is_none())
        };
        let (down, others) =
            self.groups.iter().cloned().partition::<Vec<Group>, _>(|group| is_down(group));
        if down.is_empty() {
            return;
        }
        self.groups = others;
        for position in down.into_iter().flat_map(|group| group.members) {
            if *self.state(position) == State::Pending {
                self.start_or_wait(turn, position);
            }
        }
    }

    /// A child is down: what waited for that goes on. `upstream` are its live prerequisites.
    pub(super) fn after_down(&mut self, turn: &mut Turn<Id>, upstream: &[Position]) {
        self.stop_leaving(turn, upstream.iter().copied());
        if !self.groups.is_empty() {
            self.settle_groups(turn);
        }
    }
}

impl Group {
    pub(super) fn resume(members: BTreeSet<Position>, until: Option<Moment>) -> Self {
        Self { members, wait: until.map_or(Wait::Over, Wait::Until) }
    }

    /// In start order.
    pub(super) fn members(&self) -> impl Iterator<Item = Position> {
        self.members.iter().copied()
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        match self.wait {
            Wait::Over => None,
            Wait::Until(until) => Some(until),
        }
    }

    pub(super) fn on_deadline(&mut self, now: Moment) {
        if self.deadline().is_some_and(|until| until <= now) {
            self.wait = Wait::Over;
        }
    }

    pub(super) fn leave(&mut self, position: Position) {
        self.members.remove(&position);
    }
}
