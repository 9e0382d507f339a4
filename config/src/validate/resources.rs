//! `[services.X.resources]`: what limits mean together.

use blackhole_isolation::{Bandwidth, Bound, DiskRates, Resource, Rlimit};

use super::Context;
use crate::{
    Listen, Resources,
    problem::{Draft, Problems},
    raw::{RawDiskRates, RawResources, RawService, Size},
    read::{Field, Located},
};

const MEMORY_MIN: u64 = 1024 * 1024;
/// The kernel counts whole packets, and on loopback they are as large as this.
const BANDWIDTH_MIN: u64 = 64 * 1024;
const DISK_MIN: u64 = 64 * 1024;
/// Less than the loader and the C library take.
const ADDRESS_SPACE_MIN: u64 = 2 * 1024 * 1024;
/// Less than the loader writes to before the program begins.
const DATA_MIN: u64 = 128 * 1024;
/// Standard input, output and error, and one for the loader.
const FILES_MIN: u64 = 4;
/// Less than the arguments and the environment of an empty program take.
const STACK_MIN: u64 = 8 * 1024;

pub(super) fn validate(
    raw: Option<&RawResources>,
    context: Context<'_>,
    problems: &mut Problems,
) -> Resources {
    let Some(raw) = raw else {
        return Resources::default();
    };
    check_memory(raw, problems);
    let signed = |n: i64| i32::try_from(n).expect("the range of this key lies in i32");
    Resources {
        cpu: raw.cpu.value().map(|cores| cores.0),
        cpu_weight: raw.cpu_weight.value().map(|weight| weight.u32()),
        cpus: raw.cpus.value().cloned(),
        memory: raw.memory.value().map(|size| size.0),
        memory_high: raw.memory_high.value().map(|size| size.0),
        swap: raw.swap.value().map(|size| size.0),
        io_weight: raw.io_weight.value().map(|weight| weight.u32()),
        io: io(raw, context, problems),
        network: network(raw, problems),
        disk: raw.disk.given().map(|size| disk(size, problems)),
        files_max: raw.files_max.value().map(|count| count.u32()),
        tasks_max: raw.tasks_max.value().map(|count| count.u32()),
        nice: raw.nice.value().map(|nice| signed(nice.0)),
        umask: raw.umask.value().map(|umask| umask.0),
        oom_score_adj: raw.oom_score_adj.value().map(|score| signed(score.0)),
        scheduler: raw.scheduler.value().copied(),
        io_priority: raw.io_priority.value().copied(),
        affinity: raw.affinity.value().cloned(),
        rlimits: rlimits(raw, problems),
    }
}

fn check_memory(raw: &RawResources, problems: &mut Problems) {
    if let (Some(high), Some(max)) = (raw.memory_high.given(), raw.memory.value())
        && high.value.0 > max.0
    {
        let rule = "is more than `memory`, so it would never be reached";
        problems.push(Draft::new(&high.place, rule));
    }
    if let Some(high) = raw.memory_high.given().filter(|high| high.value.0 < MEMORY_MIN) {
        let rule = "is less than 1 MiB, below which every program is held back for ever";
        problems.push(Draft::new(&high.place, rule).found(high.value.0));
    }
    if let Some(memory) = raw.memory.given().filter(|memory| memory.value.0 < MEMORY_MIN) {
        let rule = "is less than 1 MiB, with which no program starts";
        problems.push(Draft::new(&memory.place, rule).found(memory.value.0));
    }
}

fn disk(size: &Located<Size>, problems: &mut Problems) -> u64 {
    if size.value.0 < DISK_MIN {
        let rule = "is less than 64 KiB, which a few empty directories hold";
        problems.push(Draft::new(&size.place, rule).found(size.value.0));
    }
    size.value.0
}

fn io(raw: &RawResources, context: Context<'_>, problems: &mut Problems) -> Vec<DiskRates> {
    let mut disks = Vec::new();
    for (path, rates) in raw.io.value().iter().flat_map(|entries| &entries.0) {
        let Some(rates) = rates.given() else { continue };
        if path.value.is_empty() {
            problems.push(Draft::new(
                &path.key,
                "has an empty path: it must be a disk or a path on one",
            ));
        }
        let folder = context.source.base(&path.place.origin, context.host);
        let disk = disk_rates(folder.join(&path.value), &rates.value, problems);
        let RawDiskRates { read_max, write_max, reads_max, writes_max } = &rates.value;
        let bytes = [read_max, write_max].into_iter().all(Field::is_absent);
        if bytes && [reads_max, writes_max].into_iter().all(Field::is_absent) {
            let hint = "as in { read_max = \"10MiB\", write_max = \"5MiB\" }";
            problems.push(Draft::new(&rates.place, "limits nothing").hint(hint));
        }
        disks.push(disk);
    }
    disks
}

fn network(raw: &RawResources, problems: &mut Problems) -> Bandwidth {
    let Some(written) = raw.network.given() else {
        return Bandwidth::default();
    };
    let mut rate = |field: &Field<Size>| {
        let located = field.given()?;
        if located.value.0 < BANDWIDTH_MIN {
            let rule = "is less than 64 KiB in a second, as large as a single packet may be";
            problems.push(Draft::new(&located.place, rule).found(located.value.0));
        }
        Some(located.value.0)
    };
    let egress_max = rate(&written.value.egress_max);
    let bandwidth = Bandwidth { egress_max, ingress_max: rate(&written.value.ingress_max) };
    if bandwidth == Bandwidth::default() {
        let hint = "as in { egress_max = \"10MiB\", ingress_max = \"10MiB\" }";
        problems.push(Draft::new(&written.place, "limits nothing").hint(hint));
    }
    bandwidth
}

/// The kernel counts by who made a socket, and connections by who made the one that accepts them.
pub(super) fn check_network(raw: &RawService, problems: &mut Problems) {
    let limited = raw.resources.value().and_then(|resources| resources.network.given());
    let listened = raw.listen.value().map(Vec::as_slice).unwrap_or_default();
    let tcp = listened.iter().find_map(|located| match &located.value.0 {
        Listen::Tcp(address) => Some(address),
        Listen::Unix(_) => None,
    });
    if let (Some(limited), Some(address)) = (limited, tcp) {
        let rule = format!(
            "cannot hold connections to `tcp://{address}`: in `listen`, the socket is the node's, and so are they"
        );
        let hint = "let the service open that socket itself, or leave `network` out";
        problems.push(Draft::new(&limited.key, rule).hint(hint));
    }
}

fn disk_rates(path: std::path::PathBuf, raw: &RawDiskRates, problems: &mut Problems) -> DiskRates {
    let mut rate = |field: &Field<Size>| {
        let located = field.given()?;
        if located.value.0 == 0 {
            let rule = "must be more than 0, with which nothing could ever be done";
            problems.push(Draft::new(&located.place, rule));
        }
        Some(located.value.0)
    };
    DiskRates {
        path,
        read_bytes: rate(&raw.read_max),
        write_bytes: rate(&raw.write_max),
        read_operations: raw.reads_max.value().map(|count| count.u32().into()),
        write_operations: raw.writes_max.value().map(|count| count.u32().into()),
    }
}

/// `core_dump_max` and `files_max` are the readable names of two of them.
fn rlimits(raw: &RawResources, problems: &mut Problems) -> Vec<Rlimit> {
    let written = raw.rlimits.value().map(|limits| limits.0.as_slice()).unwrap_or_default();
    for limit in written {
        let readable = match limit.value.resource {
            Resource::Files if !raw.files_max.is_absent() => "files_max",
            Resource::Core if !raw.core_dump_max.is_absent() => "core_dump_max",
            _ => continue,
        };
        let rule = format!("is written twice: `{readable}` says it already");
        problems.push(Draft::new(&limit.key, rule));
    }
    for limit in written {
        refuse_impossible(limit, problems);
    }
    let core = raw.core_dump_max.value().map(|size| Rlimit::fixed(Resource::Core, size.0));
    written.iter().map(|limit| limit.value).chain(core).collect()
}

/// What the kernel would take, and what would end or mean something else at once.
fn refuse_impossible(limit: &Located<Rlimit>, problems: &mut Problems) {
    const STARTS_NOTHING: &str = "with which no program starts";
    const LOADS_NOTHING: &str = "too little for a program that loads the C library";
    let (least, rule) = match limit.value.resource {
        Resource::AddressSpace => {
            (ADDRESS_SPACE_MIN, format!("is less than 2 MiB, {LOADS_NOTHING}"))
        }
        Resource::Data => (DATA_MIN, format!("is less than 128 KiB, {LOADS_NOTHING}")),
        Resource::Files => (FILES_MIN, format!("is less than 4, {LOADS_NOTHING}")),
        Resource::Stack => (STACK_MIN, format!("is less than 8 KiB, {STARTS_NOTHING}")),
        _ => return,
    };
    if limit.value.soft < Bound::At(least) {
        problems.push(Draft::new(&limit.place, rule).found(limit.value.soft));
    }
}
