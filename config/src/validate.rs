//! What keys mean together: from the file as written to [`Config`].
//!
//! Every check records its problems and goes on; where something could not be read a default takes
//! its place, and the result is dropped because an error was recorded.

mod adapting;
pub(crate) mod environment;
mod graph;
mod listen;
mod node;
mod order;
mod probes;
mod programs;
mod resources;
mod sandbox;
mod secrets;
mod service;

pub(crate) use adapting::{default_of_budget, default_of_scale};

use std::time::Duration;

use blackhole_policy::supervision::{RestartLimit, Strategy};
use blackhole_protocol::{NAME_LENGTH_MAX, Name, NameError};

use crate::{
    Config, Group, Http, Logs, OnFailed, Supervisor,
    problem::{Draft, Problems},
    raw::{Count, RawFile, RawGroup, RawHttp, RawLogs, RawSupervisor},
    read::{Entries, Field, Located},
    source::{HostFacts, SourceText},
};

/// What the checks know besides the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) source: &'a SourceText,
    pub(crate) host: &'a HostFacts,
}

/// A named table of the file whose name is a [`Name`].
#[derive(Debug)]
struct Unit<'a, T> {
    name: Name,
    /// Where the name stands.
    written: &'a Located<String>,
    raw: &'a T,
}

const LIMIT: RestartLimit = RestartLimit { restarts_max: 5, window: Duration::from_secs(5 * 60) };

/// The meaning of the file; without meaning when an error was recorded.
pub(crate) fn validate(raw: &RawFile, context: Context<'_>, problems: &mut Problems) -> Config {
    let node = node::validate(raw.node.value(), context, problems);
    let (strategy, limit) = supervisor(raw.supervisor.value(), problems);
    let raw_services = units(&raw.services, problems);
    let raw_groups = units(&raw.groups, problems);
    let default = service::Defaults { limit, enforcement: node.enforcement };
    let mut services: Vec<_> = raw_services
        .iter()
        .map(|unit| service::validate(unit, default, context, problems))
        .collect();
    let mut groups: Vec<_> = raw_groups.iter().map(|unit| group(unit, limit, problems)).collect();
    let members = order::arrange(
        strategy,
        &raw_services,
        &raw_groups,
        (&mut services, &mut groups),
        problems,
    );
    let http = raw.http.given().and_then(|located| http(located, problems));
    let config = Config {
        node,
        supervisor: Supervisor { strategy, limit, members },
        groups,
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        http,
        logs: logs(raw.logs.value(), problems),
        budget: raw.resources.value().map(|raw| adapting::budget(raw, problems)),
    };
    listen::check(raw, &raw_services, &config, problems);
    programs::check(&raw_services, &config, context, problems);
    adapting::check(raw, &raw_services, &config, problems);
    service::warn_in_groups(&raw_services, &config, problems);
    config
}

/// The entries whose names are names and whose tables could be read.
fn units<'a, T>(field: &'a Field<Entries<T>>, problems: &mut Problems) -> Vec<Unit<'a, T>> {
    let Some(entries) = field.value() else {
        return Vec::new();
    };
    let unit = |(written, field): &'a (Located<String>, Field<T>)| {
        let name = written.value.parse::<Name>();
        if let Err(error) = &name {
            problems.push(misnamed(written, error));
        }
        Some(Unit { name: name.ok()?, written, raw: field.value()? })
    };
    entries.0.iter().filter_map(unit).collect()
}

fn misnamed(written: &Located<String>, error: &NameError) -> Draft {
    match error {
        NameError::Empty => Draft::new(&written.key, "has an empty name"),
        NameError::Malformed(name) => {
            let lower = name.to_lowercase().replace(['.', ' ', '/'], "-");
            let hint = lower.parse::<Name>().ok().map(|name| format!("write `{name}`"));
            Draft::new(&written.key, "has a wrong name: names are `[a-z][a-z0-9_-]*`")
                .maybe_hint(hint)
        }
        NameError::TooLong(name) => {
            let rule = format!(
                "has too long a name: {} characters, at most {NAME_LENGTH_MAX}",
                name.len()
            );
            Draft::new(&written.key, rule).hint("it must fit into the path of a socket")
        }
    }
}

fn supervisor(raw: Option<&RawSupervisor>, problems: &mut Problems) -> (Strategy, RestartLimit) {
    let Some(raw) = raw else {
        return (Strategy::OneForOne, LIMIT);
    };
    let limit = limit(&raw.restarts_max, &raw.restarts_window, LIMIT, problems);
    (raw.strategy.value().copied().unwrap_or(Strategy::OneForOne), limit)
}

fn limit(
    restarts_max: &Field<Count<0, 1_000_000>>,
    window: &Field<Duration>,
    default: RestartLimit,
    problems: &mut Problems,
) -> RestartLimit {
    RestartLimit {
        restarts_max: restarts_max.value().map_or(default.restarts_max, |count| count.u32()),
        window: longer_than_zero(window, problems).unwrap_or(default.window),
    }
}

fn group(unit: &Unit<'_, RawGroup>, default: RestartLimit, problems: &mut Problems) -> Group {
    let raw = unit.raw;
    match &raw.services {
        Field::Absent => problems.push(
            Draft::new(&unit.written.key, "has no `services`")
                .hint("add `services = [\"…\"]`, in start order"),
        ),
        Field::Given(members) if members.value.is_empty() => {
            problems.push(Draft::new(&members.place, "is empty: a group needs a member"));
        }
        Field::Given(_) | Field::Invalid => {}
    }
    Group {
        name: unit.name.clone(),
        parent: None,
        strategy: raw.strategy.value().copied().unwrap_or(Strategy::OneForOne),
        limit: limit(&raw.restarts_max, &raw.restarts_window, default, problems),
        members: Vec::new(),
        after: Vec::new(),
        on_failed: raw.on_failed.value().copied().unwrap_or(OnFailed::Rest),
    }
}

fn http(raw: &Located<RawHttp>, problems: &mut Problems) -> Option<Http> {
    if raw.value.listen.is_absent() {
        problems.push(
            Draft::new(&raw.key, "has no `listen`").hint("add `listen = \"127.0.0.1:9091\"`"),
        );
    }
    raw.value.listen.value().map(|address| Http { listen: address.0 })
}

fn logs(raw: Option<&RawLogs>, problems: &mut Problems) -> Logs {
    const KIB: u64 = 1024;
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const LINE_MAX: u64 = 16 * KIB * KIB;
    let absent = RawLogs::default();
    let raw = raw.unwrap_or(&absent);
    let mut size =
        |field: &Field<crate::raw::Size>, range: std::ops::RangeInclusive<u64>, default| {
            let Some(located) = field.given() else {
                return default;
            };
            if !range.contains(&located.value.0) {
                let rule = format!("must be from {} to {} bytes", range.start(), range.end());
                problems.push(Draft::new(&located.place, rule).found(located.value.0));
            }
            located.value.0
        };
    let file_size_max = size(&raw.file_size_max, 4 * KIB..=u64::MAX, 16 * KIB * KIB);
    let line_length_max = size(&raw.line_length_max, 256..=LINE_MAX, 64 * KIB);
    Logs {
        file_size_max,
        file_age_max: longer_than_zero(&raw.file_age_max, problems).unwrap_or(DAY),
        files_max: raw.files_max.value().map_or(5, |count| count.u32()),
        retention: longer_than_zero(&raw.retention, problems).unwrap_or(7 * DAY),
        line_length_max: usize::try_from(line_length_max).unwrap_or(usize::MAX),
    }
}

/// The duration, unless it is zero, which is a problem.
fn longer_than_zero(field: &Field<Duration>, problems: &mut Problems) -> Option<Duration> {
    let located = field.given()?;
    if located.value.is_zero() {
        problems.push(Draft::new(&located.place, "must be longer than 0").found("0"));
    }
    Some(located.value)
}
