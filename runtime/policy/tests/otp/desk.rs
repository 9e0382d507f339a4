//! The machine alone, for what lies between two of its commands.

use blackhole_policy::{
    moment::Moment,
    rehearsal::Scenario,
    supervision::{Call, CallId, Command, Event, Exit, Generation, Supervisor},
};

use crate::play::tell_reply;

pub(crate) struct Desk {
    machine: Supervisor<String>,
    pub(crate) now: Moment,
}

impl Desk {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let specs = scenario.children.iter().map(|role| role.spec.clone()).collect();
        let machine = Supervisor::new(scenario.spec, specs).expect("the scenario makes sense");
        Self { machine, now: Moment::ORIGIN }
    }

    pub(crate) fn on(&mut self, event: Event<String>) -> String {
        let commands = self.machine.on_event(self.now, event);
        commands.iter().filter_map(tell).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn start(&mut self) -> String {
        self.on(Event::StartRequested)
    }

    pub(crate) fn up(&mut self, child: &str, generation: u64) -> String {
        self.on(Event::Started { child: child.to_owned(), generation: Generation(generation) })
    }

    pub(crate) fn failed(&mut self, child: &str, generation: u64) -> String {
        let generation = Generation(generation);
        self.on(Event::StartFailed { child: child.to_owned(), generation, jitter: 0.0 })
    }

    pub(crate) fn exited(&mut self, child: &str, generation: u64, exit: Exit) -> String {
        let generation = Generation(generation);
        self.on(Event::Exited { child: child.to_owned(), generation, exit, jitter: 0.0 })
    }

    pub(crate) fn call(&mut self, request: Call<String>) -> String {
        self.on(Event::Called { call: CallId(0), request })
    }
}

fn tell(command: &Command<String>) -> Option<String> {
    Some(match command {
        Command::Start { child, generation } => format!("start {child}#{generation}"),
        Command::Stop { child, generation, .. } => format!("stop {child}#{generation}"),
        Command::Kill { child, generation } => format!("kill {child}#{generation}"),
        Command::Reply { reply, .. } => tell_reply(reply),
        Command::Report(_) => return None,
        Command::Up => "up".to_owned(),
        Command::Exit(why) => format!("exit {why:?}"),
    })
}
