//! What a service may use, where a value has a form of its own: CPU time, lists of CPUs,
//! schedulers, priorities of I/O, and the kernel's per-process limits.

use std::time::Duration;

use blackhole_isolation::{Bound, CpuList, Enforcement, IoPriority, Resource, Rlimit, Scheduler};
use serde_json::{Map, Value as Json, json};

use super::{Count, Size};
use crate::{
    problem::{Draft, Problems, nearest},
    read::{Located, Read, choices, keys, not_among, parsed, refuse_unknown, table},
    schema,
    tree::{Node, Value},
};

choices! { Enforcement {
    "strict" => Enforcement::Strict,
    "best_effort" => Enforcement::BestEffort,
} }

/// How many CPUs' time: `1.5` or `"150%"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cores(pub(crate) f64);

const CORES_RULE: &str = "must be from 0.01 to 100000 CPUs";

impl Read for Cores {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let cores = match &node.value {
            Value::Text(_) => parsed(node, problems, |text| {
                let percent = text.trim().strip_suffix('%').map(|number| number.trim().parse());
                let cores = match percent {
                    Some(percent) => percent.map(|percent: f64| percent / 100.0),
                    None => text.trim().parse(),
                };
                let hint = || Some("write 1.5 or \"150%\"".to_owned());
                cores.map_err(|_| ("must be a number of CPUs or a percentage".to_owned(), hint()))
            })?,
            Value::Integer(number) => number.integer()? as f64,
            Value::Float(number) => number.digits.parse().unwrap_or(f64::NAN),
            _ => {
                let rule = format_args!("must be a number, not {}", node.kind());
                problems.push(Draft::value(node, rule));
                return None;
            }
        };
        let inside = (0.01..=100_000.0).contains(&cores);
        if !inside {
            problems.push(Draft::value(node, CORES_RULE));
        }
        inside.then_some(Self(cores))
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "type": "number", "minimum": 0.01, "maximum": 100_000 },
            { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$" },
        ] })
    }
}

impl Read for CpuList {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        parsed(node, problems, |text| {
            let hint = || Some("write numbers and ranges, as in \"0-3,6\"".to_owned());
            let rule = || "must be a list of CPUs, of which the last may be 1023".to_owned();
            text.parse().map_err(|_| (rule(), hint()))
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["0-3,6"] })
    }
}

/// `word` or `word:number`.
fn word_and_number(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(word, number)| (word, Some(number)))
}

fn level(number: &str, lowest: u8, highest: u8) -> Result<u8, (String, Option<String>)> {
    let level = number.parse().ok().filter(|level| (lowest..=highest).contains(level));
    level.ok_or_else(|| (format!("must have a level from {lowest} to {highest}"), None))
}

fn lacks_level(what: &str, example: &str) -> (String, Option<String>) {
    (format!("needs {what} after the word"), Some(format!("as in {example:?}")))
}

/// What the kernel's manual and its tools call by another name.
fn meant_by(ours: &str, text: &str, known: &[&str]) -> (String, Option<String>) {
    (not_among(text, known).0, Some(format!("did you mean {ours:?}?")))
}

impl Read for Scheduler {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const KNOWN: [&str; 5] = ["normal", "batch", "idle", "fifo:10", "round_robin:10"];
        parsed(node, problems, |text| match word_and_number(text) {
            ("normal", None) => Ok(Self::Normal),
            ("batch", None) => Ok(Self::Batch),
            ("idle", None) => Ok(Self::Idle),
            ("fifo", Some(priority)) => level(priority, 1, 99).map(Self::Fifo),
            ("round_robin", Some(priority)) => level(priority, 1, 99).map(Self::RoundRobin),
            ("fifo", None) => Err(lacks_level("a priority from 1 to 99", "fifo:10")),
            ("round_robin", None) | ("rr", _) => {
                Err(lacks_level("a priority from 1 to 99", "round_robin:10"))
            }
            ("other" | "SCHED_OTHER" | "SCHED_NORMAL", None) => {
                Err(meant_by("normal", text, &KNOWN))
            }
            ("SCHED_BATCH", None) => Err(meant_by("batch", text, &KNOWN)),
            ("SCHED_IDLE", None) => Err(meant_by("idle", text, &KNOWN)),
            ("SCHED_FIFO", _) => Err(meant_by("fifo:10", text, &KNOWN)),
            ("SCHED_RR", _) => Err(meant_by("round_robin:10", text, &KNOWN)),
            _ => Err(not_among(text, &KNOWN)),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(normal|batch|idle|(fifo|round_robin):[0-9]{1,2})$" })
    }
}

impl Read for IoPriority {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const KNOWN: [&str; 3] = ["realtime:4", "best_effort:4", "idle"];
        parsed(node, problems, |text| match word_and_number(text) {
            ("realtime", Some(number)) => level(number, 0, 7).map(Self::Realtime),
            ("best_effort", Some(number)) => level(number, 0, 7).map(Self::BestEffort),
            ("idle", None) => Ok(Self::Idle),
            ("realtime", None) => Err(lacks_level("a level from 0 to 7", "realtime:4")),
            ("best_effort", None) => Err(lacks_level("a level from 0 to 7", "best_effort:4")),
            ("rt", _) => Err(meant_by("realtime:4", text, &KNOWN)),
            ("be", _) => Err(meant_by("best_effort:4", text, &KNOWN)),
            _ => Err(not_among(text, &KNOWN)),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(idle|(realtime|best_effort):[0-7])$" })
    }
}

/// Reads or writes in a second. The kernel counts them in 32 bits, and takes the lowest of a larger number.
pub(crate) type Operations = Count<1, 1_000_000_000>;

keys! {
    /// What may pass to and from one disk, per second.
    RawDiskRates {
        /// Bytes read in a second.
        read_max: Size,
        /// Bytes written in a second.
        write_max: Size,
        /// Reads in a second.
        reads_max: Operations,
        /// Writes in a second.
        writes_max: Operations,
    }
}

keys! {
    /// What its own sockets may send and receive in a second, on all networks together.
    RawBandwidth {
        /// Bytes sent in a second.
        egress_max: Size,
        /// Bytes received in a second.
        ingress_max: Size,
    }
}

/// Bytes, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeOrUnlimited(pub(crate) Bound);

impl Read for SizeOrUnlimited {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match is_unlimited(node) {
            true => Some(Self(Bound::Unlimited)),
            false => Size::read(node, problems).map(|size| Self(Bound::At(size.0))),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [Size::schema(), { "const": "unlimited" }] })
    }
}

fn is_unlimited(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text == "unlimited" || text == "infinity")
}

/// The kernel's per-process limits, by the names of `limits.conf`.
#[derive(Debug, Default)]
pub(crate) struct RawRlimits(pub(crate) Vec<Located<Rlimit>>);

impl Read for RawRlimits {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let table = table(node, problems)?;
        let known: Vec<&str> = Resource::ALL.iter().map(|resource| resource.key()).collect();
        refuse_unknown(node, table, &known, problems);
        let mut limits = Vec::new();
        for resource in Resource::ALL {
            let Some(node) = table.get(resource.key()) else { continue };
            if let Some(value) = rlimit(*resource, node, problems) {
                let (key, place) = (node.key.clone(), node.place.clone());
                limits.push(Located { value, key, place });
            }
        }
        Some(Self(limits))
    }

    fn schema() -> Json {
        let bound = json!({ "type": ["integer", "string"], "minimum": 0 });
        let limit = json!({ "anyOf": [bound, {
            "type": "object", "properties": { "soft": bound, "hard": bound },
            "required": ["soft", "hard"], "additionalProperties": false,
        }] });
        let mut properties = Map::new();
        for resource in Resource::ALL {
            let docs = format!("{}; see man 2 setrlimit.", resource.kernel_name());
            properties
                .insert(resource.key().to_owned(), schema::described(limit.clone(), &[&docs]));
        }
        schema::table(properties, &["The kernel's per-process limits."])
    }
}

fn rlimit(resource: Resource, node: &Node, problems: &mut Problems) -> Option<Rlimit> {
    let Value::Table(table) = &node.value else {
        return Some(Rlimit::fixed(resource, bound(resource, node, problems)?));
    };
    refuse_unknown(node, table, &["soft", "hard"], problems);
    let (Some(soft), Some(hard)) = (table.get("soft"), table.get("hard")) else {
        problems.push(Draft::value(node, "needs both `soft` and `hard`"));
        return None;
    };
    let (soft_node, soft) = (soft, bound(resource, soft, problems));
    let (soft, hard) = (soft?, bound(resource, hard, problems)?);
    if soft > hard {
        let rule =
            format_args!("is more than `hard` ({hard}), up to which the process may raise it");
        problems.push(Draft::value(soft_node, rule));
        return None;
    }
    Some(Rlimit { resource, soft, hard })
}

/// In the kernel's unit; times may be written as durations, amounts as sizes.
fn bound(resource: Resource, node: &Node, problems: &mut Problems) -> Option<Bound> {
    if is_unlimited(node) {
        return Some(Bound::Unlimited);
    }
    let is_text = matches!(node.value, Value::Text(_));
    let time = |problems| Duration::read(node, problems);
    match resource {
        Resource::Cpu if is_text => whole_seconds(node, time(problems)?, problems),
        Resource::Cpu => match Size::read(node, problems)? {
            Size(0) => whole_seconds(node, Duration::ZERO, problems),
            Size(seconds) => Some(Bound::At(seconds)),
        },
        Resource::RealtimeTime if is_text => time(problems)
            .map(|time| Bound::At(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))),
        Resource::Files
        | Resource::Locks
        | Resource::Nice
        | Resource::PendingSignals
        | Resource::RealtimePriority
        | Resource::RealtimeTime
        | Resource::Tasks => Number::read(node, problems).map(|count| Bound::At(count.0 as u64)),
        Resource::AddressSpace
        | Resource::Core
        | Resource::Data
        | Resource::FileSize
        | Resource::LockedMemory
        | Resource::MessageQueue
        | Resource::ResidentSet
        | Resource::Stack => Size::read(node, problems).map(|size| Bound::At(size.0)),
    }
}

/// What the kernel counts and does not measure.
type Number = Count<0, { i64::MAX }>;

/// The kernel counts CPU time in no smaller unit, and takes 0 for 1.
fn whole_seconds(node: &Node, time: Duration, problems: &mut Problems) -> Option<Bound> {
    let is_whole = time.subsec_nanos() == 0 && time > Duration::ZERO;
    if !is_whole {
        problems.push(Draft::value(node, "must be whole seconds, at least one"));
    }
    is_whole.then_some(Bound::At(time.as_secs()))
}

/// `did you mean …?` for a name that is none of ours.
pub(crate) fn meant(wrong: &str, known: &[&str]) -> Option<String> {
    nearest(wrong, known).map(|near| format!("did you mean {near:?}?"))
}
