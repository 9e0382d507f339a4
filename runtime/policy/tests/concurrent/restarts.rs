//! One child at a time: restarts, backoff, limits, significance.

use std::time::Duration;

use blackhole_policy::supervision::{
    AutoShutdown, Counting, Exit, Phase, Restart, RestartLimit, Strategy, SupervisorSpec,
};

use crate::desk::{ChildWords, Desk, child, spec};

#[test]
fn the_first_restart_comes_with_the_exit_and_disturbs_nobody() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a").backoff(), child("b")]);
    assert_eq!(desk.crashed("a", 1), "start a#2");
    assert_eq!(desk.deadline_millis(), None);
}

#[test]
fn further_restarts_wait_longer_until_a_healthy_run() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a").backoff().limit(9)]);
    desk.crashed("a", 1);
    desk.up("a", 2);
    assert_eq!(desk.crashed("a", 2), "(a backs off till 0.200, 2)");
    assert_eq!(desk.after_millis(199), "");
    assert_eq!(desk.after_millis(1), "start a#3");
    desk.up("a", 3);
    desk.after_millis(59_999);
    assert_eq!(desk.crashed("a", 3), "(a backs off till 60.599, 3)", "not quite healthy");
    desk.after_millis(400);
    desk.up("a", 4);
    desk.after_millis(60_000);
    assert_eq!(desk.crashed("a", 4), "start a#5");
}

#[test]
fn a_failed_start_counts_like_a_crash_the_first_one_too() {
    let children = [child("a").backoff().limit(2), child("b").after(["a"])];
    let mut desk = Desk::new(spec(Strategy::OneForOne), children);
    assert_eq!(desk.start(), "start a#1, (b waits for a)");
    assert_eq!(desk.failed("a", 1), "start a#2");
    assert_eq!(desk.failed("a", 2), "(a backs off till 0.200, 2)");
    assert_eq!(desk.after_millis(200), "start a#3");
    assert_eq!(desk.failed("a", 3), "(a failed, 3), up", "all that can be up is");
    assert_eq!(desk.phase("a"), Phase::Failed);
    assert_eq!(desk.phase("b"), Phase::Pending);
}

#[test]
fn limits_per_child_let_the_others_run_on() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a").limit(1), child("b")]);
    assert_eq!(desk.crashed("a", 1), "start a#2");
    assert_eq!(desk.crashed("b", 1), "start b#2", "counted apart");
    assert_eq!(desk.crashed("a", 2), "(a failed, 2)");
    desk.up("b", 2);
    assert_eq!(desk.crashed("b", 2), "start b#3");
}

#[test]
fn a_window_forgets() {
    let mut desk = Desk::risen(spec(Strategy::OneForOne), [child("a").limit(1)]);
    assert_eq!(desk.crashed("a", 1), "start a#2");
    desk.after_millis(300_000);
    assert_eq!(desk.crashed("a", 2), "start a#3");
    desk.after_millis(299_999);
    assert_eq!(desk.crashed("a", 3), "(a failed, 2)");
}

#[test]
fn a_child_that_escalates_ends_the_supervisor() {
    let children = [child("a").limit(0).escalates(), child("b")];
    let mut desk = Desk::risen(spec(Strategy::OneForOne), children);
    assert_eq!(desk.crashed("a", 1), "(a failed, 1), stop b#1");
    assert_eq!(desk.down("b", 1), "(b stopped), exit RestartedTooOften(\"a\")");
}

#[test]
fn a_shared_limit_counts_them_all() {
    let limit = RestartLimit { restarts_max: 1, window: Duration::from_secs(5) };
    let shared = SupervisorSpec { counting: Counting::Shared(limit), ..spec(Strategy::OneForOne) };
    let mut desk = Desk::risen(shared, [child("a"), child("b")]);
    assert_eq!(desk.crashed("a", 1), "start a#2");
    assert_eq!(desk.crashed("b", 1), "(b failed, 2), stop a#2");
    assert_eq!(desk.down("a", 2), "(a stopped), exit RestartedTooOften(\"b\")");
}

#[test]
fn restart_types_decide_as_in_otp() {
    let children = [
        child("permanent"),
        child("transient").restart(Restart::Transient),
        child("temporary").restart(Restart::Temporary),
    ];
    let mut desk = Desk::risen(spec(Strategy::OneForOne), children);
    assert_eq!(desk.exited("permanent", 1, Exit::Normal), "start permanent#2");
    assert_eq!(desk.exited("transient", 1, Exit::Killed), "start transient#2");
    assert_eq!(desk.exited("transient", 2, Exit::Normal), "(transient completed Normal)");
    assert_eq!(desk.crashed("temporary", 1), "(temporary completed Abnormal)");
    assert_eq!(desk.phase("temporary"), Phase::Completed(Exit::Abnormal), "kept for the reader");
}

#[test]
fn a_crashed_dependent_waits_for_its_prerequisite() {
    let children = [child("db").backoff(), child("api").after(["db"])];
    let mut desk = Desk::risen(spec(Strategy::OneForOne), children);
    assert_eq!(desk.crashed("db", 1), "start db#2");
    assert_eq!(desk.crashed("api", 1), "(api waits for db)");
    assert_eq!(desk.up("db", 2), "start api#2");
}

#[test]
fn significant_children_take_the_supervisor_with_them() {
    let with = |auto_shutdown| {
        let job = |id| child(id).restart(Restart::Transient).significant();
        let spec = SupervisorSpec { auto_shutdown, ..spec(Strategy::OneForOne) };
        Desk::risen(spec, [job("a"), job("b")])
    };
    let mut desk = with(AutoShutdown::AnySignificant);
    assert_eq!(desk.exited("a", 1, Exit::Normal), "(a completed Normal), stop b#1");
    assert_eq!(desk.down("b", 1), "(b stopped), exit AutoShutdown(\"a\")");
    let mut desk = with(AutoShutdown::AllSignificant);
    assert_eq!(desk.exited("a", 1, Exit::Normal), "(a completed Normal)");
    assert_eq!(desk.crashed("b", 1), "start b#2");
    let end = "(b completed Normal), exit AutoShutdown(\"b\")";
    assert_eq!(desk.exited("b", 2, Exit::Normal), end);
}
