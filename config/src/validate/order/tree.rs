//! The tree of supervisors as the file has it: groups, their members, and what these depend on.
//!
//! What cannot be put into the tree is reported and left out, so that the rest is one.

use std::collections::{HashMap, HashSet};

use blackhole_policy::supervision::Strategy;
use blackhole_protocol::Name;

use crate::{
    Group, Service,
    problem::{Draft, Problems},
    raw::{RawGroup, RawService},
    read::{Field, Located},
    tree::Place,
    validate::{
        Unit,
        graph::{self, Edges},
    },
};

/// A service or a group; services come first, then groups, each in the order of the file.
pub(super) struct Branch {
    pub(super) name: Name,
    pub(super) key: Place,
    pub(super) parent: Option<usize>,
    /// Of a group.
    pub(super) members: Vec<usize>,
    pub(super) strategy: Option<Strategy>,
    pub(super) enabled: bool,
    pub(super) needs: Vec<Need>,
}

pub(super) struct Need {
    pub(super) on: usize,
    pub(super) place: Place,
}

pub(super) struct Tree {
    pub(super) branches: Vec<Branch>,
    by_name: HashMap<Name, usize>,
}

impl Tree {
    pub(super) fn plant(
        services: &[Unit<'_, RawService>],
        groups: &[Unit<'_, RawGroup>],
        meant: &[Group],
        problems: &mut Problems,
    ) -> Self {
        let mut tree = Self { branches: Vec::new(), by_name: HashMap::new() };
        for unit in services {
            let enabled = unit.raw.enabled.value().copied().unwrap_or(true);
            tree.add(&unit.name, &unit.written.key, enabled, problems);
        }
        for unit in groups {
            tree.add(&unit.name, &unit.written.key, false, problems);
        }
        for (offset, (unit, group)) in groups.iter().zip(meant).enumerate() {
            let index = services.len() + offset;
            tree.branches[index].strategy = Some(group.strategy);
            let members = unit.raw.services.value().map(Vec::as_slice).unwrap_or_default();
            for member in members {
                tree.join(index, member, problems);
            }
        }
        tree.cut_rings(services.len(), problems);
        for index in 0..services.len() {
            if tree.branches[index].enabled {
                for group in tree.ancestors(index) {
                    tree.branches[group].enabled = true;
                }
            }
        }
        tree
    }

    fn add(&mut self, name: &Name, key: &Place, enabled: bool, problems: &mut Problems) {
        let index = self.branches.len();
        // The name stays with the first, so that nothing else is wrong because of this.
        let owner = *self.by_name.entry(name.clone()).or_insert(index);
        if owner != index {
            let rule = format!("has the name of `{}`", self.branches[owner].key.path);
            let hint = "services and groups share their names: `bh status NAME` must know which";
            problems.push(Draft::new(key, rule).hint(hint));
        }
        self.branches.push(Branch {
            name: name.clone(),
            key: key.clone(),
            parent: None,
            members: Vec::new(),
            strategy: None,
            enabled,
            needs: Vec::new(),
        });
    }

    fn find(&self, written: &Located<String>, problems: &mut Problems) -> Option<usize> {
        let found = written.value.parse::<Name>().ok().and_then(|n| self.by_name.get(&n).copied());
        if found.is_none() {
            let known = self.branches.iter().map(|branch| branch.name.as_str());
            let rule = format!("names `{}`, which is not in the file", written.value);
            problems.push(Draft::new(&written.place, rule).maybe_hint(problems.suggestion(
                &written.value,
                known,
                "services and groups are",
            )));
        }
        found
    }

    fn join(&mut self, group: usize, written: &Located<String>, problems: &mut Problems) {
        let Some(member) = self.find(written, problems) else {
            return;
        };
        if let Some(other) = self.branches[member].parent {
            let rule = match other == group {
                true => format!("names `{}` a second time", written.value),
                false => format!(
                    "names `{}`, which is a member of the group `{}` already",
                    written.value, self.branches[other].name
                ),
            };
            problems.push(Draft::new(&written.place, rule).hint("everything has one supervisor"));
            return;
        }
        self.branches[member].parent = Some(group);
        self.branches[group].members.push(member);
    }

    /// Groups that contain each other have no supervisor at all.
    fn cut_rings(&mut self, first_group: usize, problems: &mut Problems) {
        let edges: Edges = (self.branches.iter().enumerate())
            .map(|(index, branch)| match index >= first_group {
                true => branch.parent.into_iter().collect(),
                false => Vec::new(),
            })
            .collect();
        for ring in graph::cycles(&edges) {
            let mut downwards = ring.clone();
            downwards[1..].reverse();
            let rule = format!("contains itself: {}", self.drawn(&downwards));
            problems.push(Draft::new(&self.branches[ring[0]].key, rule));
            for index in ring {
                let parent = self.branches[index].parent.take().expect("it is in a ring");
                self.branches[parent].members.retain(|member| *member != index);
            }
        }
    }

    /// From the nearest group to the outermost.
    pub(super) fn ancestors(&self, index: usize) -> Vec<usize> {
        std::iter::successors(self.branches[index].parent, |group| self.branches[*group].parent)
            .collect()
    }

    pub(super) fn link(
        &mut self,
        raw: &[Unit<'_, RawService>],
        services: &[Service],
        problems: &mut Problems,
    ) {
        for (index, unit) in raw.iter().enumerate() {
            let Field::Given(written) = &unit.raw.depends_on else {
                continue;
            };
            let mut seen = HashSet::new();
            for written in &written.value {
                let Some(on) = self.find(written, problems) else {
                    continue;
                };
                if !seen.insert(on) {
                    let rule = format!("names `{}` a second time", written.value);
                    problems.push(Draft::new(&written.place, rule).warning());
                    continue;
                }
                match self.objection(index, on, services) {
                    Some((rule, hint)) => {
                        problems.push(Draft::new(&written.place, rule).maybe_hint(hint));
                    }
                    None => {
                        self.branches[index].needs.push(Need { on, place: written.place.clone() })
                    }
                }
            }
        }
    }

    fn objection(
        &self,
        index: usize,
        on: usize,
        services: &[Service],
    ) -> Option<(String, Option<String>)> {
        let name = &self.branches[on].name;
        if index == on {
            let rule = format!("is a dependency on itself: {name} → {name}");
            return Some((rule, Some("leave it out".to_owned())));
        }
        if self.ancestors(index).contains(&on) {
            let rule = format!("names the group `{name}`, of which it is a member itself");
            return Some((rule, Some("name the members that it needs".to_owned())));
        }
        if services[index].enabled && !self.branches[on].enabled {
            let rule = format!("names `{name}`, which is disabled and never becomes ready");
            let hint = format!("enable `{name}`, or leave the dependency out");
            return Some((rule, Some(hint)));
        }
        None
    }

    pub(super) fn depends_on(&self, index: usize) -> Vec<usize> {
        self.branches[index].needs.iter().map(|need| need.on).collect()
    }

    /// Cycles of `depends_on` as written; a group needs its members.
    pub(super) fn report_cycles(&self, problems: &mut Problems) -> bool {
        let edges: Edges = (self.branches.iter())
            .map(|branch| {
                let needs = branch.needs.iter().map(|need| need.on);
                needs.chain(branch.members.iter().copied()).collect()
            })
            .collect();
        let cycles = graph::cycles(&edges);
        for cycle in &cycles {
            let next = |position: usize| cycle[(position + 1) % cycle.len()];
            let place = cycle.iter().enumerate().find_map(|(position, index)| {
                let needs = &self.branches[*index].needs;
                needs.iter().find(|need| need.on == next(position)).map(|need| &need.place)
            });
            let place = place.unwrap_or(&self.branches[cycle[0]].key);
            let rule = format!("closes a cycle of dependencies: {}", self.drawn(cycle));
            problems.push(
                Draft::new(place, rule).hint("none of them could ever start: leave one arrow out"),
            );
        }
        !cycles.is_empty()
    }

    pub(super) fn drawn(&self, cycle: &[usize]) -> String {
        let names =
            cycle.iter().chain(cycle.first()).map(|index| self.branches[*index].name.as_str());
        names.collect::<Vec<_>>().join(" → ")
    }
}
