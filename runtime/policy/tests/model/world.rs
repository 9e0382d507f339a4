//! The processes, and what must be true of the commands about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use blackhole_policy::{
    moment::Moment,
    supervision::{
        Answer, Call, CallId, ChildSpec, Command, Counting, Discipline, Event, Exit, Generation,
        Phase, Reply, Shutdown, Strategy, Supervisor, SupervisorSpec, Transition,
        checkpoint::{Next, State},
    },
};

/// What may happen next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Everything that was told to start or stop does.
    AnswerAll,
    ComeUp(usize),
    FailToStart(usize),
    Ignore(usize),
    Exit(usize, Exit),
    /// The last exit is told again.
    ExitAgain(usize),
    Pass(u64),
    PassToDeadline,
    Call(Call<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Starting,
    Up,
    Asked,
    Killed,
}

#[derive(Debug)]
pub(crate) struct World {
    machine: Supervisor<usize>,
    spec: SupervisorSpec,
    /// What instances are like.
    template: Option<ChildSpec<usize>>,
    specs: BTreeMap<usize, ChildSpec<usize>>,
    now: Moment,
    live: BTreeMap<usize, (Generation, Condition)>,
    /// Of each child, the highest ever.
    generations: BTreeMap<usize, Generation>,
    completed: BTreeSet<usize>,
    /// When ends that nobody had asked for were answered by a restart; of all, or of each child.
    restarts: Vec<(Moment, usize)>,
    unanswered: BTreeSet<CallId>,
    /// What holds when it is granted: the supervisor's settings, if they change, and its children's.
    changes: BTreeMap<CallId, (Option<SupervisorSpec>, Vec<ChildSpec<usize>>)>,
    calls: u64,
    /// Calls that lead to starts which are no restarts, of each child.
    starts_asked_for: BTreeMap<usize, u32>,
    /// Whom strict started last.
    last_started: Option<usize>,
    /// When strict, which does one thing at a time, began to stop those that it starts next.
    group_stopping: Option<Moment>,
    /// Children are no longer in the order of their numbers.
    is_reordered: bool,
    has_ended: bool,
    /// What all children that ever were may take to stop, one after the other.
    graces: Duration,
}

impl World {
    pub(crate) fn new(spec: SupervisorSpec, children: Vec<ChildSpec<usize>>) -> Self {
        let specs = children.iter().map(|child| (child.id, child.clone())).collect();
        Self {
            machine: Supervisor::new(spec, children.clone()).expect("generated to make sense"),
            spec,
            template: (spec.strategy == Strategy::SimpleOneForOne).then(|| children[0].clone()),
            specs,
            now: Moment::ORIGIN,
            live: BTreeMap::new(),
            generations: BTreeMap::new(),
            completed: BTreeSet::new(),
            restarts: Vec::new(),
            unanswered: BTreeSet::new(),
            changes: BTreeMap::new(),
            calls: 0,
            starts_asked_for: BTreeMap::new(),
            last_started: None,
            group_stopping: None,
            is_reordered: false,
            has_ended: false,
            graces: children.iter().map(|child| grace(child.shutdown)).sum(),
        }
    }

    /// Asks the machine, and another one that goes on from where it was, as a recording tells it, where
    /// children are called by text: both decide the same.
    fn decide(&mut self, event: Event<usize>) -> Vec<Command<usize>> {
        let recorded = event.renamed(&usize::to_string).renamed(&|text| number(text));
        assert_eq!(recorded, event);
        let successor = self.machine.checkpoint().map(|checkpoint| {
            let checkpoint = checkpoint.renamed(&usize::to_string).renamed(&|text| number(text));
            let mut successor = Supervisor::resume(checkpoint).expect("it made sense before");
            let commands = successor.on_event(self.now, recorded);
            (commands, successor.next_deadline(), successor.checkpoint())
        });
        let commands = self.machine.on_event(self.now, event);
        if let Some(successor) = successor {
            let own = (commands.clone(), self.machine.next_deadline(), self.machine.checkpoint());
            assert_eq!(successor, own);
        }
        if let Some(checkpoint) = self.machine.checkpoint() {
            self.template = checkpoint.template;
            let specs = checkpoint.children.into_iter().map(|child| (child.spec.id, child.spec));
            self.specs.extend(specs);
        }
        commands
    }

    pub(crate) fn play(mut self, steps: Vec<Step>, stubborn: bool) {
        self.tell(Event::StartRequested);
        for step in steps {
            self.take(step);
        }
        self.end(stubborn);
        assert!(self.unanswered.is_empty(), "calls without an answer: {:?}", self.unanswered);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::AnswerAll => {
                for child in self.live.keys().copied().collect::<Vec<_>>() {
                    self.obey(child);
                }
            }
            Step::ComeUp(child) => {
                if let Some((generation, Condition::Starting)) = self.live.get(&child).copied() {
                    self.live.insert(child, (generation, Condition::Up));
                    self.tell(Event::Started { child, generation });
                }
            }
            Step::FailToStart(child) => {
                if let Some((generation, Condition::Starting)) = self.live.get(&child).copied() {
                    self.live.remove(&child);
                    self.end_by_itself(
                        child,
                        Event::StartFailed { child, generation, jitter: 0.3 },
                    );
                }
            }
            Step::Ignore(child) => {
                if let Some((generation, Condition::Starting)) = self.live.get(&child).copied() {
                    self.live.remove(&child);
                    self.tell(Event::Ignored { child, generation });
                }
            }
            Step::Exit(child, exit) => self.exit(child, exit),
            Step::ExitAgain(child) => {
                if let (Some(generation), None) =
                    (self.generations.get(&child), self.live.get(&child))
                {
                    let generation = *generation;
                    let exit = Exit::Abnormal;
                    let again = Event::Exited { child, generation, exit, jitter: 0.0 };
                    let commands = self.decide(again);
                    assert_eq!(commands, [], "an exit told twice");
                }
            }
            Step::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Step::PassToDeadline => {
                if let Some(deadline) = self.machine.next_deadline() {
                    self.pass(deadline.since(self.now));
                }
            }
            Step::Call(request) => self.call(request),
        }
    }

    /// What was told to a child happens.
    fn obey(&mut self, child: usize) {
        match self.live.get(&child) {
            Some((_, Condition::Starting)) => self.take(Step::ComeUp(child)),
            Some((_, Condition::Asked)) => self.exit(child, Exit::Shutdown),
            Some((_, Condition::Killed)) => self.exit(child, Exit::Killed),
            Some((_, Condition::Up)) | None => {}
        }
    }

    fn exit(&mut self, child: usize, exit: Exit) {
        let Some((generation, condition)) = self.live.remove(&child) else {
            return;
        };
        let event = Event::Exited { child, generation, exit, jitter: -0.3 };
        match condition {
            Condition::Starting | Condition::Up if self.specs[&child].restart.follows(exit) => {
                self.end_by_itself(child, event);
            }
            Condition::Starting | Condition::Up | Condition::Asked | Condition::Killed => {
                self.tell(event);
            }
        }
    }

    /// A child ended and is to be restarted; the machine grants that or gives the child up.
    fn end_by_itself(&mut self, child: usize, event: Event<usize>) {
        // One that is about to be stopped, for its group or for good, is not restarted for its end.
        let is_leaving = matches!(self.machine.phase(&child), Some(Phase::Stopping(_)));
        if is_leaving || self.spec.discipline == Discipline::Strict {
            return self.tell(event);
        }
        let is_failed = |command: &Command<usize>| {
            matches!(
                command,
                Command::Report(Transition::Failed { .. } | Transition::Completed { .. })
            )
        };
        let commands = self.decide(event);
        if !commands.iter().any(is_failed) {
            self.restarts.push((self.now, child));
            self.check_limit(child);
        }
        self.carry_out(commands);
    }

    fn check_limit(&self, child: usize) {
        let (limit, of_one) = match self.spec.counting {
            Counting::Shared(limit) => (limit, false),
            Counting::PerChild => (self.specs[&child].limit, true),
        };
        let counts = |(at, whose): &&(Moment, usize)| {
            self.now.since(*at) < limit.window && (!of_one || *whose == child)
        };
        let count = self.restarts.iter().filter(counts).count();
        assert!(count <= limit.restarts_max as usize, "{count} restarts within {limit:?}");
    }

    fn call(&mut self, request: Call<usize>) {
        let id = match &request {
            Call::StartChild(id) | Call::RestartChild(id) => Some(*id),
            _ => None,
        };
        if let Some(id) = id {
            // An operator's start forgives, and brings up what the child comes after.
            self.restarts.retain(|(_, whose)| {
                matches!(self.spec.counting, Counting::Shared(_)) || *whose > id
            });
        }
        let added = self.added(&request);
        if let Some(spec) = &added
            && (self.machine.phase(&spec.id).is_none() || self.is_being_removed(spec.id))
            && !self.has_ended
        {
            self.specs.insert(spec.id, spec.clone());
            self.completed.remove(&spec.id);
            self.restarts.retain(|(_, whose)| {
                matches!(self.spec.counting, Counting::Shared(_)) || *whose != spec.id
            });
        }
        let starts = id.or(added.as_ref().map(|spec| spec.id));
        if let Some(child) = starts {
            *self.starts_asked_for.entry(child).or_default() += 1;
        }
        self.calls += 1;
        let call = CallId(self.calls);
        self.unanswered.insert(call);
        let change = match &request {
            Call::UpdateChild(spec) => Some((None, vec![spec.clone()])),
            Call::Reconfigure(spec, children) => Some((Some(*spec), children.clone())),
            _ => None,
        };
        let respecified = change.iter().flat_map(|(_, children)| children);
        let graces = added.iter().chain(respecified).map(|spec| grace(spec.shutdown));
        self.graces += graces.sum::<Duration>();
        self.changes.extend(change.map(|change| (call, change)));
        self.tell(Event::Called { call, request });
    }

    /// Who comes, if it is granted.
    fn added(&self, request: &Call<usize>) -> Option<ChildSpec<usize>> {
        match request {
            Call::AddChild(spec) => Some(spec.clone()),
            Call::AddInstance(id) => Some(ChildSpec { id: *id, ..self.template.clone()? }),
            _ => None,
        }
    }

    /// Whether a child is on its way out for good: added again, it stays, as it is told to be then.
    fn is_being_removed(&self, child: usize) -> bool {
        let children = self.machine.checkpoint().map(|checkpoint| checkpoint.children);
        children.into_iter().flatten().any(|it| {
            let is_removal = matches!(
                it.state,
                State::Leaving { next: Next::Remove, .. }
                    | State::Stopping { next: Next::Remove, .. }
            );
            it.spec.id == child && is_removal
        })
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| *deadline <= end)
        {
            self.now = self.now.max(deadline);
            self.tell(Event::DeadlineReached);
            let next = self.machine.next_deadline();
            assert!(next.is_none_or(|next| next > self.now), "a deadline that time does not end");
        }
        self.now = end;
    }

    fn tell(&mut self, event: Event<usize>) {
        let commands = self.decide(event);
        self.carry_out(commands);
    }

    fn carry_out(&mut self, commands: Vec<Command<usize>>) {
        for command in commands {
            assert!(!self.has_ended || matches!(command, Command::Reply { .. }), "after the end");
            match command {
                Command::Start { child, generation } => self.on_start(child, generation),
                Command::Stop { child, generation, budget } => {
                    assert_ne!(budget, Shutdown::Brutal, "brutal is a kill");
                    self.on_stop(child, generation, Condition::Asked);
                }
                Command::Kill { child, generation } => {
                    self.on_stop(child, generation, Condition::Killed);
                }
                Command::Reply { call, reply } => {
                    assert!(self.unanswered.remove(&call), "answered twice");
                    self.group_stopping = None;
                    self.on_reply(call, &reply);
                }
                Command::Report(Transition::Completed {
                    child,
                    exit: Exit::Normal | Exit::Shutdown,
                }) => {
                    self.completed.insert(child);
                }
                Command::Report(_) | Command::Up => {}
                Command::Exit(_) => {
                    assert!(self.live.is_empty(), "not yet down: {:?}", self.live);
                    self.has_ended = true;
                }
            }
        }
    }

    fn on_reply(&mut self, call: CallId, reply: &Reply<usize>) {
        // Of an instance whose exit has not been read OTP says that it is active.
        let is_exact = self.spec.discipline == Discipline::Concurrent
            || self.spec.strategy != Strategy::SimpleOneForOne;
        match reply {
            Ok(Answer::Counts(counts)) if is_exact => {
                assert!(counts.active <= self.live.len(), "more active than there are");
            }
            Ok(Answer::Child(spec))
                if self.spec.discipline == Discipline::Concurrent
                    && self.machine.phase(&spec.id).is_some() =>
            {
                assert_eq!(self.specs[&spec.id], **spec);
            }
            _ => {}
        }
        if let Some((spec, children)) = self.changes.remove(&call)
            && reply.is_ok()
        {
            // What counted within another window is not known any more.
            self.restarts.clear();
            self.is_reordered |= spec.is_some();
            self.spec = spec.unwrap_or(self.spec);
            if self.spec.discipline == Discipline::Strict {
                self.specs.extend(children.into_iter().map(|child| (child.id, child)));
            }
        }
    }

    fn on_start(&mut self, child: usize, generation: Generation) {
        assert!(!self.live.contains_key(&child), "two live generations of {child}");
        let before = self.generations.insert(child, generation);
        assert!(before.is_none_or(|before| before < generation), "a generation came again");
        if self.spec.discipline == Discipline::Concurrent {
            for sibling in &self.specs[&child].after {
                let is_up = matches!(self.live.get(sibling), Some((_, Condition::Up)));
                let is_known = self.machine.phase(sibling).is_some();
                let is_done = self.completed.contains(sibling);
                assert!(is_up || is_done || !is_known, "{child} started before {sibling} was up");
            }
        }
        let counted = self.group_stopping.take().unwrap_or(self.now);
        if self.spec.discipline == Discipline::Strict && before.is_some() && self.is_restart(child)
        {
            self.restarts.push((counted, child));
            self.check_limit(child);
        }
        self.last_started = Some(child);
        self.completed.remove(&child);
        self.live.insert(child, (generation, Condition::Starting));
    }

    /// Whether this start is what strict counted one for. A group counts once: what comes later in it
    /// follows.
    fn is_restart(&self, child: usize) -> bool {
        let is_asked_for = !self.starts_asked_for.is_empty() || self.is_reordered;
        match self.spec.strategy {
            Strategy::OneForOne => !is_asked_for,
            Strategy::OneForAll | Strategy::RestForOne => {
                !is_asked_for && self.last_started.is_some_and(|last| child <= last)
            }
            Strategy::SimpleOneForOne => self.starts_asked_for.get(&child) == Some(&1),
        }
    }

    fn on_stop(&mut self, child: usize, generation: Generation, condition: Condition) {
        let live = self.live.get_mut(&child);
        let (live_generation, before) = live.expect("only what is live is stopped");
        assert_eq!(*live_generation, generation);
        assert_ne!(*before, Condition::Killed, "killed twice");
        assert!(condition == Condition::Killed || *before != Condition::Asked, "asked twice");
        *before = condition;
        self.group_stopping.get_or_insert(self.now);
    }

    /// Asks the supervisor to end. Children end at once, or only when killed; those that may take
    /// for ever are hurried.
    fn end(&mut self, stubborn: bool) {
        let begun = self.now;
        let graces = self.graces;
        if !self.has_ended {
            self.tell(Event::StopRequested);
        }
        while !self.has_ended {
            // Strict finishes a start before it stops.
            let is_owed = |condition: Condition| match condition {
                Condition::Starting => self.spec.discipline == Discipline::Strict,
                Condition::Killed => true,
                Condition::Asked => !stubborn,
                Condition::Up => false,
            };
            let owed = self.live.iter().find(|(_, (_, condition))| is_owed(*condition));
            if let Some((child, _)) = owed {
                let child = *child;
                self.obey(child);
            } else if let Some(deadline) = self.machine.next_deadline() {
                self.pass(deadline.since(self.now));
            } else {
                assert!(stubborn, "nothing to wait for: {:?}", self.live);
                self.tell(Event::StopRequested);
            }
        }
        let took = self.now.since(begun);
        // Strict first finishes restarting a group, and serves every call that came before.
        let queued = u32::try_from(self.calls).expect("a sequence is short");
        let graces = match self.spec.discipline {
            Discipline::Strict => graces * (2 + queued),
            Discipline::Concurrent => graces,
        };
        assert!(took <= graces, "silence after {took:?}, graces are {graces:?}");
        for child in self.specs.keys().copied().collect::<Vec<_>>() {
            let generation = self.generations.get(&child).copied().unwrap_or_default();
            self.tell(Event::Exited { child, generation, exit: Exit::Abnormal, jitter: 0.0 });
        }
        assert_eq!(self.machine.next_deadline(), None);
    }
}

/// Whom a recording means.
fn number(text: &str) -> usize {
    text.parse().expect("children are numbers")
}

fn grace(shutdown: Shutdown) -> Duration {
    match shutdown {
        Shutdown::Timeout(grace) => grace,
        Shutdown::Brutal | Shutdown::Infinity => Duration::ZERO,
    }
}
