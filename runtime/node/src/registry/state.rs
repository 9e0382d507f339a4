//! Where an instance and the node stand, in the words that users read.

use blackhole_config::{self as config, Mode, Service};

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits for what it depends on.
    Pending,
    /// Its process lives and is not ready yet.
    Starting,
    /// May be called.
    Ready,
    /// Was ready and is not now.
    Unready,
    /// Was asked to go.
    Stopping,
    /// Waits for the delay before its next start.
    BackingOff,
    /// An operator stopped it, or the node is ending.
    Stopped,
    /// It ended by itself, for good.
    Completed,
    /// It exceeded its limit.
    Failed,
    /// The file says `enabled = false`.
    Disabled,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Starting,
        Self::Ready,
        Self::Unready,
        Self::Stopping,
        Self::BackingOff,
        Self::Stopped,
        Self::Completed,
        Self::Failed,
        Self::Disabled,
    ];

    /// The word that status, events and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing_off",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// What a service is made of, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any program.
    Command,
    /// A service of this binary in a child process.
    Native,
    /// A service of this binary inside the node.
    Embedded,
}

impl Kind {
    /// What a service of the file is made of.
    pub fn of(service: &Service) -> Self {
        match &service.kind {
            config::Kind::Command(_) => Self::Command,
            config::Kind::Native { mode: Mode::Subprocess, .. } => Self::Native,
            config::Kind::Native { mode: Mode::Embedded, .. } => Self::Embedded,
        }
    }
}

/// What the node as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Not everything has been ready yet.
    Starting,
    /// Everything that should be has been started.
    Running,
    /// Everything is being stopped.
    Stopping,
}
