//! Group `significant`: children whose end by themselves may end their supervisor.

use blackhole_policy::{
    rehearsal::{Role, Scenario},
    supervision::{
        AutoShutdown::{self, AllSignificant, AnySignificant, Never},
        Call, Exit, Generation, Strategy, SupervisorSpec,
    },
};

use crate::play::{
    Play, RoleWords, ScenarioWords, flags, one_for_one, scenario, supervisor, worker,
};

const ALL_MODES: [AutoShutdown; 3] = [Never, AnySignificant, AllSignificant];

fn with<const N: usize>(auto_shutdown: AutoShutdown, children: [Role; N]) -> Play {
    one_for_one(2, children).auto_shutdown(auto_shutdown).play()
}

fn temporary(id: &str) -> Role {
    worker(id).temporary().significant()
}

fn transient(id: &str) -> Role {
    worker(id).transient().significant()
}

#[test]
fn nonsignificant_temporary() {
    for mode in ALL_MODES {
        let children = || [worker("a").temporary(), worker("b").temporary()];
        for exit in [Exit::Normal, Exit::Shutdown, Exit::Killed, Exit::Abnormal] {
            let mut sup = with(mode, children());
            sup.exit("a", exit);
            assert!(!sup.exit("b", exit).contains("shut down"));
            assert_eq!(sup.which(), "[]");
        }
    }
}

#[test]
fn nonsignificant_transient() {
    for mode in ALL_MODES {
        let mut sup = with(mode, [worker("a").transient(), worker("b").transient()]);
        assert_eq!(sup.exit("a", Exit::Normal), "a normal");
        assert_eq!(sup.exit("b", Exit::Shutdown), "b shutdown");
        assert_eq!(sup.which(), "[b:undefined a:undefined]");
    }
}

#[test]
fn significant_temporary() {
    for exit in [Exit::Normal, Exit::Shutdown] {
        let mut sup = with(AnySignificant, [temporary("a"), temporary("b"), worker("c")]);
        assert!(sup.exit("a", exit).ends_with("c stopped, b stopped, shut down after a"));
    }
    let mut sup = with(AnySignificant, [temporary("a"), temporary("b")]);
    assert_eq!(sup.exit("b", Exit::Killed), "b killed, a stopped, shut down after b");

    let mut sup = with(AllSignificant, [temporary("a"), temporary("b"), worker("c")]);
    assert_eq!(sup.crash("a"), "a crashed");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal, c stopped, shut down after b");

    let mut sup = with(AnySignificant, [temporary("a"), temporary("b")]);
    assert_eq!(sup.terminate("a"), "a stopped, ok", "told to: that does not count");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal, shut down after b");
}

#[test]
fn significant_transient() {
    let mut sup = with(AnySignificant, [transient("a"), transient("b")]);
    assert_eq!(sup.crash("a"), "a crashed, a#2 up", "restarted, so not at its end");
    assert_eq!(sup.exit("a", Exit::Killed), "a killed, a#3 up");
    assert_eq!(sup.exit("a", Exit::Normal), "a normal, b stopped, shut down after a");

    let mut sup = with(AllSignificant, [transient("a"), transient("b"), worker("c")]);
    assert_eq!(sup.exit("a", Exit::Shutdown), "a shutdown");
    assert_eq!(sup.restart("a"), "a#2 up, ok 2", "active again");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal");
    assert_eq!(sup.exit("a", Exit::Normal), "a normal, c stopped, shut down after a");

    let mut sup = with(AllSignificant, [transient("a"), transient("b")]);
    assert_eq!(sup.terminate("a"), "a stopped, ok");
    assert_eq!(sup.terminate("b"), "b stopped, ok", "the last, but told to");
    assert_eq!(sup.restart("b"), "b#2 up, ok 2");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal, shut down after b");
}

#[test]
fn significant_simple() {
    let simple = |mode, child: Role| {
        let simple = scenario(Strategy::SimpleOneForOne, 2, [child]);
        let mut sup = simple.auto_shutdown(mode).play();
        sup.add_instance("a");
        sup.add_instance("b");
        sup
    };
    let mut sup = simple(AnySignificant, transient("child"));
    assert_eq!(sup.crash("a"), "a crashed, a#2 up");
    assert_eq!(sup.exit("a", Exit::Normal), "a normal, b stopped, shut down after a");

    let mut sup = simple(AllSignificant, temporary("child"));
    assert_eq!(sup.crash("a"), "a crashed");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal, shut down after b");

    let mut sup = simple(AllSignificant, temporary("child"));
    let stop = |id: &str, generation| Call::StopIncarnation(id.to_owned(), Generation(generation));
    assert_eq!(sup.call(stop("a", 1)), "a stopped, ok");
    assert_eq!(sup.call(stop("b", 2)), "b stopped, ok");
    assert_eq!(sup.add_instance("c"), "c#1 up, ok 3");
}

/// A sibling that the strategy stops does not end by itself.
#[test]
fn significant_bystander() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for mode in [AnySignificant, AllSignificant] {
            let children = [worker("a"), temporary("b"), transient("c")];
            let mut sup = scenario(strategy, 2, children).auto_shutdown(mode).play();
            let story = sup.crash("a");
            match strategy {
                Strategy::OneForOne => assert_eq!(story, "a crashed, a#2 up"),
                _ => assert_eq!(story, "a crashed, c stopped, b stopped, a#2 up, c#2 up"),
            }
        }
    }
}

/// The inner supervisor is significant and ends because its own significant child did.
#[test]
fn significant_escalation() {
    for restart in [transient, temporary] {
        let inner: Scenario = one_for_one(2, [temporary("leaf"), worker("other")]);
        let mut role = supervisor("inner", inner.auto_shutdown(AnySignificant));
        role.spec.restart = restart("x").spec.restart;
        let mut sup = with(AnySignificant, [role.significant(), worker("z")]);
        let story = "leaf normal, other stopped, inner shutdown, z stopped, shut down after inner";
        assert_eq!(sup.exit("leaf", Exit::Normal), story);
    }
}

/// Two children that go by `before`, then by `after`, both in flags and specifications.
fn upgraded(before: AutoShutdown, after: AutoShutdown) -> Play {
    let children = |mode: AutoShutdown| {
        ["a", "b"].map(|id| if mode == Never { worker(id).temporary() } else { temporary(id) })
    };
    let mut sup = with(before, children(before));
    let spec = SupervisorSpec { auto_shutdown: after, ..flags(Strategy::OneForOne, 2) };
    let specs = children(after).map(|role| role.spec).into();
    assert_eq!(sup.call(Call::Reconfigure(spec, specs)), "ok");
    sup
}

#[test]
fn significant_upgrade_never_any() {
    let mut sup = upgraded(Never, AnySignificant);
    assert_eq!(sup.exit("a", Exit::Normal), "a normal, b stopped, shut down after a");
}

#[test]
fn significant_upgrade_any_never() {
    let mut sup = upgraded(AnySignificant, Never);
    assert_eq!(sup.exit("a", Exit::Normal), "a normal");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal");
    assert_eq!(sup.which(), "[]");
}

#[test]
fn significant_upgrade_never_all() {
    let mut sup = upgraded(Never, AllSignificant);
    assert_eq!(sup.exit("a", Exit::Normal), "a normal");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal, shut down after b");
}

#[test]
fn significant_upgrade_all_never() {
    let mut sup = upgraded(AllSignificant, Never);
    assert_eq!(sup.exit("a", Exit::Normal), "a normal");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal");
}

#[test]
fn significant_upgrade_any_all() {
    let mut sup = upgraded(AnySignificant, AllSignificant);
    assert_eq!(sup.exit("a", Exit::Normal), "a normal");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal, shut down after b");
}

#[test]
fn significant_upgrade_all_any() {
    let mut sup = upgraded(AllSignificant, AnySignificant);
    assert_eq!(sup.exit("a", Exit::Normal), "a normal, b stopped, shut down after a");

    let mut sup = with(AllSignificant, ["a", "b", "c"].map(temporary));
    assert_eq!(sup.exit("a", Exit::Normal), "a normal", "the others are there");
    let spec = SupervisorSpec { auto_shutdown: AnySignificant, ..flags(Strategy::OneForOne, 2) };
    let specs = ["b", "c"].map(|id| temporary(id).spec).into();
    assert_eq!(sup.call(Call::Reconfigure(spec, specs)), "ok", "what has been is not made up for");
    assert_eq!(sup.exit("b", Exit::Normal), "b normal, c stopped, shut down after b");
}

#[test]
fn significant_upgrade_child() {
    let mut sup = with(AnySignificant, [worker("a").temporary(), worker("b")]);
    let mut reconfigure = |mode| {
        let spec = SupervisorSpec { auto_shutdown: mode, ..flags(Strategy::OneForOne, 2) };
        sup.call(Call::Reconfigure(spec, vec![temporary("a").spec, worker("b").spec]))
    };
    let refusal = "error invalid: child \"a\" is significant, but auto_shutdown is never";
    assert_eq!(reconfigure(Never), refusal);
    assert_eq!(reconfigure(AnySignificant), "ok");
    assert_eq!(sup.exit("a", Exit::Normal), "a normal, b stopped, shut down after a");
}
