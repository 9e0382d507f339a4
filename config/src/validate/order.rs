//! Who is whose sibling, and who waits for whom.
//!
//! `depends_on` may lead anywhere in the tree of supervisors. A supervisor knows only its own
//! children, so an edge between two of them is lifted to the siblings at the lowest supervisor that
//! has both below it. Lists are orders under `rest_for_one` and `one_for_all`, where position has
//! a meaning; under `one_for_one` members start side by side unless `depends_on` says otherwise.

mod tree;

use std::collections::HashMap;

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
    tree::Place,
};
use tree::Tree;

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

/// An edge between siblings, and the dependency that it comes from.
struct Lifted {
    from: usize,
    to: usize,
    service: usize,
    need: usize,
}

impl Tree {
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
        roots.sort_by_key(|index| self.branches[*index].key.origin.rank());
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
