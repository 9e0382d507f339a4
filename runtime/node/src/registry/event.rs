//! What the registry tells: its subscribers, and the node's own log.

use std::time::SystemTime;

use blackhole_policy::{instance::Reason, supervision::Generation};
use blackhole_protocol::InstanceId;

/// What subscribers are told.
#[derive(Debug, Clone)]
pub struct Event {
    /// Counts up by one.
    pub sequence: u64,
    /// When.
    pub at: SystemTime,
    /// Absent for events of the node itself.
    pub instance: Option<InstanceId>,
    /// Which incarnation.
    pub generation: Generation,
    /// A past participle.
    pub event: &'static str,
    /// Its process.
    pub pid: Option<u32>,
    /// Why, in the words of history where it is an exit.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// The target of log lines that say what [`Registry`](super::Registry) tells subscribers as events.
pub const EVENT_LOG_TARGET: &str = "blackhole::events";

/// The line of the node's own log that goes with an event.
pub(super) fn narrate(event: &Event) {
    let (service, instance) = match &event.instance {
        Some(instance) => (instance.service.as_str(), instance.index.get()),
        None => ("", 0),
    };
    let (generation, name, reason) = (event.generation.0, event.event, event.reason.as_str());
    let message = event.message.as_str();
    match name {
        "failed" | "leaked" => {
            tracing::error!(target: EVENT_LOG_TARGET, service, instance, generation, event = name, reason, "{message}");
        }
        "near_memory_limit" | "oom_killed" | "tasks_refused" | "throttled" | "starved" => {
            tracing::warn!(target: EVENT_LOG_TARGET, service, instance, generation, event = name, reason, "{message}");
        }
        "exited" if reason != Reason::Stop.as_str() => {
            tracing::warn!(target: EVENT_LOG_TARGET, service, instance, generation, event = name, reason, "{message}");
        }
        _ => {
            tracing::info!(target: EVENT_LOG_TARGET, service, instance, generation, event = name, reason, "{message}")
        }
    }
}
