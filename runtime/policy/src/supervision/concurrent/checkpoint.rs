//! The machine written down, and set up again.

use std::{fmt::Debug, hash::Hash};

use super::{Concurrent, restarting::Group};
use crate::supervision::{
    SpecError,
    checkpoint::{Checkpoint, ChildCheckpoint, GroupCheckpoint},
    restarts::Restarts,
};

impl<Id: Clone + Eq + Hash + Debug> Concurrent<Id> {
    pub(in crate::supervision) fn checkpoint(&self) -> Checkpoint<Id> {
        let children = self.children.iter().map(|(_, member)| ChildCheckpoint {
            spec: member.spec.clone(),
            generation: member.generation(),
            state: member.state.state,
            restarts: member.state.restarts.moments(),
            restarts_in_a_row: member.state.restarts_in_a_row,
            callers: member.state.callers.clone(),
        });
        let group = |group: &Group| GroupCheckpoint {
            members: group.members().map(|position| self.id(position)).collect(),
            until: group.deadline(),
        };
        let (generation_floor, generation_max) = self.children.generations();
        Checkpoint {
            spec: self.spec,
            template: self.template.clone(),
            children: children.collect(),
            restarts: self.restarts.moments(),
            groups: self.groups.iter().map(group).collect(),
            course: self.course.clone(),
            generation_floor,
            generation_max,
        }
    }

    pub(in crate::supervision) fn resume(
        checkpoint: Checkpoint<Id>,
    ) -> Result<Self, SpecError<Id>> {
        let mut concurrent = Self::new(checkpoint.spec, Vec::new())?;
        concurrent.template = checkpoint.template;
        for child in checkpoint.children {
            let position = concurrent.insert(child.spec, super::State::Pending);
            let member = concurrent.children.at_mut(position);
            member.resume_at(child.generation);
            member.state.restarts = Restarts::at(child.restarts);
            member.state.restarts_in_a_row = child.restarts_in_a_row;
            member.state.callers = child.callers;
            concurrent.enter(position, child.state);
        }
        concurrent
            .children
            .resume_generations(checkpoint.generation_floor, checkpoint.generation_max);
        concurrent.restarts = Restarts::at(checkpoint.restarts);
        for group in checkpoint.groups {
            let members = group.members.iter().filter_map(|id| concurrent.children.find(id));
            concurrent.groups.push(Group::resume(members.collect(), group.until));
        }
        concurrent.course = checkpoint.course;
        Ok(concurrent)
    }
}
