//! The registry's rows as messages of the control API.

use std::time::{Duration, Instant, SystemTime};

use blackhole_isolation::Pressure;
use blackhole_policy::budget::{Resource, Standing};
use blackhole_protocol::{InstanceId, control::v1 as proto};

use super::Identity;
use crate::{
    registry::{Entry, Event, HistoryEntry, Kind, NodeState, Registry, State},
    usage::{Look, Scope, Usage},
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

pub(super) fn budget(standings: &[(Resource, Standing<InstanceId>)]) -> proto::Budget {
    let mut budget = proto::Budget::default();
    for (resource, standing) in standings {
        let whole = |amount| resource.whole(amount);
        let share = Some(proto::BudgetShare {
            total: whole(standing.budget),
            guaranteed: whole(standing.guaranteed()),
            wanted: whole(standing.wanted()),
            squeezed: standing.squeezed().map(ToString::to_string).collect(),
        });
        match resource {
            Resource::Cpu => budget.cpu = share,
            Resource::Memory => budget.memory = share,
        }
    }
    budget
}

pub(super) fn status(entry: &Entry, look: &mut Look<'_>) -> proto::InstanceStatus {
    let used = look.of(entry);
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
        memory_bytes: used.map(|used| used.memory_bytes),
        cpu_percent: used.map(|used| used.cpu_percent),
        last_exit: entry.last_exit.as_deref().map(last_exit),
        note: entry.note.clone(),
        unenforced: entry.unenforced.clone(),
        usage: used.as_ref().map(usage),
    }
}

fn usage(used: &Usage) -> proto::Usage {
    let scope = match used.scope {
        Scope::Group => proto::UsageScope::Group,
        Scope::Processes => proto::UsageScope::Processes,
        Scope::Node => proto::UsageScope::Node,
    };
    proto::Usage {
        scope: scope.into(),
        memory_bytes: used.memory_bytes,
        memory_peak_bytes: used.memory_peak_bytes,
        memory_max_bytes: used.memory_max_bytes,
        swap_bytes: used.swap_bytes,
        cpu: Some(duration(used.cpu)),
        throttled: used.throttled.map(duration),
        throttled_periods: used.throttled_periods,
        io_read_bytes: used.io_read_bytes,
        io_written_bytes: used.io_written_bytes,
        processes: used.processes,
        threads: used.threads,
        descriptors: used.descriptors,
        connections: used.connections,
        cpu_pressure: used.cpu_pressure.map(pressure),
        memory_pressure: used.memory_pressure.map(pressure),
        io_pressure: used.io_pressure.map(pressure),
    }
}

fn pressure(pressure: Pressure) -> proto::Pressure {
    let Pressure { some_percent, full_percent } = pressure;
    proto::Pressure { some_percent, full_percent }
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
