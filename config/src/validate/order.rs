//! Who is whose sibling, and who waits for whom.
//!
//! `depends_on` may lead anywhere in the tree of supervisors. A supervisor knows only its own
//! children, so an edge between two of them is lifted to the siblings at the lowest supervisor that
//! has both below it. Lists are orders under `rest_for_one` and `one_for_all`, where position has
//! a meaning; under `one_for_one` members start side by side unless `depends_on` says otherwise.

use std::collections::{HashMap, HashSet};

use blackhole_policy::supervision::Strategy;
use blackhole_protocol::Name;

use super::{
    Unit,
    graph::{self, Edges},
};
use crate::{
    Group, Service,
    problem::{Draft, Problems},
    raw::{RawGroup, RawService},
    read::{Field, Located},
    tree::{Origin, Place},
};

/// Fills in `group`, `parent`, `members`, `depends_on` and `after`; gives the root's members.
pub(super) fn arrange(
    root: Strategy,
    raw_services: &[Unit<'_, RawService>],
    raw_groups: &[Unit<'_, RawGroup>],
    (services, groups): (&mut [Service], &mut [Group]),
    problems: &mut Problems,
) -> Vec<Name> {
    let mut tree = Tree::plant(raw_services, raw_groups, groups, problems);
    tree.link(raw_services, services, problems);
    let cycles = tree.report_cycles(problems);
    let lifted = tree.lift();
    if !cycles {
        tree.report_disorder(&lifted, problems);
    }
    let root_members = tree.root_members(&lifted);
    let after = tree.after(root, &root_members, &lifted);
    let name = |index: &usize| tree.branches[*index].name.clone();
    let names = |indexes: &[usize]| indexes.iter().map(name).collect::<Vec<_>>();
    for (index, service) in services.iter_mut().enumerate() {
        service.group = tree.branches[index].parent.as_ref().map(name);
        service.depends_on = names(&tree.depends_on(index));
        service.after = names(&after[index]);
    }
    for (offset, group) in groups.iter_mut().enumerate() {
        let index = services.len() + offset;
        group.parent = tree.branches[index].parent.as_ref().map(name);
        group.members = names(&tree.branches[index].members);
        group.after = names(&after[index]);
    }
    names(&root_members)
}

/// A service or a group; services come first, then groups, each in the order of the file.
struct Branch {
    name: Name,
    key: Place,
    parent: Option<usize>,
    /// Of a group.
    members: Vec<usize>,
    strategy: Option<Strategy>,
    enabled: bool,
    needs: Vec<Need>,
}

struct Need {
    on: usize,
    place: Place,
}

/// An edge between siblings, and the dependency that it comes from.
struct Lifted {
    from: usize,
    to: usize,
    service: usize,
    need: usize,
}

struct Tree {
    branches: Vec<Branch>,
    by_name: HashMap<Name, usize>,
}

impl Tree {
    fn plant(
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
    fn ancestors(&self, index: usize) -> Vec<usize> {
        std::iter::successors(self.branches[index].parent, |group| self.branches[*group].parent)
            .collect()
    }

    fn link(
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

    fn depends_on(&self, index: usize) -> Vec<usize> {
        self.branches[index].needs.iter().map(|need| need.on).collect()
    }

    /// Cycles of `depends_on` as written; a group needs its members.
    fn report_cycles(&self, problems: &mut Problems) -> bool {
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

    fn drawn(&self, cycle: &[usize]) -> String {
        let names =
            cycle.iter().chain(cycle.first()).map(|index| self.branches[*index].name.as_str());
        names.collect::<Vec<_>>().join(" → ")
    }

    /// Every dependency, as an edge between siblings.
    fn lift(&self) -> Vec<Lifted> {
        let mut lifted = Vec::new();
        for (service, branch) in self.branches.iter().enumerate() {
            if !branch.enabled {
                continue;
            }
            for (position, need) in branch.needs.iter().enumerate() {
                let (from, to) = self.siblings(service, need.on);
                lifted.push(Lifted { from, to, service, need: position });
            }
        }
        lifted
    }

    fn siblings(&self, from: usize, to: usize) -> (usize, usize) {
        let line = |index| {
            let mut line = self.ancestors(index);
            line.reverse();
            line.push(index);
            line
        };
        let (from, to) = (line(from), line(to));
        let pair = from.iter().zip(&to).find(|(from, to)| from != to);
        let (from, to) = pair.expect("neither is below the other, so their lines part");
        (*from, *to)
    }

    /// Orders that contradict each other although no service depends on itself.
    fn report_disorder(&self, lifted: &[Lifted], problems: &mut Problems) {
        for edge in lifted {
            let Some(group) = self.branches[edge.from].parent else {
                continue;
            };
            let group = &self.branches[group];
            if !group.strategy.is_some_and(is_ordered) {
                continue;
            }
            let position = |index| group.members.iter().position(|member| *member == index);
            if position(edge.from) < position(edge.to) {
                let [from, to] = [edge.from, edge.to].map(|index| &self.branches[index].name);
                let rule = format!(
                    "contradicts the order of the group `{}`, where `{from}` starts before `{to}`",
                    group.name
                );
                let hint =
                    format!("list `{to}` before `{from}` in `groups.{}.services`", group.name);
                problems.push(Draft::new(self.place(edge), rule).hint(hint));
            }
        }
        for cycle in graph::cycles(&self.edges(lifted, |group| !group.is_some_and(is_ordered))) {
            let reasons: Vec<String> = (0..cycle.len())
                .filter_map(|position| {
                    let (from, to) = (cycle[position], cycle[(position + 1) % cycle.len()]);
                    let edge = lifted.iter().find(|edge| (edge.from, edge.to) == (from, to))?;
                    let on = self.branches[edge.service].needs[edge.need].on;
                    let [service, on] = [edge.service, on].map(|index| &self.branches[index].name);
                    Some(format!("`{service}` depends on `{on}`"))
                })
                .collect();
            let first =
                lifted.iter().find(|edge| edge.from == cycle[0] && cycle.contains(&edge.to));
            let place = first.map_or(&self.branches[cycle[0]].key, |edge| self.place(edge));
            let rule = format!(
                "makes groups wait for each other: {} ({})",
                self.drawn(&cycle),
                reasons.join(", ")
            );
            let hint = "a group starts as one: put what depends on each other into one group";
            problems.push(Draft::new(place, rule).hint(hint));
        }
    }

    fn place(&self, edge: &Lifted) -> &Place {
        &self.branches[edge.service].needs[edge.need].place
    }

    fn edges(&self, lifted: &[Lifted], at: impl Fn(Option<Strategy>) -> bool) -> Edges {
        let mut edges = vec![Vec::new(); self.branches.len()];
        for edge in lifted {
            let strategy = self.branches[edge.from].parent.and_then(|g| self.branches[g].strategy);
            if at(strategy) && !edges[edge.from].contains(&edge.to) {
                edges[edge.from].push(edge.to);
            }
        }
        edges
    }

    /// In the order of the file, but never before what they depend on.
    fn root_members(&self, lifted: &[Lifted]) -> Vec<usize> {
        let mut roots: Vec<usize> = (0..self.branches.len())
            .filter(|index| self.branches[*index].parent.is_none())
            .collect();
        roots.sort_by_key(|index| match &self.branches[*index].key.origin {
            Origin::File(span) => span.start,
            Origin::Override(_) => usize::MAX,
        });
        let position: HashMap<usize, usize> =
            roots.iter().enumerate().map(|(position, index)| (*index, position)).collect();
        let mut edges = vec![Vec::new(); roots.len()];
        for edge in lifted {
            if let (Some(from), Some(to)) = (position.get(&edge.from), position.get(&edge.to)) {
                edges[*from].push(*to);
            }
        }
        graph::order(&edges).into_iter().map(|position| roots[position]).collect()
    }

    fn after(&self, root: Strategy, root_members: &[usize], lifted: &[Lifted]) -> Edges {
        let mut after = self.edges(lifted, |_| true);
        let groups = self.branches.iter().map(|branch| (branch.strategy, &branch.members[..]));
        for (strategy, members) in groups.chain([(Some(root), root_members)]) {
            if !strategy.is_some_and(is_ordered) {
                continue;
            }
            let enabled: Vec<usize> =
                members.iter().copied().filter(|index| self.branches[*index].enabled).collect();
            for pair in enabled.windows(2) {
                if !after[pair[1]].contains(&pair[0]) {
                    after[pair[1]].push(pair[0]);
                }
            }
        }
        after
    }
}

fn is_ordered(strategy: Strategy) -> bool {
    match strategy {
        Strategy::RestForOne | Strategy::OneForAll => true,
        Strategy::OneForOne | Strategy::SimpleOneForOne => false,
    }
}
