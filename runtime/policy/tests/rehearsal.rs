//! Rehearsals of trees whose children are slow, end by themselves, or make no sense.

use std::time::Duration;

use blackhole_policy::{
    moment::Moment,
    rehearsal::{Behaviour, Happened, Rehearsal, Role, Scenario, Start},
    supervision::{Call, ChildSpec, Counting, Exit, Phase, RestartLimit, Shutdown, SupervisorSpec},
};

fn worker(id: &str, behaviour: Behaviour) -> Role {
    Role { spec: ChildSpec::worker(id.to_owned()), behaviour, nested: None }
}

fn prompt(id: &str) -> Role {
    worker(id, Behaviour::PROMPT)
}

fn supervisor<const N: usize>(id: &str, children: [Role; N]) -> Role {
    let spec = ChildSpec::supervisor(id.to_owned());
    Role { spec, behaviour: Behaviour::PROMPT, nested: Some(scenario(children)) }
}

fn scenario<const N: usize>(children: [Role; N]) -> Scenario {
    let limit = RestartLimit { restarts_max: 2, window: Duration::from_secs(3600) };
    let spec = SupervisorSpec { counting: Counting::Shared(limit), ..SupervisorSpec::OTP };
    Scenario { spec, children: children.into() }
}

fn rehearsal<const N: usize>(children: [Role; N]) -> Rehearsal {
    Rehearsal::new(scenario(children)).expect("the scenario makes sense")
}

fn seconds(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

/// What was added to the story, without what supervisors report.
fn told(rehearsal: &mut Rehearsal) -> String {
    let tell = |happened: &Happened| {
        Some(match happened {
            Happened::Started { child, attempt } => format!("{child}#{attempt} up"),
            Happened::StartFailed { child, attempt } => format!("{child}#{attempt} failed"),
            Happened::Ignored { child } => format!("{child} ignored"),
            Happened::Exited { child, exit } => format!("{child} {exit:?}"),
            Happened::Stopped { child } => format!("{child} stopped"),
            Happened::Answered(reply) => format!("{reply:?}"),
            Happened::Reported(_) => return None,
            Happened::SupervisorUp => "up".to_owned(),
            Happened::SupervisorExited(why, _) => format!("ended {why:?}"),
        })
    };
    let story = rehearsal.take_story();
    let lines = story.iter().filter_map(|line| {
        let told = tell(&line.happened)?;
        Some(format!("{} {told}", line.at.since_origin().as_secs()))
    });
    lines.collect::<Vec<_>>().join(", ")
}

fn starting_in(delay: u64) -> Behaviour {
    Behaviour::starting(Start::UpAfter(Duration::from_secs(delay)))
}

#[test]
fn whoever_starts_it_waits_until_the_slowest_is_up() {
    let mut sup = rehearsal([worker("a", starting_in(2)), worker("b", starting_in(3))]);
    sup.start_and_wait();
    assert_eq!(sup.now(), seconds(5), "one after the other");
    assert_eq!(told(&mut sup), "2 a#1 up, 5 b#1 up, 5 up");
    let root = sup.supervisor(None).expect("it is there");
    assert!(matches!(root.phase(&"b".to_owned()), Some(Phase::Up(_))));
}

#[test]
fn whoever_starts_it_waits_no_longer_than_until_it_has_ended() {
    let failing = worker("b", Behaviour::starting(Start::FailsFrom(1)));
    let mut sup = rehearsal([worker("a", starting_in(2)), failing]);
    sup.start_and_wait();
    assert_eq!(sup.now(), seconds(2));
    let story = "2 a#1 up, 2 b#1 failed, 2 a stopped, 2 ended StartFailed(\"b\")";
    assert_eq!(told(&mut sup), story);
    assert!(sup.supervisor(None).is_none());
    sup.call(None, Call::WhichChildren);
    assert_eq!(told(&mut sup), "2 Err(SupervisorEnding)");
}

#[test]
fn one_that_does_not_last_is_restarted_until_its_supervisor_gives_up() {
    let exit_after = Some((Duration::from_secs(10), Exit::Abnormal));
    let mut sup = rehearsal([worker("a", Behaviour { exit_after, ..Behaviour::PROMPT })]);
    sup.start();
    sup.settle(seconds(100));
    assert_eq!(
        told(&mut sup),
        "0 a#1 up, 0 up, 10 a Abnormal, 10 a#2 up, 20 a Abnormal, 20 a#3 up, 30 a Abnormal, \
         30 ended RestartedTooOften(\"a\")"
    );
    assert_eq!(sup.now(), seconds(30), "nothing more happens");
}

#[test]
fn a_supervisor_that_ends_takes_its_children_down_first_unless_it_is_killed() {
    let inner = supervisor("inner", [prompt("x"), supervisor("deep", [prompt("y")])]);
    let mut sup = rehearsal([inner]);
    sup.start();
    assert_eq!(told(&mut sup), "0 x#1 up, 0 y#1 up, 0 deep#1 up, 0 inner#1 up, 0 up");
    sup.exit("inner", Exit::Abnormal);
    let up_again = |attempt| {
        let ids = ["x", "y", "deep", "inner"];
        ids.map(|id| format!("0 {id}#{attempt} up")).join(", ")
    };
    let down = "0 y stopped, 0 deep stopped, 0 x stopped, 0 inner Abnormal";
    assert_eq!(told(&mut sup), format!("{down}, {}", up_again(2)));
    sup.exit("inner", Exit::Killed);
    let down = "0 inner Killed, 0 y stopped, 0 deep stopped, 0 x stopped";
    assert_eq!(told(&mut sup), format!("{down}, {}", up_again(3)));
}

#[test]
fn one_that_is_not_up_does_not_end_by_itself() {
    let stopping = Behaviour::stopping_after(Duration::from_secs(3));
    let mut sup = rehearsal([worker("a", stopping), worker("b", starting_in(2))]);
    sup.start();
    assert_eq!(told(&mut sup), "0 a#1 up");
    sup.exit("b", Exit::Abnormal);
    sup.exit("nobody", Exit::Abnormal);
    assert_eq!(told(&mut sup), "");
    sup.settle(seconds(2));
    assert_eq!(told(&mut sup), "2 b#1 up, 2 up");
    sup.stop();
    sup.stop();
    assert_eq!(told(&mut sup), "2 b stopped");
    sup.exit("a", Exit::Abnormal);
    assert_eq!(told(&mut sup), "", "it is on its way out");
    sup.exit("a", Exit::Killed);
    assert_eq!(told(&mut sup), "2 a stopped, 2 ended Stopped", "that ends its grace");
    sup.stop();
    assert_eq!(told(&mut sup), "", "there is nobody any more");
}

#[test]
fn a_nested_supervisor_can_be_called_from_when_it_is_up_until_it_ends() {
    let mut sup = rehearsal([supervisor("inner", [worker("x", starting_in(2))])]);
    sup.start();
    sup.call(Some("inner"), Call::CountChildren);
    assert_eq!(told(&mut sup), "0 Err(SupervisorEnding)");
    assert!(sup.supervisor(Some("inner")).is_none());
    sup.settle(seconds(2));
    assert_eq!(told(&mut sup), "2 x#1 up, 2 inner#1 up, 2 up");
    sup.call(Some("inner"), Call::StopChild("x".to_owned()));
    assert_eq!(told(&mut sup), "2 x stopped, 2 Ok(Done)");
    sup.call(Some("x"), Call::CountChildren);
    assert_eq!(told(&mut sup), "2 Err(SupervisorEnding)", "x supervises nobody");
}

#[test]
fn a_nested_supervisor_that_makes_no_sense_does_not_start() {
    let odd = supervisor("inner", [prompt("x"), prompt("x")]);
    let mut sup = rehearsal([prompt("a"), odd]);
    sup.start();
    let story = "0 a#1 up, 0 inner#1 failed, 0 a stopped, 0 ended StartFailed(\"inner\")";
    assert_eq!(told(&mut sup), story);
}

#[test]
fn a_supervisor_that_is_killed_by_its_own_is_dead_before_its_children() {
    let mut inner = supervisor("inner", [prompt("x"), prompt("y")]);
    inner.spec.shutdown = Shutdown::Brutal;
    let mut sup = rehearsal([inner]);
    sup.start();
    told(&mut sup);
    sup.stop();
    assert_eq!(told(&mut sup), "0 inner stopped, 0 y stopped, 0 x stopped, 0 ended Stopped");
}

#[test]
fn a_name_is_unique_under_one_supervisor_only() {
    let failing = worker("a", Behaviour::starting(Start::FailsFrom(3)));
    let mut sup = rehearsal([supervisor("inner", [failing, prompt("b")]), prompt("a")]);
    sup.start();
    assert_eq!(told(&mut sup), "0 a#1 up, 0 b#1 up, 0 inner#1 up, 0 a#1 up, 0 up");
    sup.exit("a", Exit::Abnormal);
    assert_eq!(told(&mut sup), "0 a Abnormal, 0 a#2 up", "the outer one, which comes first");
    sup.call(None, Call::StopChild("a".to_owned()));
    sup.exit("a", Exit::Abnormal);
    sup.exit("a", Exit::Abnormal);
    let failures = "0 a#3 failed, 0 b stopped, 0 inner Shutdown, 0 a#4 failed";
    let story = told(&mut sup);
    assert!(story.starts_with("0 a stopped, 0 Ok(Done), 0 a Abnormal, 0 a#2 up"), "{story}");
    assert!(story.contains(failures), "the inner one fails from its own third start on: {story}");

    let mut sup = rehearsal([supervisor("inner", [prompt("x")])]);
    sup.start();
    told(&mut sup);
    let slow = worker("x", Behaviour::stopping_after(Duration::from_secs(3)));
    sup.add_child(None, slow.clone());
    sup.call(Some("inner"), Call::StopChild("x".to_owned()));
    assert_eq!(told(&mut sup), "0 x#1 up, 0 Ok(Started(Generation(1))), 0 x stopped, 0 Ok(Done)");
    sup.add_child(Some("inner"), slow);
    assert_eq!(told(&mut sup), "0 Err(AlreadyPresent)");
    sup.call(Some("inner"), Call::StartChild("x".to_owned()));
    sup.call(Some("inner"), Call::StopChild("x".to_owned()));
    let story = "0 x#2 up, 0 Ok(Started(Generation(2))), 0 x stopped, 0 Ok(Done)";
    assert_eq!(told(&mut sup), story, "prompt, as it was");
}
