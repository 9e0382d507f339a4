//! OTP's supervisor as a value: events in, commands out.
//!
//! A [`Supervisor`] knows its children and decides; whoever owns it carries out its [`Command`]s in
//! order, turns what then happens into [`Event`]s, and arms one timer for
//! [`Supervisor::next_deadline`]. It neither knows nor cares whether its children are processes,
//! actors or supervisors.
//!
//! One machine serves two [`Discipline`]s, which share every type here and the rules that do not
//! depend on order: which exits are followed by a restart, how restarts are counted, how a grace
//! ends. `Strict` is Erlang/OTP's `supervisor` to the letter: one thing at a time, children in a total
//! order, no delays, whole-second windows, one shared restart count, a first start that succeeds
//! whole or not at all. `Concurrent` is what OS processes need: children that do not depend on each
//! other start and stop at the same time, restarts wait for their backoff, a failing first start is
//! retried like any other, and each child may have a limit of its own. The state tables stand at the
//! top of `strict.rs` and `concurrent.rs`.
//!
//! What holds in both:
//!
//! * A child has at most one live generation. One that was killed and does not go is reported, and
//!   nothing starts in its place.
//! * Every event about a child carries its generation; a stale one has no effect.
//! * Every call is answered exactly once; an ending supervisor refuses.
//! * [`Command::Exit`] comes last, when every child that was ever started has been reported down.
//! * A stop asked for twice skips the graces.

pub mod checkpoint;
mod concurrent;
mod decision;
mod grace;
mod machine;
mod message;
mod rename;
mod restarts;
mod roster;
mod spec;
mod strict;

use std::{fmt, time::Duration};

pub use self::{
    machine::Supervisor,
    message::{
        Answer, Call, CallId, ChildStatus, Command, Counts, Event, Phase, Refusal, Reply,
        SupervisorExit, Transition,
    },
    spec::{AutoShutdown, ChildKind, ChildSpec, Counting, OnFailed, SpecError, SupervisorSpec},
};

/// What happens to siblings when a child is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Nothing.
    OneForOne,
    /// All are stopped and started again.
    OneForAll,
    /// Those that started after it are stopped and started again.
    RestForOne,
    /// Nothing; all children are alike and come and go at run time.
    SimpleOneForOne,
}

/// Which exits are followed by a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Every one.
    Permanent,
    /// Those that are abnormal.
    Transient,
    /// None; the specification goes with the child.
    Temporary,
}

/// How a child ended, as far as policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, content: exit code 0.
    Normal,
    /// Asked by us, or `{shutdown, _}`.
    Shutdown,
    /// By a SIGKILL that we did not send.
    Killed,
    /// Any other way.
    Abnormal,
}

/// How a child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Killed at once.
    Brutal,
    /// Asked, and killed when it has not gone after so long.
    Timeout(Duration),
    /// Asked, and waited for.
    Infinity,
}

/// More than `restarts_max` restarts within `window` are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RestartLimit {
    /// Zero: the first restart is already too many.
    pub restarts_max: u32,
    /// How far back restarts count.
    pub window: Duration,
}

/// Counts the incarnations of one child, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Whether the supervisor serves one thing at a time, as OTP does, or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discipline {
    /// OTP to the letter.
    Strict,
    /// What OS processes need.
    Concurrent,
}
