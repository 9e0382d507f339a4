//! Where a rehearsal is played.

mod director;
mod time;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use self::director::{Actor, Director, Doing, Stage, numbered, spoken};
use super::{Behaviour, Happened, Line, Name, Role, Scenario, Start};
use crate::{
    moment::Moment,
    supervision::{
        Answer, Call, CallId, Command, Event, Exit, Generation, Refusal, Reply, SpecError,
        Supervisor, SupervisorExit, Transition,
    },
};

/// One incarnation of a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Troupe(u64);

/// A rehearsal in progress.
#[derive(Debug)]
pub struct Rehearsal {
    now: Moment,
    /// How often each child was told to start: a path is the names from the outermost supervisor's
    /// child down.
    attempts: HashMap<Vec<Name>, u64>,
    troupes: BTreeMap<Troupe, Director>,
    root: Troupe,
    troupes_ever: u64,
    calls_ever: u64,
    /// What happens next, now.
    pending: VecDeque<(Troupe, Event<Name>)>,
    story: Vec<Line>,
}

impl Rehearsal {
    /// Casts everybody; nothing has started yet.
    ///
    /// A nested supervisor whose specification makes no sense is found out when it is started.
    ///
    /// # Errors
    /// The first rule that the outermost supervisor breaks.
    pub fn new(scenario: Scenario) -> Result<Self, SpecError<Name>> {
        let root = Troupe(0);
        let director = Director::new(scenario, None, Vec::new())?;
        Ok(Self {
            now: Moment::ORIGIN,
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

    /// Lets a child end by itself, wherever in the tree it is. One that is not up does not. Of several
    /// that are called so it is the first, a supervisor's own children before those further down.
    ///
    /// A supervisor takes its children down first, unless it is killed: then they go after it.
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
        if let Some(troupe) = self.asked(supervisor) {
            let call = self.next_call();
            self.tell(troupe, Event::Called { call, request });
        }
    }

    /// Asks a supervisor for one more child, which plays this role unless one of that name is there.
    pub fn add_child(&mut self, supervisor: Option<&str>, role: Role) {
        if let Some(troupe) = self.asked(supervisor) {
            let (call, request) = (self.next_call(), Call::AddChild(role.spec.clone()));
            self.director(troupe).propose(call, role);
            self.tell(troupe, Event::Called { call, request });
        }
    }

    /// Asks a supervisor for one more like its template, called so, else as the template is. Others may be
    /// called the same.
    pub fn add_instance(&mut self, supervisor: Option<&str>, name: Option<&str>) {
        if let Some(troupe) = self.asked(supervisor) {
            let call = self.next_call();
            let template = self.director(troupe).template().map_or("", Name::as_str);
            let request = Call::AddInstance(numbered(name.unwrap_or(template), call.0));
            self.tell(troupe, Event::Called { call, request });
        }
    }

    /// Asks a supervisor to stop a child; under `simple_one_for_one` the first instance of that name that is
    /// there, as if by its pid.
    pub fn terminate_child(&mut self, supervisor: Option<&str>, name: &str) {
        let is_it = |actor: &&Actor| {
            spoken(&actor.name) == name && !matches!(actor.doing, Doing::Starting { .. })
        };
        let instance = self.troupe(supervisor).and_then(|troupe| {
            let director = &self.troupes[&troupe];
            let actor = director.actors.iter().find(is_it)?;
            director.template().map(|_| (actor.name.clone(), actor.generation))
        });
        let request = match instance {
            Some((name, generation)) => Call::StopIncarnation(name, generation),
            None => Call::StopChild(name.to_owned()),
        };
        self.call(supervisor, request);
    }

    /// Whether a supervisor that is there makes its children after a template.
    pub fn is_simple(&self, supervisor: Option<&str>) -> bool {
        let troupe = self.troupe(supervisor);
        troupe.is_some_and(|troupe| self.troupes[&troupe].template().is_some())
    }

    /// The supervisor that a call is for; one that is not there answers as nobody does.
    fn asked(&mut self, supervisor: Option<&str>) -> Option<Troupe> {
        let troupe = self.troupe(supervisor);
        if troupe.is_none() {
            self.note(Happened::Answered(Err(Refusal::SupervisorEnding)));
        }
        troupe
    }

    fn next_call(&mut self) -> CallId {
        self.calls_ever += 1;
        CallId(self.calls_ever)
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
            Command::Reply { call, reply } => {
                self.director(troupe).dismiss(call);
                self.note(Happened::Answered(told(reply)));
            }
            Command::Report(transition) => {
                if let Transition::Added { call, .. } = &transition {
                    self.director(troupe).adopt(*call);
                }
                self.note(Happened::Reported(transition));
            }
            Command::Up => self.on_up(troupe),
            Command::Exit(why) => self.on_exit(troupe, why),
        }
    }

    fn start_child(&mut self, troupe: Troupe, child: Name, generation: Generation) {
        let path = self.director(troupe).path_to(&child);
        let attempts = self.attempts.entry(path).or_default();
        *attempts += 1;
        let attempt = *attempts;
        let role = self.director(troupe).role(&child);
        let start = role.map_or(Behaviour::PROMPT, |role| role.behaviour).start;
        let nested = role.and_then(|role| role.nested.clone());
        let (fails, delay) = match start {
            Start::UpAfter(delay) => (false, delay),
            Start::FailsFrom(first) => (attempt >= first, Duration::ZERO),
            Start::FailsBetween(first, end) => ((first..end).contains(&attempt), Duration::ZERO),
            Start::Ignored => {
                self.note(Happened::Ignored { child: spoken(&child).to_owned() });
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
        let nested = match nested.map(|scenario| self.open(of, scenario)).transpose() {
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
        self.note(Happened::StartFailed { child: spoken(&child).to_owned(), attempt });
        self.pending.push_back((troupe, Event::StartFailed { child, generation, jitter: 0.0 }));
    }

    fn open(
        &mut self,
        of: (Troupe, Name, Generation),
        scenario: Scenario,
    ) -> Result<Troupe, SpecError<Name>> {
        let path = self.director(of.0).path_to(&of.1);
        let director = Director::new(scenario, Some(of), path)?;
        let troupe = Troupe(self.troupes_ever);
        self.troupes_ever += 1;
        self.troupes.insert(troupe, director);
        Ok(troupe)
    }

    /// A child that was starting is up.
    fn bring_on(&mut self, troupe: Troupe, index: usize) {
        let now = self.now;
        let actor = &self.director(troupe).actors[index];
        let (child, generation, attempt) = (actor.name.clone(), actor.generation, actor.attempt);
        let exit_after =
            self.director(troupe).role(&child).and_then(|role| role.behaviour.exit_after);
        let exit_at = exit_after.map(|(delay, exit)| (now + delay, exit));
        self.director(troupe).actors[index].doing = Doing::Running { exit_at };
        self.note(Happened::Started { child: spoken(&child).to_owned(), attempt });
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
        let role = self.director(troupe).role(child);
        let delay = role.map_or(Duration::ZERO, |role| role.behaviour.stop_after);
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

    fn take_off(&mut self, troupe: Troupe, index: usize) -> Actor {
        self.director(troupe).actors.remove(index)
    }

    fn tell_stopped(&mut self, troupe: Troupe, actor: Actor, exit: Exit) {
        self.note(Happened::Stopped { child: spoken(&actor.name).to_owned() });
        self.tell_exited(troupe, actor, exit);
    }

    fn tell_end(&mut self, troupe: Troupe, actor: Actor, exit: Exit) {
        self.note(Happened::Exited { child: spoken(&actor.name).to_owned(), exit });
        self.tell_exited(troupe, actor, exit);
    }

    /// Children of a supervisor that was killed are still there, and go before anybody hears of its end.
    fn tell_exited(&mut self, troupe: Troupe, actor: Actor, exit: Exit) {
        if let Some(nested) = actor.troupe {
            self.close(nested);
        }
        let Actor { name: child, generation, .. } = actor;
        self.pending.push_back((troupe, Event::Exited { child, generation, exit, jitter: 0.0 }));
    }

    /// Takes the children of a dead supervisor down, the newest first: one that is a supervisor itself
    /// notices that its parent is gone, and ends its own before it goes.
    fn close(&mut self, troupe: Troupe) {
        let Some(mut director) = self.troupes.remove(&troupe) else {
            return;
        };
        while let Some(actor) = director.actors.pop() {
            if let Some(nested) = actor.troupe {
                self.close(nested);
            }
            self.note(Happened::Stopped { child: spoken(&actor.name).to_owned() });
        }
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
                self.note(Happened::StartFailed { child: spoken(&child).to_owned(), attempt });
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

    fn position(&self, troupe: Troupe, child: &str, generation: Generation) -> Option<usize> {
        let actors = &self.troupes.get(&troupe)?.actors;
        actors.iter().position(|actor| actor.name == child && actor.generation == generation)
    }

    fn find(&self, name: &str) -> Option<(Troupe, usize)> {
        self.find_under(self.root, name)
    }

    fn find_under(&self, troupe: Troupe, name: &str) -> Option<(Troupe, usize)> {
        let actors = &self.troupes.get(&troupe)?.actors;
        let is_called_so = |actor: &Actor| spoken(&actor.name) == name;
        let own = actors.iter().position(is_called_so).map(|index| (troupe, index));
        let nested = || actors.iter().filter_map(|actor| actor.troupe);
        own.or_else(|| nested().find_map(|nested| self.find_under(nested, name)))
    }
}

/// An answer, with its children called as in the rest of the story.
fn told(reply: Reply<Name>) -> Reply<Name> {
    reply.map(|answer| match answer {
        Answer::Children(mut children) => {
            for child in &mut children {
                child.id.truncate(spoken(&child.id).len());
            }
            Answer::Children(children)
        }
        Answer::Done
        | Answer::Started(_)
        | Answer::Ignored
        | Answer::Child(_)
        | Answer::Counts(_) => answer,
    })
}
