//! Who comes after whom.
//!
//! `after` names siblings by id. A name that is not, or no longer, among the children holds nobody
//! up, and counts again when it comes back.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Debug,
    hash::Hash,
};

use super::{Concurrent, State};
use crate::supervision::{
    ChildSpec, SpecError,
    concurrent::state::Child,
    restarts::Restarts,
    roster::{Member, Position},
};

/// Checks that `after` names siblings and leads nowhere back.
pub(super) fn check<Id: Clone + Eq + Hash>(specs: &[ChildSpec<Id>]) -> Result<(), SpecError<Id>> {
    let ids: HashSet<&Id> = specs.iter().map(|spec| &spec.id).collect();
    check_known(specs, |sibling| ids.contains(sibling))?;
    check_circles(specs.iter())
}

fn check_known<Id: Clone>(
    specs: &[ChildSpec<Id>],
    is_known: impl Fn(&Id) -> bool,
) -> Result<(), SpecError<Id>> {
    for spec in specs {
        if let Some(sibling) = spec.after.iter().find(|sibling| !is_known(sibling)) {
            return Err(SpecError::UnknownSibling {
                child: spec.id.clone(),
                sibling: sibling.clone(),
            });
        }
    }
    Ok(())
}

/// Takes away what comes after nothing that is left, again and again; a circle stays.
fn check_circles<'a, Id: Clone + Eq + Hash + 'a>(
    specs: impl Iterator<Item = &'a ChildSpec<Id>>,
) -> Result<(), SpecError<Id>> {
    let (ids, after): (Vec<&Id>, HashMap<&Id, &[Id]>) =
        specs.map(|spec| (&spec.id, (&spec.id, spec.after.as_slice()))).unzip();
    let mut missing: HashMap<&Id, usize> = HashMap::new();
    let mut followers: HashMap<&Id, Vec<&Id>> = HashMap::new();
    for (id, siblings) in &after {
        let known = siblings.iter().filter(|sibling| after.contains_key(sibling));
        missing.insert(id, known.clone().count());
        for sibling in known {
            followers.entry(sibling).or_default().push(id);
        }
    }
    let mut free: Vec<&Id> =
        missing.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        missing.remove(id);
        for follower in followers.remove(id).into_iter().flatten() {
            let count = missing.get_mut(follower).expect("a follower is missing what it follows");
            *count -= 1;
            if *count == 0 {
                free.push(follower);
            }
        }
    }
    let mut walk = ids.into_iter().find(|id| missing.contains_key(id));
    let mut seen = HashSet::new();
    while let Some(id) = walk {
        if !seen.insert(id) {
            return Err(SpecError::Circular(id.clone()));
        }
        walk = after[id].iter().find(|sibling| missing.contains_key(sibling));
    }
    Ok(())
}

impl<Id: Clone + Eq + Hash + Debug> Concurrent<Id> {
    /// Checks children that come to, or take the places of some of, those that are there.
    pub(super) fn check_order(&self, specs: &[ChildSpec<Id>]) -> Result<(), SpecError<Id>> {
        if specs.iter().all(|spec| spec.after.is_empty()) {
            return Ok(());
        }
        let ids: HashSet<&Id> = specs.iter().map(|spec| &spec.id).collect();
        check_known(specs, |sibling| {
            ids.contains(sibling) || self.children.find(sibling).is_some()
        })?;
        let others = self.children.iter().map(|(_, member)| &member.spec);
        check_circles(others.filter(|other| !ids.contains(&other.id)).chain(specs))
    }

    pub(super) fn insert(&mut self, spec: ChildSpec<Id>, state: State) -> Position {
        let after = spec.after.clone();
        let position = self.children.push(spec, Child::new(state));
        self.follow(position, after);
        position
    }

    fn follow(&mut self, position: Position, after: Vec<Id>) {
        for sibling in after {
            let followers = self.followers.entry(sibling).or_default();
            // In start order, whenever they were told to follow: a checkpoint knows no other.
            let place = followers.partition_point(|follower| *follower < position);
            followers.insert(place, position);
        }
    }

    fn unfollow(&mut self, position: Position, after: &[Id]) {
        for sibling in after {
            if let Some(followers) = self.followers.get_mut(sibling) {
                followers.retain(|follower| *follower != position);
                if followers.is_empty() {
                    self.followers.remove(sibling);
                }
            }
        }
    }

    /// Gives a child a new specification.
    pub(super) fn respecify(&mut self, position: Position, spec: ChildSpec<Id>) {
        let after = spec.after.clone();
        let before = std::mem::replace(&mut self.children.at_mut(position).spec, spec);
        self.unfollow(position, &before.after);
        self.follow(position, after);
    }

    /// Forgets a child that is down.
    pub(super) fn forget(&mut self, position: Position) -> Option<Member<Id, Child>> {
        let member = self.children.remove(position)?;
        self.uncount(position, &member.state.state);
        self.unfollow(position, &member.spec.after);
        for group in &mut self.groups {
            group.leave(position);
        }
        Some(member)
    }

    pub(super) fn followers(&self, position: Position) -> &[Position] {
        self.followers.get(&self.children.at(position).spec.id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn prerequisites(&self, position: Position) -> impl Iterator<Item = Position> {
        self.children
            .at(position)
            .spec
            .after
            .iter()
            .filter_map(|sibling| self.children.find(sibling))
    }

    /// The siblings that keep a child from starting.
    pub(super) fn missing(&self, position: Position) -> Vec<Id> {
        let missing =
            self.prerequisites(position).filter(|sibling| !self.state(*sibling).satisfies());
        missing.map(|sibling| self.id(sibling)).collect()
    }

    /// A child and all that come after it, directly or not.
    pub(super) fn with_followers(&self, first: Position) -> BTreeSet<Position> {
        let mut found = BTreeSet::from([first]);
        let mut unseen = vec![first];
        while let Some(position) = unseen.pop() {
            unseen.extend(
                self.followers(position).iter().filter(|follower| found.insert(**follower)),
            );
        }
        found
    }

    /// Whether somebody who comes after this child, directly or not, is on its way down.
    pub(super) fn has_leaving_follower(&self, first: Position) -> bool {
        let mut seen = HashSet::new();
        let mut unseen = vec![first];
        while let Some(position) = unseen.pop() {
            for follower in self.followers(position) {
                match self.state(*follower) {
                    State::Leaving { .. } | State::Stopping { .. } => return true,
                    // Somebody who stays has been told to come after this child only just now.
                    State::Starting { .. } | State::Up { .. } => {}
                    State::Pending
                    | State::BackingOff { .. }
                    | State::Completed(_)
                    | State::Stopped
                    | State::Failed => {
                        if seen.insert(*follower) {
                            unseen.push(*follower);
                        }
                    }
                }
            }
        }
        false
    }

    /// The nearest children that are not down and that this one comes after, directly or not.
    pub(super) fn live_prerequisites(&self, first: Position) -> Vec<Position> {
        let mut live = Vec::new();
        let mut seen = HashSet::new();
        let mut unseen = vec![first];
        while let Some(position) = unseen.pop() {
            for sibling in self.prerequisites(position) {
                if !seen.insert(sibling) {
                    continue;
                }
                if self.state(sibling).live_generation().is_some() {
                    live.push(sibling);
                } else {
                    unseen.push(sibling);
                }
            }
        }
        live
    }
}

impl Child {
    pub(super) fn new(state: State) -> Self {
        Self { state, restarts: Restarts::default(), restarts_in_a_row: 0, callers: Vec::new() }
    }
}
