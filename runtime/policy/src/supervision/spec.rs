//! What a supervisor and its children are told to be, and which of that makes no sense.
//!
//! The rules and their names are those of OTP's `check_flags` and `check_childspec`. What the types
//! already rule out (an unknown strategy, a negative intensity) is not checked again here.

use std::{collections::HashSet, fmt, hash::Hash, time::Duration};

use super::{Discipline, Restart, RestartLimit, Shutdown, Strategy};
use crate::backoff::Backoff;

/// The supervisor's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupervisorSpec {
    /// What happens to siblings when a child is restarted.
    pub strategy: Strategy,
    /// One thing at a time, as OTP does, or many.
    pub discipline: Discipline,
    /// Whose restarts are counted together.
    pub counting: Counting,
    /// Whether the end of significant children ends the supervisor.
    pub auto_shutdown: AutoShutdown,
}

/// Whose restarts are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// All of them, as OTP does; one too many ends the supervisor. Under [`Discipline::Strict`] the
    /// window is one second or more, and whole ones.
    Shared(RestartLimit),
    /// Those of each child against its own [`ChildSpec::limit`]; one too many is answered by its
    /// [`ChildSpec::on_failed`].
    PerChild,
}

/// Whether significant children that end by themselves take the supervisor with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AutoShutdown {
    /// They do not.
    Never,
    /// The first one does.
    AnySignificant,
    /// The last one does.
    AllSignificant,
}

/// A child's own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildSpec<Id> {
    /// Unique among its siblings.
    pub id: Id,
    /// Which exits are followed by a restart.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Its end by itself counts for [`AutoShutdown`]; never together with [`Restart::Permanent`].
    pub significant: bool,
    /// A supervisor, or what supervisors are for.
    pub kind: ChildKind,
    /// The siblings that must be up, or completed, before it starts, and that are stopped only when
    /// it is down. [`Discipline::Strict`] ignores it: there the order of the list is the order.
    pub after: Vec<Id>,
    /// How many restarts are too many; read under [`Counting::PerChild`] alone.
    pub limit: RestartLimit,
    /// What too many restarts mean; read under [`Counting::PerChild`] alone.
    pub on_failed: OnFailed,
    /// How long restarts wait. [`Discipline::Strict`] never waits.
    pub backoff: Backoff,
}

impl SupervisorSpec {
    /// OTP's defaults: one for one, one restart in five seconds, nothing significant.
    pub const OTP: Self = Self {
        strategy: Strategy::OneForOne,
        discipline: Discipline::Strict,
        counting: Counting::Shared(RestartLimit {
            restarts_max: 1,
            window: Duration::from_secs(5),
        }),
        auto_shutdown: AutoShutdown::Never,
    };

    /// Checks children that come together: OTP's `check_childspecs`.
    ///
    /// # Errors
    /// The first rule broken, in the order of the list.
    pub fn check<Id: Clone + Eq + Hash>(
        &self,
        children: &[ChildSpec<Id>],
    ) -> Result<(), SpecError<Id>> {
        check(self, children)
    }
}

impl<Id> ChildSpec<Id> {
    /// OTP's defaults for a worker: permanent, and five seconds to stop.
    pub fn worker(id: Id) -> Self {
        Self {
            id,
            restart: Restart::Permanent,
            shutdown: Shutdown::Timeout(Duration::from_secs(5)),
            significant: false,
            kind: ChildKind::Worker,
            after: Vec::new(),
            limit: RestartLimit { restarts_max: 1, window: Duration::from_secs(5) },
            on_failed: OnFailed::Rest,
            backoff: Backoff::NONE,
        }
    }

    /// OTP's defaults for a supervisor: permanent, and all the time it needs to stop.
    pub fn supervisor(id: Id) -> Self {
        Self { shutdown: Shutdown::Infinity, kind: ChildKind::Supervisor, ..Self::worker(id) }
    }
}

/// What a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChildKind {
    /// A leaf of the tree.
    Worker,
    /// An inner node of the tree.
    Supervisor,
}

/// What becomes of a child that was restarted too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailed {
    /// It stays down until an operator starts it; its siblings run on.
    Rest,
    /// The supervisor ends, and its parent decides.
    Escalate,
}

/// Why a supervisor or a child cannot be what its specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecError<Id> {
    /// Two children have one id.
    DuplicateChild(Id),
    /// `significant` under [`AutoShutdown::Never`].
    SignificantWithoutAutoShutdown(Id),
    /// `significant` and [`Restart::Permanent`]: it never ends by itself.
    SignificantPermanent(Id),
    /// [`Strategy::SimpleOneForOne`] takes one child, the template of all; here are so many.
    TemplateCount(usize),
    /// A live supervisor cannot become or cease to be [`Strategy::SimpleOneForOne`].
    StrategyFixed,
    /// A live supervisor cannot change its discipline.
    DisciplineFixed,
    /// [`Discipline::Strict`] is OTP's, which knows no [`Counting::PerChild`].
    StrictCountsShared,
    /// OTP's `invalid_period`: [`Discipline::Strict`] counts in whole seconds, one at least.
    StrictWindow(Duration),
    /// `after` names what is not a sibling.
    UnknownSibling {
        /// Whose `after` it is.
        child: Id,
        /// The name in it.
        sibling: Id,
    },
    /// Following `after` from this child leads back to it.
    Circular(Id),
}

impl<Id: fmt::Debug> fmt::Display for SpecError<Id> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateChild(id) => write!(formatter, "two children are called {id:?}"),
            Self::SignificantWithoutAutoShutdown(id) => {
                write!(formatter, "child {id:?} is significant, but auto_shutdown is never")
            }
            Self::SignificantPermanent(id) => {
                write!(
                    formatter,
                    "child {id:?} is significant and permanent, so it never ends by itself"
                )
            }
            Self::TemplateCount(count) => {
                write!(formatter, "simple_one_for_one takes one child as a template, found {count}")
            }
            Self::StrategyFixed => {
                formatter.write_str("simple_one_for_one cannot be switched on or off at run time")
            }
            Self::DisciplineFixed => {
                formatter.write_str("the discipline cannot change at run time")
            }
            Self::StrictCountsShared => formatter
                .write_str("the strict discipline counts restarts for all children together"),
            Self::StrictWindow(window) => {
                write!(
                    formatter,
                    "the strict discipline counts restarts in whole seconds, one or more, not within \
                     {window:?}"
                )
            }
            Self::UnknownSibling { child, sibling } => {
                write!(formatter, "child {child:?} comes after {sibling:?}, which is no sibling")
            }
            Self::Circular(id) => write!(formatter, "child {id:?} comes after itself"),
        }
    }
}

impl<Id: fmt::Debug> std::error::Error for SpecError<Id> {}

/// Checks children that come together: OTP's `check_childspecs`.
///
/// # Errors
/// The first rule broken, in the order of the list.
pub(super) fn check<Id: Clone + Eq + Hash>(
    spec: &SupervisorSpec,
    children: &[ChildSpec<Id>],
) -> Result<(), SpecError<Id>> {
    let mut ids = HashSet::new();
    for child in children {
        check_child(spec, child)?;
        if !ids.insert(&child.id) {
            return Err(SpecError::DuplicateChild(child.id.clone()));
        }
    }
    if spec.strategy == Strategy::SimpleOneForOne && children.len() != 1 {
        return Err(SpecError::TemplateCount(children.len()));
    }
    Ok(())
}

/// The limit that strict counts against.
pub(super) const fn shared_limit<Id>(spec: &SupervisorSpec) -> Result<RestartLimit, SpecError<Id>> {
    match spec.counting {
        Counting::Shared(limit)
            if limit.window.as_secs() < 1 || limit.window.subsec_nanos() > 0 =>
        {
            Err(SpecError::StrictWindow(limit.window))
        }
        Counting::Shared(limit) => Ok(limit),
        Counting::PerChild => Err(SpecError::StrictCountsShared),
    }
}

/// What may not change in a living supervisor: whether its children are instances, and how it works.
pub(super) fn check_change<Id: Clone + Eq + Hash>(
    before: &SupervisorSpec,
    after: &SupervisorSpec,
    children: &[ChildSpec<Id>],
) -> Result<(), SpecError<Id>> {
    check(after, children)?;
    let is_simple = |spec: &SupervisorSpec| spec.strategy == Strategy::SimpleOneForOne;
    if is_simple(before) != is_simple(after) {
        Err(SpecError::StrategyFixed)
    } else if before.discipline != after.discipline {
        Err(SpecError::DisciplineFixed)
    } else {
        Ok(())
    }
}

/// Checks one child by itself.
pub(super) fn check_child<Id: Clone>(
    spec: &SupervisorSpec,
    child: &ChildSpec<Id>,
) -> Result<(), SpecError<Id>> {
    if !child.significant {
        Ok(())
    } else if spec.auto_shutdown == AutoShutdown::Never {
        Err(SpecError::SignificantWithoutAutoShutdown(child.id.clone()))
    } else if child.restart == Restart::Permanent {
        Err(SpecError::SignificantPermanent(child.id.clone()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_children_concerned_and_the_rule() {
        let errors = [
            SpecError::DuplicateChild("a"),
            SpecError::SignificantWithoutAutoShutdown("a"),
            SpecError::SignificantPermanent("a"),
            SpecError::TemplateCount(2),
            SpecError::StrategyFixed,
            SpecError::DisciplineFixed,
            SpecError::StrictCountsShared,
            SpecError::StrictWindow(Duration::from_millis(500)),
            SpecError::UnknownSibling { child: "a", sibling: "b" },
            SpecError::Circular("a"),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"), @r#"
        two children are called "a"
        child "a" is significant, but auto_shutdown is never
        child "a" is significant and permanent, so it never ends by itself
        simple_one_for_one takes one child as a template, found 2
        simple_one_for_one cannot be switched on or off at run time
        the discipline cannot change at run time
        the strict discipline counts restarts for all children together
        the strict discipline counts restarts in whole seconds, one or more, not within 500ms
        child "a" comes after "b", which is no sibling
        child "a" comes after itself
        "#);
    }
}
