//! Group `sup_stop`.

use std::time::Duration;

use blackhole_policy::{
    rehearsal::{Behaviour, Role},
    supervision::{Exit, Shutdown, Strategy},
};

use crate::{
    desk::Desk,
    play::{RoleWords, ScenarioWords, one_for_one, scenario, supervisor, worker},
};

fn slow(id: &str, millis: u64) -> Role {
    worker(id).behaving(Behaviour::stopping_after(Duration::from_millis(millis)))
}

#[test]
fn sup_stop_infinity() {
    let patient = slow("child1", 3_600_000).shutdown(Shutdown::Infinity);
    let inner = supervisor("child2", one_for_one(1, [worker("leaf")]));
    let mut sup = one_for_one(1, [patient, inner]).play();
    assert_eq!(sup.stop(), "leaf stopped, child2 stopped");
    assert_eq!(sup.until_millis(3_599_999), "");
    assert_eq!(sup.until_millis(3_600_000), "child1 stopped, ended");
}

#[test]
fn sup_stop_timeout() {
    let scenario = one_for_one(1, [worker("child1"), slow("child2", 5_000)]);
    let mut desk = Desk::new(&scenario);
    assert_eq!(desk.start(), "start child1#1");
    assert_eq!(desk.up("child1", 1), "start child2#1");
    assert_eq!(desk.up("child2", 1), "up");
    assert_eq!(desk.on(blackhole_policy::supervision::Event::StopRequested), "stop child2#1");
    desk.now = blackhole_policy::moment::Moment::from_millis(1000);
    assert_eq!(desk.on(blackhole_policy::supervision::Event::DeadlineReached), "kill child2#1");
    assert_eq!(desk.exited("child2", 1, Exit::Killed), "stop child1#1");
    assert_eq!(desk.exited("child1", 1, Exit::Shutdown), "exit Stopped");

    let mut sup = scenario.play();
    assert_eq!(sup.stop(), "");
    assert_eq!(sup.until_millis(999), "");
    assert_eq!(sup.until_millis(1000), "child2 stopped, child1 stopped, ended");
}

#[test]
fn sup_stop_timeout_dynamic() {
    let mut sup = scenario(Strategy::SimpleOneForOne, 1, [slow("child", 5_000)]).play();
    assert_eq!(sup.add_instance("a"), "a#1 up, ok 1");
    assert_eq!(sup.add_instance("b"), "b#1 up, ok 2");
    assert_eq!(sup.stop(), "");
    assert_eq!(sup.until_millis(1000), "a stopped, b stopped, ended");
}

#[test]
fn sup_stop_brutal_kill() {
    let child2 = slow("child2", 5_000).shutdown(Shutdown::Brutal);
    let scenario = one_for_one(1, [worker("child1"), child2]);
    let mut desk = Desk::new(&scenario);
    desk.start();
    desk.up("child1", 1);
    desk.up("child2", 1);
    assert_eq!(desk.on(blackhole_policy::supervision::Event::StopRequested), "kill child2#1");
    assert_eq!(desk.exited("child2", 1, Exit::Killed), "stop child1#1");
    assert_eq!(scenario.play().stop(), "child2 stopped, child1 stopped, ended");
}

#[test]
fn sup_stop_brutal_kill_dynamic() {
    let brutal = slow("child", 5_000).shutdown(Shutdown::Brutal);
    let mut sup = scenario(Strategy::SimpleOneForOne, 1, [brutal]).play();
    for instance in 0..10 {
        sup.add_instance(&format!("c{instance}"));
    }
    let all: Vec<String> = (0..10).map(|instance| format!("c{instance} stopped")).collect();
    assert_eq!(sup.stop(), format!("{}, ended", all.join(", ")));
}

/// A child that ends by itself, however it does, while the supervisor stops it or one before it.
#[test]
fn sup_stop_race() {
    for exit in [Exit::Normal, Exit::Shutdown, Exit::Killed, Exit::Abnormal] {
        for role in [worker("b"), worker("b").transient(), worker("b").temporary()] {
            let mut desk = Desk::new(&one_for_one(1, [worker("a"), role, worker("c")]));
            desk.start();
            desk.up("a", 1);
            desk.up("b", 1);
            desk.up("c", 1);
            assert_eq!(desk.on(blackhole_policy::supervision::Event::StopRequested), "stop c#1");
            assert_eq!(desk.exited("b", 1, exit), "", "b is dead before its turn");
            assert_eq!(desk.exited("c", 1, exit), "stop a#1", "c ends as it likes");
            assert_eq!(desk.exited("a", 1, exit), "exit Stopped");
        }
    }
}

#[test]
fn sup_stop_non_shutdown_exit_dynamic() {
    for exit in [Exit::Normal, Exit::Killed, Exit::Abnormal] {
        let mut desk = Desk::new(&scenario(Strategy::SimpleOneForOne, 1, [worker("child")]));
        assert_eq!(desk.start(), "up");
        desk.call(blackhole_policy::supervision::Call::AddInstance("a".to_owned()));
        desk.up("a", 1);
        desk.call(blackhole_policy::supervision::Call::AddInstance("b".to_owned()));
        desk.up("b", 2);
        let stop = desk.on(blackhole_policy::supervision::Event::StopRequested);
        assert_eq!(stop, "stop a#1, stop b#2");
        assert_eq!(desk.exited("b", 2, exit), "");
        assert_eq!(desk.exited("a", 1, exit), "exit Stopped");
    }
}
