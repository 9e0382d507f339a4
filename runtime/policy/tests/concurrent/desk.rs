//! The machine, told one event at a time; every event gives one line of text.

use std::time::Duration;

use blackhole_policy::{
    backoff::Backoff,
    moment::Moment,
    supervision::{
        AutoShutdown, Call, CallId, ChildSpec, Command, Counting, Discipline, Event, Exit,
        Generation, OnFailed, Phase, Restart, RestartLimit, Shutdown, Strategy, Supervisor,
        SupervisorSpec, Transition,
    },
};

/// A permanent worker with ten seconds to stop, five restarts in five minutes, and no backoff.
pub(crate) fn child(id: &'static str) -> ChildSpec<&'static str> {
    ChildSpec {
        shutdown: Shutdown::Timeout(Duration::from_secs(10)),
        limit: RestartLimit { restarts_max: 5, window: Duration::from_secs(300) },
        ..ChildSpec::worker(id)
    }
}

pub(crate) trait ChildWords: Sized {
    fn after<const N: usize>(self, siblings: [&'static str; N]) -> Self;
    fn restart(self, restart: Restart) -> Self;
    fn limit(self, restarts_max: u32) -> Self;
    fn escalates(self) -> Self;
    fn significant(self) -> Self;
    fn backoff(self) -> Self;
}

impl ChildWords for ChildSpec<&'static str> {
    fn after<const N: usize>(mut self, siblings: [&'static str; N]) -> Self {
        self.after = siblings.into();
        self
    }

    fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    fn limit(mut self, restarts_max: u32) -> Self {
        self.limit.restarts_max = restarts_max;
        self
    }

    fn escalates(mut self) -> Self {
        self.on_failed = OnFailed::Escalate;
        self
    }

    fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// 200 ms with the second restart in a row, doubling; anew after a minute.
    fn backoff(mut self) -> Self {
        self.backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        self
    }
}

pub(crate) fn spec(strategy: Strategy) -> SupervisorSpec {
    SupervisorSpec {
        strategy,
        discipline: Discipline::Concurrent,
        counting: Counting::PerChild,
        auto_shutdown: AutoShutdown::Never,
    }
}

pub(crate) struct Desk {
    machine: Supervisor<&'static str>,
    now: Moment,
}

impl Desk {
    pub(crate) fn new<const N: usize>(
        spec: SupervisorSpec,
        children: [ChildSpec<&'static str>; N],
    ) -> Self {
        let machine = Supervisor::new(spec, children.into()).expect("the children make sense");
        Self { machine, now: Moment::ORIGIN }
    }

    /// All started, all up.
    pub(crate) fn risen<const N: usize>(
        spec: SupervisorSpec,
        children: [ChildSpec<&'static str>; N],
    ) -> Self {
        let mut desk = Self::new(spec, children);
        let mut commands = desk.machine.on_event(desk.now, Event::StartRequested);
        while let Some(command) = commands.pop() {
            if let Command::Start { child, generation } = command {
                let started = Event::Started { child, generation };
                commands.extend(desk.machine.on_event(desk.now, started));
            }
        }
        desk
    }

    pub(crate) fn on(&mut self, event: Event<&'static str>) -> String {
        let commands = self.machine.on_event(self.now, event);
        commands.iter().map(tell).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn start(&mut self) -> String {
        self.on(Event::StartRequested)
    }

    pub(crate) fn up(&mut self, child: &'static str, generation: u64) -> String {
        self.on(Event::Started { child, generation: Generation(generation) })
    }

    pub(crate) fn failed(&mut self, child: &'static str, generation: u64) -> String {
        self.on(Event::StartFailed { child, generation: Generation(generation), jitter: 0.0 })
    }

    pub(crate) fn ignored(&mut self, child: &'static str, generation: u64) -> String {
        self.on(Event::Ignored { child, generation: Generation(generation) })
    }

    pub(crate) fn exited(&mut self, child: &'static str, generation: u64, exit: Exit) -> String {
        self.on(Event::Exited { child, generation: Generation(generation), exit, jitter: 0.0 })
    }

    pub(crate) fn crashed(&mut self, child: &'static str, generation: u64) -> String {
        self.exited(child, generation, Exit::Abnormal)
    }

    pub(crate) fn down(&mut self, child: &'static str, generation: u64) -> String {
        self.exited(child, generation, Exit::Shutdown)
    }

    pub(crate) fn stop(&mut self) -> String {
        self.on(Event::StopRequested)
    }

    pub(crate) fn call(&mut self, call: u64, request: Call<&'static str>) -> String {
        self.on(Event::Called { call: CallId(call), request })
    }

    /// Passes that much time, then the deadline, if there is one by then.
    pub(crate) fn after_millis(&mut self, millis: u64) -> String {
        self.now = self.now + Duration::from_millis(millis);
        match self.machine.next_deadline() {
            Some(deadline) if deadline <= self.now => self.on(Event::DeadlineReached),
            _ => String::new(),
        }
    }

    /// When the next deadline is, from now.
    pub(crate) fn deadline_millis(&self) -> Option<u128> {
        Some(self.machine.next_deadline()?.since(self.now).as_millis())
    }

    pub(crate) fn phase(&self, child: &'static str) -> Phase {
        self.machine.phase(&child).expect("there is such a child")
    }
}

fn tell(command: &Command<&'static str>) -> String {
    match command {
        Command::Start { child, generation } => format!("start {child}#{generation}"),
        Command::Stop { child, generation, .. } => format!("stop {child}#{generation}"),
        Command::Kill { child, generation } => format!("kill {child}#{generation}"),
        Command::Reply { call: CallId(call), reply: Ok(answer) } => format!("{call}: {answer:?}"),
        Command::Reply { call: CallId(call), reply: Err(refusal) } => {
            format!("{call}: not {refusal:?}")
        }
        Command::Report(transition) => tell_transition(transition),
        Command::Up => "up".to_owned(),
        Command::Exit(why) => format!("exit {why:?}"),
    }
}

fn tell_transition(transition: &Transition<&'static str>) -> String {
    match transition {
        Transition::Pending { child, waits_for } => {
            format!("({child} waits for {})", waits_for.join(" "))
        }
        Transition::BackingOff { child, until, restarts } => {
            format!("({child} backs off till {until}, {restarts})")
        }
        Transition::Failed { child, restarts } => format!("({child} failed, {restarts})"),
        Transition::Completed { child, exit } => format!("({child} completed {exit:?})"),
        Transition::Stopped { child } => format!("({child} stopped)"),
        Transition::Added { child, call: CallId(call) } => format!("({child} added by {call})"),
        Transition::Removed { child } => format!("({child} removed)"),
        Transition::GroupRestarting { cause, members } => {
            format!("({cause} restarts {})", members.join(" "))
        }
        Transition::Unkillable { child, generation } => {
            format!("({child}#{generation} unkillable)")
        }
    }
}
