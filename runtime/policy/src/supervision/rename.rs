//! The same events and specifications with children called otherwise, such as by text.

use super::{
    Call, ChildSpec, Event, SupervisorExit,
    checkpoint::{Checkpoint, ChildCheckpoint, Course, GroupCheckpoint},
};

impl<Id> Event<Id> {
    /// The same event about children of other names.
    pub fn renamed<Other>(&self, name: &impl Fn(&Id) -> Other) -> Event<Other> {
        match self {
            Self::StartRequested => Event::StartRequested,
            Self::Started { child, generation } => {
                Event::Started { child: name(child), generation: *generation }
            }
            Self::StartFailed { child, generation, jitter } => {
                Event::StartFailed { child: name(child), generation: *generation, jitter: *jitter }
            }
            Self::Ignored { child, generation } => {
                Event::Ignored { child: name(child), generation: *generation }
            }
            Self::Exited { child, generation, exit, jitter } => Event::Exited {
                child: name(child),
                generation: *generation,
                exit: *exit,
                jitter: *jitter,
            },
            Self::StopRequested => Event::StopRequested,
            Self::Called { call, request } => {
                Event::Called { call: *call, request: request.renamed(name) }
            }
            Self::DeadlineReached => Event::DeadlineReached,
        }
    }
}

impl<Id> Call<Id> {
    /// The same call about children of other names.
    pub fn renamed<Other>(&self, name: &impl Fn(&Id) -> Other) -> Call<Other> {
        match self {
            Self::AddChild(spec) => Call::AddChild(spec.renamed(name)),
            Self::AddInstance(child) => Call::AddInstance(name(child)),
            Self::StopChild(child) => Call::StopChild(name(child)),
            Self::StopIncarnation(child, generation) => {
                Call::StopIncarnation(name(child), *generation)
            }
            Self::StartChild(child) => Call::StartChild(name(child)),
            Self::RestartChild(child) => Call::RestartChild(name(child)),
            Self::RemoveChild(child) => Call::RemoveChild(name(child)),
            Self::UpdateChild(spec) => Call::UpdateChild(spec.renamed(name)),
            Self::Reconfigure(spec, children) => {
                Call::Reconfigure(*spec, children.iter().map(|child| child.renamed(name)).collect())
            }
            Self::DescribeChild(child) => Call::DescribeChild(name(child)),
            Self::WhichChildren => Call::WhichChildren,
            Self::CountChildren => Call::CountChildren,
        }
    }
}

impl<Id> ChildSpec<Id> {
    /// The same specification of a child of another name.
    pub fn renamed<Other>(&self, name: &impl Fn(&Id) -> Other) -> ChildSpec<Other> {
        ChildSpec {
            id: name(&self.id),
            restart: self.restart,
            shutdown: self.shutdown,
            significant: self.significant,
            kind: self.kind,
            after: self.after.iter().map(name).collect(),
            limit: self.limit,
            on_failed: self.on_failed,
            backoff: self.backoff,
        }
    }
}

impl<Id> Checkpoint<Id> {
    /// The same checkpoint with children of other names.
    pub fn renamed<Other>(&self, name: &impl Fn(&Id) -> Other) -> Checkpoint<Other> {
        Checkpoint {
            spec: self.spec,
            template: self.template.as_ref().map(|spec| spec.renamed(name)),
            children: self.children.iter().map(|child| child.renamed(name)).collect(),
            restarts: self.restarts.clone(),
            groups: self
                .groups
                .iter()
                .map(|group| GroupCheckpoint {
                    members: group.members.iter().map(name).collect(),
                    until: group.until,
                })
                .collect(),
            course: self.course.renamed(name),
            generation_floor: self.generation_floor,
            generation_max: self.generation_max,
        }
    }
}

impl<Id> ChildCheckpoint<Id> {
    fn renamed<Other>(&self, name: &impl Fn(&Id) -> Other) -> ChildCheckpoint<Other> {
        ChildCheckpoint {
            spec: self.spec.renamed(name),
            generation: self.generation,
            state: self.state,
            restarts: self.restarts.clone(),
            restarts_in_a_row: self.restarts_in_a_row,
            callers: self.callers.clone(),
        }
    }
}

impl<Id> Course<Id> {
    fn renamed<Other>(&self, name: &impl Fn(&Id) -> Other) -> Course<Other> {
        match self {
            Self::Unstarted => Course::Unstarted,
            Self::Rising => Course::Rising,
            Self::Risen => Course::Risen,
            Self::Ending { why, graces } => {
                Course::Ending { why: why.renamed(name), graces: *graces }
            }
            Self::Ended => Course::Ended,
        }
    }
}

impl<Id> SupervisorExit<Id> {
    fn renamed<Other>(&self, name: &impl Fn(&Id) -> Other) -> SupervisorExit<Other> {
        match self {
            Self::Stopped => SupervisorExit::Stopped,
            Self::RestartedTooOften(child) => SupervisorExit::RestartedTooOften(name(child)),
            Self::AutoShutdown(child) => SupervisorExit::AutoShutdown(name(child)),
            Self::StartFailed(child) => SupervisorExit::StartFailed(name(child)),
        }
    }
}
