//! Groups `normal_termination`, `shutdown_termination`, `abnormal_termination`.

use blackhole_policy::{
    rehearsal::{Behaviour, Role, Start},
    supervision::Exit,
};

use crate::play::{RoleWords, ScenarioWords, one_for_one, supervisor, worker};

/// The story of one child's exit, the listing after it, and the counts.
fn after(role: Role, exit: Exit) -> [String; 3] {
    let mut sup = one_for_one(2, [role]).play();
    [sup.exit("child1", exit), sup.which(), sup.count()]
}

#[test]
fn permanent_normal() {
    let expected = ["child1 normal, child1#2 up", "[child1:2]", "[1,1,0,1]"];
    assert_eq!(after(worker("child1"), Exit::Normal), expected);
}

#[test]
fn transient_normal() {
    let expected = ["child1 normal", "[child1:undefined]", "[1,0,0,1]"];
    assert_eq!(after(worker("child1").transient(), Exit::Normal), expected);
}

#[test]
fn temporary_normal() {
    let expected = ["child1 normal", "[]", "[0,0,0,0]"];
    assert_eq!(after(worker("child1").temporary(), Exit::Normal), expected);
}

/// `{shutdown, _}` is [`Exit::Shutdown`] as well.
#[test]
fn permanent_shutdown() {
    let expected = ["child1 shutdown, child1#2 up", "[child1:2]", "[1,1,0,1]"];
    assert_eq!(after(worker("child1"), Exit::Shutdown), expected);
}

#[test]
fn transient_shutdown() {
    let expected = ["child1 shutdown", "[child1:undefined]", "[1,0,0,1]"];
    assert_eq!(after(worker("child1").transient(), Exit::Shutdown), expected);
}

#[test]
fn temporary_shutdown() {
    let expected = ["child1 shutdown", "[]", "[0,0,0,0]"];
    assert_eq!(after(worker("child1").temporary(), Exit::Shutdown), expected);
}

/// A start that fails two levels down reaches the top, each level naming its own child.
#[test]
fn faulty_application_shutdown() {
    let leaf = worker("leaf").behaving(Behaviour::starting(Start::FailsFrom(1)));
    let inner = supervisor("inner", one_for_one(1, [worker("first"), leaf]));
    let middle = supervisor("middle", one_for_one(1, [inner]));
    let sup = one_for_one(1, [worker("a"), middle, worker("z")]).play();
    let story = "a#1 up, first#1 up, leaf#1 failed, first stopped, inner#1 failed, \
                 middle#1 failed, a stopped, did not start for middle";
    assert_eq!(sup.told, story);
}

#[test]
fn permanent_abnormal() {
    let expected = ["child1 crashed, child1#2 up", "[child1:2]", "[1,1,0,1]"];
    assert_eq!(after(worker("child1"), Exit::Abnormal), expected);
}

#[test]
fn transient_abnormal() {
    let expected = ["child1 crashed, child1#2 up", "[child1:2]", "[1,1,0,1]"];
    assert_eq!(after(worker("child1").transient(), Exit::Abnormal), expected);
    let killed = ["child1 killed, child1#2 up", "[child1:2]", "[1,1,0,1]"];
    assert_eq!(after(worker("child1").transient(), Exit::Killed), killed);
}

#[test]
fn temporary_abnormal() {
    let expected = ["child1 crashed", "[]", "[0,0,0,0]"];
    assert_eq!(after(worker("child1").temporary(), Exit::Abnormal), expected);
}
