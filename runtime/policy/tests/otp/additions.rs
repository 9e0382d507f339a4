//! What OTP's supervisor cannot do: hurry, and take a new specification for one child.

use blackhole_policy::supervision::{Call, Event, Exit, Strategy};

use crate::{
    desk::Desk,
    play::{RoleWords, one_for_one, scenario, worker},
};

fn update(role: blackhole_policy::rehearsal::Role) -> Call<String> {
    Call::UpdateChild(role.spec)
}

#[test]
fn one_that_is_starting_is_killed_when_its_supervisor_is_hurried() {
    let mut desk = Desk::new(&one_for_one(1, [worker("a"), worker("b")]));
    desk.start();
    assert_eq!(desk.up("a", 1), "start b#1");
    assert_eq!(desk.on(Event::StopRequested), "", "a start is waited for");
    assert_eq!(desk.on(Event::StopRequested), "kill b#1");
    assert_eq!(desk.on(Event::StopRequested), "", "there is no more hurry than that");
    assert_eq!(desk.failed("b", 1), "kill a#1");
    let why = "exit StartFailed(\"b\")";
    assert_eq!(desk.exited("a", 1, Exit::Killed), why);
}

#[test]
fn the_graces_of_instances_end_when_their_supervisor_is_hurried() {
    let mut desk = Desk::new(&scenario(Strategy::SimpleOneForOne, 1, [worker("child")]));
    desk.start();
    for (id, generation) in [("a", 1), ("b", 2)] {
        desk.call(Call::AddInstance(id.to_owned()));
        desk.up(id, generation);
    }
    assert_eq!(desk.on(Event::StopRequested), "stop a#1, stop b#2");
    assert_eq!(desk.exited("a", 1, Exit::Shutdown), "");
    assert_eq!(desk.on(Event::StopRequested), "kill b#2", "a is down already");
    assert_eq!(desk.exited("b", 2, Exit::Killed), "exit Stopped");
}

#[test]
fn a_supervisor_that_never_started_ends_at_once_and_stays_so() {
    let mut desk = Desk::new(&one_for_one(1, [worker("a")]));
    assert_eq!(desk.on(Event::StopRequested), "exit Stopped");
    assert_eq!(desk.on(Event::StopRequested), "");
    assert_eq!(desk.start(), "");
    assert_eq!(desk.call(Call::WhichChildren), "error noproc");
    assert_eq!(desk.on(Event::DeadlineReached), "");
}

#[test]
fn an_update_holds_from_then_on() {
    let mut desk = Desk::new(&one_for_one(1, [worker("a")]));
    desk.start();
    desk.up("a", 1);
    assert_eq!(desk.call(update(worker("b"))), "error not_found");
    let odd = worker("a").transient().significant();
    let refusal = "error invalid: child \"a\" is significant, but auto_shutdown is never";
    assert_eq!(desk.call(update(odd)), refusal);
    assert_eq!(desk.call(update(worker("a").transient())), "ok");
    assert_eq!(desk.exited("a", 1, Exit::Normal), "", "a transient one that is done rests");
    assert_eq!(desk.call(Call::WhichChildren), "[a:undefined]");

    let mut simple = Desk::new(&scenario(Strategy::SimpleOneForOne, 1, [worker("child")]));
    simple.start();
    assert_eq!(simple.call(update(worker("child"))), "error simple_one_for_one");
}
