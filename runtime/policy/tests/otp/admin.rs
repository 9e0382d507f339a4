//! `child_adm`, `child_adm_simple`, `extra_return`, `child_specs`, `child_specs_map`, `sup_flags`.

use std::time::Duration;

use blackhole_policy::{
    rehearsal::Role,
    supervision::{
        AutoShutdown, Call, ChildSpec, Counting, Discipline, Exit, Generation, Restart,
        RestartLimit, Shutdown, SpecError, Strategy, Supervisor, SupervisorSpec,
    },
};

use crate::{
    desk::Desk,
    play::{RoleWords, ScenarioWords, one_for_one, refused, scenario, supervisor, worker},
};

#[test]
fn child_adm() {
    let mut sup = one_for_one(2, []).play();
    assert_eq!(sup.which(), "[]");
    assert_eq!(sup.count(), "[0,0,0,0]");

    assert_eq!(sup.add(worker("child1")), "child1#1 up, ok 1");
    assert_eq!(sup.which(), "[child1:1]");
    assert_eq!(sup.count(), "[1,1,0,1]");
    assert_eq!(sup.add(worker("child1")), "error already_started 1");
    assert_eq!(sup.restart("child1"), "error running");
    assert_eq!(sup.delete("child1"), "error running");

    assert_eq!(sup.terminate("child1"), "child1 stopped, ok");
    assert_eq!(sup.which(), "[child1:undefined]");
    assert_eq!(sup.count(), "[1,0,0,1]");
    assert_eq!(sup.add(worker("child1")), "error already_present");
    assert_eq!(sup.terminate("child1"), "ok", "as often as one likes");

    assert_eq!(sup.restart("child1"), "child1#2 up, ok 2");
    assert_eq!(sup.count(), "[1,1,0,1]");
    assert_eq!(sup.terminate("child1"), "child1 stopped, ok");
    assert_eq!(sup.delete("child1"), "ok");
    assert_eq!(sup.restart("child1"), "error not_found");
    assert_eq!(sup.delete("child1"), "error not_found");
    assert_eq!(sup.terminate("child1"), "error not_found");
    assert_eq!(sup.which(), "[]");

    assert_eq!(sup.add(worker("child2").temporary()), "child2#1 up, ok 3");
    assert_eq!(sup.terminate("child2"), "child2 stopped, ok");
    assert_eq!(sup.restart("child2"), "error not_found", "its specification went with it");
}

#[test]
fn child_adm_simple() {
    let mut sup = scenario(Strategy::SimpleOneForOne, 2, [worker("child")]).play();
    assert_eq!(sup.which(), "[]");
    assert_eq!(sup.count(), "[1,0,0,0]");
    assert_eq!(sup.add_instance("a"), "a#1 up, ok 1");
    assert_eq!(sup.count(), "[1,1,0,1]");
    assert_eq!(sup.add_instance("b"), "b#1 up, ok 2");
    assert_eq!(sup.which(), "[a:1 b:2]");
    assert_eq!(sup.count(), "[1,2,0,2]");
    assert_eq!(sup.add(worker("c")), "error simple_one_for_one");
    assert_eq!(sup.terminate("child"), "error simple_one_for_one");
    assert_eq!(sup.restart("child"), "error simple_one_for_one");
    assert_eq!(sup.delete("child"), "error simple_one_for_one");
    assert_eq!(sup.crash("a"), "a crashed, a#2 up");

    let incarnation =
        |id: &str, generation| Call::StopIncarnation(id.to_owned(), Generation(generation));
    assert_eq!(sup.call(incarnation("b", 2)), "b stopped, ok");
    assert_eq!(sup.call(incarnation("b", 2)), "ok", "one that is dead is fine");
    assert_eq!(sup.call(incarnation("a", 1)), "ok", "so is one that was replaced");
    assert_eq!(sup.call(incarnation("x", 9)), "error not_found", "it never was a child");
    assert_eq!(sup.which(), "[a:3]");
    assert_eq!(sup.count(), "[1,1,0,1]");
}

/// OTP hands what a start returns beside the pid back to the caller. Here that is the shell's: the
/// answer names the incarnation, and whatever the shell knows about it is found by that.
#[test]
fn extra_return() {
    let mut desk = Desk::new(&one_for_one(2, [worker("child1")]));
    desk.start();
    assert_eq!(desk.up("child1", 1), "up");
    let call = Call::StopChild("child1".to_owned());
    assert_eq!(desk.call(call), "stop child1#1");
    assert_eq!(desk.exited("child1", 1, Exit::Shutdown), "ok");
    assert_eq!(desk.call(Call::StartChild("child1".to_owned())), "start child1#2");
    assert_eq!(desk.up("child1", 2), "ok 2");
    assert_eq!(desk.exited("child1", 2, Exit::Abnormal), "start child1#3");
    assert_eq!(desk.up("child1", 3), "", "nobody asked");
    assert_eq!(desk.call(Call::AddChild(worker("child2").spec)), "start child2#1");
    assert_eq!(desk.up("child2", 1), "ok 1", "and whoever asked learns of which incarnation");
}

#[test]
fn child_specs() {
    let check = |auto_shutdown, role: Role| {
        let spec = SupervisorSpec { auto_shutdown, ..SupervisorSpec::OTP };
        spec.check(&[role.spec])
    };
    let id = || "child".to_owned();
    for auto_shutdown in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
        assert_eq!(check(auto_shutdown, worker("child").transient().significant()), Ok(()));
        assert_eq!(check(auto_shutdown, worker("child").temporary().significant()), Ok(()));
        let permanent = check(auto_shutdown, worker("child").significant());
        assert_eq!(permanent, Err(SpecError::SignificantPermanent(id())));
    }
    let never = check(AutoShutdown::Never, worker("child").transient().significant());
    assert_eq!(never, Err(SpecError::SignificantWithoutAutoShutdown(id())));
}

#[test]
fn child_specs_map() {
    let mut sup = one_for_one(2, []).play();
    let odd = worker("child").transient().significant();
    let refusal = "error invalid: child \"child\" is significant, but auto_shutdown is never";
    assert_eq!(sup.add(odd), refusal);
    assert_eq!(sup.which(), "[]");
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        for shutdown in [Shutdown::Brutal, Shutdown::Timeout(Duration::ZERO), Shutdown::Infinity] {
            for role in [worker("child"), supervisor("child", one_for_one(1, []))] {
                let spec = ChildSpec { restart, shutdown, ..role.spec };
                assert_eq!(SupervisorSpec::OTP.check(&[spec]), Ok(()), "what OTP's types allow");
            }
        }
    }
    let default = ChildSpec::worker("child");
    assert_eq!(SupervisorSpec::OTP.check(std::slice::from_ref(&default)), Ok(()));
    let twice = SupervisorSpec::OTP.check(&[default.clone(), default]);
    assert_eq!(twice, Err(SpecError::DuplicateChild("child")));
}

#[test]
fn sup_flags() {
    let mut per_child = one_for_one(2, [worker("a")]);
    per_child.spec.counting = Counting::PerChild;
    assert_eq!(refused(per_child), SpecError::StrictCountsShared);
    let two = scenario(Strategy::SimpleOneForOne, 2, [worker("a"), worker("b")]);
    assert_eq!(refused(two), SpecError::TemplateCount(2));
    let within = |restarts_max, millis| {
        let window = Duration::from_millis(millis);
        SupervisorSpec {
            counting: Counting::Shared(RestartLimit { restarts_max, window }),
            ..SupervisorSpec::OTP
        }
    };
    let started = |spec| Supervisor::<u32>::new(spec, Vec::new()).map(|_| ());
    assert_eq!(started(within(0, 1_000)), Ok(()), "as little as OTP allows");
    for millis in [0, 1, 999, 1_500] {
        let period = SpecError::StrictWindow(Duration::from_millis(millis));
        assert_eq!(started(within(1, millis)), Err(period), "OTP's invalid_period");
        let mut sup = one_for_one(2, [worker("a")]).play();
        let refused = sup.call(Call::Reconfigure(within(1, millis), vec![worker("a").spec]));
        assert!(refused.starts_with("error invalid: the strict discipline counts"), "{refused}");
    }
    let otp = SupervisorSpec::OTP;
    assert_eq!(otp.strategy, Strategy::OneForOne);
    assert_eq!(otp.discipline, Discipline::Strict);
    assert_eq!(otp.auto_shutdown, AutoShutdown::Never);
}
