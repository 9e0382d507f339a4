//! Random sequences of events against what must hold whatever happens.
//!
//! A [`World`](world::World) stands for the processes: it carries commands out, answers when the
//! sequence says so, and checks every command against what it knows to be true.

mod tree;
mod world;

use std::time::Duration;

use blackhole_policy::{
    backoff::Backoff,
    supervision::{
        self, AutoShutdown, Call, ChildKind, ChildSpec, Counting, Discipline, Exit, Generation,
        OnFailed, Restart, RestartLimit, Shutdown, SupervisorSpec,
    },
};
use proptest::{prelude::*, sample::select, strategy::Strategy as Generates};

use crate::world::{Step, World};

const CHILDREN_MAX: usize = 5;
const STEPS_MAX: usize = 80;

fn restart() -> impl Generates<Value = Restart> {
    select(vec![Restart::Permanent, Restart::Permanent, Restart::Transient, Restart::Temporary])
}

fn shutdown() -> impl Generates<Value = Shutdown> {
    let timeout = (0u64..3_000).prop_map(|millis| Shutdown::Timeout(Duration::from_millis(millis)));
    prop_oneof![4 => timeout, 1 => Just(Shutdown::Brutal), 1 => Just(Shutdown::Infinity)]
}

fn limit() -> impl Generates<Value = RestartLimit> {
    (0u32..5, 1u64..8).prop_map(|(restarts_max, seconds)| RestartLimit {
        restarts_max,
        window: Duration::from_secs(seconds),
    })
}

fn backoff() -> impl Generates<Value = Backoff> {
    prop_oneof![
        Just(Backoff::NONE),
        Just(Backoff { reset_after: Duration::from_secs(5), ..Backoff::default() }),
    ]
}

/// A child that comes after some of those before it.
fn child(id: usize, auto_shutdown: AutoShutdown) -> impl Generates<Value = ChildSpec<usize>> {
    let after = proptest::collection::vec(any::<bool>(), id);
    let flags = (any::<bool>(), any::<bool>());
    (restart(), shutdown(), limit(), backoff(), after, flags).prop_map(
        move |(restart, shutdown, limit, backoff, after, (significant, escalates))| {
            let may_be_significant =
                restart != Restart::Permanent && auto_shutdown != AutoShutdown::Never;
            let after = after.iter().enumerate().filter(|(_, is_after)| **is_after);
            ChildSpec {
                id,
                restart,
                shutdown,
                significant: significant && may_be_significant,
                kind: ChildKind::Worker,
                after: after.map(|(sibling, _)| sibling).collect(),
                limit,
                on_failed: if escalates { OnFailed::Escalate } else { OnFailed::Rest },
                backoff,
            }
        },
    )
}

fn scenario(
    discipline: Discipline,
) -> impl Generates<Value = (SupervisorSpec, Vec<ChildSpec<usize>>)> {
    let strategy = prop_oneof![3 => grouping(), 1 => Just(supervision::Strategy::SimpleOneForOne)];
    (strategy, counting(discipline), auto_shutdown(), 0..=CHILDREN_MAX).prop_flat_map(
        move |(strategy, counting, auto_shutdown, count)| {
            let spec = SupervisorSpec { strategy, discipline, counting, auto_shutdown };
            // Of instances there is a template.
            let is_simple = strategy == supervision::Strategy::SimpleOneForOne;
            let count = if is_simple { 1 } else { count };
            let children: Vec<_> = (0..count).map(|id| child(id, auto_shutdown)).collect();
            (Just(spec), children)
        },
    )
}

/// The strategies of children that are known from the start.
fn grouping() -> impl Generates<Value = supervision::Strategy> {
    select(vec![
        supervision::Strategy::OneForOne,
        supervision::Strategy::OneForAll,
        supervision::Strategy::RestForOne,
    ])
}

fn auto_shutdown() -> impl Generates<Value = AutoShutdown> {
    select(vec![
        AutoShutdown::Never,
        AutoShutdown::Never,
        AutoShutdown::AnySignificant,
        AutoShutdown::AllSignificant,
    ])
}

fn counting(discipline: Discipline) -> impl Generates<Value = Counting> {
    match discipline {
        Discipline::Strict => limit().prop_map(Counting::Shared).boxed(),
        Discipline::Concurrent => {
            prop_oneof![limit().prop_map(Counting::Shared), Just(Counting::PerChild)].boxed()
        }
    }
}

fn exit() -> impl Generates<Value = Exit> {
    select(vec![Exit::Normal, Exit::Shutdown, Exit::Killed, Exit::Abnormal, Exit::Abnormal])
}

/// An incarnation that was or will be, more or less.
fn generation() -> impl Generates<Value = Generation> {
    (0u64..12).prop_map(Generation)
}

fn call(discipline: Discipline) -> impl Generates<Value = Call<usize>> {
    let id = 0..CHILDREN_MAX;
    let update = id.clone().prop_flat_map(|id| child(id, AutoShutdown::Never));
    let reconfigure = scenario(discipline);
    prop_oneof![
        3 => id.clone().prop_map(Call::StopChild),
        3 => id.clone().prop_map(Call::StartChild),
        2 => id.clone().prop_map(Call::RestartChild),
        1 => id.clone().prop_map(Call::RemoveChild),
        1 => id.clone().prop_map(|id| Call::AddChild(ChildSpec::worker(id))),
        4 => id.clone().prop_map(Call::AddInstance),
        1 => (id.clone(), generation()).prop_map(|(id, it)| Call::StopIncarnation(id, it)),
        1 => update.prop_map(Call::UpdateChild),
        1 => reconfigure.prop_map(|(spec, children)| Call::Reconfigure(spec, children)),
        1 => id.prop_map(Call::DescribeChild),
        1 => Just(Call::WhichChildren),
        1 => Just(Call::CountChildren),
    ]
}

fn step(discipline: Discipline) -> impl Generates<Value = Step> {
    let who = 0..CHILDREN_MAX;
    prop_oneof![
        10 => Just(Step::AnswerAll),
        6 => who.clone().prop_map(Step::ComeUp),
        2 => who.clone().prop_map(Step::FailToStart),
        1 => who.clone().prop_map(Step::Ignore),
        6 => (who.clone(), exit()).prop_map(|(who, exit)| Step::Exit(who, exit)),
        1 => who.prop_map(Step::ExitAgain),
        5 => (1u64..4_000).prop_map(Step::Pass),
        4 => Just(Step::PassToDeadline),
        5 => call(discipline).prop_map(Step::Call),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_concurrent_machine_keeps_its_promises(
        (spec, children) in scenario(Discipline::Concurrent),
        steps in proptest::collection::vec(step(Discipline::Concurrent), 0..STEPS_MAX),
        stubborn in any::<bool>(),
    ) {
        World::new(spec, children).play(steps, stubborn);
    }

    #[test]
    fn the_strict_machine_keeps_its_promises(
        (spec, children) in scenario(Discipline::Strict),
        steps in proptest::collection::vec(step(Discipline::Strict), 0..STEPS_MAX),
        stubborn in any::<bool>(),
    ) {
        World::new(spec, children).play(steps, stubborn);
    }
}
