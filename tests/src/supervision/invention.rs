//! Scripts made up at random, small enough to be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use blackhole_policy::{
    moment::Moment,
    rehearsal::{Behaviour, Role, Scenario, Start},
    supervision::{
        AutoShutdown, Call, ChildSpec, Counting, Exit, Restart, RestartLimit, Shutdown, Strategy,
        SupervisorSpec,
    },
};

use super::{
    erlang::Pace,
    scenario::{Action, Request, Script, Step},
};

const CHILDREN_MAX: u64 = 6;
const NESTED_CHILDREN_MAX: u64 = 3;
const DEPTH_MAX: u32 = 2;
const STEPS_MAX: u64 = 10;
/// Long enough that no clock matters in a script that is played promptly.
const PERIOD_WITHOUT_END: u64 = 1_000_000;

/// Numbers that look random and are the same for the same seed: SplitMix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One less than `sides` at most.
    pub const fn below(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).expect("an index fits")]
    }
}

/// Makes a script up.
pub fn script(dice: &mut Dice, pace: Pace) -> Script {
    let mut inventor = Inventor {
        dice,
        pace,
        names: Vec::new(),
        twins: Vec::new(),
        supervisors: BTreeMap::new(),
        instances: BTreeSet::new(),
    };
    let tree = inventor.tree(0);
    let count = 1 + inventor.dice.below(STEPS_MAX);
    let mut at_millis = 0;
    let mut steps = Vec::new();
    for _ in 0..count {
        at_millis += 50 * (1 + inventor.dice.below(10));
        let action = inventor.action(&tree);
        steps.push(Step { at: Moment::from_millis(at_millis), action });
    }
    Script { tree, steps }
}

struct Inventor<'a> {
    dice: &'a mut Dice,
    pace: Pace,
    /// Of every child that is or may be added.
    names: Vec<String>,
    /// Those of several children.
    twins: Vec<String>,
    supervisors: BTreeMap<String, SupervisorSpec>,
    /// Those of templates and of what is made after them.
    instances: BTreeSet<String>,
}

impl Inventor<'_> {
    fn tree(&mut self, depth: u32) -> Scenario {
        let strategies = [
            Strategy::OneForOne,
            Strategy::OneForAll,
            Strategy::RestForOne,
            Strategy::OneForOne,
            Strategy::OneForAll,
            Strategy::RestForOne,
            Strategy::SimpleOneForOne,
        ];
        let strategy = self.dice.pick(&strategies);
        let auto_shutdown = self.dice.pick(&[
            AutoShutdown::Never,
            AutoShutdown::Never,
            AutoShutdown::AnySignificant,
            AutoShutdown::AllSignificant,
        ]);
        let period = match self.pace {
            Pace::Prompt(_) => PERIOD_WITHOUT_END,
            Pace::Timed => 1 + self.dice.below(2),
        };
        let restarts_max = u32::try_from(self.dice.below(5)).expect("less than five");
        let limit = RestartLimit { restarts_max, window: Duration::from_secs(period) };
        let counting = Counting::Shared(limit);
        let spec = SupervisorSpec { strategy, counting, auto_shutdown, ..SupervisorSpec::OTP };
        let children_max = if depth == 0 { CHILDREN_MAX } else { NESTED_CHILDREN_MAX };
        let count = match strategy {
            Strategy::SimpleOneForOne => 1,
            Strategy::OneForOne | Strategy::OneForAll | Strategy::RestForOne => {
                1 + self.dice.below(children_max)
            }
        };
        let children = (0..count).map(|_| self.role(&spec, depth)).collect();
        Scenario { spec, children }
    }

    fn role(&mut self, supervisor: &SupervisorSpec, depth: u32) -> Role {
        let is_simple = supervisor.strategy == Strategy::SimpleOneForOne;
        if depth < DEPTH_MAX && !is_simple && self.dice.one_in(5) {
            let mut spec = ChildSpec::supervisor(self.new_name());
            self.supervisors.insert(spec.id.clone(), SupervisorSpec::OTP);
            self.decide_restart(supervisor, &mut spec);
            let behaviour = if self.dice.one_in(6) { self.behaviour() } else { Behaviour::PROMPT };
            let behaviour = Behaviour { stop_after: Duration::ZERO, ..behaviour };
            let nested = self.tree(depth + 1);
            self.supervisors.insert(spec.id.clone(), nested.spec);
            return Role { spec, behaviour, nested: Some(nested) };
        }
        let name = if !is_simple && self.dice.one_in(15) { self.twin() } else { self.new_name() };
        if is_simple {
            self.instances.insert(name.clone());
        }
        let mut spec = ChildSpec::worker(name);
        self.decide_restart(supervisor, &mut spec);
        spec.shutdown = match self.pace {
            Pace::Prompt(_) => self.dice.pick(&[
                Shutdown::Timeout(Duration::from_secs(60)),
                Shutdown::Infinity,
                Shutdown::Brutal,
            ]),
            Pace::Timed => self.dice.pick(&[
                Shutdown::Timeout(Duration::from_millis(100)),
                Shutdown::Timeout(Duration::from_millis(350)),
                Shutdown::Infinity,
                Shutdown::Brutal,
            ]),
        };
        let behaviour = self.behaviour();
        Role { spec, behaviour, nested: None }
    }

    fn new_name(&mut self) -> String {
        let name = format!("c{}", self.names.len());
        self.names.push(name.clone());
        name
    }

    /// The name of another worker, be it a sibling or not.
    fn twin(&mut self) -> String {
        let is_plain = |name: &&String| {
            !self.supervisors.contains_key(*name) && !self.instances.contains(*name)
        };
        let workers: Vec<&String> = self.names.iter().filter(is_plain).collect();
        if workers.is_empty() {
            return self.new_name();
        }
        let name = self.dice.pick(&workers).clone();
        self.twins.push(name.clone());
        name
    }

    fn decide_restart(&mut self, supervisor: &SupervisorSpec, spec: &mut ChildSpec<String>) {
        spec.restart = self.dice.pick(&[
            Restart::Permanent,
            Restart::Permanent,
            Restart::Transient,
            Restart::Temporary,
        ]);
        spec.significant = supervisor.auto_shutdown.is_on()
            && spec.restart != Restart::Permanent
            && self.dice.one_in(2);
        // Once in a while a combination that is refused.
        if self.dice.one_in(60) {
            spec.significant = true;
        }
    }

    fn behaviour(&mut self) -> Behaviour {
        let start = match self.dice.below(12) {
            0 => Start::Ignored,
            1 => Start::FailsFrom(1 + self.dice.below(4)),
            2 | 3 => Start::FailsFrom(2 + self.dice.below(4)),
            _ => Start::UpAfter(Duration::ZERO),
        };
        let stop_after = match self.pace {
            Pace::Prompt(_) => 0,
            Pace::Timed => self.dice.pick(&[0, 0, 200, 450]),
        };
        Behaviour { start, stop_after: Duration::from_millis(stop_after), exit_after: None }
    }

    fn action(&mut self, tree: &Scenario) -> Action {
        if self.dice.one_in(40) {
            return Action::Stop;
        }
        let name = self.name();
        // Whose end that is must not hang on who was started last.
        if self.dice.one_in(2) && !self.twins.contains(&name) {
            return Action::Exit(name.clone(), self.exit(&name));
        }
        let nested: Vec<_> = self.supervisors.keys().cloned().collect();
        let whom = if nested.is_empty() || self.dice.one_in(2) {
            None
        } else {
            Some(nested[self.index(nested.len())].clone())
        };
        let spec = whom.as_ref().map_or(tree.spec, |name| self.supervisors[name]);
        let request = self.request(&spec, name);
        Action::Call(whom, request)
    }

    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.dice.below(count as u64)).expect("an index fits")
    }

    fn name(&mut self) -> String {
        if self.dice.one_in(20) {
            return "nobody".to_owned();
        }
        let index = self.index(self.names.len());
        self.names[index].clone()
    }

    /// Killing a supervisor is left out: OTP's orphans go in no certain order, sometimes after their
    /// successors have started.
    fn exit(&mut self, name: &String) -> Exit {
        let exits = [Exit::Abnormal, Exit::Normal, Exit::Shutdown, Exit::Killed];
        let is_supervisor = self.supervisors.contains_key(name);
        self.dice.pick(if is_supervisor { &exits[..3] } else { &exits })
    }

    fn request(&mut self, asked: &SupervisorSpec, name: String) -> Request {
        match self.dice.below(9) {
            0 | 1 => Request::StopChild(name),
            2 | 3 => Request::Other(Call::StartChild(name)),
            4 => Request::Other(Call::RemoveChild(name)),
            5 => Request::Other(Call::CountChildren),
            6 => Request::Other(Call::WhichChildren),
            _ if asked.strategy == Strategy::SimpleOneForOne => self.instance(asked),
            _ => {
                let mut role = self.role(asked, DEPTH_MAX - 1);
                // A name that was there before: of one that is up, that was removed, or of another's child.
                if role.nested.is_none() && self.dice.one_in(4) {
                    role.spec.id = self.twin();
                }
                Request::StartChild(Some(Box::new(role)))
            }
        }
    }

    fn instance(&mut self, asked: &SupervisorSpec) -> Request {
        if self.dice.one_in(6) {
            return Request::StartChild(None);
        }
        let role = self.role(asked, DEPTH_MAX);
        Request::StartChild(Some(Box::new(role)))
    }
}
