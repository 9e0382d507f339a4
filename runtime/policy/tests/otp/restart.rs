//! `multiple_restarts` and the groups `restart_one_for_one`, `restart_one_for_all`,
//! `restart_simple_one_for_one`, `restart_rest_for_one`.

use std::time::Duration;

use blackhole_policy::{
    rehearsal::{Behaviour, Start},
    supervision::{Call, Counting, Exit, RestartLimit, Strategy},
};

use crate::play::{RoleWords, ScenarioWords, scenario, worker};

/// Crashes so far apart that never more than the intensity fall into the period.
#[test]
fn multiple_restarts() {
    let mut spaced = scenario(Strategy::OneForOne, 0, [worker("child1")]);
    let window = Duration::from_secs(1);
    spaced.spec.counting = Counting::Shared(RestartLimit { restarts_max: 1, window });
    let mut sup = spaced.play();
    for attempt in 2..=10 {
        assert_eq!(sup.crash("child1"), format!("child1 crashed, child1#{attempt} up"));
        sup.until_millis(2000 * (attempt - 1));
    }
    assert_eq!(sup.crash("child1"), "child1 crashed, child1#11 up");
    assert_eq!(sup.crash("child1"), "child1 crashed, gave up over child1");
}

#[test]
fn one_for_one() {
    let mut sup = scenario(Strategy::OneForOne, 2, [worker("child1"), worker("child2")]).play();
    assert_eq!(sup.crash("child1"), "child1 crashed, child1#2 up");
    assert_eq!(sup.which(), "[child2:1 child1:2]");
    assert_eq!(sup.count(), "[2,2,0,2]");
    assert_eq!(sup.crash("child2"), "child2 crashed, child2#2 up");
    assert_eq!(sup.crash("child2"), "child2 crashed, child1 stopped, gave up over child2");
}

#[test]
fn one_for_one_escalation() {
    let child1 = worker("child1").behaving(Behaviour::starting(Start::FailsFrom(2)));
    let mut sup = scenario(Strategy::OneForOne, 4, [child1, worker("child2")]).play();
    let story = "child1 crashed, child1#2 failed, child1#3 failed, child1#4 failed, \
                 child1#5 failed, child2 stopped, gave up over child1";
    assert_eq!(sup.crash("child1"), story);
}

#[test]
fn one_for_all() {
    let children = [worker("child1"), worker("child2")];
    let mut sup = scenario(Strategy::OneForAll, 2, children).play();
    let story = "child1 crashed, child2 stopped, child1#2 up, child2#2 up";
    assert_eq!(sup.crash("child1"), story);
    assert_eq!(sup.which(), "[child2:2 child1:2]");
    assert_eq!(sup.count(), "[2,2,0,2]");
    let story = "child2 crashed, child1 stopped, child1#3 up, child2#3 up";
    assert_eq!(sup.crash("child2"), story);
    assert_eq!(sup.crash("child1"), "child1 crashed, child2 stopped, gave up over child1");
}

#[test]
fn one_for_all_escalation() {
    let children =
        [worker("child1"), worker("child2").behaving(Behaviour::starting(Start::FailsFrom(2)))];
    let mut sup = scenario(Strategy::OneForAll, 2, children).play();
    let story = "child1 crashed, child2 stopped, child1#2 up, child2#2 failed, \
                 child1 stopped, child1#3 up, child2#3 failed, \
                 child1 stopped, gave up over child2";
    assert_eq!(sup.crash("child1"), story);
}

#[test]
fn one_for_all_other_child_fails_restart() {
    let failing = worker("child2").behaving(Behaviour::starting(Start::FailsBetween(2, 3)));
    let children = [worker("child1"), failing, worker("child3")];
    let mut sup = scenario(Strategy::OneForAll, 2, children).play();
    let story = "child1 crashed, child3 stopped, child2 stopped, \
                 child1#2 up, child2#2 failed, \
                 child1 stopped, child1#3 up, child2#3 up, child3#2 up";
    assert_eq!(sup.crash("child1"), story);
}

#[test]
fn simple_one_for_one() {
    let mut sup = scenario(Strategy::SimpleOneForOne, 2, [worker("child")]).play();
    sup.add_instance("a");
    sup.add_instance("b");
    assert_eq!(sup.crash("a"), "a crashed, a#2 up");
    assert_eq!(sup.which(), "[b:2 a:3]");
    assert_eq!(sup.count(), "[1,2,0,2]");
    assert_eq!(sup.crash("b"), "b crashed, b#2 up");
    assert_eq!(sup.crash("b"), "b crashed, a stopped, gave up over b");
}

/// Instances stop at the same time, and within one grace however many there are.
#[test]
fn simple_one_for_one_shutdown() {
    let slow = |millis| Behaviour::stopping_after(Duration::from_millis(millis));
    for (millis, within) in [(0, 0), (500, 500), (10_000, 1_000)] {
        let child = worker("child").behaving(slow(millis));
        let mut sup = scenario(Strategy::SimpleOneForOne, 2, [child]).play();
        for instance in ["a", "b", "c"] {
            sup.add_instance(instance);
        }
        let story = sup.stop() + &sup.until_millis(within);
        assert_eq!(story, "a stopped, b stopped, c stopped, ended");
    }
}

/// What `start_child` adds to the template is what the instance is called, across its restarts.
#[test]
fn simple_one_for_one_extra() {
    let mut sup = scenario(Strategy::SimpleOneForOne, 2, [worker("child")]).play();
    assert_eq!(sup.add_instance("extra"), "extra#1 up, ok 1");
    assert_eq!(sup.crash("extra"), "extra crashed, extra#2 up");
    assert_eq!(sup.which(), "[extra:2]");
}

#[test]
fn simple_one_for_one_escalation() {
    let child = worker("child").behaving(Behaviour::starting(Start::FailsFrom(2)));
    let mut sup = scenario(Strategy::SimpleOneForOne, 4, [child]).play();
    sup.add_instance("a");
    sup.add_instance("b");
    let story = "a crashed, a#2 failed, a#3 failed, a#4 failed, a#5 failed, \
                 b stopped, gave up over a";
    assert_eq!(sup.crash("a"), story);
}

/// One instance, failing or not, leaves nothing behind in the template.
#[test]
fn simple_one_for_one_corruption() {
    let child = worker("child").behaving(Behaviour::starting(Start::FailsBetween(1, 2)));
    let mut sup = scenario(Strategy::SimpleOneForOne, 2, [child]).play();
    assert_eq!(sup.add_instance("a"), "a#1 failed, error start_failed");
    assert_eq!(sup.add_instance("a"), "a#2 up, ok 2");
    let template = sup.call(Call::DescribeChild("child".to_owned()));
    assert_eq!(template, "child Permanent Timeout(1s)");
    assert_eq!(sup.which(), "[a:2]");
}

#[test]
fn rest_for_one() {
    let children = [worker("child1"), worker("child2"), worker("child3")];
    let mut sup = scenario(Strategy::RestForOne, 2, children).play();
    let story = "child2 crashed, child3 stopped, child2#2 up, child3#2 up";
    assert_eq!(sup.crash("child2"), story);
    assert_eq!(sup.which(), "[child3:2 child2:2 child1:1]");
    assert_eq!(sup.count(), "[3,3,0,3]");
    assert_eq!(sup.exit("child3", Exit::Killed), "child3 killed, child3#3 up");
    let story = "child1 crashed, child3 stopped, child2 stopped, gave up over child1";
    assert_eq!(sup.crash("child1"), story);
}

#[test]
fn rest_for_one_escalation() {
    let children =
        [worker("child1"), worker("child2").behaving(Behaviour::starting(Start::FailsFrom(2)))];
    let mut sup = scenario(Strategy::RestForOne, 2, children).play();
    let story = "child1 crashed, child2 stopped, child1#2 up, child2#2 failed, child2#3 failed, \
                 child1 stopped, gave up over child2";
    assert_eq!(sup.crash("child1"), story);
}

#[test]
fn rest_for_one_other_child_fails_restart() {
    let failing = worker("child2").behaving(Behaviour::starting(Start::FailsBetween(2, 3)));
    let children = [worker("child1"), failing, worker("child3")];
    let mut sup = scenario(Strategy::RestForOne, 2, children).play();
    let story = "child1 crashed, child3 stopped, child2 stopped, \
                 child1#2 up, child2#2 failed, child2#3 up, child3#2 up";
    assert_eq!(sup.crash("child1"), story);
}
