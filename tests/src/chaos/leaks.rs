//! What must not be left over: processes, zombies, descriptors, control groups, files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use blackhole_protocol::control::v1::InstanceStatus;

use super::{
    processes::{descriptors, marked, zombies},
    subject::Place,
};

/// Log files are opened when something is printed, and connections are closed a moment later.
const DESCRIPTORS_SLACK: usize = 6;
/// How deep control groups are looked for.
const GROUP_DEPTH_MAX: usize = 5;

/// Processes that carry the node's mark and belong to no generation that lives.
pub(super) fn stray_processes(place: &Place, instances: &[InstanceStatus]) -> Vec<String> {
    let lives: BTreeSet<(&str, u32, u64)> = instances
        .iter()
        .map(|status| (status.service.as_str(), status.instance, status.generation))
        .collect();
    marked(&place.mark())
        .into_iter()
        .filter(|process| {
            !lives.contains(&(process.service.as_str(), process.instance, process.generation))
        })
        .map(|process| format!("a stray process: {process:?}"))
        .collect()
}

/// Processes that have ended and were not reaped.
pub(super) fn unreaped(parents: &[i32]) -> Vec<String> {
    let unreaped = |parent: &i32| {
        let parent = *parent;
        zombies(parent).into_iter().map(move |pid| format!("{parent} does not reap {pid}"))
    };
    parents.iter().flat_map(unreaped).collect()
}

/// Descriptors of processes that they did not have when they began: how many there were, by what they are.
#[derive(Debug, Default)]
pub(super) struct Descriptors(BTreeMap<&'static str, usize>);

impl Descriptors {
    /// The first look sets the measure.
    pub(super) fn check(&mut self, what: &'static str, pid: i32) -> Vec<String> {
        let open = descriptors(pid);
        let first = *self.0.entry(what).or_insert(open.len());
        if open.len() <= first + DESCRIPTORS_SLACK {
            return Vec::new();
        }
        vec![format!("{what} has {} descriptors, began with {first}: {}", open.len(), sorted(open))]
    }
}

/// Kinds of descriptors and how many there are of each.
fn sorted(targets: Vec<String>) -> String {
    let mut counts = BTreeMap::new();
    for target in targets {
        let kind = target.split(":[").next().unwrap_or_default().to_owned();
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

/// Directories of control groups that belong to the node, in every hierarchy.
pub(super) fn control_groups(place: &Place) -> Vec<PathBuf> {
    let mut hasher = DefaultHasher::new();
    place.runtime().hash(&mut hasher);
    let name = format!("blackhole-{:016x}", hasher.finish());
    let mut found = Vec::new();
    search(Path::new("/sys/fs/cgroup"), &name, GROUP_DEPTH_MAX, &mut found);
    found
}

fn search(folder: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name() == name {
            found.push(entry.path());
        } else if depth > 0 {
            search(&entry.path(), name, depth - 1, found);
        }
    }
}

/// Groups of instances that are gone.
pub(super) fn stray_groups(place: &Place, instances: &[InstanceStatus]) -> Vec<String> {
    let mut strays = Vec::new();
    for root in control_groups(place) {
        let groups = fs::read_dir(&root).map(|entries| entries.flatten().collect::<Vec<_>>());
        for group in groups.unwrap_or_default() {
            let name = group.file_name().to_string_lossy().into_owned();
            let is_group = group.file_type().is_ok_and(|kind| kind.is_dir());
            let lives = instances
                .iter()
                .any(|status| name.starts_with(&format!("{}-{}", status.service, status.instance)));
            if is_group && name != "node" && !lives {
                strays.push(format!("a stray control group: {}", group.path().display()));
            }
        }
    }
    strays
}

/// Files in the runtime directory that belong to nothing that lives.
pub(super) fn stray_files(place: &Place, instances: &[InstanceStatus]) -> Vec<String> {
    let mut expected: BTreeSet<String> =
        ["control.sock", "node.lock", "notify", "secrets"].map(str::to_owned).into();
    let sockets = instances.iter().flat_map(|it| {
        ["sock", "link"].map(|kind| format!("{}-{}.{kind}", it.service, it.instance))
    });
    expected.extend(sockets);
    let unexpected = |folder: &Path, expected: &BTreeSet<String>| {
        let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
        let names = entries.unwrap_or_default().into_iter().map(|entry| entry.file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| !expected.contains(name)).collect::<Vec<_>>()
    };
    let mut strays = unexpected(&place.runtime(), &expected);
    let notify =
        instances.iter().map(|it| format!("{}-{}.{}", it.service, it.instance, it.generation));
    strays.extend(unexpected(&place.runtime().join("notify"), &notify.collect()));
    strays.iter().map(|name| format!("a stray file in the runtime directory: {name}")).collect()
}
