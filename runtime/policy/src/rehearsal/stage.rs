//! Where a rehearsal is played.

mod cast;
mod time;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use self::cast::{cast, machine};
use super::{Behaviour, Happened, Line, Name, Role, Scenario, Start};
use crate::{
    moment::Moment,
    supervision::{
        Call, CallId, Command, Event, Exit, Generation, Refusal, SpecError, Strategy, Supervisor,
        SupervisorExit,
    },
};

/// One incarnation of a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Troupe(u64);

/// A rehearsal in progress.
#[derive(Debug)]
pub struct Rehearsal {
    now: Moment,
    roles: HashMap<Name, Role>,
    attempts: HashMap<Name, u64>,
    troupes: BTreeMap<Troupe, Director>,
    root: Troupe,
    troupes_ever: u64,
    calls_ever: u64,
    /// What happens next, now.
    pending: VecDeque<(Troupe, Event<Name>)>,
    story: Vec<Line>,
}

/// A machine and the children it has now.
#[derive(Debug)]
struct Director {
    machine: Supervisor<Name>,
    /// Whose child it is, unless it is the outermost.
    of: Option<(Troupe, Name, Generation)>,
    /// Running, starting and stopping children, in the order of their starts.
    actors: Vec<Actor>,
    stage: Stage,
    /// What children without a role of their own play: the template of `simple_one_for_one`.
    understudy: Option<Name>,
}

/// How far a supervisor has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Up,
    /// Told to end; told from outside to end so.
    Ending(Option<Exit>),
}

/// One incarnation of a child.
#[derive(Debug, Clone)]
struct Actor {
    name: Name,
    generation: Generation,
    attempt: u64,
    /// The machine behind it, if it is a supervisor.
    troupe: Option<Troupe>,
    doing: Doing,
}

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Starting { up_at: Option<Moment> },
    Running { exit_at: Option<(Moment, Exit)> },
    Stopping { down_at: Option<Moment> },
}

impl Rehearsal {
    /// Casts everybody; nothing has started yet.
    ///
    /// A nested supervisor whose specification makes no sense is found out when it is started.
    ///
    /// # Errors
    /// The first rule that the outermost supervisor breaks; or a name that is not unique in the tree.
    pub fn new(scenario: Scenario) -> Result<Self, SpecError<Name>> {
        let machine = machine(&scenario)?;
        let mut roles = HashMap::new();
        let root = Troupe(0);
        let director = Director::new(machine, None, &scenario);
        cast(&mut roles, scenario.children)?;
        Ok(Self {
            now: Moment::ORIGIN,
            roles,
            attempts: HashMap::new(),
            troupes: BTreeMap::from([(root, director)]),
            root,
            troupes_ever: 1,
            calls_ever: 0,
            pending: VecDeque::new(),
            story: Vec::new(),
        })
    }

    /// Starts the outermost supervisor.
    pub fn start(&mut self) {
        self.tell(self.root, Event::StartRequested);
    }

    /// Asks the outermost supervisor to stop; asked again, that changes nothing.
    pub fn stop(&mut self) {
        self.ask_to_end(self.root, None);
        self.play();
    }

    /// Lets a child end by itself, wherever in the tree it is. One that is not up does not.
    ///
    /// A supervisor takes its children down first, unless it is killed: then they go with it.
    pub fn exit(&mut self, name: &str, exit: Exit) {
        let Some((troupe, index)) = self.find(name) else {
            return;
        };
        let actor = &self.troupes[&troupe].actors[index];
        match (actor.doing, actor.troupe, exit) {
            (Doing::Starting { .. }, _, _) => {}
            (Doing::Running { .. }, None, _) | (Doing::Running { .. }, Some(_), Exit::Killed) => {
                let actor = self.take_off(troupe, index);
                self.tell_end(troupe, actor, exit);
            }
            (
                Doing::Running { .. },
                Some(nested),
                Exit::Normal | Exit::Shutdown | Exit::Abnormal,
            ) => {
                self.ask_to_end(nested, Some(exit));
            }
            (Doing::Stopping { .. }, _, Exit::Killed) => {
                let actor = self.take_off(troupe, index);
                self.tell_stopped(troupe, actor, Exit::Killed);
            }
            (Doing::Stopping { .. }, _, Exit::Normal | Exit::Shutdown | Exit::Abnormal) => {}
        }
        self.play();
    }

    /// Asks a supervisor for something: the outermost, or the nested one of that name.
    pub fn call(&mut self, supervisor: Option<&str>, request: Call<Name>) {
        let troupe = self.troupe(supervisor);
        let Some(troupe) = troupe else {
            return self.note(Happened::Answered(Err(Refusal::SupervisorEnding)));
        };
        self.calls_ever += 1;
        self.tell(troupe, Event::Called { call: CallId(self.calls_ever), request });
    }

    /// Adds a role, for a child that is to be added by a call.
    ///
    /// # Errors
    /// A name under it is taken.
    pub fn add_role(&mut self, role: Role) -> Result<(), SpecError<Name>> {
        self.roles.remove(&role.spec.id);
        cast(&mut self.roles, vec![role])
    }

    /// What time it is.
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// The outermost supervisor, or the nested one of that name, while it is there.
    pub fn supervisor(&self, name: Option<&str>) -> Option<&Supervisor<Name>> {
        Some(&self.troupes[&self.troupe(name)?].machine)
    }

    fn troupe(&self, name: Option<&str>) -> Option<Troupe> {
        match name {
            None => self.troupes.contains_key(&self.root).then_some(self.root),
            Some(name) => {
                let (troupe, index) = self.find(name)?;
                let actor = &self.troupes[&troupe].actors[index];
                match actor.doing {
                    // Its pid is not known to anybody yet.
                    Doing::Starting { .. } => None,
                    Doing::Running { .. } | Doing::Stopping { .. } => actor.troupe,
                }
            }
        }
    }

    /// Takes the story told since it was last taken.
    pub fn take_story(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.story)
    }

    fn note(&mut self, happened: Happened) {
        self.story.push(Line { at: self.now, happened });
    }

    fn tell(&mut self, troupe: Troupe, event: Event<Name>) {
        self.pending.push_back((troupe, event));
        self.play();
    }

    /// Plays until nothing more happens now.
    fn play(&mut self) {
        while let Some((troupe, event)) = self.pending.pop_front() {
            let Some(director) = self.troupes.get_mut(&troupe) else {
                self.answer_for_the_absent(&event);
                continue;
            };
            for command in director.machine.on_event(self.now, event) {
                self.carry_out(troupe, command);
            }
        }
    }

    fn answer_for_the_absent(&mut self, event: &Event<Name>) {
        if let Event::Called { .. } = event {
            self.note(Happened::Answered(Err(Refusal::SupervisorEnding)));
        }
    }

    fn carry_out(&mut self, troupe: Troupe, command: Command<Name>) {
        match command {
            Command::Start { child, generation } => self.start_child(troupe, child, generation),
            Command::Stop { child, generation, budget: _ } => {
                self.stop_child(troupe, &child, generation)
            }
            Command::Kill { child, generation } => self.kill_child(troupe, &child, generation),
            Command::Reply { call: _, reply } => self.note(Happened::Answered(reply)),
            Command::Report(transition) => self.note(Happened::Reported(transition)),
            Command::Up => self.on_up(troupe),
            Command::Exit(why) => self.on_exit(troupe, why),
        }
    }

    fn start_child(&mut self, troupe: Troupe, child: Name, generation: Generation) {
        let attempts = self.attempts.entry(child.clone()).or_default();
        *attempts += 1;
        let attempt = *attempts;
        let role = self.role(troupe, &child);
        let start = role.map_or(Behaviour::PROMPT, |role| role.behaviour).start;
        let nested = role.and_then(|role| role.nested.clone());
        let (fails, delay) = match start {
            Start::UpAfter(delay) => (false, delay),
            Start::FailsFrom(first) => (attempt >= first, Duration::ZERO),
            Start::FailsBetween(first, end) => ((first..end).contains(&attempt), Duration::ZERO),
            Start::Ignored => {
                self.note(Happened::Ignored { child: child.clone() });
                self.pending.push_back((troupe, Event::Ignored { child, generation }));
                return;
            }
        };
        if fails {
            return self.fail_to_start(troupe, child, generation, attempt);
        }
        let up_at = (!delay.is_zero()).then(|| self.now + delay);
        let doing = Doing::Starting { up_at };
        let of = (troupe, child.clone(), generation);
        let nested = match nested.map(|scenario| self.open(of, &scenario)).transpose() {
            Ok(nested) => nested,
            Err(_) => return self.fail_to_start(troupe, child, generation, attempt),
        };
        let actor = Actor { name: child, generation, attempt, troupe: nested, doing };
        self.director(troupe).actors.push(actor);
        match nested {
            Some(nested) => self.pending.push_back((nested, Event::StartRequested)),
            None if up_at.is_none() => {
                let index = self.director(troupe).actors.len() - 1;
                self.bring_on(troupe, index);
            }
            None => {}
        }
    }

    fn fail_to_start(&mut self, troupe: Troupe, child: Name, generation: Generation, attempt: u64) {
        self.note(Happened::StartFailed { child: child.clone(), attempt });
        self.pending.push_back((troupe, Event::StartFailed { child, generation, jitter: 0.0 }));
    }

    fn open(
        &mut self,
        of: (Troupe, Name, Generation),
        scenario: &Scenario,
    ) -> Result<Troupe, SpecError<Name>> {
        let machine = machine(scenario)?;
        let troupe = Troupe(self.troupes_ever);
        self.troupes_ever += 1;
        self.troupes.insert(troupe, Director::new(machine, Some(of), scenario));
        Ok(troupe)
    }

    /// A child that was starting is up.
    fn bring_on(&mut self, troupe: Troupe, index: usize) {
        let now = self.now;
        let actor = &self.director(troupe).actors[index];
        let (child, generation, attempt) = (actor.name.clone(), actor.generation, actor.attempt);
        let exit_after = self.role(troupe, &child).and_then(|role| role.behaviour.exit_after);
        let exit_at = exit_after.map(|(delay, exit)| (now + delay, exit));
        self.director(troupe).actors[index].doing = Doing::Running { exit_at };
        self.note(Happened::Started { child: child.clone(), attempt });
        self.pending.push_back((troupe, Event::Started { child, generation }));
    }

    fn stop_child(&mut self, troupe: Troupe, child: &str, generation: Generation) {
        let Some(index) = self.position(troupe, child, generation) else {
            return;
        };
        if let Some(nested) = self.director(troupe).actors[index].troupe {
            self.director(troupe).actors[index].doing = Doing::Stopping { down_at: None };
            return self.ask_to_end(nested, None);
        }
        let delay =
            self.role(troupe, child).map_or(Duration::ZERO, |role| role.behaviour.stop_after);
        if !delay.is_zero() {
            let down_at = Some(self.now + delay);
            self.director(troupe).actors[index].doing = Doing::Stopping { down_at };
            return;
        }
        let actor = self.take_off(troupe, index);
        self.tell_stopped(troupe, actor, Exit::Shutdown);
    }

    fn kill_child(&mut self, troupe: Troupe, child: &str, generation: Generation) {
        if let Some(index) = self.position(troupe, child, generation) {
            let actor = self.take_off(troupe, index);
            self.tell_stopped(troupe, actor, Exit::Killed);
        }
    }

    /// Removes a child from the stage, and those under it with it, the newest first.
    fn take_off(&mut self, troupe: Troupe, index: usize) -> Actor {
        let actor = self.director(troupe).actors.remove(index);
        if let Some(nested) = actor.troupe {
            self.close(nested);
        }
        actor
    }

    fn close(&mut self, troupe: Troupe) {
        let Some(mut director) = self.troupes.remove(&troupe) else {
            return;
        };
        while let Some(actor) = director.actors.pop() {
            if let Some(nested) = actor.troupe {
                self.close(nested);
            }
            self.note(Happened::Stopped { child: actor.name });
        }
    }

    fn tell_stopped(&mut self, troupe: Troupe, actor: Actor, exit: Exit) {
        let Actor { name: child, generation, .. } = actor;
        self.note(Happened::Stopped { child: child.clone() });
        self.pending.push_back((troupe, Event::Exited { child, generation, exit, jitter: 0.0 }));
    }

    fn tell_end(&mut self, troupe: Troupe, actor: Actor, exit: Exit) {
        let Actor { name: child, generation, .. } = actor;
        self.note(Happened::Exited { child: child.clone(), exit });
        self.pending.push_back((troupe, Event::Exited { child, generation, exit, jitter: 0.0 }));
    }

    /// Asks a nested supervisor to end, once.
    fn ask_to_end(&mut self, nested: Troupe, exit: Option<Exit>) {
        let Some(director) = self.troupes.get_mut(&nested) else {
            return;
        };
        match director.stage {
            Stage::Starting | Stage::Up => {
                director.stage = Stage::Ending(exit);
                self.pending.push_back((nested, Event::StopRequested));
            }
            Stage::Ending(_) => {}
        }
    }

    fn on_up(&mut self, troupe: Troupe) {
        let director = self.director(troupe);
        if director.stage == Stage::Starting {
            director.stage = Stage::Up;
        }
        match director.of.clone() {
            None => self.note(Happened::SupervisorUp),
            Some((parent, name, generation)) => {
                if let Some(index) = self.position(parent, &name, generation)
                    && matches!(self.director(parent).actors[index].doing, Doing::Starting { .. })
                {
                    self.bring_on(parent, index);
                }
            }
        }
    }

    fn on_exit(&mut self, troupe: Troupe, why: SupervisorExit<Name>) {
        let Some(director) = self.troupes.remove(&troupe) else {
            return;
        };
        let exit = match director.stage {
            Stage::Ending(Some(exit)) => exit,
            Stage::Starting | Stage::Up | Stage::Ending(None) => why.exit(),
        };
        let Some((parent, name, generation)) = director.of else {
            return self.note(Happened::SupervisorExited(why, exit));
        };
        let Some(index) = self.position(parent, &name, generation) else {
            return;
        };
        let actor = self.director(parent).actors.remove(index);
        match actor.doing {
            Doing::Starting { .. } => {
                let Actor { name: child, generation, attempt, .. } = actor;
                self.note(Happened::StartFailed { child: child.clone(), attempt });
                self.pending
                    .push_back((parent, Event::StartFailed { child, generation, jitter: 0.0 }));
            }
            Doing::Running { .. } => self.tell_end(parent, actor, exit),
            Doing::Stopping { .. } => self.tell_stopped(parent, actor, exit),
        }
    }

    fn director(&mut self, troupe: Troupe) -> &mut Director {
        self.troupes.get_mut(&troupe).expect("commands come from machines that are there")
    }

    fn role(&self, troupe: Troupe, child: &str) -> Option<&Role> {
        self.roles.get(child).or_else(|| self.roles.get(self.troupes[&troupe].understudy.as_ref()?))
    }

    fn position(&self, troupe: Troupe, child: &str, generation: Generation) -> Option<usize> {
        let actors = &self.troupes.get(&troupe)?.actors;
        actors.iter().position(|actor| actor.name == child && actor.generation == generation)
    }

    fn find(&self, name: &str) -> Option<(Troupe, usize)> {
        self.troupes.iter().find_map(|(troupe, director)| {
            let index = director.actors.iter().position(|actor| actor.name == name)?;
            Some((*troupe, index))
        })
    }
}

impl Director {
    fn new(
        machine: Supervisor<Name>,
        of: Option<(Troupe, Name, Generation)>,
        scenario: &Scenario,
    ) -> Self {
        let understudy = match scenario.spec.strategy {
            Strategy::SimpleOneForOne => scenario.children.first().map(|role| role.spec.id.clone()),
            Strategy::OneForOne | Strategy::OneForAll | Strategy::RestForOne => None,
        };
        Self { machine, of, actors: Vec::new(), stage: Stage::Starting, understudy }
    }
}
