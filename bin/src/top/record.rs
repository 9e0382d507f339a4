//! What `bh top --json` prints: one object for each look.

use blackhole_protocol::control::v1::NodeStatus;
use jiff::Timestamp;
use serde::Serialize;

use super::{measure::Measure, watched::Row};
use crate::{json, text};

/// One look. Rates are of the time since the look before, and `null` at the first.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    at: String,
    node: Option<String>,
    services: Vec<Instance>,
}

#[derive(Debug, Serialize)]
struct Instance {
    name: String,
    instance: u32,
    state: String,
    pid: Option<u32>,
    restarts: u64,
    uptime_seconds: Option<f64>,
    cpu_percent: Option<f64>,
    io_read_bytes_per_second: Option<f64>,
    io_written_bytes_per_second: Option<f64>,
    throttled_percent: Option<f64>,
    usage: Option<json::Usage>,
}

impl Record {
    pub(super) fn of<'a>(node: Option<&NodeStatus>, rows: impl Iterator<Item = &'a Row>) -> Self {
        Self {
            at: text::utc(Timestamp::now()),
            node: node.map(|node| node.name.clone()),
            services: rows.map(Instance::of).collect(),
        }
    }
}

impl Instance {
    fn of(row: &Row) -> Self {
        let number = |measure| row.numbers.get(&measure).copied();
        Self {
            name: row.status.service.clone(),
            instance: row.status.instance,
            state: text::instance_state(row.status.state()),
            pid: row.status.pid,
            restarts: row.status.restarts,
            uptime_seconds: text::seconds(row.status.uptime.as_ref()),
            cpu_percent: number(Measure::Cpu),
            io_read_bytes_per_second: number(Measure::Read),
            io_written_bytes_per_second: number(Measure::Write),
            throttled_percent: number(Measure::Throttled),
            usage: row.status.usage.as_ref().map(json::Usage::from),
        }
    }
}
