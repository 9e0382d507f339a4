//! `child_unlink` to `scale_start_stop_many_children`.

use std::time::Duration;

use blackhole_policy::{
    moment::Moment,
    rehearsal::{Behaviour, Start},
    supervision::{
        Call, CallId, ChildSpec, Command, Event, Exit, Generation, Strategy, Supervisor,
        SupervisorSpec,
    },
};

use crate::{
    desk::Desk,
    play::{RoleWords, ScenarioWords, flags, one_for_one, scenario, supervisor, worker},
};

/// OTP's child unlinks itself so that its exit never arrives; here it never reacts. Neither hangs
/// the supervisor longer than the child's grace.
#[test]
fn child_unlink() {
    let deaf = worker("child").behaving(Behaviour::stopping_after(Duration::from_secs(3600)));
    let mut sup = one_for_one(1, [deaf]).play();
    assert_eq!(sup.terminate("child"), "");
    assert_eq!(sup.until_millis(1000), "child stopped, ok");
    assert_eq!(sup.which(), "[child:undefined]");
}

#[test]
fn tree() {
    let inner = |name: &str, leaves: [&str; 2]| {
        supervisor(name, scenario(Strategy::OneForAll, 1, leaves.map(worker)))
    };
    let mut sup =
        one_for_one(2, [inner("s1", ["a", "b"]), worker("w"), inner("s2", ["c", "d"])]).play();
    assert_eq!(sup.told, "a#1 up, b#1 up, s1#1 up, w#1 up, c#1 up, d#1 up, s2#1 up, up");
    assert_eq!(sup.count(), "[3,3,2,1]");
    assert_eq!(sup.crash("a"), "a crashed, b stopped, a#2 up, b#2 up", "the inner one sees to it");
    assert_eq!(
        sup.crash("b"),
        "b crashed, a stopped, s1 shutdown, a#3 up, b#3 up, s1#2 up",
        "the inner one gives up, the outer one starts it anew"
    );
    let story = "d stopped, c stopped, s2 stopped, w stopped, b stopped, a stopped, s1 stopped, \
                 ended";
    assert_eq!(sup.stop(), story);
}

#[test]
fn count_children() {
    let mut sup = one_for_one(2, []).play();
    for (index, id) in ["a", "b", "c"].into_iter().enumerate() {
        sup.add(worker(id));
        assert_eq!(sup.count(), format!("[{0},{0},0,{0}]", index + 1));
    }
    sup.terminate("b");
    assert_eq!(sup.count(), "[3,2,0,3]");
    sup.delete("b");
    assert_eq!(sup.count(), "[2,2,0,2]");
}

#[test]
fn count_children_supervisor() {
    let inner = supervisor("s", one_for_one(1, [])).temporary();
    let simple = scenario(Strategy::SimpleOneForOne, 2, [inner]);
    let mut sup = simple.play();
    assert_eq!(sup.count(), "[1,0,0,0]");
    sup.add_instance("s1");
    sup.add_instance("s2");
    assert_eq!(sup.count(), "[1,2,2,0]");
    let mut sup = one_for_one(1, [supervisor("s", one_for_one(1, [])), worker("w")]).play();
    assert_eq!(sup.count(), "[2,2,1,1]");
    sup.terminate("s");
    assert_eq!(sup.count(), "[2,1,1,1]");
}

/// While an attempt is on its way the child is `restarting`, and counts, but not as active.
#[test]
fn count_restarting_children() {
    let mut desk = Desk::new(&scenario(Strategy::SimpleOneForOne, 10, [worker("child")]));
    desk.start();
    for (id, generation) in [("a", 1), ("b", 2), ("c", 3)] {
        desk.call(Call::AddInstance(id.to_owned()));
        desk.up(id, generation);
    }
    assert_eq!(desk.call(Call::CountChildren), "[1,3,0,3]");
    assert_eq!(desk.exited("a", 1, Exit::Abnormal), "start a#4");
    assert_eq!(desk.exited("b", 2, Exit::Abnormal), "");
    assert_eq!(desk.failed("a", 4), "start b#5", "b's exit came before the next attempt at a");
    assert_eq!(desk.call(Call::CountChildren), "");
    assert_eq!(desk.failed("b", 5), "start a#6");
    assert_eq!(desk.up("a", 6), "[1,2,0,3], start b#7");
    assert_eq!(desk.call(Call::WhichChildren), "");
    assert_eq!(desk.up("b", 7), "[c:3 a:6 b:7]");
}

fn simple_temporary() -> Supervisor<u32> {
    let template = ChildSpec {
        restart: blackhole_policy::supervision::Restart::Temporary,
        ..ChildSpec::worker(0)
    };
    let spec = flags(Strategy::SimpleOneForOne, 1);
    let mut machine = Supervisor::new(spec, vec![template]).expect("makes sense");
    machine.on_event(Moment::ORIGIN, Event::StartRequested);
    machine
}

fn add(machine: &mut Supervisor<u32>, id: u32, generation: u64) {
    let called = Event::Called { call: CallId(0), request: Call::AddInstance(id) };
    machine.on_event(Moment::ORIGIN, called);
    let started = Event::Started { child: id, generation: Generation(generation) };
    machine.on_event(Moment::ORIGIN, started);
}

#[test]
fn do_not_save_start_parameters_for_temporary_children() {
    let mut machine = simple_temporary();
    add(&mut machine, 1, 1);
    let exited =
        Event::Exited { child: 1, generation: Generation(1), exit: Exit::Normal, jitter: 0.0 };
    machine.on_event(Moment::ORIGIN, exited);
    assert_eq!(machine.which_children(), []);
    assert_eq!(machine.phase(&1), None);
}

#[test]
fn do_not_save_child_specs_for_temporary_children() {
    let mut sup = one_for_one(2, []).play();
    for exit in [Exit::Normal, Exit::Shutdown, Exit::Killed, Exit::Abnormal] {
        assert!(sup.add(worker("a").temporary()).starts_with("a#"));
        sup.exit("a", exit);
        assert_eq!(sup.which(), "[]");
        assert_eq!(sup.call(Call::DescribeChild("a".to_owned())), "error not_found");
    }
    sup.add(worker("a").temporary());
    sup.terminate("a");
    assert_eq!(sup.which(), "[]");
}

/// What this thread has run: others that want the CPU do not make it longer.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it only grows from zero")
}

/// How much CPU time it takes to start and end so many temporary instances.
fn temporary_children(count: u32) -> Duration {
    let mut machine = simple_temporary();
    let begun = cpu_time();
    for id in 0..count {
        add(&mut machine, id, u64::from(id) + 1);
    }
    for id in 0..count {
        let generation = Generation(u64::from(id) + 1);
        let exited = Event::Exited { child: id, generation, exit: Exit::Normal, jitter: 0.0 };
        machine.on_event(Moment::ORIGIN, exited);
    }
    assert_eq!(machine.which_children(), []);
    cpu_time() - begun
}

/// Ten times as many take about ten times as long, not a hundred.
#[test]
fn simple_one_for_one_scale_many_temporary_children() {
    temporary_children(1_000);
    let (few, many) = (temporary_children(5_000), temporary_children(50_000));
    assert!(many < few * 50, "5000 took {few:?}, 50000 took {many:?}");
}

/// A temporary sibling that the strategy takes down is gone.
#[test]
fn temporary_bystander() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let children = [worker("child1"), worker("child2").temporary()];
        let mut sup = scenario(strategy, 2, children).play();
        assert_eq!(sup.crash("child1"), "child1 crashed, child2 stopped, child1#2 up");
        assert_eq!(sup.which(), "[child1:2]");
    }
}

/// A name outlives the incarnation behind it, through a supervisor that gave up as well.
#[test]
fn simple_global_supervisor() {
    let inner = supervisor("middle", one_for_one(0, [worker("server")]));
    let mut sup = one_for_one(2, [inner]).play();
    let story = "server crashed, middle shutdown, server#2 up, middle#2 up";
    assert_eq!(sup.crash("server"), story);
    assert_eq!(sup.call_nested("middle", Call::WhichChildren), "[server:1]", "of a new roster");
}

/// Calls are served between two attempts.
#[test]
fn hanging_restart_loop() {
    let mut desk = Desk::new(&one_for_one(1_000_000, [worker("child1")]));
    desk.start();
    desk.up("child1", 1);
    assert_eq!(desk.exited("child1", 1, Exit::Abnormal), "start child1#2");
    let id = || "child1".to_owned();
    for (generation, request, answer) in [
        (2, Call::AddChild(worker("child1").spec), "error already_present"),
        (3, Call::StartChild(id()), "error restarting"),
        (4, Call::RemoveChild(id()), "error restarting"),
        (5, Call::WhichChildren, "[child1:restarting]"),
        (6, Call::CountChildren, "[1,0,0,1]"),
    ] {
        assert_eq!(desk.call(request), "", "in the middle of an attempt");
        let next = generation + 1;
        assert_eq!(desk.failed("child1", generation), format!("{answer}, start child1#{next}"));
    }
    assert_eq!(desk.call(Call::StopChild(id())), "");
    assert_eq!(desk.failed("child1", 7), "ok", "and no further attempt");
    assert_eq!(desk.call(Call::StartChild(id())), "start child1#8");
    assert_eq!(desk.up("child1", 8), "ok 8");
    assert_eq!(desk.exited("child1", 8, Exit::Abnormal), "start child1#9");
    assert_eq!(desk.on(Event::StopRequested), "");
    assert_eq!(desk.failed("child1", 9), "exit Stopped");
}

#[test]
fn hanging_restart_loop_rest_for_one() {
    let children = [worker("child1"), worker("child2"), worker("child3")];
    let mut desk = Desk::new(&scenario(Strategy::RestForOne, 1_000_000, children));
    desk.start();
    for child in ["child1", "child2", "child3"] {
        desk.up(child, 1);
    }
    assert_eq!(desk.exited("child2", 1, Exit::Abnormal), "stop child3#1");
    assert_eq!(desk.exited("child3", 1, Exit::Shutdown), "start child2#2");
    assert_eq!(desk.call(Call::WhichChildren), "");
    let listing = "[child3:undefined child2:restarting child1:1], start child2#3";
    assert_eq!(desk.failed("child2", 2), listing);
    assert_eq!(desk.call(Call::StartChild("child3".to_owned())), "");
    assert_eq!(desk.failed("child2", 3), "start child3#2", "an operator may start it meanwhile");
    assert_eq!(desk.up("child3", 2), "ok 2, stop child3#2", "the group is restarted whole");
    assert_eq!(desk.exited("child3", 2, Exit::Shutdown), "start child2#4");
    assert_eq!(desk.up("child2", 4), "start child3#3");
    assert_eq!(desk.up("child3", 3), "");
}

#[test]
fn hanging_restart_loop_simple() {
    let mut desk = Desk::new(&scenario(Strategy::SimpleOneForOne, 1_000_000, [worker("child")]));
    desk.start();
    for (id, generation) in [("a", 1), ("b", 2)] {
        desk.call(Call::AddInstance(id.to_owned()));
        desk.up(id, generation);
    }
    assert_eq!(desk.exited("a", 1, Exit::Abnormal), "start a#3");
    assert_eq!(desk.call(Call::WhichChildren), "");
    assert_eq!(desk.failed("a", 3), "[b:2 a:restarting], start a#4");
    let old_pid = Call::StopIncarnation("a".to_owned(), Generation(1));
    assert_eq!(desk.call(old_pid), "");
    assert_eq!(desk.failed("a", 4), "ok", "found by the pid it had");
    assert_eq!(desk.call(Call::WhichChildren), "[b:2]");
    assert_eq!(desk.on(Event::StopRequested), "stop b#2");
}

#[test]
fn order_of_children() {
    let ids = ["a", "b", "c", "d", "e"];
    let mut sup = scenario(Strategy::RestForOne, 2, ids.map(worker)).play();
    assert_eq!(sup.told, "a#1 up, b#1 up, c#1 up, d#1 up, e#1 up, up");
    assert_eq!(sup.crash("c"), "c crashed, e stopped, d stopped, c#2 up, d#2 up, e#2 up");
    let stops = "e stopped, d stopped, c stopped, b stopped, a stopped, ended";
    assert_eq!(sup.stop(), stops);

    let mut sup = scenario(Strategy::OneForAll, 2, ids.map(worker)).play();
    let stops = "c crashed, e stopped, d stopped, b stopped, a stopped";
    assert_eq!(sup.crash("c"), format!("{stops}, a#2 up, b#2 up, c#2 up, d#2 up, e#2 up"));

    let failing = worker("c").behaving(Behaviour::starting(Start::FailsFrom(1)));
    let sup = one_for_one(2, [worker("a"), worker("b"), failing, worker("d")]).play();
    let partial = "a#1 up, b#1 up, c#1 failed, b stopped, a stopped, did not start for c";
    assert_eq!(sup.told, partial);
}

/// How much CPU time it takes to start and stop a supervisor of so many children.
fn many_children(count: u32) -> Duration {
    let begun = cpu_time();
    let specs = (0..count).map(ChildSpec::worker).collect();
    let mut machine = Supervisor::new(SupervisorSpec::OTP, specs).expect("makes sense");
    let mut commands = machine.on_event(Moment::ORIGIN, Event::StartRequested);
    let mut stopped = 0;
    loop {
        let event = match commands.pop() {
            Some(Command::Start { child, generation }) => Event::Started { child, generation },
            Some(Command::Up) => Event::StopRequested,
            Some(Command::Stop { child, generation, .. }) => {
                stopped += 1;
                Event::Exited { child, generation, exit: Exit::Shutdown, jitter: 0.0 }
            }
            Some(Command::Exit(_)) => break,
            other => panic!("unexpected: {other:?}"),
        };
        commands = machine.on_event(Moment::ORIGIN, event);
    }
    assert_eq!(stopped, count);
    cpu_time() - begun
}

#[test]
fn scale_start_stop_many_children() {
    many_children(1_000);
    let (few, many) = (many_children(1_000), many_children(100_000));
    assert!(many < few * 1_000, "1000 took {few:?}, 100000 took {many:?}");
}
