//! New specifications for a supervisor that runs, and calls about incarnations.

use blackhole_policy::supervision::{
    Call, ChildSpec, Discipline, Event, Exit, Generation, Phase, Restart, Strategy, SupervisorSpec,
};

use crate::desk::{ChildWords, Desk, child, spec};

fn reconfigure<const N: usize>(
    desk: &mut Desk,
    spec: SupervisorSpec,
    children: [ChildSpec<&'static str>; N],
) -> String {
    desk.call(9, Call::Reconfigure(spec, children.into()))
}

#[test]
fn newcomers_are_known_and_not_started_and_those_that_run_go_by_the_new_rules() {
    let one_for_one = spec(Strategy::OneForOne);
    let mut desk = Desk::risen(one_for_one, [child("a")]);
    let children = [child("a").restart(Restart::Transient), child("b").after(["a"])];
    assert_eq!(reconfigure(&mut desk, one_for_one, children), "9: Done");
    assert_eq!(desk.phase("b"), Phase::Stopped);
    assert_eq!(desk.phase("a"), Phase::Up(Generation(1)));
    assert_eq!(desk.call(1, Call::StartChild("b")), "start b#1");
    assert_eq!(desk.up("b", 1), "1: Started(Generation(1))");
    assert_eq!(desk.exited("a", 1, Exit::Normal), "(a completed Normal)");
}

#[test]
fn a_new_strategy_holds_from_then_on() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a"), child("b")]);
    assert_eq!(reconfigure(&mut desk, spec(Strategy::OneForAll), []), "9: Done");
    assert_eq!(desk.crashed("a", 1), "(a restarts a b), stop b#1");
}

#[test]
fn one_that_waits_for_nobody_any_longer_starts() {
    let one_for_one = spec(Strategy::OneForOne);
    let mut desk = Desk::risen(one_for_one, [child("a"), child("b").after(["a"])]);
    desk.call(1, Call::StopChild("a"));
    desk.down("a", 1);
    assert_eq!(desk.crashed("b", 1), "(b waits for a)");
    assert_eq!(reconfigure(&mut desk, one_for_one, [child("b")]), "start b#2, 9: Done");
}

/// A machine that goes on from a checkpoint knows no other order.
#[test]
fn who_is_told_again_whom_it_comes_after_starts_in_its_place() {
    let after_a = |id| child(id).after(["a"]);
    let children = [child("a"), after_a("b"), after_a("c")];
    let mut desk = Desk::new(spec(Strategy::OneForOne), children);
    desk.start();
    assert_eq!(desk.call(1, Call::UpdateChild(after_a("b"))), "1: Done");
    assert_eq!(desk.up("a", 1), "start b#1, start c#1");
}

#[test]
fn a_change_that_makes_no_sense_is_refused_whole() {
    let one_for_one = spec(Strategy::OneForOne);
    let mut desk = Desk::risen(one_for_one, [child("a"), child("b")]);
    let strict = SupervisorSpec { discipline: Discipline::Strict, ..one_for_one };
    assert_eq!(reconfigure(&mut desk, strict, []), "9: not Invalid(DisciplineFixed)");
    let simple = spec(Strategy::SimpleOneForOne);
    assert_eq!(reconfigure(&mut desk, simple, [child("a")]), "9: not Invalid(StrategyFixed)");
    let circle = [child("a").after(["b"]), child("b").after(["a"]), child("c")];
    assert!(reconfigure(&mut desk, one_for_one, circle).starts_with("9: not Invalid(Circular("));
    assert_eq!(desk.call(1, Call::StartChild("c")), "1: not NotFound");
    assert_eq!(desk.call(2, Call::RestartChild("a")), "stop a#1", "after nobody, as before");
    assert_eq!(desk.down("a", 1), "start a#2");
}

#[test]
fn new_instances_are_like_the_new_template() {
    let simple = spec(Strategy::SimpleOneForOne);
    let mut desk = Desk::risen(simple, [child("worker")]);
    assert_eq!(desk.call(1, Call::AddChild(child("a"))), "1: not SimpleOneForOne");
    let template = child("worker").restart(Restart::Temporary);
    assert_eq!(reconfigure(&mut desk, simple, [template]), "9: Done");
    assert_eq!(desk.call(2, Call::AddInstance("w1")), "(w1 added by 2), start w1#1");
    desk.up("w1", 1);
    assert_eq!(desk.crashed("w1", 1), "(w1 completed Abnormal), (w1 removed)");
    assert_eq!(desk.call(3, Call::StopChild("w1")), "3: not NotFound");
}

#[test]
fn an_incarnation_that_is_gone_needs_no_stop_and_its_successor_is_left_alone() {
    let stop = |generation| Call::StopIncarnation("a", Generation(generation));
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a")]);
    assert_eq!(desk.crashed("a", 1), "start a#2");
    desk.up("a", 2);
    assert_eq!(desk.call(1, stop(1)), "1: Done");
    assert_eq!(desk.call(2, stop(3)), "2: not NotFound", "there was none");
    assert_eq!(desk.call(3, stop(2)), "stop a#2");
    assert_eq!(desk.down("a", 2), "(a stopped), 3: Done");
}

#[test]
fn a_description_is_what_the_child_was_last_told_to_be() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a")]);
    desk.call(1, Call::UpdateChild(child("a").restart(Restart::Transient)));
    let told = desk.call(2, Call::DescribeChild("a"));
    assert!(told.contains("restart: Transient"), "{told}");
    assert_eq!(desk.call(3, Call::DescribeChild("b")), "3: not NotFound");
}

/// `a` waits for `b`, which comes after it, to be down.
fn leaving() -> Desk {
    let children = [child("a"), child("b").after(["a"]), child("c")];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    assert_eq!(desk.crashed("c", 1), "(c restarts a b c), stop b#1");
    assert_eq!(desk.phase("a"), Phase::Stopping(Generation(1)));
    desk
}

#[test]
fn one_that_is_about_to_be_stopped_and_wanted_again_comes_back() {
    let mut desk = leaving();
    assert_eq!(desk.call(1, Call::StopChild("a")), "");
    assert_eq!(desk.call(2, Call::StartChild("a")), "1: not Superseded");
    assert_eq!(desk.down("b", 1), "stop a#1");
    assert_eq!(desk.down("a", 1), "start a#2, (b waits for a), start c#2");
    assert_eq!(desk.up("a", 2), "2: Started(Generation(2)), start b#2");
}

#[test]
fn one_that_is_about_to_be_removed_and_added_again_comes_back() {
    let mut desk = leaving();
    assert_eq!(desk.call(1, Call::RemoveChild("a")), "");
    assert_eq!(desk.call(2, Call::StartChild("a")), "2: not NotFound");
    assert_eq!(desk.call(3, Call::AddChild(child("a"))), "(a added by 3), 1: not Superseded");
    assert_eq!(desk.down("b", 1), "stop a#1");
    assert_eq!(desk.down("a", 1), "start a#2, (b waits for a), start c#2");
    assert_eq!(desk.up("a", 2), "3: Started(Generation(2)), start b#2");
}

#[test]
fn one_that_has_nothing_to_do_while_it_is_stopped_is_stopped() {
    let mut desk = Desk::new(spec(Strategy::OneForOne), [child("a")]);
    assert_eq!(desk.start(), "start a#1");
    assert_eq!(desk.start(), "", "it has started");
    assert_eq!(desk.call(1, Call::StopChild("a")), "stop a#1");
    assert_eq!(desk.ignored("a", 1), "(a stopped), 1: Done, up");
}

#[test]
fn a_supervisor_that_has_ended_stays_so() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a")]);
    desk.stop();
    assert_eq!(desk.down("a", 1), "(a stopped), exit Stopped");
    assert_eq!(desk.stop(), "");
    assert_eq!(desk.on(Event::DeadlineReached), "");
    assert_eq!(desk.start(), "");
}
