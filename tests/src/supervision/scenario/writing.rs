//! A script as the JSON that it is read from.

use blackhole_policy::{
    rehearsal::{Behaviour, Role, Scenario, Start},
    supervision::{AutoShutdown, Call, ChildKind, Counting, Exit, Restart, Shutdown, Strategy},
};
use serde_json::{Map, Value, json};

use super::{Action, Request, Script, Step};

impl Script {
    /// The scenario as JSON, to be read again.
    pub fn to_json(&self) -> Value {
        let mut scenario = tree_to_json(&self.tree);
        scenario["steps"] = self.steps.iter().map(step_to_json).collect();
        scenario
    }
}

fn tree_to_json(tree: &Scenario) -> Value {
    let strategy = match tree.spec.strategy {
        Strategy::OneForOne => "one_for_one",
        Strategy::OneForAll => "one_for_all",
        Strategy::RestForOne => "rest_for_one",
        Strategy::SimpleOneForOne => "simple_one_for_one",
    };
    let auto_shutdown = match tree.spec.auto_shutdown {
        AutoShutdown::Never => "never",
        AutoShutdown::AnySignificant => "any_significant",
        AutoShutdown::AllSignificant => "all_significant",
    };
    let (intensity, period) = match tree.spec.counting {
        Counting::Shared(limit) => (json!(limit.restarts_max), json!(limit.window.as_secs())),
        Counting::PerChild => (Value::Null, Value::Null),
    };
    json!({
        "strategy": strategy,
        "intensity": intensity,
        "period_s": period,
        "auto_shutdown": auto_shutdown,
        "children": tree.children.iter().map(role_to_json).collect::<Vec<_>>(),
    })
}

fn role_to_json(role: &Role) -> Value {
    let restart = match role.spec.restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    };
    let shutdown = match role.spec.shutdown {
        Shutdown::Brutal => json!("brutal"),
        Shutdown::Timeout(grace) => json!(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)),
        Shutdown::Infinity => json!("infinity"),
    };
    let kind = match role.spec.kind {
        ChildKind::Worker => "worker",
        ChildKind::Supervisor => "supervisor",
    };
    json!({
        "id": role.spec.id,
        "restart": restart,
        "shutdown": shutdown,
        "significant": role.spec.significant,
        "type": kind,
        "behaviour": behaviour_to_json(&role.behaviour),
        "spec": role.nested.as_ref().map(tree_to_json),
    })
}

fn behaviour_to_json(behaviour: &Behaviour) -> Value {
    let mut object = Map::new();
    match behaviour.start {
        Start::Ignored => return json!("ignore"),
        Start::FailsFrom(first) => {
            object.insert("fail_from".to_owned(), json!(first));
        }
        Start::UpAfter(_) | Start::FailsBetween(..) => {}
    }
    if !behaviour.stop_after.is_zero() {
        let millis = u64::try_from(behaviour.stop_after.as_millis()).unwrap_or(u64::MAX);
        object.insert("slow_stop_ms".to_owned(), json!(millis));
    }
    if object.is_empty() { json!("ok") } else { Value::Object(object) }
}

fn step_to_json(step: &Step) -> Value {
    let mut value = match &step.action {
        Action::Stop => json!({ "call": "stop" }),
        Action::Exit(child, exit) => {
            let reason = match exit {
                Exit::Normal => "normal",
                Exit::Shutdown => "shutdown",
                Exit::Killed => "killed",
                Exit::Abnormal => "crash",
            };
            json!({ "exit": child, "reason": reason })
        }
        Action::Call(supervisor, request) => {
            let mut call = match request {
                Request::StartChild(Some(role)) => {
                    json!({ "call": "start_child", "child": role_to_json(role) })
                }
                Request::StartChild(None) => json!({ "call": "start_child" }),
                Request::StopChild(id) => json!({ "call": "terminate_child", "id": id }),
                Request::Other(Call::StartChild(id)) => {
                    json!({ "call": "restart_child", "id": id })
                }
                Request::Other(Call::RemoveChild(id)) => {
                    json!({ "call": "delete_child", "id": id })
                }
                Request::Other(Call::CountChildren) => json!({ "call": "count_children" }),
                Request::Other(_) => json!({ "call": "which_children" }),
            };
            if let Some(supervisor) = supervisor {
                call["supervisor"] = json!(supervisor);
            }
            call
        }
    };
    value["at_ms"] = json!(u64::try_from(step.at.since_origin().as_millis()).unwrap_or(u64::MAX));
    value
}
