//! A script played through the policy machine, as the lines of JSON that tell its story.

use std::time::Duration;

use blackhole_policy::{
    moment::Moment,
    rehearsal::{Happened, Rehearsal},
    supervision::{
        Answer, ChildKind, ChildStatus, Exit, Generation, Phase, Refusal, Reply, SpecError,
    },
};
use serde_json::{Value, json};

use super::scenario::{Action, Request, Script};

/// Plays a script.
pub fn play(script: &Script) -> Vec<Value> {
    let mut rehearsal = match Rehearsal::new(script.tree.clone()) {
        Ok(rehearsal) => rehearsal,
        Err(_) => return play_without(script),
    };
    rehearsal.start_and_wait();
    for step in &script.steps {
        rehearsal.advance_to(step.at.max(rehearsal.now()));
        act(&mut rehearsal, &step.action);
    }
    rehearsal.stop();
    rehearsal.settle(Moment::after_origin(Duration::MAX));
    rehearsal.take_story().iter().filter_map(|line| line_of(&line.happened)).collect()
}

/// There is no supervisor if its specification makes no sense.
fn play_without(script: &Script) -> Vec<Value> {
    let exited = json!({ "supervisor_exited": "start_spec" });
    let calls = script.steps.iter().filter(|step| matches!(step.action, Action::Call(..)));
    let answers =
        calls.map(|_| json!({ "result": { "error": error(&Refusal::SupervisorEnding) } }));
    std::iter::once(exited).chain(answers).collect()
}

/// A line of the story as it is printed: what happened first, then the rest.
pub fn text(line: &Value) -> String {
    let Some(object) = line.as_object() else { return line.to_string() };
    let (rest, what): (Vec<_>, Vec<_>) =
        object.iter().partition(|(key, _)| *key == "n" || *key == "reason");
    let pairs = what.into_iter().chain(rest).map(|(key, value)| format!("{}:{value}", json!(key)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn act(rehearsal: &mut Rehearsal, action: &Action) {
    match action {
        Action::Exit(child, exit) => rehearsal.exit(child, *exit),
        Action::Stop => rehearsal.stop(),
        Action::Call(supervisor, request) => {
            let supervisor = supervisor.as_deref();
            match request {
                Request::StartChild(Some(role)) if !rehearsal.is_simple(supervisor) => {
                    rehearsal.add_child(supervisor, role.as_ref().clone());
                }
                Request::StartChild(role) => {
                    let name = role.as_ref().map(|role| role.spec.id.as_str());
                    rehearsal.add_instance(supervisor, name);
                }
                Request::StopChild(id) => rehearsal.terminate_child(supervisor, id),
                Request::Other(call) => rehearsal.call(supervisor, call.clone()),
            }
        }
    }
}

fn line_of(happened: &Happened) -> Option<Value> {
    Some(match happened {
        Happened::Started { child, attempt } => json!({ "started": child, "n": attempt }),
        Happened::StartFailed { child, attempt } => json!({ "start_failed": child, "n": attempt }),
        Happened::Ignored { child } => json!({ "ignored": child }),
        Happened::Exited { child, exit } => json!({ "exited": child, "reason": reason(*exit) }),
        Happened::Stopped { child } => json!({ "stopped": child }),
        Happened::Answered(reply) => json!({ "result": result(reply) }),
        Happened::SupervisorExited(_, exit) => json!({ "supervisor_exited": reason(*exit) }),
        Happened::Reported(_) | Happened::SupervisorUp => return None,
    })
}

fn reason(exit: Exit) -> &'static str {
    match exit {
        Exit::Normal => "normal",
        Exit::Shutdown => "shutdown",
        Exit::Killed => "killed",
        Exit::Abnormal => "crash",
    }
}

fn result(reply: &Reply<String>) -> Value {
    match reply {
        Ok(Answer::Done | Answer::Started(_)) => json!("ok"),
        Ok(Answer::Ignored) => json!("undefined"),
        Ok(Answer::Child(spec)) => json!({ "id": spec.id }),
        Ok(Answer::Children(children)) => children.iter().map(child).collect(),
        Ok(Answer::Counts(counts)) => json!({
            "specs": counts.specs,
            "active": counts.active,
            "supervisors": counts.supervisors,
            "workers": counts.workers,
        }),
        Err(refusal) => json!({ "error": error(refusal) }),
    }
}

fn child(status: &ChildStatus<String>) -> Value {
    let state = match status.phase {
        Phase::Up(Generation(_)) => "running",
        Phase::BackingOff { .. } => "restarting",
        Phase::Down
        | Phase::Pending
        | Phase::Starting(_)
        | Phase::Stopping(_)
        | Phase::Completed(_)
        | Phase::Stopped
        | Phase::Failed => "undefined",
    };
    let kind = match status.kind {
        ChildKind::Worker => "worker",
        ChildKind::Supervisor => "supervisor",
    };
    json!({ "id": status.id, "state": state, "type": kind })
}

fn error(refusal: &Refusal<String>) -> &'static str {
    match refusal {
        Refusal::NotFound => "not_found",
        Refusal::AlreadyPresent => "already_present",
        Refusal::AlreadyStarted(_) => "already_started",
        Refusal::Running => "running",
        Refusal::Restarting => "restarting",
        Refusal::SimpleOneForOne => "simple_one_for_one",
        Refusal::NotSimpleOneForOne => "not_simple_one_for_one",
        Refusal::StartFailed => "start_failed",
        Refusal::Superseded => "superseded",
        Refusal::Invalid(error) => spec_error(error),
        Refusal::SupervisorEnding => "noproc",
    }
}

fn spec_error(error: &SpecError<String>) -> &'static str {
    match error {
        SpecError::DuplicateChild(_) => "duplicate_child_name",
        SpecError::SignificantWithoutAutoShutdown(_) | SpecError::SignificantPermanent(_) => {
            "bad_combination"
        }
        SpecError::TemplateCount(_) => "bad_start_spec",
        SpecError::StrategyFixed
        | SpecError::DisciplineFixed
        | SpecError::StrictCountsShared
        | SpecError::StrictWindow(_)
        | SpecError::UnknownSibling { .. }
        | SpecError::Circular(_) => "invalid",
    }
}
