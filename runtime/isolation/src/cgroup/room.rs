//! Room for the node's groups in v2: a group can hand controllers down only while it has no processes
//! itself, so the node and its guardian move into a leaf called `node`, and back when the node ends.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path};

use super::{
    Controller, GroupError, file,
    groups::{NODE_LEAF, lists, make},
};

/// Before and not after the kernel has refused: it lets `cpu`, `cpuset` and `pids` be handed down
/// from a group with processes, but that turns the groups below into ones for threads only, which
/// no process can enter. The topmost group alone, which has no type, may keep its processes.
pub(super) fn make_room(
    base: &Path,
    controller: Controller,
    own_processes: &BTreeSet<u32>,
) -> Result<(), GroupError> {
    let handed_down = file::read(base.join("cgroup.subtree_control"))?;
    match lists(&handed_down, controller) || !base.join("cgroup.type").exists() {
        true => Ok(()),
        false => clear_of_processes(base, own_processes),
    }
}

fn clear_of_processes(group: &Path, own_processes: &BTreeSet<u32>) -> Result<(), GroupError> {
    let pids = members(group)?;
    if let Some(stranger) = pids.iter().find(|pid| !own_processes.contains(pid)) {
        let reason = format!(
            "`{}` also holds process {stranger}, which is not the node's: start the node in a group of its own, as by `systemd-run --scope -p Delegate=yes`",
            group.display()
        );
        return Err(GroupError::NotEnforceable { key: "resources", reason });
    }
    if pids.is_empty() {
        return Ok(());
    }
    let leaf = group.join(NODE_LEAF);
    make(&leaf)?;
    move_to(&leaf, &pids)
}

/// Takes back what `make_room` did in `base`, when the node's groups below it are gone: controllers are
/// handed down no more, the node's processes come back, the leaf goes. Nothing is done while somebody else
/// has a group there, or is in the leaf. The topmost group, in which there is no leaf, keeps what it hands
/// down, because who else counts on that cannot be seen. The guardian may do it at the same time.
///
/// # Errors
/// When the kernel refuses.
pub fn give_back_room(base: &Path, own_processes: &BTreeSet<u32>) -> Result<(), GroupError> {
    let leaf = base.join(NODE_LEAF);
    match take_back(base, &leaf, own_processes) {
        Err(error) if error.kind() == Some(ErrorKind::NotFound) && !leaf.exists() => Ok(()),
        done => done,
    }
}

fn take_back(base: &Path, leaf: &Path, own_processes: &BTreeSet<u32>) -> Result<(), GroupError> {
    let is_unified = leaf.join("cgroup.type").exists();
    if !is_unified || has_others(base, leaf)? {
        return Ok(());
    }
    let pids = members(leaf)?;
    if pids.iter().any(|pid| !own_processes.contains(pid)) {
        return Ok(());
    }
    let control = base.join("cgroup.subtree_control");
    for name in file::read(control.clone())?.split_ascii_whitespace() {
        file::write(control.clone(), &format!("-{name}"))?;
    }
    move_to(base, &pids)?;
    match fs::remove_dir(leaf) {
        // Somebody has come into it meanwhile, and keeps it.
        Err(busy) if busy.kind() == ErrorKind::ResourceBusy => Ok(()),
        removed => removed.map_err(|source| GroupError::Remove { path: leaf.to_owned(), source }),
    }
}

fn has_others(base: &Path, leaf: &Path) -> Result<bool, GroupError> {
    let failed = |source| GroupError::Read { path: base.to_owned(), source };
    let mut below = fs::read_dir(base).map_err(failed)?.flatten().map(|entry| entry.path());
    Ok(below.any(|path| path != leaf && path.is_dir()))
}

fn members(group: &Path) -> Result<Vec<u32>, GroupError> {
    let text = file::read(group.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn move_to(group: &Path, pids: &[u32]) -> Result<(), GroupError> {
    pids.iter().try_for_each(|pid| file::write(group.join("cgroup.procs"), &pid.to_string()))
}
