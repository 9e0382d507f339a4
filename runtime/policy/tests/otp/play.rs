//! Scenarios written as one expression, and what happens in them as one line of text.

use std::time::Duration;

use blackhole_policy::{
    moment::Moment,
    rehearsal::{Behaviour, Happened, Line, Rehearsal, Role, Scenario},
    supervision::{
        Answer, AutoShutdown, Call, ChildKind, ChildSpec, Counting, Exit, Phase, Refusal, Reply,
        Restart, RestartLimit, Shutdown, SpecError, Strategy, SupervisorExit, SupervisorSpec,
    },
};

/// A permanent worker that has a second to stop, as most of the suite's are.
pub(crate) fn worker(id: &str) -> Role {
    let spec = ChildSpec {
        shutdown: Shutdown::Timeout(Duration::from_millis(1000)),
        ..ChildSpec::worker(id.to_owned())
    };
    Role { spec, behaviour: Behaviour::PROMPT, nested: None }
}

pub(crate) fn supervisor(id: &str, nested: Scenario) -> Role {
    Role {
        spec: ChildSpec::supervisor(id.to_owned()),
        behaviour: Behaviour::PROMPT,
        nested: Some(nested),
    }
}

pub(crate) trait RoleWords {
    fn transient(self) -> Role;
    fn temporary(self) -> Role;
    fn significant(self) -> Role;
    fn behaving(self, behaviour: Behaviour) -> Role;
    fn shutdown(self, shutdown: Shutdown) -> Role;
}

impl RoleWords for Role {
    fn transient(mut self) -> Role {
        self.spec.restart = Restart::Transient;
        self
    }

    fn temporary(mut self) -> Role {
        self.spec.restart = Restart::Temporary;
        self
    }

    fn significant(mut self) -> Role {
        self.spec.significant = true;
        self
    }

    fn behaving(mut self, behaviour: Behaviour) -> Role {
        self.behaviour = behaviour;
        self
    }

    fn shutdown(mut self, shutdown: Shutdown) -> Role {
        self.spec.shutdown = shutdown;
        self
    }
}

/// A supervisor of that strategy that allows so many restarts in an hour.
pub(crate) fn scenario<const N: usize>(
    strategy: Strategy,
    restarts_max: u32,
    children: [Role; N],
) -> Scenario {
    Scenario { spec: flags(strategy, restarts_max), children: children.into() }
}

pub(crate) fn flags(strategy: Strategy, restarts_max: u32) -> SupervisorSpec {
    let window = Duration::from_secs(3600);
    SupervisorSpec {
        strategy,
        counting: Counting::Shared(RestartLimit { restarts_max, window }),
        ..SupervisorSpec::OTP
    }
}

pub(crate) fn one_for_one<const N: usize>(restarts_max: u32, children: [Role; N]) -> Scenario {
    scenario(Strategy::OneForOne, restarts_max, children)
}

pub(crate) trait ScenarioWords {
    fn auto_shutdown(self, auto_shutdown: AutoShutdown) -> Scenario;
    fn play(self) -> Play;
}

impl ScenarioWords for Scenario {
    fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Scenario {
        self.spec.auto_shutdown = auto_shutdown;
        self
    }

    /// Starts it; the first line is in `told`.
    fn play(self) -> Play {
        let mut rehearsal = Rehearsal::new(self).expect("the scenario makes sense");
        rehearsal.start();
        let told = tell(&rehearsal.take_story());
        Play { rehearsal, told }
    }
}

/// A scenario being played. Every step gives the line that it adds to the story.
pub(crate) struct Play {
    rehearsal: Rehearsal,
    pub(crate) told: String,
}

impl Play {
    fn step(&mut self, step: impl FnOnce(&mut Rehearsal)) -> String {
        step(&mut self.rehearsal);
        tell(&self.rehearsal.take_story())
    }

    pub(crate) fn exit(&mut self, child: &str, exit: Exit) -> String {
        self.step(|rehearsal| rehearsal.exit(child, exit))
    }

    pub(crate) fn crash(&mut self, child: &str) -> String {
        self.exit(child, Exit::Abnormal)
    }

    pub(crate) fn call(&mut self, request: Call<String>) -> String {
        self.step(|rehearsal| rehearsal.call(None, request))
    }

    pub(crate) fn call_nested(&mut self, supervisor: &str, request: Call<String>) -> String {
        self.step(|rehearsal| rehearsal.call(Some(supervisor), request))
    }

    pub(crate) fn add(&mut self, role: Role) -> String {
        self.step(|rehearsal| rehearsal.add_child(None, role))
    }

    pub(crate) fn add_instance(&mut self, id: &str) -> String {
        self.call(Call::AddInstance(id.to_owned()))
    }

    pub(crate) fn terminate(&mut self, id: &str) -> String {
        self.call(Call::StopChild(id.to_owned()))
    }

    pub(crate) fn restart(&mut self, id: &str) -> String {
        self.call(Call::StartChild(id.to_owned()))
    }

    pub(crate) fn delete(&mut self, id: &str) -> String {
        self.call(Call::RemoveChild(id.to_owned()))
    }

    pub(crate) fn which(&mut self) -> String {
        self.call(Call::WhichChildren)
    }

    /// Specs, active, supervisors, workers.
    pub(crate) fn count(&mut self) -> String {
        self.call(Call::CountChildren)
    }

    pub(crate) fn stop(&mut self) -> String {
        self.step(Rehearsal::stop)
    }

    pub(crate) fn until_millis(&mut self, millis: u64) -> String {
        self.step(|rehearsal| rehearsal.advance_to(Moment::from_millis(millis)))
    }
}

fn tell(story: &[Line]) -> String {
    let lines: Vec<String> = story.iter().filter_map(|line| tell_one(&line.happened)).collect();
    lines.join(", ")
}

fn tell_one(happened: &Happened) -> Option<String> {
    Some(match happened {
        Happened::Started { child, attempt } => format!("{child}#{attempt} up"),
        Happened::StartFailed { child, attempt } => format!("{child}#{attempt} failed"),
        Happened::Ignored { child } => format!("{child} ignored"),
        Happened::Exited { child, exit } => format!("{child} {}", exit_word(*exit)),
        Happened::Stopped { child } => format!("{child} stopped"),
        Happened::Answered(reply) => tell_reply(reply),
        Happened::Reported(_) => return None,
        Happened::SupervisorUp => "up".to_owned(),
        Happened::SupervisorExited(why, _) => match why {
            SupervisorExit::Stopped => "ended".to_owned(),
            SupervisorExit::RestartedTooOften(child) => format!("gave up over {child}"),
            SupervisorExit::AutoShutdown(child) => format!("shut down after {child}"),
            SupervisorExit::StartFailed(child) => format!("did not start for {child}"),
        },
    })
}

fn exit_word(exit: Exit) -> &'static str {
    match exit {
        Exit::Normal => "normal",
        Exit::Shutdown => "shutdown",
        Exit::Killed => "killed",
        Exit::Abnormal => "crashed",
    }
}

pub(crate) fn tell_reply(reply: &Reply<String>) -> String {
    match reply {
        Ok(Answer::Done) => "ok".to_owned(),
        Ok(Answer::Started(generation)) => format!("ok {generation}"),
        Ok(Answer::Ignored) => "ok undefined".to_owned(),
        Ok(Answer::Child(spec)) => format!("{} {:?} {:?}", spec.id, spec.restart, spec.shutdown),
        Ok(Answer::Children(children)) => {
            let tell = |phase| match phase {
                Phase::Up(generation) => generation.to_string(),
                Phase::Down => "undefined".to_owned(),
                Phase::BackingOff { until: None } => "restarting".to_owned(),
                other => format!("{other:?}"),
            };
            let one = |status: &blackhole_policy::supervision::ChildStatus<String>| {
                format!("{}:{}", status.id, tell(status.phase))
            };
            format!("[{}]", children.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Ok(Answer::Counts(counts)) => {
            let blackhole_policy::supervision::Counts { specs, active, supervisors, workers } =
                counts;
            format!("[{specs},{active},{supervisors},{workers}]")
        }
        Err(refusal) => format!("error {}", refusal_word(refusal)),
    }
}

fn refusal_word(refusal: &Refusal<String>) -> String {
    match refusal {
        Refusal::NotFound => "not_found".to_owned(),
        Refusal::AlreadyPresent => "already_present".to_owned(),
        Refusal::AlreadyStarted(generation) => format!("already_started {generation}"),
        Refusal::Running => "running".to_owned(),
        Refusal::Restarting => "restarting".to_owned(),
        Refusal::SimpleOneForOne => "simple_one_for_one".to_owned(),
        Refusal::NotSimpleOneForOne => "not_simple_one_for_one".to_owned(),
        Refusal::StartFailed => "start_failed".to_owned(),
        Refusal::Superseded => "superseded".to_owned(),
        Refusal::Invalid(error) => format!("invalid: {error}"),
        Refusal::SupervisorEnding => "noproc".to_owned(),
    }
}

/// What a scenario that makes no sense is refused for.
pub(crate) fn refused(scenario: Scenario) -> SpecError<String> {
    Rehearsal::new(scenario).expect_err("the scenario makes no sense")
}

pub(crate) fn kind(role: Role, kind: ChildKind) -> Role {
    Role { spec: ChildSpec { kind, ..role.spec }, ..role }
}
