//! The state of one child.

use crate::{
    moment::Moment,
    supervision::{CallId, Exit, Generation, Phase, grace::Grace, restarts::Restarts},
};

/// What is known of a child beside its specification.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) state: State,
    /// Under counting per child.
    pub(super) restarts: Restarts,
    /// Restarts since the last healthy run.
    pub(super) restarts_in_a_row: u32,
    /// Who waits for it to be up, or to be down, whichever was wanted last.
    pub(super) callers: Vec<CallId>,
}

/// See the table of the module above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Starting { generation: Generation },
    Up { generation: Generation, since: Moment },
    BackingOff { until: Moment },
    Leaving { generation: Generation, next: Next },
    Stopping { generation: Generation, grace: Grace, next: Next },
    Completed(Exit),
    Stopped,
    Failed,
}

/// What becomes of a child that is being stopped when it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Start,
    Complete,
    Stop,
    Remove,
}

impl State {
    pub(super) const fn live_generation(&self) -> Option<Generation> {
        match self {
            Self::Starting { generation }
            | Self::Up { generation, .. }
            | Self::Leaving { generation, .. }
            | Self::Stopping { generation, .. } => Some(*generation),
            Self::Pending
            | Self::BackingOff { .. }
            | Self::Completed(_)
            | Self::Stopped
            | Self::Failed => None,
        }
    }

    pub(super) const fn deadline(&self) -> Option<Moment> {
        match self {
            Self::BackingOff { until } => Some(*until),
            Self::Stopping { grace, .. } => grace.deadline(),
            Self::Pending
            | Self::Starting { .. }
            | Self::Up { .. }
            | Self::Leaving { .. }
            | Self::Completed(_)
            | Self::Stopped
            | Self::Failed => None,
        }
    }

    /// Whether the child will be elsewhere without anybody asking. One that is pending moves only
    /// when another does.
    pub(super) const fn is_moving(&self) -> bool {
        match self {
            Self::Starting { .. }
            | Self::BackingOff { .. }
            | Self::Leaving { .. }
            | Self::Stopping { .. } => true,
            Self::Pending | Self::Up { .. } | Self::Completed(_) | Self::Stopped | Self::Failed => {
                false
            }
        }
    }

    /// Whether the child neither runs nor is going to.
    pub(super) const fn is_at_rest(&self) -> bool {
        match self {
            Self::Completed(_) | Self::Stopped | Self::Failed => true,
            Self::Pending
            | Self::Starting { .. }
            | Self::Up { .. }
            | Self::BackingOff { .. }
            | Self::Leaving { .. }
            | Self::Stopping { .. } => false,
        }
    }

    /// Whether those after it may start.
    pub(super) const fn satisfies(&self) -> bool {
        match self {
            Self::Up { .. } | Self::Completed(Exit::Normal | Exit::Shutdown) => true,
            Self::Completed(Exit::Killed | Exit::Abnormal)
            | Self::Pending
            | Self::Starting { .. }
            | Self::BackingOff { .. }
            | Self::Leaving { .. }
            | Self::Stopping { .. }
            | Self::Stopped
            | Self::Failed => false,
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        match *self {
            Self::Pending => Phase::Pending,
            Self::Starting { generation } => Phase::Starting(generation),
            Self::Up { generation, .. } => Phase::Up(generation),
            Self::BackingOff { until } => Phase::BackingOff { until: Some(until) },
            Self::Leaving { generation, .. } | Self::Stopping { generation, .. } => {
                Phase::Stopping(generation)
            }
            Self::Completed(exit) => Phase::Completed(exit),
            Self::Stopped => Phase::Stopped,
            Self::Failed => Phase::Failed,
        }
    }
}
