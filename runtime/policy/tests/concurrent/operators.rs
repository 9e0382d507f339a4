//! What operators ask for.

use blackhole_policy::supervision::{Call, Exit, Phase, Restart, Strategy};

use crate::desk::{ChildWords, Desk, child, spec};

fn one_for_one<const N: usize>(
    children: [blackhole_policy::supervision::ChildSpec<&'static str>; N],
) -> Desk {
    Desk::risen(spec(Strategy::OneForOne), children)
}

#[test]
fn a_stop_with_a_long_grace_delays_nobody() {
    let mut desk = one_for_one([child("slow"), child("b")]);
    assert_eq!(desk.call(1, Call::StopChild("slow")), "stop slow#1");
    assert_eq!(desk.crashed("b", 1), "start b#2");
    assert_eq!(desk.call(2, Call::StopChild("b")), "stop b#2");
    assert_eq!(desk.down("b", 2), "(b stopped), 2: Done");
    assert_eq!(desk.after_millis(10_000), "kill slow#1");
    assert_eq!(desk.exited("slow", 1, Exit::Killed), "(slow stopped), 1: Done");
    assert_eq!(desk.call(3, Call::StopChild("slow")), "(slow stopped), 3: Done");
}

#[test]
fn asked_twice_the_grace_is_skipped() {
    let mut desk = one_for_one([child("a")]);
    assert_eq!(desk.call(1, Call::StopChild("a")), "stop a#1");
    assert_eq!(desk.call(2, Call::StopChild("a")), "kill a#1");
    assert_eq!(desk.down("a", 1), "(a stopped), 1: Done, 2: Done");
}

#[test]
fn a_stopped_child_stays_down_until_somebody_starts_it() {
    let mut desk = one_for_one([child("a")]);
    desk.call(1, Call::StopChild("a"));
    assert_eq!(
        desk.crashed("a", 1),
        "(a stopped), 1: Done",
        "crashing on the way out is no restart"
    );
    assert_eq!(desk.call(2, Call::StartChild("a")), "start a#2");
    assert_eq!(desk.call(3, Call::StartChild("a")), "3: not Running");
    assert_eq!(desk.up("a", 2), "2: Started(Generation(2))");
}

#[test]
fn a_start_brings_its_prerequisites_up_as_well() {
    let children = [child("db"), child("cache").after(["db"]), child("api").after(["cache"])];
    let mut desk = one_for_one(children);
    for id in ["api", "cache", "db"] {
        desk.call(1, Call::StopChild(id));
        desk.down(id, 1);
    }
    let story = "start db#2, (cache waits for db), (api waits for cache)";
    assert_eq!(desk.call(2, Call::StartChild("api")), story);
    assert_eq!(desk.up("db", 2), "start cache#2");
    assert_eq!(desk.up("cache", 2), "start api#2");
    assert_eq!(desk.up("api", 2), "2: Started(Generation(2))");
}

#[test]
fn a_start_ends_the_wait_for_a_backoff() {
    let mut desk = one_for_one([child("a").backoff()]);
    desk.crashed("a", 1);
    desk.up("a", 2);
    desk.crashed("a", 2);
    assert_eq!(desk.call(1, Call::StartChild("a")), "start a#3");
    assert_eq!(desk.failed("a", 3), "1: not StartFailed, (a backs off till 0.400, 3)");
    assert_eq!(desk.call(2, Call::StopChild("a")), "(a stopped), 2: Done");
    assert_eq!(desk.deadline_millis(), None);
}

#[test]
fn a_restart_is_not_counted_and_revives_what_failed() {
    let mut desk = one_for_one([child("a").limit(1)]);
    desk.crashed("a", 1);
    desk.up("a", 2);
    assert_eq!(desk.call(1, Call::RestartChild("a")), "stop a#2");
    assert_eq!(desk.down("a", 2), "start a#3");
    assert_eq!(desk.up("a", 3), "1: Started(Generation(3))");
    assert_eq!(desk.crashed("a", 3), "start a#4", "earlier restarts are forgotten");
    assert_eq!(desk.crashed("a", 4), "(a failed, 2)");
    assert_eq!(desk.call(2, Call::RestartChild("a")), "start a#5");
    assert_eq!(desk.up("a", 5), "2: Started(Generation(5))");
}

#[test]
fn the_last_wish_counts_and_the_earlier_ones_learn_of_it() {
    let mut desk = one_for_one([child("a")]);
    assert_eq!(desk.call(1, Call::StopChild("a")), "stop a#1");
    assert_eq!(desk.call(2, Call::StartChild("a")), "1: not Superseded");
    assert_eq!(desk.down("a", 1), "start a#2");
    assert_eq!(desk.call(3, Call::StopChild("a")), "2: not Superseded, stop a#2");
    assert_eq!(desk.failed("a", 2), "(a stopped), 3: Done");
}

#[test]
fn a_stop_during_a_group_restart_takes_the_child_out_of_it() {
    let mut desk = Desk::risen(spec(Strategy::OneForAll), [child("a"), child("b")]);
    assert_eq!(desk.crashed("a", 1), "(a restarts a b), stop b#1");
    assert_eq!(desk.call(1, Call::StopChild("b")), "", "asked once by the operator: no kill");
    assert_eq!(desk.down("b", 1), "(b stopped), 1: Done, start a#2");
    assert_eq!(desk.phase("b"), Phase::Stopped);
}

#[test]
fn children_come_and_go() {
    let mut desk = one_for_one([child("a")]);
    assert_eq!(desk.call(1, Call::AddChild(child("b").after(["a"]))), "(b added by 1), start b#1");
    assert_eq!(desk.up("b", 1), "1: Started(Generation(1))");
    assert_eq!(desk.call(2, Call::AddChild(child("b"))), "2: not AlreadyStarted(Generation(1))");
    assert_eq!(desk.call(3, Call::RemoveChild("a")), "stop a#1");
    assert_eq!(desk.down("a", 1), "(a removed), 3: Done");
    assert_eq!(desk.call(4, Call::StartChild("a")), "4: not NotFound");
    assert_eq!(desk.crashed("b", 1), "start b#2", "whom it came after is no more");
    assert_eq!(
        desk.call(5, Call::AddChild(child("a"))),
        "(a added by 5), start a#2",
        "never a generation again"
    );
    assert_eq!(desk.call(6, Call::RemoveChild("b")), "stop b#2");
    assert_eq!(desk.down("b", 2), "(b removed), 6: Done");
    let itself = Call::UpdateChild(child("a").after(["a"]));
    assert_eq!(desk.call(7, itself), "7: not Invalid(Circular(\"a\"))");
}

#[test]
fn a_removed_prerequisite_no_longer_holds_anybody_up() {
    let mut desk = one_for_one([child("a"), child("b").after(["a"])]);
    desk.call(1, Call::StopChild("a"));
    desk.down("a", 1);
    assert_eq!(desk.crashed("b", 1), "(b waits for a)");
    assert_eq!(desk.call(2, Call::RemoveChild("a")), "(a removed), 2: Done, start b#2");
}

#[test]
fn an_update_takes_effect_with_the_next_start() {
    let mut desk = one_for_one([child("a"), child("b")]);
    assert_eq!(desk.call(1, Call::UpdateChild(child("b").after(["a"]))), "1: Done");
    desk.call(2, Call::StopChild("a"));
    desk.down("a", 1);
    assert_eq!(desk.crashed("b", 1), "(b waits for a)");
    assert_eq!(desk.call(3, Call::UpdateChild(child("b"))), "start b#2, 3: Done");
    let transient = child("b").restart(Restart::Transient);
    assert_eq!(desk.call(4, Call::UpdateChild(transient)), "4: Done");
    assert_eq!(desk.exited("b", 2, Exit::Normal), "(b completed Normal)");
}

#[test]
fn instances_come_from_the_template_and_leave_nothing() {
    let mut desk = Desk::risen(spec(Strategy::SimpleOneForOne), [child("worker").limit(1)]);
    assert_eq!(desk.call(1, Call::AddInstance("w1")), "(w1 added by 1), start w1#1");
    assert_eq!(desk.up("w1", 1), "1: Started(Generation(1))");
    assert_eq!(desk.call(2, Call::AddInstance("w2")), "(w2 added by 2), start w2#2");
    assert_eq!(desk.crashed("w1", 1), "start w1#3");
    assert_eq!(desk.call(3, Call::StopChild("w1")), "stop w1#3");
    assert_eq!(desk.down("w1", 3), "(w1 removed), 3: Done");
    assert_eq!(desk.call(4, Call::StopChild("w1")), "4: not NotFound");
    assert_eq!(desk.stop(), "2: not SupervisorEnding, stop w2#2");
}

#[test]
fn who_calls_an_ending_supervisor_learns_that() {
    let mut desk = one_for_one([child("a")]);
    desk.call(1, Call::RestartChild("a"));
    assert_eq!(desk.stop(), "1: not SupervisorEnding");
    assert_eq!(desk.call(2, Call::StartChild("a")), "2: not SupervisorEnding");
    assert_eq!(desk.down("a", 1), "(a stopped), exit Stopped");
}

#[test]
fn one_that_is_being_removed_and_wanted_again_comes_back() {
    let mut desk = one_for_one([child("a")]);
    assert_eq!(desk.call(1, Call::RemoveChild("a")), "stop a#1");
    assert_eq!(desk.call(2, Call::AddChild(child("a"))), "(a added by 2), 1: not Superseded");
    assert_eq!(desk.call(3, Call::AddChild(child("a"))), "3: not AlreadyStarted(Generation(1))");
    assert_eq!(desk.down("a", 1), "start a#2");
    assert_eq!(desk.up("a", 2), "2: Started(Generation(2))");
}
