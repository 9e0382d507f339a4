//! The children in their order, found by name.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use super::{Answer, ChildSpec, Generation, Refusal, Reply};

/// A place in the order. Never given to another child, except by [`Roster::rebuild`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position(u64);

/// A child and what its discipline knows of it.
#[derive(Debug, Clone)]
pub(super) struct Member<Id, State> {
    pub(super) spec: ChildSpec<Id>,
    pub(super) state: State,
    generation: Generation,
}

impl<Id, State> Member<Id, State> {
    /// Its latest incarnation.
    pub(super) const fn generation(&self) -> Generation {
        self.generation
    }

    /// Goes on after an incarnation that another machine issued.
    pub(super) const fn resume_at(&mut self, generation: Generation) {
        self.generation = generation;
    }
}

/// The children, in start order.
#[derive(Debug, Clone)]
pub(super) struct Roster<Id, State> {
    members: BTreeMap<Position, Member<Id, State>>,
    positions: HashMap<Id, Position>,
    position_next: u64,
    /// No removed child got further, so that an event about one is never taken for a newcomer's.
    generation_floor: Generation,
    generation_max: Generation,
}

impl<Id: Clone + Eq + Hash, State> Roster<Id, State> {
    pub(super) fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            positions: HashMap::new(),
            position_next: 0,
            generation_floor: Generation(0),
            generation_max: Generation(0),
        }
    }

    /// No child's generation is, or will be, `generation` or less.
    pub(super) fn begin_beyond(&mut self, generation: Generation) {
        self.generation_floor = self.generation_floor.max(generation);
        self.generation_max = self.generation_max.max(generation);
        for member in self.members.values_mut() {
            member.generation = member.generation.max(generation);
        }
    }

    /// The furthest that a removed child, and that any child, got.
    pub(super) const fn generations(&self) -> (Generation, Generation) {
        (self.generation_floor, self.generation_max)
    }

    /// Goes on where another roster of the same children was.
    pub(super) const fn resume_generations(&mut self, floor: Generation, max: Generation) {
        (self.generation_floor, self.generation_max) = (floor, max);
    }

    /// Adds a child whose id is not yet taken, as the last.
    pub(super) fn push(&mut self, spec: ChildSpec<Id>, state: State) -> Position {
        let generation = self.generation_floor;
        self.push_member(Member { spec, state, generation })
    }

    fn push_member(&mut self, member: Member<Id, State>) -> Position {
        let position = Position(self.position_next);
        self.position_next += 1;
        self.positions.insert(member.spec.id.clone(), position);
        self.members.insert(position, member);
        position
    }

    pub(super) fn remove(&mut self, position: Position) -> Option<Member<Id, State>> {
        let member = self.members.remove(&position)?;
        self.positions.remove(&member.spec.id);
        self.generation_floor = self.generation_floor.max(member.generation);
        Some(member)
    }

    /// Puts `specs` first, in their order, each with the state of the child of that id or else
    /// `newcomer`, and after them whoever is not named.
    pub(super) fn rebuild(&mut self, specs: Vec<ChildSpec<Id>>, newcomer: impl Fn() -> State) {
        let generation = self.generation_floor;
        let mut before = std::mem::take(&mut self.members);
        let positions = std::mem::take(&mut self.positions);
        for spec in specs {
            let known = positions.get(&spec.id).and_then(|position| before.remove(position));
            self.push_member(match known {
                Some(member) => Member { spec, ..member },
                None => Member { spec, state: newcomer(), generation },
            });
        }
        for member in before.into_values() {
            self.push_member(member);
        }
    }

    pub(super) fn find(&self, id: &Id) -> Option<Position> {
        self.positions.get(id).copied()
    }

    /// The same, for a call that names it.
    pub(super) fn named(&self, id: &Id) -> Result<Position, Refusal<Id>> {
        self.find(id).ok_or(Refusal::NotFound)
    }

    /// What a child is to be like, or instances, whose template has an id of its own.
    pub(super) fn describe(&self, id: &Id, template: Option<&ChildSpec<Id>>) -> Reply<Id> {
        let named = self.find(id).map(|position| &self.at(position).spec);
        let template = template.filter(|template| template.id == *id);
        let spec = named.or(template).ok_or(Refusal::NotFound)?;
        Ok(Answer::Child(Box::new(spec.clone())))
    }

    pub(super) fn get(&self, position: Position) -> Option<&Member<Id, State>> {
        self.members.get(&position)
    }

    /// The child at a position that was found a moment ago.
    pub(super) fn at(&self, position: Position) -> &Member<Id, State> {
        self.members.get(&position).expect("positions are kept no longer than their children")
    }

    /// The same, to change it.
    pub(super) fn at_mut(&mut self, position: Position) -> &mut Member<Id, State> {
        self.members.get_mut(&position).expect("positions are kept no longer than their children")
    }

    /// In start order; backwards in stop order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Position, &Member<Id, State>)> {
        self.members.iter().map(|(position, member)| (*position, member))
    }

    /// In start order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member<Id, State>> {
        self.members.values_mut()
    }

    /// This one and those that come later, in start order.
    pub(super) fn from(&self, first: Position) -> impl Iterator<Item = Position> {
        self.members.range(first..).map(|(position, _)| *position)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Counts up a child's generation.
    pub(super) fn issue(&mut self, position: Position) -> Generation {
        let member = self.at_mut(position);
        member.generation = Generation(member.generation.0 + 1);
        let generation = member.generation;
        self.generation_max = self.generation_max.max(generation);
        generation
    }

    /// Gives a child a generation that no sibling ever had, as a pid would be.
    pub(super) fn issue_unique(&mut self, position: Position) -> Generation {
        let generation = Generation(self.generation_max.0 + 1);
        self.generation_max = generation;
        self.at_mut(position).generation = generation;
        generation
    }

    /// Whether some child ever had this generation.
    pub(super) fn was_issued(&self, generation: Generation) -> bool {
        Generation(0) < generation && generation <= self.generation_max
    }
}
