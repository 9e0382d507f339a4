//! One incarnation of a supervisor, and who is on stage under it.

use std::collections::HashMap;

use super::Troupe;
use crate::{
    moment::Moment,
    rehearsal::{Name, Role, Scenario},
    supervision::{CallId, Exit, Generation, SpecError, Strategy, Supervisor},
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
    /// Roles of children that calls ask for: they play them if they are added.
    proposed: HashMap<CallId, Role>,
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
        let (actors, stage, proposed) = (Vec::new(), Stage::Starting, HashMap::new());
        Ok(Self { machine, of, actors, stage, path, roles, proposed, understudy })
    }

    pub(super) fn path_to(&self, child: &str) -> Vec<Name> {
        self.path.iter().cloned().chain([spoken(child).to_owned()]).collect()
    }

    /// What instances are called that were given no name.
    pub(super) fn template(&self) -> Option<&Name> {
        self.understudy.as_ref()
    }

    pub(super) fn role(&self, child: &str) -> Option<&Role> {
        self.roles.get(child).or_else(|| self.roles.get(self.understudy.as_ref()?))
    }

    /// Keeps the role of a child that a call asks for.
    pub(super) fn propose(&mut self, call: CallId, role: Role) {
        self.proposed.insert(call, role);
    }

    /// What was proposed is so.
    pub(super) fn adopt(&mut self, call: CallId) {
        if let Some(role) = self.proposed.remove(&call) {
            self.roles.insert(role.spec.id.clone(), role);
        }
    }

    /// What was proposed, if it was not adopted, will not be.
    pub(super) fn dismiss(&mut self, call: CallId) {
        self.proposed.remove(&call);
    }
}

/// Parts the name of an instance from its number: OTP has no names for them that must be unique.
const NUMBER_MARK: char = '\u{1f}';

/// What an instance goes by among its siblings.
pub(super) fn numbered(name: &str, number: u64) -> Name {
    format!("{name}{NUMBER_MARK}{number}")
}

/// What a child is called in the story.
pub(super) fn spoken(name: &str) -> &str {
    name.split_once(NUMBER_MARK).map_or(name, |(name, _number)| name)
}
