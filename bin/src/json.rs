//! The JSON that scripts read: the documented shapes of status, history and events.
//!
//! What is absent is `null`; times are RFC 3339 in UTC with milliseconds.

use blackhole_protocol::control::v1 as proto;
use serde::Serialize;

use crate::text;

/// What `bh status --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    node: Option<Node>,
    budget: Option<Budget>,
    services: Vec<Instance>,
}

#[derive(Debug, Serialize)]
struct Node {
    name: String,
    pid: u32,
    guardian_pid: Option<u32>,
    uptime_seconds: Option<f64>,
    version: String,
    state: String,
}

/// What the node divides among its instances; `null` when it has no budget.
#[derive(Debug, Serialize)]
struct Budget {
    cpu: Option<CpuBudget>,
    memory: Option<MemoryBudget>,
}

#[derive(Debug, Serialize)]
struct CpuBudget {
    total_cores: f64,
    guaranteed_cores: f64,
    wanted_cores: f64,
    squeezed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MemoryBudget {
    total_bytes: u64,
    guaranteed_bytes: u64,
    wanted_bytes: u64,
    squeezed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Instance {
    name: String,
    instance: u32,
    group: Option<String>,
    kind: String,
    state: String,
    ready: bool,
    pid: Option<u32>,
    generation: u64,
    restarts: u64,
    uptime_seconds: Option<f64>,
    memory_bytes: Option<u64>,
    cpu_percent: Option<f64>,
    last_exit: Option<LastExit>,
    unenforced: Vec<String>,
    usage: Option<Usage>,
}

/// What an instance uses; `null` is what is not counted.
#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    scope: String,
    memory_bytes: u64,
    memory_peak_bytes: Option<u64>,
    memory_max_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    throttled_seconds: Option<f64>,
    throttled_periods: Option<u64>,
    io_read_bytes: Option<u64>,
    io_written_bytes: Option<u64>,
    processes: u64,
    threads: u64,
    descriptors: Option<u64>,
    connections: Option<u64>,
    cpu_pressure: Option<Pressure>,
    memory_pressure: Option<Pressure>,
    io_pressure: Option<Pressure>,
}

#[derive(Debug, Serialize)]
struct Pressure {
    some_percent: f64,
    full_percent: f64,
}

#[derive(Debug, Serialize)]
struct LastExit {
    at: Option<String>,
    reason: String,
    code: Option<i32>,
    signal: Option<String>,
}

/// One line of `bh history --json`.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryEntry {
    at: Option<String>,
    service: String,
    instance: u32,
    generation: u64,
    pid: Option<u32>,
    reason: String,
    code: Option<i32>,
    signal: Option<String>,
    stage: Option<String>,
    uptime_seconds: Option<f64>,
    stderr: String,
    message: String,
    unenforced: Vec<String>,
}

/// One line of `bh events --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    sequence: u64,
    at: Option<String>,
    event: String,
    service: Option<String>,
    instance: Option<u32>,
    generation: Option<u64>,
    pid: Option<u32>,
    reason: Option<String>,
    message: String,
}

fn present(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<proto::GetStatusResponse> for Status {
    fn from(status: proto::GetStatusResponse) -> Self {
        Self {
            node: status.node.map(Node::from),
            budget: status.budget.map(Budget::from),
            services: status.instances.into_iter().map(Instance::from).collect(),
        }
    }
}

impl From<proto::NodeStatus> for Node {
    fn from(node: proto::NodeStatus) -> Self {
        Self {
            state: text::node_state(node.state()),
            uptime_seconds: text::seconds(node.uptime.as_ref()),
            name: node.name,
            pid: node.pid,
            guardian_pid: (node.guardian_pid != 0).then_some(node.guardian_pid),
            version: node.version,
        }
    }
}

impl From<proto::Budget> for Budget {
    fn from(budget: proto::Budget) -> Self {
        Self {
            cpu: budget.cpu.map(|share| CpuBudget {
                total_cores: share.total,
                guaranteed_cores: share.guaranteed,
                wanted_cores: share.wanted,
                squeezed: share.squeezed,
            }),
            memory: budget.memory.map(|share| MemoryBudget {
                total_bytes: text::whole_bytes(share.total),
                guaranteed_bytes: text::whole_bytes(share.guaranteed),
                wanted_bytes: text::whole_bytes(share.wanted),
                squeezed: share.squeezed,
            }),
        }
    }
}

impl From<proto::InstanceStatus> for Instance {
    fn from(status: proto::InstanceStatus) -> Self {
        Self {
            kind: text::service_kind(status.kind()),
            state: text::instance_state(status.state()),
            uptime_seconds: text::seconds(status.uptime.as_ref()),
            name: status.service,
            instance: status.instance,
            group: present(status.group),
            ready: status.ready,
            pid: status.pid,
            generation: status.generation,
            restarts: status.restarts,
            memory_bytes: status.memory_bytes,
            cpu_percent: status.cpu_percent,
            last_exit: status.last_exit.map(LastExit::from),
            unenforced: status.unenforced,
            usage: status.usage.as_ref().map(Usage::from),
        }
    }
}

impl From<&proto::Usage> for Usage {
    fn from(usage: &proto::Usage) -> Self {
        Self {
            scope: text::usage_scope(usage.scope()),
            memory_bytes: usage.memory_bytes,
            memory_peak_bytes: usage.memory_peak_bytes,
            memory_max_bytes: usage.memory_max_bytes,
            swap_bytes: usage.swap_bytes,
            cpu_seconds: text::seconds(usage.cpu.as_ref()),
            throttled_seconds: text::seconds(usage.throttled.as_ref()),
            throttled_periods: usage.throttled_periods,
            io_read_bytes: usage.io_read_bytes,
            io_written_bytes: usage.io_written_bytes,
            processes: usage.processes,
            threads: usage.threads,
            descriptors: usage.descriptors,
            connections: usage.connections,
            cpu_pressure: usage.cpu_pressure.as_ref().map(Pressure::from),
            memory_pressure: usage.memory_pressure.as_ref().map(Pressure::from),
            io_pressure: usage.io_pressure.as_ref().map(Pressure::from),
        }
    }
}

impl From<&proto::Pressure> for Pressure {
    fn from(pressure: &proto::Pressure) -> Self {
        Self { some_percent: pressure.some_percent, full_percent: pressure.full_percent }
    }
}

impl From<proto::LastExit> for LastExit {
    fn from(exit: proto::LastExit) -> Self {
        Self {
            at: text::rfc3339(exit.at.as_ref()),
            reason: exit.reason,
            code: exit.code,
            signal: exit.signal,
        }
    }
}

impl From<proto::HistoryEntry> for HistoryEntry {
    fn from(entry: proto::HistoryEntry) -> Self {
        Self {
            at: text::rfc3339(entry.at.as_ref()),
            uptime_seconds: text::seconds(entry.uptime.as_ref()),
            service: entry.service,
            instance: entry.instance,
            generation: entry.generation,
            pid: entry.pid,
            reason: entry.reason,
            code: entry.code,
            signal: entry.signal,
            stage: entry.stage,
            stderr: entry.stderr,
            message: entry.message,
            unenforced: entry.unenforced,
        }
    }
}

impl From<proto::Event> for Event {
    fn from(event: proto::Event) -> Self {
        let service = present(event.service);
        Self {
            sequence: event.sequence,
            at: text::rfc3339(event.at.as_ref()),
            event: event.event,
            instance: service.is_some().then_some(event.instance),
            generation: service.is_some().then_some(event.generation),
            service,
            pid: event.pid,
            reason: present(event.reason),
            message: event.message,
        }
    }
}
