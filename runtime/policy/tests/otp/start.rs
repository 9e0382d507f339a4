//! Groups `sup_start` and `sup_start_map`.

use std::time::Duration;

use blackhole_policy::{
    rehearsal::{Behaviour, Start},
    supervision::{Call, Counting, RestartLimit, SpecError, Strategy},
};

use crate::play::{
    Play, RoleWords, ScenarioWords, kind, one_for_one, refused, scenario, supervisor, worker,
};

fn simple(role: blackhole_policy::rehearsal::Role) -> Play {
    scenario(Strategy::SimpleOneForOne, 2, [role]).play()
}

#[test]
fn sup_start_normal() {
    let mut sup = one_for_one(2, []).play();
    assert_eq!(sup.told, "up");
    assert_eq!(sup.stop(), "ended");
}

#[test]
fn sup_start_ignore_init() {
    let inner =
        supervisor("inner", one_for_one(2, [])).behaving(Behaviour::starting(Start::Ignored));
    let sup = one_for_one(2, [inner]).play();
    assert_eq!(sup.told, "inner ignored, up");
}

#[test]
fn sup_start_ignore_child() {
    let mut sup = one_for_one(2, []).play();
    let ignoring = worker("child1").behaving(Behaviour::starting(Start::Ignored));
    assert_eq!(sup.add(ignoring), "child1 ignored, ok undefined");
    assert_eq!(sup.add(worker("child2")), "child2#1 up, ok 1");
    assert_eq!(sup.which(), "[child2:1 child1:undefined]");
    assert_eq!(sup.count(), "[2,1,0,2]");
}

#[test]
fn sup_start_ignore_temporary_child() {
    let ignoring = worker("child1").temporary().behaving(Behaviour::starting(Start::Ignored));
    let mut sup = one_for_one(2, [ignoring, worker("child2").temporary()]).play();
    assert_eq!(sup.told, "child1 ignored, child2#1 up, up");
    assert_eq!(sup.which(), "[child2:1]");
    assert_eq!(sup.count(), "[1,1,0,1]");
}

#[test]
fn sup_start_ignore_temporary_child_start_child() {
    let mut sup = one_for_one(2, []).play();
    let ignoring = worker("child1").temporary().behaving(Behaviour::starting(Start::Ignored));
    assert_eq!(sup.add(ignoring), "child1 ignored, ok undefined");
    assert_eq!(sup.add(worker("child2").temporary()), "child2#1 up, ok 2");
    assert_eq!(sup.which(), "[child2:2]");
    assert_eq!(sup.count(), "[1,1,0,1]");
}

#[test]
fn sup_start_ignore_temporary_child_start_child_simple() {
    let mut sup = simple(worker("child").temporary().behaving(Behaviour::starting(Start::Ignored)));
    assert_eq!(sup.add_instance("a"), "a ignored, ok undefined");
    assert_eq!(sup.which(), "[]");
    assert_eq!(sup.count(), "[1,0,0,0]");
}

#[test]
fn sup_start_ignore_permanent_child_start_child_simple() {
    let mut sup = simple(worker("child").behaving(Behaviour::starting(Start::Ignored)));
    assert_eq!(sup.add_instance("a"), "a ignored, ok undefined");
    assert_eq!(sup.which(), "[]");
    assert_eq!(sup.count(), "[1,0,0,0]");
    assert_eq!(sup.stop(), "ended");
}

#[test]
fn sup_start_error_return() {
    let twice = one_for_one(2, [worker("a"), worker("a")]);
    assert_eq!(refused(twice), SpecError::DuplicateChild("a".to_owned()));
    let mut timeless = one_for_one(2, [worker("a")]);
    let limit = RestartLimit { restarts_max: 2, window: Duration::ZERO };
    timeless.spec.counting = Counting::Shared(limit);
    assert_eq!(refused(timeless.clone()), SpecError::StrictWindow(Duration::ZERO));
    let sup = one_for_one(2, [supervisor("inner", timeless)]).play();
    assert_eq!(
        sup.told, "inner#1 failed, did not start for inner",
        "what OTP's init returned is bad"
    );
}

#[test]
fn sup_start_fail() {
    let inner =
        supervisor("inner", one_for_one(2, [])).behaving(Behaviour::starting(Start::FailsFrom(1)));
    let sup = one_for_one(2, [worker("a"), inner, worker("b")]).play();
    assert_eq!(sup.told, "a#1 up, inner#1 failed, a stopped, did not start for inner");
}

#[test]
fn sup_start_child_returns_error() {
    let mut sup = one_for_one(2, []).play();
    let failing = worker("child1").behaving(Behaviour::starting(Start::FailsFrom(1)));
    assert_eq!(sup.add(failing), "child1#1 failed, error start_failed");
    assert_eq!(sup.which(), "[]");
}

#[test]
fn sup_start_restart_child_returns_error() {
    let mut sup =
        one_for_one(2, [worker("child1").behaving(Behaviour::starting(Start::FailsFrom(2)))])
            .play();
    assert_eq!(sup.terminate("child1"), "child1 stopped, ok");
    assert_eq!(sup.restart("child1"), "child1#2 failed, error start_failed");
    assert_eq!(sup.which(), "[child1:undefined]");
}

#[test]
fn sup_start_child_returns_error_simple() {
    let mut sup = simple(worker("child").behaving(Behaviour::starting(Start::FailsFrom(1))));
    assert_eq!(sup.add_instance("a"), "a#1 failed, error start_failed");
    assert_eq!(sup.which(), "[]");
}

#[test]
fn sup_start_map() {
    let child2 = worker("child2").shutdown(blackhole_policy::supervision::Shutdown::Brutal);
    let mut child1 = worker("child1");
    child1.spec = blackhole_policy::supervision::ChildSpec::worker("child1".to_owned());
    let child3 = supervisor("child3", one_for_one(1, []));
    let mut sup = one_for_one(1, [child1, child2, child3]).play();
    let mut describe = |id: &str| sup.call(Call::DescribeChild(id.to_owned()));
    assert_eq!(describe("child1"), "child1 Permanent Timeout(5s)");
    assert_eq!(describe("child2"), "child2 Permanent Brutal");
    assert_eq!(describe("child3"), "child3 Permanent Infinity");
    assert_eq!(describe("child4"), "error not_found");
    assert_eq!(sup.stop(), "child3 stopped, child2 stopped, child1 stopped, ended");
}

#[test]
fn sup_start_map_simple() {
    let mut sup = simple(worker("child"));
    assert_eq!(sup.add_instance("a"), "a#1 up, ok 1");
    let describe = |id: &str| Call::DescribeChild(id.to_owned());
    assert_eq!(sup.call(describe("child")), "child Permanent Timeout(1s)");
    assert_eq!(sup.call(describe("a")), "a Permanent Timeout(1s)");
    assert_eq!(sup.call(describe("child2")), "error not_found");
}

/// What Erlang finds missing or of the wrong type at run time, the types refuse; what is left are
/// wrong combinations. A JSON scenario with missing keys is refused by the trace tool, and tested
/// there.
#[test]
fn sup_start_map_faulty_specs() {
    let significant = one_for_one(1, [worker("a").transient().significant()]);
    assert_eq!(refused(significant), SpecError::SignificantWithoutAutoShutdown("a".to_owned()));
    let none = scenario(Strategy::SimpleOneForOne, 1, []);
    assert_eq!(refused(none), SpecError::TemplateCount(0));
    let odd = kind(worker("a"), blackhole_policy::supervision::ChildKind::Supervisor);
    assert_eq!(one_for_one(1, [odd]).play().told, "a#1 up, up");
}
