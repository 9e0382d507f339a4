//! `code_change` and its variants: new specifications for a supervisor that runs.

use blackhole_policy::{
    rehearsal::Role,
    supervision::{Call, Shutdown, Strategy},
};

use crate::play::{Play, RoleWords, ScenarioWords, flags, one_for_one, scenario, worker};

fn reconfigure<const N: usize>(sup: &mut Play, strategy: Strategy, roles: [Role; N]) -> String {
    let specs = roles.map(|role| role.spec).into();
    sup.call(Call::Reconfigure(flags(strategy, 0), specs))
}

#[test]
fn code_change() {
    let mut sup = one_for_one(0, []).play();
    assert_eq!(reconfigure(&mut sup, Strategy::RestForOne, []), "ok");

    assert_eq!(reconfigure(&mut sup, Strategy::OneForOne, [worker("child1")]), "ok");
    assert_eq!(sup.which(), "[child1:undefined]", "known, not started");
    assert_eq!(sup.restart("child1"), "child1#1 up, ok 1");

    let brutal = worker("child1").shutdown(Shutdown::Brutal);
    let both = [brutal, worker("child2")];
    assert_eq!(reconfigure(&mut sup, Strategy::OneForOne, both), "ok");
    assert_eq!(sup.which(), "[child2:undefined child1:1]", "still running");
    let describe = Call::DescribeChild("child1".to_owned());
    assert_eq!(sup.call(describe), "child1 Permanent Brutal");

    let twice = [worker("child1"), worker("child1")];
    let refusal = "error invalid: two children are called \"child1\"";
    assert_eq!(reconfigure(&mut sup, Strategy::OneForOne, twice), refusal);
    let odd = [worker("child1").transient().significant()];
    let refusal = "error invalid: child \"child1\" is significant, but auto_shutdown is never";
    assert_eq!(reconfigure(&mut sup, Strategy::OneForOne, odd), refusal);
    assert_eq!(sup.which(), "[child2:undefined child1:1]", "refused whole");
}

/// Named children come in their new order; who is not named stays, behind them.
#[test]
fn code_change_map() {
    let mut sup = one_for_one(2, [worker("a"), worker("b"), worker("c")]).play();
    let order = [worker("c"), worker("d"), worker("a")];
    assert_eq!(reconfigure(&mut sup, Strategy::OneForAll, order), "ok");
    assert_eq!(sup.which(), "[b:1 a:1 d:undefined c:1]");
    assert_eq!(sup.crash("d"), "", "it does not run");
    assert_eq!(
        sup.crash("a"),
        "a crashed, b stopped, c stopped, gave up over a",
        "the new intensity is 0"
    );
}

#[test]
fn code_change_simple() {
    let mut sup = scenario(Strategy::SimpleOneForOne, 2, [worker("child")]).play();
    sup.add_instance("a");
    let none: [Role; 0] = [];
    let refusal = "error invalid: simple_one_for_one takes one child as a template, found 0";
    assert_eq!(reconfigure(&mut sup, Strategy::SimpleOneForOne, none), refusal);
    let two = [worker("child"), worker("child2")];
    let refusal = "error invalid: simple_one_for_one takes one child as a template, found 2";
    assert_eq!(reconfigure(&mut sup, Strategy::SimpleOneForOne, two), refusal);
    let refusal = "error invalid: simple_one_for_one cannot be switched on or off at run time";
    assert_eq!(reconfigure(&mut sup, Strategy::OneForOne, [worker("child")]), refusal);
}

/// The new template is what instances that run go by, too.
#[test]
fn code_change_simple_map() {
    let mut sup = scenario(Strategy::SimpleOneForOne, 2, [worker("child")]).play();
    sup.add_instance("a");
    let temporary = [worker("child").temporary()];
    assert_eq!(reconfigure(&mut sup, Strategy::SimpleOneForOne, temporary), "ok");
    assert_eq!(sup.which(), "[a:1]");
    assert_eq!(sup.crash("a"), "a crashed");
    assert_eq!(sup.which(), "[]");
}
