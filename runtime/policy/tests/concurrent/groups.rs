//! `one_for_all` and `rest_for_one`: several children down and up together.

use blackhole_policy::supervision::{Call, Exit, Phase, Restart, Strategy};

use crate::desk::{ChildWords, Desk, child, spec};

#[test]
fn one_for_all_waits_until_all_are_down_and_starts_in_order() {
    let children = [child("db"), child("api").after(["db"]), child("cache")];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    let first = "(cache restarts db api cache), stop api#1";
    assert_eq!(desk.crashed("cache", 1), first, "db is stopped when api is down");
    assert_eq!(desk.down("api", 1), "stop db#1");
    assert_eq!(desk.down("db", 1), "start db#2, (api waits for db), start cache#2");
    assert_eq!(desk.up("db", 2), "start api#2");
}

#[test]
fn rest_for_one_takes_those_after_the_failed_child_directly_or_not() {
    let children =
        [child("db"), child("other"), child("api").after(["db"]), child("web").after(["api"])];
    let mut desk = Desk::risen(spec(Strategy::RestForOne), children);
    assert_eq!(desk.crashed("db", 1), "(db restarts db api web), stop web#1");
    assert_eq!(desk.down("web", 1), "stop api#1");
    let starts = "start db#2, (api waits for db), (web waits for api)";
    assert_eq!(desk.down("api", 1), starts);
    assert_eq!(desk.up("db", 2), "start api#2");
    assert_eq!(desk.crashed("web", 1), "", "it was stopped");
    assert_eq!(desk.up("api", 2), "start web#2");
    assert_eq!(desk.crashed("other", 1), "start other#2");
}

#[test]
fn a_group_restart_counts_once_and_waits_for_the_backoff_of_its_cause() {
    let children = [child("a").backoff().limit(2), child("b").limit(0)];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    assert_eq!(desk.crashed("a", 1), "(a restarts a b), stop b#1");
    assert_eq!(desk.down("b", 1), "start a#2, start b#2", "b's limit is not touched");
    desk.up("a", 2);
    desk.up("b", 2);
    let wait = "(a restarts a b), (a backs off till 0.200, 2), stop b#2";
    assert_eq!(desk.crashed("a", 2), wait);
    assert_eq!(desk.deadline_millis(), Some(200), "the backoff, not b's grace");
    assert_eq!(desk.after_millis(200), "");
    assert_eq!(desk.deadline_millis(), Some(9_800), "the backoff is over, b is not down");
    assert_eq!(desk.down("b", 2), "start a#3, start b#3");
}

#[test]
fn what_an_operator_stopped_stays_stopped_and_what_completed_is_revived() {
    let children =
        [child("a"), child("b"), child("job").restart(Restart::Transient), child("x").limit(0)];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    desk.call(1, Call::StopChild("b"));
    desk.down("b", 1);
    desk.exited("job", 1, Exit::Normal);
    assert_eq!(desk.crashed("x", 1), "(x failed, 1)");
    assert_eq!(desk.crashed("a", 1), "(a restarts a job), start a#2, start job#2");
    assert_eq!(desk.phase("b"), Phase::Stopped);
    assert_eq!(desk.phase("x"), Phase::Failed);
}

#[test]
fn a_temporary_sibling_is_taken_down_and_not_up_again() {
    let children = [child("a"), child("once").restart(Restart::Temporary)];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    assert_eq!(desk.crashed("a", 1), "(a restarts a once), stop once#1");
    assert_eq!(desk.down("once", 1), "(once completed Shutdown), start a#2");
}

#[test]
fn a_member_that_fails_to_start_restarts_the_group_again() {
    let children = [child("a"), child("b").after(["a"])];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    desk.crashed("a", 1);
    assert_eq!(desk.down("b", 1), "start a#2, (b waits for a)");
    assert_eq!(desk.up("a", 2), "start b#2");
    assert_eq!(desk.failed("b", 2), "(b restarts a b), stop a#2");
    assert_eq!(desk.down("a", 2), "start a#3, (b waits for a)");
}

#[test]
fn in_rest_for_one_it_restarts_from_the_member_that_failed() {
    let children = [child("a"), child("b").after(["a"]), child("c").after(["b"])];
    let mut desk = Desk::risen(spec(Strategy::RestForOne), children);
    desk.crashed("a", 1);
    desk.down("c", 1);
    desk.down("b", 1);
    desk.up("a", 2);
    assert_eq!(desk.failed("b", 2), "(b restarts b c), start b#3, (c waits for b)");
    assert_eq!(desk.up("b", 3), "start c#2");
}

#[test]
fn groups_that_meet_become_one_and_others_go_their_way() {
    let children = [child("a"), child("b").after(["a"]), child("x"), child("y").after(["x"])];
    let mut desk = Desk::risen(spec(Strategy::RestForOne), children);
    assert_eq!(desk.crashed("b", 1), "start b#2", "a group of one");
    desk.up("b", 2);
    assert_eq!(desk.crashed("a", 1), "(a restarts a b), stop b#2");
    assert_eq!(desk.crashed("x", 1), "(x restarts x y), stop y#1");
    assert_eq!(desk.down("y", 1), "start x#2, (y waits for x)", "not held up by a and b");
    assert_eq!(desk.down("b", 2), "start a#2, (b waits for a)");
}

#[test]
fn a_stop_ends_a_group_restart() {
    let children = [child("a").backoff(), child("b")];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    assert_eq!(desk.crashed("a", 1), "(a restarts a b), stop b#1");
    assert_eq!(desk.stop(), "(a stopped)");
    assert_eq!(desk.down("b", 1), "(b stopped), exit Stopped");
}

/// Found by the model test.
#[test]
fn who_waits_for_a_temporary_child_that_its_group_takes_down_learns_that() {
    let once = child("once").restart(Restart::Temporary);
    let mut desk = Desk::risen(spec(Strategy::OneForAll), [child("a"), once]);
    assert_eq!(desk.exited("once", 1, Exit::Normal), "(once completed Normal)");
    assert_eq!(desk.call(1, Call::StartChild("once")), "start once#2");
    assert_eq!(desk.crashed("a", 1), "(a restarts a once), stop once#2");
    let story = "1: not Superseded, (once completed Shutdown), start a#2";
    assert_eq!(desk.failed("once", 2), story);
}

/// Found by the model test.
#[test]
fn those_after_a_temporary_child_that_its_group_took_down_come_up_again() {
    let once = child("once").restart(Restart::Temporary);
    let children = [child("a"), once, child("b").after(["once"])];
    let mut desk = Desk::risen(spec(Strategy::OneForAll), children);
    assert_eq!(desk.crashed("a", 1), "(a restarts a once b), stop b#1");
    assert_eq!(desk.down("b", 1), "stop once#1");
    let story = "(once completed Shutdown), start a#2, start b#2";
    assert_eq!(desk.exited("once", 1, Exit::Killed), story, "however it ended");
}
