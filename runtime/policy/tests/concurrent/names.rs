//! Children called otherwise, and generations that begin later: what recordings and successors need.

use blackhole_policy::{
    moment::Moment,
    supervision::{
        Call, CallId, ChildSpec, Command, Event, Exit, Generation, Phase, Strategy, Supervisor,
        SupervisorSpec,
    },
};

use crate::desk::spec;

fn number(text: &str) -> u32 {
    text.parse().expect("children are numbers")
}

fn calls() -> Vec<Call<u32>> {
    let child = ChildSpec { after: vec![1, 2], significant: true, ..ChildSpec::supervisor(3) };
    vec![
        Call::AddChild(child.clone()),
        Call::AddInstance(1),
        Call::StopChild(2),
        Call::StopIncarnation(3, Generation(4)),
        Call::StartChild(5),
        Call::RestartChild(6),
        Call::RemoveChild(7),
        Call::UpdateChild(child.clone()),
        Call::Reconfigure(spec(Strategy::RestForOne), vec![child, ChildSpec::worker(8)]),
        Call::DescribeChild(9),
        Call::WhichChildren,
        Call::CountChildren,
    ]
}

#[test]
fn an_event_called_otherwise_and_back_is_the_same_event() {
    let (child, generation, jitter) = (1, Generation(2), 0.5);
    let mut events = vec![
        Event::StartRequested,
        Event::Started { child, generation },
        Event::StartFailed { child, generation, jitter },
        Event::Ignored { child, generation },
        Event::Exited { child, generation, exit: Exit::Killed, jitter },
        Event::StopRequested,
        Event::DeadlineReached,
    ];
    events.extend(calls().into_iter().map(|request| Event::Called { call: CallId(1), request }));
    for event in events {
        let text = event.renamed(&|child| format!("{child}"));
        assert_eq!(text.renamed(&|text| number(text)), event);
    }
    let exited = Event::Exited { child, generation, exit: Exit::Normal, jitter };
    let child = "svc-1".to_owned();
    let renamed = Event::Exited { child, generation, exit: Exit::Normal, jitter };
    assert_eq!(exited.renamed(&|child| format!("svc-{child}")), renamed);
}

#[test]
fn a_template_is_called_otherwise_too() {
    let simple = spec(Strategy::SimpleOneForOne);
    let mut machine = Supervisor::new(simple, vec![ChildSpec::worker(0)]).expect("makes sense");
    machine.on_event(Moment::ORIGIN, Event::StartRequested);
    let checkpoint = machine.checkpoint().expect("it is concurrent");
    let text = checkpoint.renamed(&u32::to_string);
    let mut successor = Supervisor::resume(text).expect("it made sense before");
    let called = Event::Called { call: CallId(1), request: Call::AddInstance("7".to_owned()) };
    let start = Command::Start { child: "7".to_owned(), generation: Generation(1) };
    assert!(successor.on_event(Moment::ORIGIN, called).contains(&start));
}

/// What is told of a predecessor's incarnations changes nothing.
#[test]
fn a_successor_never_takes_its_predecessors_incarnations_for_its_own() {
    for spec in [spec(Strategy::OneForOne), SupervisorSpec::OTP] {
        let machine = Supervisor::new(spec, vec![ChildSpec::worker(1)]).expect("makes sense");
        let mut machine = machine.beyond(Generation(7));
        let start = Command::Start { child: 1, generation: Generation(8) };
        assert_eq!(machine.on_event(Moment::ORIGIN, Event::StartRequested), [start]);
        let late = Event::Started { child: 1, generation: Generation(7) };
        assert_eq!(machine.on_event(Moment::ORIGIN, late), []);
        assert_eq!(machine.phase(&1), Some(Phase::Starting(Generation(8))));
        let up = Event::Started { child: 1, generation: Generation(8) };
        assert_eq!(machine.on_event(Moment::ORIGIN, up), [Command::Up]);
        let added = Call::AddChild(ChildSpec::worker(2));
        let added = Event::Called { call: CallId(1), request: added };
        let start = Command::Start { child: 2, generation: Generation(8) };
        assert!(machine.on_event(Moment::ORIGIN, added).contains(&start), "newcomers as well");
    }
}
