//! Starting and stopping in the order that `after` gives, and side by side otherwise.

use blackhole_policy::supervision::{Exit, Phase, Restart, SpecError, Strategy, Supervisor};

use crate::desk::{ChildWords, Desk, child, spec};

#[test]
fn children_without_mutual_order_start_side_by_side_and_dependents_wait() {
    let children = [child("db"), child("api").after(["db", "cache"]), child("cache")];
    let mut desk = Desk::new(spec(Strategy::OneForOne), children);
    assert_eq!(desk.start(), "start db#1, (api waits for db cache), start cache#1");
    assert_eq!(desk.up("db", 1), "");
    assert_eq!(desk.up("cache", 1), "start api#1");
    assert_eq!(desk.up("api", 1), "up");
}

#[test]
fn a_completed_prerequisite_is_as_good_as_one_that_is_up() {
    let migrate = child("migrate").restart(Restart::Transient);
    let children = [migrate, child("seed"), child("api").after(["migrate", "seed"])];
    let mut desk = Desk::new(spec(Strategy::OneForOne), children);
    assert_eq!(desk.start(), "start migrate#1, start seed#1, (api waits for migrate seed)");
    assert_eq!(desk.ignored("seed", 1), "(seed completed Normal)");
    assert_eq!(desk.exited("migrate", 1, Exit::Normal), "(migrate completed Normal), start api#1");
    assert_eq!(desk.up("api", 1), "up");
}

#[test]
fn a_prerequisite_that_ended_badly_holds_its_dependents_up() {
    let once = child("once").restart(Restart::Temporary);
    let mut desk = Desk::new(spec(Strategy::OneForOne), [once, child("api").after(["once"])]);
    assert_eq!(desk.start(), "start once#1, (api waits for once)");
    assert_eq!(desk.crashed("once", 1), "(once completed Abnormal), up");
    assert_eq!(desk.phase("api"), Phase::Pending);
}

#[test]
fn the_whole_stops_from_the_leaves() {
    let children = [child("db"), child("cache"), child("api").after(["db"])];
    let mut desk = Desk::risen(spec(Strategy::OneForOne), children);
    assert_eq!(desk.stop(), "stop api#1, stop cache#1");
    assert_eq!(desk.down("api", 1), "(api stopped), stop db#1");
    assert_eq!(desk.down("db", 1), "(db stopped)");
    assert_eq!(desk.down("cache", 1), "(cache stopped), exit Stopped");
}

#[test]
fn order_reaches_over_children_that_are_down() {
    let children = [child("a"), child("b").after(["a"]), child("c").after(["b"])];
    let mut desk = Desk::risen(spec(Strategy::OneForOne), children);
    desk.call(1, blackhole_policy::supervision::Call::StopChild("b"));
    desk.down("b", 1);
    assert_eq!(desk.stop(), "stop c#1");
    assert_eq!(desk.down("c", 1), "(c stopped), stop a#1");
    assert_eq!(desk.down("a", 1), "(a stopped), exit Stopped");
}

#[test]
fn a_grace_ends_in_a_kill_and_a_kill_without_effect_in_a_report() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a")]);
    assert_eq!(desk.stop(), "stop a#1");
    assert_eq!(desk.deadline_millis(), Some(10_000));
    assert_eq!(desk.after_millis(10_000), "kill a#1");
    assert_eq!(desk.after_millis(5_000), "(a#1 unkillable)");
    assert_eq!(desk.deadline_millis(), None);
    assert_eq!(desk.phase("a"), Phase::Stopping(blackhole_policy::supervision::Generation(1)));
    assert_eq!(desk.exited("a", 1, Exit::Killed), "(a stopped), exit Stopped");
}

#[test]
fn asked_twice_there_are_no_graces_but_still_the_order() {
    let children = [child("db"), child("api").after(["db"])];
    let mut desk = Desk::risen(spec(Strategy::OneForOne), children);
    assert_eq!(desk.stop(), "stop api#1");
    assert_eq!(desk.stop(), "kill api#1");
    assert_eq!(desk.stop(), "");
    assert_eq!(desk.down("api", 1), "(api stopped), kill db#1");
    assert_eq!(desk.down("db", 1), "(db stopped), exit Stopped");
}

#[test]
fn what_is_still_starting_is_stopped_too() {
    let mut desk = Desk::new(spec(Strategy::OneForOne), [child("a"), child("b").after(["a"])]);
    desk.start();
    assert_eq!(desk.stop(), "(b stopped), stop a#1");
    assert_eq!(desk.up("a", 1), "", "too late");
    assert_eq!(desk.failed("a", 1), "(a stopped), exit Stopped");
}

#[test]
fn without_children_it_is_up_at_once_and_down_at_once() {
    let mut desk = Desk::new(spec(Strategy::OneForOne), []);
    assert_eq!(desk.start(), "up");
    assert_eq!(desk.stop(), "exit Stopped");
    let mut desk = Desk::new(spec(Strategy::OneForOne), [child("a")]);
    assert_eq!(desk.stop(), "(a stopped), exit Stopped", "never started");
}

#[test]
fn events_about_other_incarnations_have_no_effect() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a")]);
    assert_eq!(desk.crashed("a", 2), "");
    assert_eq!(desk.crashed("a", 1), "start a#2");
    assert_eq!(desk.crashed("a", 1), "", "told twice");
    assert_eq!(desk.up("a", 1), "");
    assert_eq!(desk.crashed("nobody", 1), "");
}

#[test]
fn an_order_that_makes_no_sense_is_refused() {
    let new = |children: Vec<_>| Supervisor::new(spec(Strategy::OneForOne), children).err();
    let unknown = SpecError::UnknownSibling { child: "a", sibling: "b" };
    assert_eq!(new(vec![child("a").after(["b"])]), Some(unknown));
    let circle = vec![
        child("x").after(["a"]),
        child("a").after(["c"]),
        child("b").after(["a"]),
        child("c").after(["b"]),
    ];
    assert_eq!(new(circle), Some(SpecError::Circular("a")), "x only follows the circle");
}
