//! What of limits this host would hold: found by looking, before a group is made, so that a check of a
//! file and a start give the same answer.
//!
//! | kind                                                      | what becomes of the limit  |
//! |-----------------------------------------------------------|----------------------------|
//! | nothing here can be told of it (controller, file, CPU)     | left out                   |
//! | the kernel takes it and holds only a part of what it says  | kept, for that part        |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{
    Controller, GroupError, Groups, Limits,
    groups::lists,
    settings::{Presence, Setting},
};
use crate::{CpuList, Downgrade, Enforcement, disks::Disks};

/// What happens with limits that do not hold, and what did.
pub(super) struct Terms<'a> {
    pub(super) enforcement: Enforcement,
    pub(super) downgraded: &'a mut Vec<Downgrade>,
}

impl Terms<'_> {
    fn lack(&mut self, key: &'static str, reason: impl Into<String>) -> Result<(), GroupError> {
        let error = GroupError::NotEnforceable { key, reason: reason.into() };
        self.enforcement.relent(key, error, self.downgraded)
    }

    /// All that needs the controller.
    pub(super) fn leave_out(
        &mut self,
        limits: &mut Limits,
        controller: Controller,
        reason: &str,
    ) -> Result<(), GroupError> {
        let settings = limits.v2_settings(controller);
        for key in settings.iter().map(|setting| setting.key).collect::<BTreeSet<_>>() {
            self.lack(key, reason)?;
            limits.leave_out(key);
        }
        Ok(())
    }
}

impl Groups {
    /// The limits that can be told to this host's kernel.
    ///
    /// # Errors
    /// What cannot be enforced here, if `enforcement` is strict; else it is added to `downgraded`.
    pub(super) fn settle(
        &self,
        limits: &Limits,
        enforcement: Enforcement,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<Limits, GroupError> {
        let mut settled = limits.clone();
        let mut terms = Terms { enforcement, downgraded };
        for controller in Controller::ALL {
            if let Err(reason) = self.offers(controller) {
                let reason = format!("there is no usable `{controller}` controller ({reason})");
                terms.leave_out(&mut settled, controller, &reason)?;
                continue;
            }
            for (key, files) in self.lacking_files(&settled, controller) {
                terms.lack(key, format!("the kernel has no `{}`", files.join("` or `")))?;
                settled.leave_out(key);
            }
        }
        self.settle_cpus(&mut settled, &mut terms)?;
        for (key, reason) in self.held_in_part(&settled, &Disks::of_this_host()) {
            terms.lack(key, reason)?;
        }
        Ok(settled)
    }

    fn settings(&self, limits: &Limits, controller: Controller) -> Vec<Setting> {
        match self.legacy.contains_key(&controller) {
            true => limits.v1_settings(controller),
            false => limits.v2_settings(controller),
        }
    }

    /// The keys for which a service's group would have no file, with the files that it should have.
    fn lacking_files(
        &self,
        limits: &Limits,
        controller: Controller,
    ) -> BTreeMap<&'static str, &'static [&'static str]> {
        let Some(example) = self.example(controller) else { return BTreeMap::new() };
        let is_lacking = |setting: &Setting| {
            let is_there = |name: &&str| example.join(name).exists();
            setting.presence == Presence::Needed && !setting.files.iter().any(is_there)
        };
        let settings = self.settings(limits, controller).into_iter();
        let lacking = settings.filter(is_lacking).map(|it| (it.key, it.files)).collect();
        // Another node's group may go while it is looked at.
        if example.is_dir() { lacking } else { BTreeMap::new() }
    }

    /// A group with the files that a service's group would have: the topmost one lacks many.
    fn example(&self, controller: Controller) -> Option<PathBuf> {
        let place = self.place_of(controller)?;
        if !is_topmost(place) {
            return Some(place.to_owned());
        }
        let below = fs::read_dir(place).ok()?.flatten().map(|entry| entry.path());
        let has_controller = |group: &PathBuf| {
            let listed = fs::read_to_string(group.join("cgroup.controllers"));
            listed.map_or(true, |names| lists(&names, controller))
        };
        below.filter(|path| path.is_dir()).find(has_controller)
    }

    /// CPUs that are not there are left out alone.
    fn settle_cpus(&self, limits: &mut Limits, terms: &mut Terms<'_>) -> Result<(), GroupError> {
        let Some(wanted) = limits.cpus.clone() else { return Ok(()) };
        let Some(usable) = self.usable_cpus() else { return Ok(()) };
        let Some(missing) = wanted.without(&usable) else { return Ok(()) };
        terms.lack("cpus", format!("there is no {missing} here, only {usable}"))?;
        limits.cpus = wanted.within(&usable);
        Ok(())
    }

    fn usable_cpus(&self) -> Option<CpuList> {
        let place = self.place_of(Controller::Cpuset)?;
        let files = ["cpuset.cpus.effective", "cpuset.effective_cpus"];
        files.iter().find_map(|name| fs::read_to_string(place.join(name)).ok()?.parse().ok())
    }

    /// What the kernel takes, and of which it holds less than was asked for.
    fn held_in_part(&self, limits: &Limits, disks: &Disks) -> Vec<(&'static str, &'static str)> {
        let legacy = |controller| self.legacy.contains_key(&controller);
        let writes = limits.devices.iter().any(|device| device.limits_writes());
        // What is written later is charged to a group only where v2 counts its memory as well.
        let counts_later = self.unified_controllers.contains(&Controller::Memory);
        let [memory, io] = [Controller::Memory, Controller::Io].map(legacy);
        let weighed = disks.heed_weight() || !io && self.shares_by_cost();
        let found = [
            (
                memory && limits.memory_high.is_some(),
                "memory_high",
                "v1 heeds it only when the host is short",
            ),
            (
                memory && limits.swap_max.is_some() && limits.memory_max.is_none(),
                "swap",
                "v1 limits memory and swap together: write `memory` as well",
            ),
            (
                io && writes,
                "io",
                "v1 holds only direct writes; others pass when the kernel writes them out",
            ),
            (
                !io && writes && !counts_later,
                "io",
                "without the `memory` controller of v2 only direct writes are held",
            ),
            (
                limits.io_weight.is_some() && !weighed,
                "io_weight",
                "no disk here has a scheduler that heeds it (bfq, or iocost of v2)",
            ),
        ];
        found.into_iter().filter(|it| it.0).map(|(_, key, reason)| (key, reason)).collect()
    }

    /// iocost, which is switched on for a disk in the topmost group of v2.
    fn shares_by_cost(&self) -> bool {
        let place = self.place_of(Controller::Io);
        let groups = place.into_iter().flat_map(Path::ancestors);
        let mut told = groups.filter_map(|it| fs::read_to_string(it.join("io.cost.qos")).ok());
        told.any(|text| text.contains("enable=1"))
    }

    /// Whether a process in a group with these limits may have a real-time scheduler. A new group of v1
    /// has no real-time time where the kernel shares that among groups, and v2 knows no way to give it.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn permits_realtime(&self, limits: &Limits) -> Result<(), GroupError> {
        let place = self.legacy.get(&Controller::Cpu);
        let shared = place.is_some_and(|place| place.join("cpu.rt_runtime_us").exists());
        match shared && !limits.v1_settings(Controller::Cpu).is_empty() {
            false => Ok(()),
            true => Err(GroupError::NotEnforceable {
                key: "scheduler",
                reason: "a group of v1 for `cpu` or `cpu_weight` has no real-time time".to_owned(),
            }),
        }
    }
}

/// v2 gives a type to every group but the topmost; v1 gives that one alone an agent.
fn is_topmost(group: &Path) -> bool {
    match group.join("cgroup.controllers").exists() {
        true => !group.join("cgroup.type").exists(),
        false => group.join("release_agent").exists(),
    }
}
