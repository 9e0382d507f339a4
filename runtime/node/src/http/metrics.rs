//! The page `/metrics`: every instance by `service` and `instance`, and the node itself.

use blackhole_policy::{
    budget::{Resource, Standing},
    instance::Reason,
};
use blackhole_protocol::InstanceId;

use super::exposition::{Page, Type};
use crate::{
    adapting::Adapting,
    registry::{Entry, Registry, State},
    usage::{Sampler, Usage},
};

/// A row with what it uses.
struct Row {
    entry: Entry,
    index: String,
    usage: Option<Usage>,
}

/// The page as of now.
pub(super) fn page(registry: &Registry, sampler: &Sampler, adapting: &Adapting) -> String {
    let mut look = sampler.look();
    let rows: Vec<Row> = registry
        .entries(|_| true)
        .into_iter()
        .map(|entry| Row { index: entry.instance.index.to_string(), usage: look.of(&entry), entry })
        .collect();
    let mut page = Page::default();
    states(&mut page, &rows);
    restarts(&mut page, &rows);
    durations(&mut page, &rows);
    usage(&mut page, &rows);
    pressures(&mut page, &rows);
    if let Some(standings) = adapting.standings() {
        budget(&mut page, &standings);
    }
    node(&mut page, registry, sampler);
    page.into_text()
}

fn states(page: &mut Page, rows: &[Row]) {
    let name = "blackhole_instance_state";
    page.family(name, "1 for the state that the instance is in, 0 for the others.", Type::Gauge);
    for row in rows {
        for state in State::ALL {
            let value = u8::from(row.entry.state == state);
            page.sample(name, &row.labels_with("state", state.as_str()), value);
        }
    }
    let name = "blackhole_instance_generation";
    page.family(name, "Incarnations of the instance so far.", Type::Gauge);
    for row in rows {
        page.sample(name, &row.labels(), row.entry.generation);
    }
}

fn restarts(page: &mut Page, rows: &[Row]) {
    let name = "blackhole_instance_restarts_total";
    page.family(name, "Restarts, by the reason of the exit before.", Type::Counter);
    for row in rows {
        for reason in Reason::ALL {
            let count = row.entry.restarts.get(&reason).copied().unwrap_or(0);
            page.sample(name, &row.labels_with("reason", reason.as_str()), count);
        }
    }
}

fn durations(page: &mut Page, rows: &[Row]) {
    let name = "blackhole_instance_start_duration_seconds";
    page.family(name, "From spawn to ready.", Type::Histogram);
    for row in rows {
        page.histogram(name, &row.labels(), &row.entry.start_durations);
    }
    let name = "blackhole_instance_stop_duration_seconds";
    page.family(name, "From the request to stop to the exit.", Type::Histogram);
    for row in rows {
        page.histogram(name, &row.labels(), &row.entry.stop_durations);
    }
}

/// A gauge or counter of an instance: its name, its help, its type, and its value where there is one.
type Reading = (&'static str, &'static str, Type, fn(&Usage) -> Option<f64>);

const READINGS: [Reading; 14] = [
    (
        "blackhole_instance_cpu_seconds_total",
        "Processor time used; of a control group across restarts.",
        Type::Counter,
        |usage| Some(usage.cpu.as_secs_f64()),
    ),
    (
        "blackhole_instance_cpu_throttled_seconds_total",
        "Time that the instance was held back by its CPU quota.",
        Type::Counter,
        |usage| usage.throttled.map(|it| it.as_secs_f64()),
    ),
    (
        "blackhole_instance_cpu_throttled_periods_total",
        "Periods of 100 ms in which the instance was held back by its CPU quota.",
        Type::Counter,
        |usage| number(usage.throttled_periods),
    ),
    (
        "blackhole_instance_memory_bytes",
        "Memory that cannot be had back for nothing: resident, or of a control group in use.",
        Type::Gauge,
        |usage| number(Some(usage.memory_bytes)),
    ),
    (
        "blackhole_instance_memory_peak_bytes",
        "The most memory so far; of a control group across restarts and with page cache.",
        Type::Gauge,
        |usage| number(usage.memory_peak_bytes),
    ),
    (
        "blackhole_instance_memory_limit_bytes",
        "The limit of the memory of the instance.",
        Type::Gauge,
        |usage| number(usage.memory_max_bytes),
    ),
    (
        "blackhole_instance_oom_kills_total",
        "Processes of the instance that the kernel killed for want of memory.",
        Type::Counter,
        |usage| number(usage.oom_kills),
    ),
    ("blackhole_instance_swap_bytes", "Swap used.", Type::Gauge, |usage| number(usage.swap_bytes)),
    (
        "blackhole_instance_io_read_bytes_total",
        "Bytes read from block devices.",
        Type::Counter,
        |usage| number(usage.io_read_bytes),
    ),
    (
        "blackhole_instance_io_written_bytes_total",
        "Bytes written to block devices.",
        Type::Counter,
        |usage| number(usage.io_written_bytes),
    ),
    (
        "blackhole_instance_processes",
        "Processes, those that it started included.",
        Type::Gauge,
        |usage| number(Some(usage.processes)),
    ),
    ("blackhole_instance_threads", "Threads of all processes.", Type::Gauge, |usage| {
        number(Some(usage.threads))
    }),
    (
        "blackhole_instance_descriptors",
        "Open file descriptors of all processes.",
        Type::Gauge,
        |usage| number(usage.descriptors),
    ),
    (
        "blackhole_instance_connections",
        "Established TCP connections and accepted Unix ones.",
        Type::Gauge,
        |usage| number(usage.connections),
    ),
];

fn number(count: Option<u64>) -> Option<f64> {
    count.map(|count| count as f64)
}

fn usage(page: &mut Page, rows: &[Row]) {
    for (name, help, kind, value) in READINGS {
        page.family(name, help, kind);
        for row in rows {
            if let Some(value) = row.usage.as_ref().and_then(value) {
                page.sample(name, &row.labels(), value);
            }
        }
    }
}

fn pressures(page: &mut Page, rows: &[Row]) {
    let name = "blackhole_instance_pressure_ratio";
    let help = "Share of the last ten seconds that some or all tasks of the instance lost to waiting for a resource.";
    page.family(name, help, Type::Gauge);
    for row in rows {
        let Some(usage) = &row.usage else { continue };
        let resources = [
            ("cpu", usage.cpu_pressure),
            ("memory", usage.memory_pressure),
            ("io", usage.io_pressure),
        ];
        for (resource, pressure) in resources {
            let Some(pressure) = pressure else { continue };
            let shares = [("some", pressure.some_percent), ("full", pressure.full_percent)];
            for (tasks, percent) in shares {
                let [service, instance] = row.labels();
                let labels = [service, instance, ("resource", resource), ("tasks", tasks)];
                page.sample(name, &labels, percent / 100.0);
            }
        }
    }
}

/// A gauge of the budget: what its name has before the unit, its help, and its value.
type Share = (&'static str, &'static str, fn(&Standing<InstanceId>) -> u64);

const SHARES: [Share; 3] = [
    ("", "What the node divides among its instances.", |standing| standing.budget),
    ("_guaranteed", "What is kept for instances, used or not.", Standing::guaranteed),
    ("_wanted", "What instances use, or would use if none were held back.", Standing::wanted),
];

fn budget(page: &mut Page, standings: &[(Resource, Standing<InstanceId>)]) {
    for (resource, standing) in standings {
        for (share, help, value) in SHARES {
            let name = format!("blackhole_budget_{resource}{share}_{}", unit(*resource));
            page.family(&name, help, Type::Gauge);
            page.sample(&name, &[], resource.whole(value(standing)));
        }
    }
    for (resource, standing) in standings {
        let name = format!("blackhole_instance_{resource}_guaranteed_{}", unit(*resource));
        page.family(&name, "What the budget keeps for the instance now.", Type::Gauge);
        for member in &standing.members {
            let index = member.id.index.to_string();
            let labels = [("service", member.id.service.as_str()), ("instance", index.as_str())];
            page.sample(&name, &labels, resource.whole(member.guarantee));
        }
    }
    let name = "blackhole_instance_squeezed";
    let help = "1 while the instance is held back because all together want more than there is.";
    page.family(name, help, Type::Gauge);
    for (resource, standing) in standings {
        for member in &standing.members {
            let index = member.id.index.to_string();
            let [service, instance] =
                [("service", member.id.service.as_str()), ("instance", &index)];
            let labels = [service, instance, ("resource", resource.as_str())];
            page.sample(name, &labels, u8::from(member.is_squeezed));
        }
    }
}

fn unit(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "cores",
        Resource::Memory => "bytes",
    }
}

fn node(page: &mut Page, registry: &Registry, sampler: &Sampler) {
    let own = sampler.own();
    let mut single = |name: &str, help: &str, kind, value: f64| {
        page.family(name, help, kind);
        page.sample(name, &[], value);
    };
    single(
        "blackhole_node_uptime_seconds",
        "How long the node has run.",
        Type::Gauge,
        registry.uptime().as_secs_f64(),
    );
    single(
        "process_resident_memory_bytes",
        "Resident memory of the node.",
        Type::Gauge,
        own.memory_bytes as f64,
    );
    single(
        "process_cpu_seconds_total",
        "Processor time that the node has used.",
        Type::Counter,
        own.cpu.as_secs_f64(),
    );
    single(
        "process_open_fds",
        "Open file descriptors of the node.",
        Type::Gauge,
        own.descriptors.unwrap_or(0) as f64,
    );
    let name = "blackhole_node_info";
    page.family(name, "1, with the version as a label.", Type::Gauge);
    page.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
}

impl Row {
    fn labels(&self) -> [(&str, &str); 2] {
        [("service", self.entry.instance.service.as_str()), ("instance", &self.index)]
    }

    fn labels_with<'a>(&'a self, name: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
        let [service, instance] = self.labels();
        [service, instance, (name, value)]
    }
}
