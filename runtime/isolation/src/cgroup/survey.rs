//! Which controllers a node started here and now would get, found by looking only: no directory is
//! made and no process moved, so that a check of a file changes nothing.

use std::{fs, path::Path};

use rustix::fs::{Access, access};

use super::{Controller, GroupError, Groups, Mounts, file, groups::lists, mounts::Place};

impl Groups {
    /// What [`Groups::open`] would probably find. No group can be made in it.
    pub fn survey(mounts: &Mounts) -> Self {
        let mut groups = Self::default();
        if let Some(place) = &mounts.unified {
            groups.survey_unified(place);
        }
        for (controller, place) in &mounts.legacy {
            match writable(&place.own) {
                Ok(()) => drop(groups.legacy.insert(*controller, place.own.clone())),
                Err(reason) => groups.lack(*controller, reason),
            }
        }
        groups
    }

    fn survey_unified(&mut self, place: &Place) {
        let mut bases = vec![&place.own, &place.top];
        bases.dedup();
        self.unified_possible = bases.iter().any(|base| writable(base).is_ok());
        for controller in Controller::ALL {
            let mut refused = String::new();
            let found = bases.iter().find(|base| {
                could_hand_down(base, controller).map_err(|reason| refused = reason).is_ok()
            });
            match found {
                Some(base) => {
                    self.unified_controllers.insert(controller);
                    self.surveyed.insert(controller, base.to_path_buf());
                }
                None => self.lack(controller, refused),
            }
        }
    }
}

fn could_hand_down(base: &Path, controller: Controller) -> Result<(), String> {
    let read = |name: &str| {
        file::read(base.join(name)).map_err(|error: GroupError| crate::enforcement::told(&error))
    };
    if !lists(&read("cgroup.controllers")?, controller) {
        return Err(format!("`{}` does not have it", base.display()));
    }
    writable(base)?;
    let handed_down = lists(&read("cgroup.subtree_control")?, controller);
    if handed_down || !base.join("cgroup.type").exists() {
        return Ok(());
    }
    writable(&base.join("cgroup.subtree_control"))?;
    // A shell from which this is called would be the node's neighbour as well.
    let own = std::process::id();
    let members = fs::read_to_string(base.join("cgroup.procs")).unwrap_or_default();
    let mut pids = members.lines().filter_map(|line| line.parse::<u32>().ok());
    match pids.find(|pid| *pid != own) {
        Some(pid) => Err(format!(
            "`{}` also holds process {pid}: start the node in a group of its own, as by `systemd-run --scope -p Delegate=yes`",
            base.display()
        )),
        None => Ok(()),
    }
}

fn writable(path: &Path) -> Result<(), String> {
    access(path, Access::WRITE_OK)
        .map_err(|error| format!("could not write to `{}`: {error}", path.display()))
}
