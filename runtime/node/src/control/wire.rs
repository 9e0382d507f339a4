//! The registry's rows as messages of the control API.

use std::time::{Duration, Instant, SystemTime};

use blackhole_protocol::control::v1 as proto;

use super::Identity;
use crate::{
    registry::{Entry, Event, HistoryEntry, Kind, NodeState, Registry, State},
    usage::Sampler,
};

pub(super) fn node(registry: &Registry, identity: &Identity) -> proto::NodeStatus {
    let state = match registry.node_state() {
        NodeState::Starting => proto::NodeState::Starting,
        NodeState::Running => proto::NodeState::Running,
        NodeState::Stopping => proto::NodeState::Stopping,
    };
    proto::NodeStatus {
        name: identity.name.clone(),
        pid: std::process::id(),
        guardian_pid: identity.guardian_pid,
        uptime: Some(duration(registry.uptime())),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: state.into(),
    }
}

pub(super) fn status(entry: &Entry, sampler: &Sampler) -> proto::InstanceStatus {
    let usage = entry.pid.and_then(|pid| sampler.of(pid));
    proto::InstanceStatus {
        service: entry.instance.service.to_string(),
        instance: entry.instance.index.get(),
        group: entry.group.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind: kind(entry.kind).into(),
        state: state(entry.state).into(),
        ready: entry.state == State::Ready,
        pid: entry.pid,
        generation: entry.generation.0,
        restarts: entry.restarts_total(),
        uptime: entry.spawned_at.map(|at| duration(Instant::now() - at)),
        memory_bytes: usage.map(|usage| usage.memory_bytes),
        cpu_percent: usage.map(|usage| usage.cpu_percent),
        last_exit: entry.last_exit.as_deref().map(last_exit),
        note: entry.note.clone(),
        unenforced: entry.unenforced.clone(),
    }
}

pub(super) fn history(entry: HistoryEntry) -> proto::HistoryEntry {
    proto::HistoryEntry {
        at: Some(timestamp(entry.at)),
        service: entry.instance.service.to_string(),
        instance: entry.instance.index.get(),
        generation: entry.generation.0,
        pid: entry.exited.pid,
        reason: entry.exited.reason.to_string(),
        code: entry.exited.code,
        signal: entry.exited.signal,
        stage: entry.exited.stage,
        uptime: Some(duration(entry.exited.uptime)),
        stderr: entry.exited.stderr.unwrap_or_default(),
        message: entry.exited.message,
        unenforced: entry.unenforced,
    }
}

pub(super) fn event(event: &Event) -> proto::Event {
    let (service, instance) = match &event.instance {
        Some(instance) => (instance.service.to_string(), instance.index.get()),
        None => (String::new(), 0),
    };
    proto::Event {
        at: Some(timestamp(event.at)),
        event: event.event.to_owned(),
        service,
        instance,
        generation: event.generation.0,
        pid: event.pid,
        reason: event.reason.clone(),
        message: event.message.clone(),
        sequence: event.sequence,
    }
}

fn last_exit(entry: &HistoryEntry) -> proto::LastExit {
    proto::LastExit {
        at: Some(timestamp(entry.at)),
        reason: entry.exited.reason.to_string(),
        code: entry.exited.code,
        signal: entry.exited.signal.clone(),
    }
}

fn kind(kind: Kind) -> proto::ServiceKind {
    match kind {
        Kind::Command => proto::ServiceKind::Command,
        Kind::Native => proto::ServiceKind::Native,
        Kind::Embedded => proto::ServiceKind::Embedded,
    }
}

fn state(state: State) -> proto::InstanceState {
    match state {
        State::Pending => proto::InstanceState::Pending,
        State::Starting => proto::InstanceState::Starting,
        State::Ready => proto::InstanceState::Ready,
        State::Unready => proto::InstanceState::Unready,
        State::Stopping => proto::InstanceState::Stopping,
        State::BackingOff => proto::InstanceState::BackingOff,
        State::Stopped => proto::InstanceState::Stopped,
        State::Completed => proto::InstanceState::Completed,
        State::Failed => proto::InstanceState::Failed,
        State::Disabled => proto::InstanceState::Disabled,
    }
}

/// A duration too long for the wire cannot have been measured.
fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

fn timestamp(at: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(at)
}
