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

/// What a child is doing; how each state is left stands in the table of `concurrent.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Would start, but something has to be up or down first.
    Pending,
    /// Told to start.
    Starting {
        /// Which incarnation.
        generation: Generation,
    },
    /// Up.
    Up {
        /// Which incarnation.
        generation: Generation,
        /// Since then.
        since: Moment,
    },
    /// Waits for its restart.
    BackingOff {
        /// Until then.
        until: Moment,
    },
    /// Will be told to stop when those after it are down.
    Leaving {
        /// Which incarnation.
        generation: Generation,
        /// What follows.
        next: Next,
    },
    /// Told to stop.
    Stopping {
        /// Which incarnation.
        generation: Generation,
        /// How long it still has.
        grace: Grace,
        /// What follows.
        next: Next,
    },
    /// Ended, and is not to be restarted.
    Completed(Exit),
    /// Down because an operator wanted that.
    Stopped,
    /// Down because it was restarted too often.
    Failed,
}

/// What becomes of a child that is being stopped when it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It starts again.
    Start,
    /// It rests, as after an end of its own.
    Complete,
    /// It rests, as an operator wanted.
    Stop,
    /// It is forgotten.
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
