//! One incarnation of a supervisor, and who is on stage under it.

use std::collections::HashMap;

use super::Troupe;
use crate::{
    moment::Moment,
    rehearsal::{Name, Role, Scenario},
    supervision::{Exit, Generation, SpecError, Strategy, Supervisor},
};

/// A machine and the children it has now.
#[derive(Debug)]
pub(super) struct Director {
    pub(super) machine: Supervisor<Name>,
    /// Whose child it is, unless it is the outermost.
    pub(super) of: Option<(Troupe, Name, Generation)>,
    /// Running, starting and stopping children, in the order of their starts.
    pub(super) actors: Vec<Actor>,
    pub(super) stage: Stage,
    /// The names that lead to it; none to the outermost.
    path: Vec<Name>,
    /// Names are unique here, not in the whole tree. What was added by a call ends with this
    /// incarnation.
    roles: HashMap<Name, Role>,
    /// What children without a role of their own play: the template of `simple_one_for_one`.
    understudy: Option<Name>,
}

/// How far a supervisor has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Starting,
    Up,
    /// Told to end; told from outside to end so.
    Ending(Option<Exit>),
}

/// One incarnation of a child.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) name: Name,
    pub(super) generation: Generation,
    pub(super) attempt: u64,
    /// The machine behind it, if it is a supervisor.
    pub(super) troupe: Option<Troupe>,
    pub(super) doing: Doing,
}

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Starting { up_at: Option<Moment> },
    Running { exit_at: Option<(Moment, Exit)> },
    Stopping { down_at: Option<Moment> },
}

impl Director {
    pub(super) fn new(
        scenario: Scenario,
        of: Option<(Troupe, Name, Generation)>,
        path: Vec<Name>,
    ) -> Result<Self, SpecError<Name>> {
        let Scenario { spec, children } = scenario;
        let specs = children.iter().map(|role| role.spec.clone()).collect();
        let machine = Supervisor::new(spec, specs)?;
        let understudy = match spec.strategy {
            Strategy::SimpleOneForOne => children.first().map(|role| role.spec.id.clone()),
            Strategy::OneForOne | Strategy::OneForAll | Strategy::RestForOne => None,
        };
        let roles = children.into_iter().map(|role| (role.spec.id.clone(), role)).collect();
        let (actors, stage) = (Vec::new(), Stage::Starting);
        Ok(Self { machine, of, actors, stage, path, roles, understudy })
    }

    pub(super) fn path_to(&self, child: &str) -> Vec<Name> {
        self.path.iter().cloned().chain([child.to_owned()]).collect()
    }

    pub(super) fn role(&self, child: &str) -> Option<&Role> {
        self.roles.get(child).or_else(|| self.roles.get(self.understudy.as_ref()?))
    }

    /// Keeps a role for a child to come; whoever is there keeps their own.
    pub(super) fn learn(&mut self, role: Role) {
        if self.machine.phase(&role.spec.id).is_none() {
            self.roles.insert(role.spec.id.clone(), role);
        }
    }
}
