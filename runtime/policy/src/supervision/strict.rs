//! OTP's `supervisor` to the letter: one thing at a time.
//!
//! OTP's supervisor is a process: while it waits for a child to start or to stop, whatever else
//! happens lies in its mailbox. Here the mailbox is `inbox`, and what it would be waiting in is an
//! [`Activity`]:
//!
//! | activity | waits for | then |
//! |---|---|---|
//! | `Unstarted` | `StartRequested` | starts the children one after the other |
//! | `Idle` | nothing: takes the next message from the inbox | |
//! | `Starting` | that child being up, failing, or having nothing to do | the next start, or idle |
//! | `Stopping` | that child being down | the next stop; or the starts or the end that follow |
//! | `StoppingInstances` | all instances being down | the end |
//! | `Ended` | nothing | |
//!
//! A child is what the field `pid` is in OTP, see [`Pid`]. An exit reaches the inbox only if nobody
//! waits for it: the exit of a child that is being stopped is absorbed, and so is the exit of a
//! child found dead when it is to be stopped (OTP's `unlink_flush`).
//!
//! One thing is not OTP's, because a node must be able to hurry: a second `StopRequested` ends all
//! graces.

mod calls;
mod restarting;
mod starting;
mod stopping;

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

use self::{starting::Starting, stopping::Stopping};
use super::{
    Call, CallId, ChildSpec, ChildStatus, Command, Counts, Event, Exit, Generation, Phase, Refusal,
    RestartLimit, SpecError, Strategy, SupervisorExit, SupervisorSpec,
    decision::Turn,
    grace::Grace,
    restarts::Restarts,
    roster::{Position, Roster},
    spec,
};
use crate::moment::Moment;

/// The machine.
#[derive(Debug, Clone)]
pub(super) struct Strict<Id> {
    spec: SupervisorSpec,
    limit: RestartLimit,
    /// What instances are like; only under `simple_one_for_one`, whose roster holds instances.
    template: Option<ChildSpec<Id>>,
    children: Roster<Id, Pid>,
    restarts: Restarts,
    inbox: VecDeque<Message<Id>>,
    activity: Activity<Id>,
    urgency: Urgency,
}

/// A child's `pid` field, with the two states that OTP spends waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pid {
    /// OTP's `undefined`.
    Undefined,
    /// Told to start. `replaces` is the pid before, for [`Pid::Restarting`] if it fails.
    Starting { generation: Generation, replaces: Option<Generation> },
    /// Alive.
    Running(Generation),
    /// A dead pid: its exit is still in the inbox.
    Dead(Generation),
    /// OTP's `{restarting, Pid}`: the next attempt is in the inbox.
    Restarting(Option<Generation>),
    /// Told to stop.
    Stopping(Generation),
}

/// What OTP's supervisor would find in its mailbox.
#[derive(Debug, Clone)]
enum Message<Id> {
    Exit { child: Id, generation: Generation, exit: Exit },
    TryAgainRestart { child: Id, pid: Pid },
    Call { call: CallId, request: Call<Id> },
    Stop,
}

/// What the supervisor is in the middle of.
#[derive(Debug, Clone)]
enum Activity<Id> {
    Unstarted,
    Idle,
    Starting(Starting),
    Stopping(Stopping<Id>),
    StoppingInstances { grace: Grace, remaining: usize, why: SupervisorExit<Id> },
    Ended,
}

/// How often the supervisor was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    None,
    Asked,
    Hurried,
}

impl<Id: Clone + Eq + Hash + Debug> Strict<Id> {
    /// From a specification that was checked.
    pub(super) fn new(
        spec: SupervisorSpec,
        specs: Vec<ChildSpec<Id>>,
    ) -> Result<Self, SpecError<Id>> {
        let mut strict = Self {
            spec,
            limit: spec::shared_limit(&spec)?,
            template: None,
            children: Roster::new(),
            restarts: Restarts::default(),
            inbox: VecDeque::new(),
            activity: Activity::Unstarted,
            urgency: Urgency::None,
        };
        for child in specs {
            if strict.is_simple() {
                strict.template = Some(child);
            } else {
                strict.children.push(child, Pid::Undefined);
            }
        }
        Ok(strict)
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
                self.on_start_outcome(turn, &child, generation, starting::Outcome::Up);
            }
            Event::StartFailed { child, generation, jitter: _ } => {
                self.on_start_outcome(turn, &child, generation, starting::Outcome::Failed);
            }
            Event::Ignored { child, generation } => {
                self.on_start_outcome(turn, &child, generation, starting::Outcome::Ignored);
            }
            Event::Exited { child, generation, exit, jitter: _ } => {
                self.on_exited(turn, &child, generation, exit);
            }
            Event::StopRequested => self.on_stop_requested(turn),
            Event::Called { call, request } => self.on_called(turn, call, request),
            Event::DeadlineReached => self.on_deadline_reached(turn),
        }
        self.read_inbox(turn);
    }

    fn on_start_requested(&mut self, turn: &mut Turn<Id>) {
        match self.activity {
            Activity::Unstarted => self.boot(turn),
            Activity::Idle
            | Activity::Starting(_)
            | Activity::Stopping(_)
            | Activity::StoppingInstances { .. }
            | Activity::Ended => {}
        }
    }

    /// The one place where stale events end: a child's event counts only if it is about the
    /// incarnation that the child's state names.
    fn current(&self, child: &Id, generation: Generation) -> Option<(Position, Pid)> {
        let position = self.children.find(child)?;
        let pid = self.children.at(position).state;
        (pid.live_generation() == Some(generation)).then_some((position, pid))
    }

    fn on_exited(&mut self, turn: &mut Turn<Id>, child: &Id, generation: Generation, exit: Exit) {
        let Some((position, pid)) = self.current(child, generation) else {
            return;
        };
        match pid {
            Pid::Starting { .. } => {
                self.on_start_outcome(turn, child, generation, starting::Outcome::Failed);
            }
            Pid::Running(_) => {
                self.children.at_mut(position).state = Pid::Dead(generation);
                self.inbox.push_back(Message::Exit { child: child.clone(), generation, exit });
            }
            Pid::Stopping(_) => self.on_stopped(turn, position),
            Pid::Undefined | Pid::Dead(_) | Pid::Restarting(_) => {}
        }
    }

    fn on_called(&mut self, turn: &mut Turn<Id>, call: CallId, request: Call<Id>) {
        match self.activity {
            Activity::Unstarted | Activity::Ended => {
                turn.reply(call, Err(Refusal::SupervisorEnding))
            }
            Activity::Idle
            | Activity::Starting(_)
            | Activity::Stopping(_)
            | Activity::StoppingInstances { .. } => {
                self.inbox.push_back(Message::Call { call, request });
            }
        }
    }

    fn read_inbox(&mut self, turn: &mut Turn<Id>) {
        while matches!(self.activity, Activity::Idle)
            && let Some(message) = self.inbox.pop_front()
        {
            match message {
                Message::Exit { child, generation, exit } => {
                    self.on_exit_read(turn, &child, generation, exit);
                }
                Message::TryAgainRestart { child, pid } => {
                    self.try_again_restart(turn, &child, pid)
                }
                Message::Call { call, request } => self.answer(turn, call, request),
                Message::Stop => self.end(turn, SupervisorExit::Stopped),
            }
        }
    }

    fn on_exited_supervisor(&mut self, turn: &mut Turn<Id>, why: SupervisorExit<Id>) {
        self.activity = Activity::Ended;
        for message in std::mem::take(&mut self.inbox) {
            match message {
                Message::Call { call, request: _ } => {
                    turn.reply(call, Err(Refusal::SupervisorEnding))
                }
                Message::Exit { .. } | Message::TryAgainRestart { .. } | Message::Stop => {}
            }
        }
        turn.push(Command::Exit(why));
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        match &self.activity {
            Activity::Stopping(stopping) => stopping.grace.deadline(),
            Activity::StoppingInstances { grace, .. } => grace.deadline(),
            Activity::Unstarted | Activity::Idle | Activity::Starting(_) | Activity::Ended => None,
        }
    }

    pub(super) fn phase(&self, id: &Id) -> Option<Phase> {
        Some(self.children.at(self.children.find(id)?).state.phase())
    }

    pub(super) fn which_children(&self) -> Vec<ChildStatus<Id>> {
        let status = |member: &super::roster::Member<Id, Pid>| ChildStatus {
            id: member.spec.id.clone(),
            phase: member.state.phase(),
            kind: member.spec.kind,
        };
        let mut members: Vec<_> = self.children.iter().rev().map(|(_, member)| member).collect();
        if self.is_simple() {
            // OTP keeps instances in a map by pid: sorted while it is small.
            members.sort_by_key(|member| {
                (matches!(member.state, Pid::Restarting(_)), member.state.pid())
            });
        }
        members.into_iter().map(status).collect()
    }

    /// Under `simple_one_for_one` whatever is not restarting counts as active, dead or not: OTP
    /// does not look there.
    pub(super) fn count_children(&self) -> Counts {
        let is_active = |pid: Pid| match pid {
            Pid::Running(_) | Pid::Stopping(_) => true,
            Pid::Dead(_) => self.is_simple(),
            Pid::Undefined | Pid::Starting { .. } | Pid::Restarting(_) => false,
        };
        let children =
            self.children.iter().map(|(_, member)| (member.spec.kind, is_active(member.state)));
        let specs = if self.is_simple() { 1 } else { self.children.len() };
        Counts::of(specs, children)
    }
}

impl Pid {
    const fn live_generation(self) -> Option<Generation> {
        match self {
            Self::Starting { generation, .. }
            | Self::Running(generation)
            | Self::Stopping(generation) => Some(generation),
            Self::Undefined | Self::Dead(_) | Self::Restarting(_) => None,
        }
    }

    /// The incarnation that the field names in OTP, dead or alive.
    const fn pid(self) -> Option<Generation> {
        match self {
            Self::Undefined | Self::Starting { .. } => None,
            Self::Running(generation) | Self::Dead(generation) | Self::Stopping(generation) => {
                Some(generation)
            }
            Self::Restarting(generation) => generation,
        }
    }

    /// A dead pid looks alive in OTP's listings until its exit has been read.
    const fn phase(self) -> Phase {
        match self {
            Self::Undefined => Phase::Down,
            Self::Starting { generation, .. } => Phase::Starting(generation),
            Self::Running(generation) | Self::Dead(generation) => Phase::Up(generation),
            Self::Restarting(_) => Phase::BackingOff { until: None },
            Self::Stopping(generation) => Phase::Stopping(generation),
        }
    }
}
