//! The groups of one node: a directory of its own in each hierarchy, with one group per instance.
//!
//! v2 allows a group to hand controllers down only while it has no processes itself, so the node
//! moves out of its own group into a leaf called `node` first; strangers are never moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Controller, Group, GroupError, Mounts, file,
    mounts::Place,
    process_list::{processes, remove},
    room::{give_back_room, make_room},
};
use crate::enforcement::told;

/// The groups of one node. Where a controller is in no hierarchy that the node may use, the reason
/// is kept for the reader.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    pub(super) unified: Option<PathBuf>,
    pub(super) unified_controllers: BTreeSet<Controller>,
    pub(super) legacy: BTreeMap<Controller, PathBuf>,
    /// Found by who only looked: groups of v2 could be made.
    pub(super) unified_possible: bool,
    unavailable: BTreeMap<Controller, String>,
    /// Those that were moved out of the way, or may be.
    own_processes: BTreeSet<u32>,
    /// In a survey: below which group of v2 the node's own would be.
    pub(super) surveyed: BTreeMap<Controller, PathBuf>,
}

/// What became of groups that were to go, by their names.
#[derive(Debug, Default)]
pub struct Removal {
    /// Ended and removed.
    pub removed: Vec<String>,
    /// Still there, and why.
    pub stuck: Vec<(String, GroupError)>,
}

/// The leaf into which the node moves.
pub(super) const NODE_LEAF: &str = "node";

/// A candidate for the node's own directory in the v2 hierarchy.
struct Delegated {
    root: PathBuf,
    controllers: BTreeSet<Controller>,
    refused: BTreeMap<Controller, String>,
}

impl Delegated {
    /// Leaves its place as it was before.
    fn give_back(&self, own_processes: &BTreeSet<u32>) -> Result<(), GroupError> {
        remove(&self.root)?;
        self.root.parent().map_or(Ok(()), |base| give_back_room(base, own_processes))
    }
}

impl Groups {
    /// Makes the node's own directories, named `name`, below its own group or, where that cannot
    /// be divided, below the topmost one. `own_processes` are those that may be moved: the node
    /// and its guardian.
    ///
    /// A hierarchy that the node may not use is no error: what then cannot be enforced is refused
    /// or downgraded for each instance.
    ///
    /// # Errors
    /// When the name is none, or a directory made on trial cannot be removed.
    pub fn open(mounts: &Mounts, name: &str, own_processes: &[u32]) -> Result<Self, GroupError> {
        check_name(name)?;
        let own_processes = own_processes.iter().copied();
        let mut groups = Self { own_processes: own_processes.collect(), ..Self::default() };
        if let Some(place) = &mounts.unified {
            groups.open_unified(place, name)?;
        }
        for (controller, place) in &mounts.legacy {
            let root = place.own.join(name);
            match make(&root).and_then(|()| prepare(*controller, &root)) {
                Ok(()) => {
                    groups.legacy.insert(*controller, root);
                    groups.unavailable.remove(controller);
                }
                Err(reason) => {
                    groups.unavailable.insert(*controller, told(&reason));
                }
            }
        }
        Ok(groups)
    }

    /// What a node of this name has left behind; nothing is made. To be closed by who needs no groups.
    pub fn left_behind(mounts: &Mounts, name: &str) -> Self {
        let unified = mounts.unified.iter().flat_map(candidates);
        let mut unified = unified.map(|base| base.join(name));
        let legacy = mounts.legacy.iter().map(|(controller, it)| (*controller, it.own.join(name)));
        Self {
            unified: unified.find(|root| root.is_dir()),
            legacy: legacy.filter(|(_, root)| root.is_dir()).collect(),
            ..Self::default()
        }
    }

    /// None, for a reason.
    pub fn unusable(error: &GroupError) -> Self {
        let reason = told(error);
        let unavailable = Controller::ALL.map(|it| (it, reason.clone())).into();
        Self { unavailable, ..Self::default() }
    }

    pub(super) fn lack(&mut self, controller: Controller, reason: String) {
        self.unavailable.insert(controller, reason);
    }

    fn open_unified(&mut self, place: &Place, name: &str) -> Result<(), GroupError> {
        let mut best: Option<Delegated> = None;
        for base in candidates(place) {
            let found = match delegate(&base, name, &self.own_processes) {
                Ok(found) => found,
                Err(error) => {
                    let reason = told(&error);
                    // That of its own group tells more than that of the topmost one.
                    for controller in Controller::ALL {
                        self.unavailable.entry(controller).or_insert_with(|| reason.clone());
                    }
                    continue;
                }
            };
            let complete = found.refused.is_empty();
            let is_better = |best: &Delegated| found.controllers.len() > best.controllers.len();
            let rejected =
                if best.as_ref().is_none_or(is_better) { best.replace(found) } else { Some(found) };
            rejected.map_or(Ok(()), |it| it.give_back(&self.own_processes))?;
            if complete {
                break;
            }
        }
        if let Some(best) = best {
            self.unavailable = best.refused;
            self.unified = Some(best.root);
            self.unified_controllers = best.controllers;
        }
        Ok(())
    }

    /// Whether limits that need a controller can be enforced; if not, why.
    ///
    /// # Errors
    /// The reason, for a reader.
    pub fn offers(&self, controller: Controller) -> Result<(), String> {
        if self.legacy.contains_key(&controller) || self.unified_controllers.contains(&controller) {
            return Ok(());
        }
        let reason = self.unavailable.get(&controller).cloned();
        Err(reason.unwrap_or_else(|| "the kernel offers none".to_owned()))
    }

    /// Lets every instance keep what its own `memory_low` says: v2 gives a group no more of that
    /// than the groups above it have, of which this is the lowest that is the node's.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn shelter(&self) -> Result<(), GroupError> {
        match &self.unified {
            Some(root) if self.unified_controllers.contains(&Controller::Memory) => {
                file::write(root.join("memory.low"), "max")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Where a controller's files are: the node's own directory, or in a survey the one above it.
    pub(super) fn place_of(&self, controller: Controller) -> Option<&Path> {
        let unified =
            self.unified.as_ref().filter(|_| self.unified_controllers.contains(&controller));
        let place = self.legacy.get(&controller).or(unified);
        place.or_else(|| self.surveyed.get(&controller)).map(PathBuf::as_path)
    }

    /// Where the node's own directories are.
    pub fn roots(&self) -> BTreeSet<&Path> {
        self.unified.iter().chain(self.legacy.values()).map(PathBuf::as_path).collect()
    }

    /// The instances that have a group, one left behind by a crash included.
    pub fn names(&self) -> BTreeSet<String> {
        let entries = self.roots().into_iter().filter_map(|root| fs::read_dir(root).ok());
        let directories = entries.flatten().flatten().filter(|entry| entry.path().is_dir());
        directories.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Ends and removes all groups: after a crash of the node, and at its end. One that stays, because a
    /// process does not end within `patience`, keeps no other from going.
    pub fn remove_all(&self, patience: Duration) -> Removal {
        let mut removal = Removal::default();
        for name in self.names() {
            match self.existing(&name).and_then(|group| group.remove(patience)) {
                Ok(()) => removal.removed.push(name),
                Err(error) => removal.stuck.push((name, error)),
            }
        }
        removal
    }

    /// Ends and removes all groups and the node's own directories, and takes back what made room for them:
    /// the node and its guardian are then where they were before [`Groups::open`].
    ///
    /// # Errors
    /// When one stays, or the kernel refuses.
    pub fn close(self, patience: Duration) -> Result<(), GroupError> {
        self.remove_all(patience).stuck.into_iter().try_for_each(|(_, error)| Err(error))?;
        self.roots().into_iter().try_for_each(remove)?;
        let base = self.unified.as_deref().and_then(Path::parent);
        base.map_or(Ok(()), |base| give_back_room(base, &self.own_processes))
    }

    /// A group that is there already, to be adopted.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn existing(&self, name: &str) -> Result<Group, GroupError> {
        check_name(name)?;
        let legacy = self.legacy.iter().map(|(controller, root)| (*controller, root.join(name)));
        let legacy = legacy.filter(|(_, directory)| directory.is_dir()).collect();
        let unified = self.unified.as_ref().map(|root| root.join(name)).filter(|it| it.is_dir());
        Group::open(unified, self.unified_controllers.clone(), legacy)
    }
}

/// Kernel files have dots in their names, but for three of v1; the leaf is the node's.
pub(super) fn check_name(name: &str) -> Result<(), GroupError> {
    const TAKEN: [&str; 4] = ["tasks", "notify_on_release", "release_agent", NODE_LEAF];
    match name.is_empty() || name.contains(['/', '.', '\0']) || TAKEN.contains(&name) {
        true => Err(GroupError::Name { name: name.to_owned() }),
        false => Ok(()),
    }
}

/// One that is there already is as good. Whatever the umask, everybody may look into it, and only its
/// owner make groups below it.
pub(super) fn make(path: &Path) -> Result<(), GroupError> {
    let made = fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    match made {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(GroupError::Create { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// A new v1 cpuset has no CPUs and no memory nodes, and cannot be entered until it has.
pub(super) fn prepare(controller: Controller, directory: &Path) -> Result<(), GroupError> {
    if controller != Controller::Cpuset {
        return Ok(());
    }
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if !file::read(directory.join(name))?.trim().is_empty() {
            continue;
        }
        let parent = directory.parent().unwrap_or(directory);
        file::write(directory.join(name), file::read(parent.join(name))?.trim())?;
    }
    Ok(())
}

/// A node that was started again by its guardian finds itself in the leaf already, and has its
/// groups beside that.
fn candidates(place: &Place) -> Vec<PathBuf> {
    let parent = place.own.parent().filter(|_| place.own.ends_with(NODE_LEAF));
    let all = parent.into_iter().chain([place.own.as_path(), place.top.as_path()]);
    let mut all: Vec<PathBuf> = all.map(PathBuf::from).collect();
    all.dedup();
    all
}

/// Makes a directory for the node below `base` and hands the controllers down to it.
fn delegate(
    base: &Path,
    name: &str,
    own_processes: &BTreeSet<u32>,
) -> Result<Delegated, GroupError> {
    let root = base.join(name);
    make(&root)?;
    let offered = file::read(base.join("cgroup.controllers"))?;
    let offered = Controller::ALL.into_iter().filter(|it| lists(&offered, *it));
    let mut found = Delegated { root, controllers: BTreeSet::new(), refused: BTreeMap::new() };
    for controller in offered {
        let handed = make_room(base, controller, own_processes)
            .and_then(|()| hand_down(base, controller))
            .and_then(|()| hand_down(&found.root, controller));
        match handed {
            Ok(()) => drop(found.controllers.insert(controller)),
            Err(error) => drop(found.refused.insert(controller, told(&error))),
        }
    }
    Ok(found)
}

pub(super) fn lists(names: &str, controller: Controller) -> bool {
    names.split_ascii_whitespace().any(|name| name == controller.v2_name())
}

fn hand_down(group: &Path, controller: Controller) -> Result<(), GroupError> {
    let path = group.join("cgroup.subtree_control");
    match lists(&file::read(path.clone())?, controller) {
        true => Ok(()),
        false => file::write(path, &format!("+{controller}")),
    }
}

/// Whether a group and all below it have no processes.
pub(super) fn is_empty(directory: &Path) -> Result<bool, GroupError> {
    Ok(processes(directory)?.is_empty())
}

#[cfg(test)]
mod tests {
    use rustix::process::umask;

    use super::*;

    /// On a thread that has a umask of its own.
    fn made_under(mask: u32) -> u32 {
        let make = move || {
            crate::syscall::unshare(libc::CLONE_FS).expect("a thread may have its own");
            umask(rustix::fs::Mode::from_bits_truncate(mask));
            let directory = tempfile::tempdir().expect("a directory");
            let group = directory.path().join("group");
            super::make(&group).expect("it is made");
            fs::metadata(group).expect("it is there").permissions().mode() & 0o777
        };
        std::thread::spawn(make).join().expect("it ends")
    }

    #[test]
    fn who_may_make_groups_below_is_not_up_to_the_umask() {
        for mask in [0, 0o077] {
            assert_eq!(made_under(mask), 0o755, "umask {mask:o}");
        }
    }
}
