//! The page `/health`.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use blackhole_config::Config;
use blackhole_protocol::Name;
use serde::Serialize;

use crate::{
    registry::{Entry, NodeState, Registry, State},
    usage::{Look, Sampler, Usage},
};

/// How well a service, or the whole node, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Healthy,
    Degraded,
    Unhealthy,
    Starting,
    Stopped,
}

/// The page, before it is JSON.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    status: Status,
    version: &'static str,
    uptime: String,
    uptime_seconds: f64,
    orchestrator: Orchestrator,
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Serialize)]
struct Orchestrator {
    pid: u32,
    memory: String,
    cpu: String,
}

#[derive(Debug, Serialize)]
struct Service {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pids: Vec<u32>,
    restarts: u64,
    memory: Option<String>,
    cpu: Option<String>,
    last_health_check: Option<String>,
}

impl Page {
    /// 200 while the node does its work, if not all of it; 503 otherwise.
    pub(super) fn code(&self) -> StatusCode {
        match self.status {
            Status::Healthy | Status::Degraded => StatusCode::OK,
            Status::Unhealthy | Status::Starting | Status::Stopped => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    pub(super) fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("the page has only string keys");
        text.push('\n');
        text
    }
}

/// The page as of now.
pub(super) fn page(config: &Config, registry: &Registry, sampler: &Sampler) -> Page {
    let mut rows: BTreeMap<Name, Vec<Entry>> = BTreeMap::new();
    for entry in registry.entries(|_| true) {
        rows.entry(entry.instance.service.clone()).or_default().push(entry);
    }
    let mut look = sampler.look();
    let services: BTreeMap<String, Service> = rows
        .into_iter()
        .map(|(name, entries)| {
            let memory_max = config.services.get(&name).and_then(|it| it.resources.memory);
            (name.to_string(), service(&entries, memory_max, &mut look))
        })
        .collect();
    let own = sampler.own();
    Page {
        status: overall(registry.node_state(), services.values().map(|service| service.status)),
        version: env!("CARGO_PKG_VERSION"),
        uptime: coarse(registry.uptime()),
        uptime_seconds: registry.uptime().as_secs_f64(),
        orchestrator: Orchestrator {
            pid: std::process::id(),
            memory: mebibytes(own.memory_bytes),
            cpu: percent(own.cpu_percent),
        },
        services,
    }
}

/// Whether `/ready` need not wait for this row.
pub(super) fn counts_as_ready(entry: &Entry) -> bool {
    match entry.state {
        State::Ready | State::Completed | State::Stopped | State::Disabled => true,
        State::Pending
        | State::Starting
        | State::Unready
        | State::Stopping
        | State::BackingOff
        | State::Failed => false,
    }
}

/// `memory_max` is what each instance may use, in bytes.
fn service(entries: &[Entry], memory_max: Option<u64>, look: &mut Look<'_>) -> Service {
    let pids: Vec<u32> = entries.iter().filter_map(|entry| entry.pid).collect();
    let usage: Vec<Usage> = entries.iter().filter_map(|entry| look.of(entry)).collect();
    let total = |value: fn(&Usage) -> f64| usage.iter().map(value).sum::<f64>();
    Service {
        status: combined(entries.iter().map(|entry| status_of(entry.state))),
        reason: entries.iter().find_map(reason_of),
        pid: pids.first().copied(),
        restarts: entries.iter().map(Entry::restarts_total).sum(),
        memory: (!usage.is_empty()).then(|| {
            let bytes = usage.iter().map(|usage| usage.memory_bytes).sum();
            let limit = memory_max.map_or("unlimited".to_owned(), |limit| {
                mebibytes(limit.saturating_mul(usage.len() as u64))
            });
            format!("{}/{limit}", mebibytes(bytes))
        }),
        cpu: (!usage.is_empty()).then(|| percent(total(|usage| usage.cpu_percent))),
        last_health_check: entries
            .iter()
            .map(|entry| entry.checked_at)
            .max()
            .map(|at| humantime::format_rfc3339_millis(at).to_string()),
        pids: if pids.len() > 1 { pids } else { Vec::new() },
    }
}

fn status_of(state: State) -> Status {
    match state {
        State::Ready => Status::Healthy,
        State::Unready => Status::Degraded,
        State::Pending | State::Starting => Status::Starting,
        State::BackingOff | State::Failed => Status::Unhealthy,
        State::Stopping | State::Stopped | State::Completed | State::Disabled => Status::Stopped,
    }
}

fn reason_of(entry: &Entry) -> Option<String> {
    match entry.state {
        State::Ready => None,
        State::Disabled => Some("disabled".into()),
        State::Pending
        | State::Starting
        | State::Unready
        | State::Stopping
        | State::BackingOff
        | State::Stopped
        | State::Completed
        | State::Failed => Some(if entry.note.is_empty() {
            entry.state.as_str().to_owned()
        } else {
            format!("{}: {}", entry.state.as_str(), entry.note)
        }),
    }
}

/// One status where all agree, `degraded` where some instances serve and some do not.
fn combined(statuses: impl Iterator<Item = Status>) -> Status {
    let statuses: Vec<Status> = statuses.collect();
    let has = |status| statuses.contains(&status);
    match statuses.first() {
        Some(first) if statuses.iter().all(|status| status == first) => *first,
        _ if has(Status::Healthy) || has(Status::Degraded) => Status::Degraded,
        _ if has(Status::Unhealthy) => Status::Unhealthy,
        _ => Status::Starting,
    }
}

/// The node's status; services that rest on purpose do not count.
fn overall(node: NodeState, services: impl Iterator<Item = Status>) -> Status {
    if node == NodeState::Stopping {
        return Status::Stopped;
    }
    let active: Vec<Status> = services.filter(|status| *status != Status::Stopped).collect();
    match node {
        NodeState::Starting if active.contains(&Status::Starting) => Status::Starting,
        _ if active.is_empty() => Status::Healthy,
        _ => combined(active.into_iter()),
    }
}

/// Such as `2h3m4s`.
fn coarse(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string().replace(' ', "")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}MiB", bytes as f64 / (1024.0 * 1024.0))
}

fn percent(value: f64) -> String {
    format!("{value:.1}%")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use blackhole_protocol::InstanceId;

    use super::*;
    use crate::registry::Kind;

    #[test]
    fn a_service_is_degraded_when_only_some_of_it_serves() {
        let of = |statuses: &[Status]| combined(statuses.iter().copied());
        assert_eq!(of(&[Status::Healthy, Status::Healthy]), Status::Healthy);
        assert_eq!(of(&[Status::Healthy, Status::Unhealthy]), Status::Degraded);
        assert_eq!(of(&[Status::Starting, Status::Unhealthy]), Status::Unhealthy);
        assert_eq!(of(&[Status::Stopped, Status::Starting]), Status::Starting);
    }

    #[test]
    fn memory_is_what_is_used_of_what_may_be() {
        let registry = Registry::new();
        for index in [1, 2].into_iter().filter_map(NonZeroU32::new) {
            let instance = InstanceId { service: "a".parse().expect("a name"), index };
            registry.add(instance, None, Kind::Command, State::Ready);
        }
        let mut entries = registry.entries(|_| true);
        entries.iter_mut().for_each(|entry| entry.pid = Some(std::process::id()));
        let sampler = Sampler::default();
        let of = |limit| service(&entries, limit, &mut sampler.look()).memory.expect("it lives");
        assert!(of(None).ends_with("MiB/unlimited"), "{}", of(None));
        assert!(of(Some(64 << 20)).ends_with("MiB/128.0MiB"), "{}", of(Some(64 << 20)));
    }

    #[test]
    fn services_that_rest_on_purpose_do_not_count() {
        let of = |node, statuses: &[Status]| overall(node, statuses.iter().copied());
        let rest = [Status::Healthy, Status::Stopped];
        assert_eq!(of(NodeState::Running, &rest), Status::Healthy);
        assert_eq!(of(NodeState::Running, &[Status::Stopped]), Status::Healthy);
        assert_eq!(of(NodeState::Stopping, &rest), Status::Stopped);
        assert_eq!(of(NodeState::Starting, &[Status::Healthy, Status::Starting]), Status::Starting);
    }
}
