//! Random lives of a tree of supervisors: what its story may never say.

use std::{collections::BTreeMap, time::Duration};

use blackhole_policy::{
    moment::Moment,
    rehearsal::{Behaviour, Happened, Line, Name, Rehearsal, Role, Scenario, Start},
    supervision::{Call, ChildSpec, Discipline, Exit, SupervisorSpec},
};
use proptest::{prelude::*, sample::select, strategy::Strategy as Generates};

use crate::{auto_shutdown, child, counting, exit, grouping};

const DEPTH_MAX: u32 = 2;
const CHILDREN_MAX: usize = 3;
const STEPS_MAX: usize = 30;
/// Longer than all graces and backoffs of a tree together.
const REST: Duration = Duration::from_secs(24 * 3600);

/// What happens to the tree.
#[derive(Debug, Clone)]
enum Step {
    Exit(Name, Exit),
    /// Of the supervisor of that name, or of the outermost.
    Call(Option<Name>, Call<Name>),
    Pass(u64),
}

/// Children are called by the places that lead to them: `1.0` is the first child of `1`.
fn name(above: &str, place: usize) -> Name {
    if above.is_empty() { place.to_string() } else { format!("{above}.{place}") }
}

fn behaviour() -> impl Generates<Value = Behaviour> {
    let start = prop_oneof![
        6 => Just(Start::UpAfter(Duration::ZERO)),
        1 => (0u64..2_000).prop_map(|millis| Start::UpAfter(Duration::from_millis(millis))),
        1 => Just(Start::Ignored),
        1 => (2u64..5).prop_map(Start::FailsFrom),
        1 => (1u64..3).prop_map(|first| Start::FailsBetween(first, first + 2)),
    ];
    (start, select(vec![0u64, 0, 200, 2_000])).prop_map(|(start, millis)| Behaviour {
        stop_after: Duration::from_millis(millis),
        ..Behaviour::starting(start)
    })
}

fn tree(discipline: Discipline, above: Name, depth: u32) -> BoxedStrategy<Scenario> {
    (grouping(), counting(discipline), auto_shutdown(), 1..=CHILDREN_MAX)
        .prop_flat_map(move |(strategy, counting, auto_shutdown, count)| {
            let spec = SupervisorSpec { strategy, discipline, counting, auto_shutdown };
            let roles: Vec<_> =
                (0..count).map(|place| role(spec, above.clone(), place, depth)).collect();
            roles.prop_map(move |children| Scenario { spec, children })
        })
        .boxed()
}

fn role(
    spec: SupervisorSpec,
    above: Name,
    place: usize,
    depth: u32,
) -> impl Generates<Value = Role> {
    let own = name(&above, place);
    let nested = if depth == DEPTH_MAX {
        Just(None).boxed()
    } else {
        proptest::option::weighted(0.4, tree(spec.discipline, own.clone(), depth + 1)).boxed()
    };
    (child(place, spec.auto_shutdown), behaviour(), nested).prop_map(
        move |(numbered, behaviour, nested)| {
            let after = numbered.after.iter().map(|place| name(&above, *place)).collect();
            let ChildSpec { restart, shutdown, significant, limit, on_failed, backoff, .. } =
                numbered;
            let default = match &nested {
                Some(_) => ChildSpec::supervisor(own.clone()),
                None => ChildSpec { shutdown, ..ChildSpec::worker(own.clone()) },
            };
            let spec =
                ChildSpec { restart, significant, after, limit, on_failed, backoff, ..default };
            Role { spec, behaviour, nested }
        },
    )
}

fn step() -> impl Generates<Value = Step> {
    let place = || 0..CHILDREN_MAX;
    let whose = prop_oneof![
        Just(String::new()),
        place().prop_map(|place| name("", place)),
        (place(), place()).prop_map(|(outer, inner)| name(&name("", outer), inner)),
    ];
    let who = (whose, place()).prop_map(|(above, place)| (above.clone(), name(&above, place)));
    let calls: Vec<fn(Name) -> Call<Name>> =
        vec![Call::StopChild, Call::StartChild, Call::RestartChild, Call::RemoveChild];
    let call = (who.clone(), select(calls)).prop_map(|((above, who), call)| {
        Step::Call(Some(above).filter(|above| !above.is_empty()), call(who))
    });
    prop_oneof![
        3 => (who, exit()).prop_map(|((_, who), exit)| Step::Exit(who, exit)),
        1 => call,
        2 => (1u64..4_000).prop_map(Step::Pass),
    ]
}

/// Who is up, as the story tells it.
#[derive(Debug, Default)]
struct Up(BTreeMap<Name, u64>);

impl Up {
    fn hear(&mut self, line: &Line) {
        match &line.happened {
            Happened::Started { child, attempt } => {
                let before = self.0.insert(child.clone(), *attempt);
                assert_eq!(before, None, "two of {child}");
            }
            Happened::Exited { child, exit } => {
                assert!(self.0.remove(child).is_some(), "{child} was not up");
                // Whoever is killed cannot end its own first.
                assert!(
                    *exit == Exit::Killed || self.below(child) == 0,
                    "{child} left some behind"
                );
            }
            // One that was starting may be stopped as well.
            Happened::Stopped { child } => {
                self.0.remove(child);
            }
            Happened::StartFailed { child, .. } | Happened::Ignored { child } => {
                assert!(!self.0.contains_key(child), "{child} is up");
                assert_eq!(self.below(child), 0, "{child} left some behind");
            }
            Happened::SupervisorExited(..) => assert!(self.0.is_empty(), "left behind: {self:?}"),
            Happened::Answered(_) | Happened::Reported(_) | Happened::SupervisorUp => {}
        }
    }

    fn below(&self, child: &str) -> usize {
        let below = format!("{child}.");
        self.0.keys().filter(|name| name.starts_with(&below)).count()
    }
}

fn play(tree: Scenario, steps: Vec<Step>) {
    let mut rehearsal = Rehearsal::new(tree).expect("generated to make sense");
    let mut up = Up::default();
    rehearsal.start();
    for step in steps {
        match step {
            Step::Exit(who, exit) => rehearsal.exit(&who, exit),
            Step::Call(whom, call) => rehearsal.call(whom.as_deref(), call),
            Step::Pass(millis) => {
                rehearsal.advance_to(rehearsal.now() + Duration::from_millis(millis));
            }
        }
        rehearsal.take_story().iter().for_each(|line| up.hear(line));
    }
    rehearsal.stop();
    rehearsal.settle(rehearsal.now() + REST);
    rehearsal.take_story().iter().for_each(|line| up.hear(line));
    assert!(rehearsal.supervisor(None).is_none(), "it has not ended");
    assert!(rehearsal.now() < Moment::ORIGIN + REST, "nothing goes on without end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_supervisor_of_a_concurrent_tree_leaves_anybody_behind(
        tree in tree(Discipline::Concurrent, String::new(), 0),
        steps in proptest::collection::vec(step(), 0..STEPS_MAX),
    ) {
        play(tree, steps);
    }

    #[test]
    fn no_supervisor_of_a_strict_tree_leaves_anybody_behind(
        tree in tree(Discipline::Strict, String::new(), 0),
        steps in proptest::collection::vec(step(), 0..STEPS_MAX),
    ) {
        play(tree, steps);
    }
}
