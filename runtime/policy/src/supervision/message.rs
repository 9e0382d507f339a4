//! What a supervisor is told and what it says.

use super::{
    AutoShutdown, ChildKind, ChildSpec, Exit, Generation, Shutdown, SpecError, SupervisorSpec,
};
use crate::moment::Moment;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<Id> {
    /// The parent or the operator wants the supervisor to run.
    StartRequested,
    /// A child that was told to start is up: ready, not merely existing.
    Started {
        /// Which child.
        child: Id,
        /// Which incarnation.
        generation: Generation,
    },
    /// A child that was told to start did not get up, and nothing of it is left.
    StartFailed {
        /// Which child.
        child: Id,
        /// Which incarnation.
        generation: Generation,
        /// A random number from -1 to 1, for the backoff.
        jitter: f64,
    },
    /// A child that was told to start had nothing to do: OTP's `ignore`.
    Ignored {
        /// Which child.
        child: Id,
        /// Which incarnation.
        generation: Generation,
    },
    /// A child ended, and nothing of it is left; whoever's wish it was.
    Exited {
        /// Which child.
        child: Id,
        /// Which incarnation.
        generation: Generation,
        /// How.
        exit: Exit,
        /// A random number from -1 to 1, for the backoff.
        jitter: f64,
    },
    /// The parent or the operator wants the supervisor to end; the second time, without graces.
    StopRequested,
    /// Somebody asks for something; answered by one [`Command::Reply`].
    Called {
        /// Where the answer goes.
        call: CallId,
        /// What is asked.
        request: Call<Id>,
    },
    /// The moment that `next_deadline` named has come.
    DeadlineReached,
}

/// Pairs a call with its answer; the caller chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What can be asked of a supervisor. OTP's name is given where it is another.
#[derive(Debug, Clone, PartialEq)]
pub enum Call<Id> {
    /// `start_child`: one more child, at the end of the order.
    AddChild(ChildSpec<Id>),
    /// `start_child` under `simple_one_for_one`: one more like the template, called so.
    AddInstance(Id),
    /// `terminate_child`: stop it and leave it stopped. Concurrent: asked again, without grace.
    StopChild(Id),
    /// `terminate_child` with a pid, under `simple_one_for_one`: stop this incarnation.
    StopIncarnation(Id, Generation),
    /// `restart_child`: start one that is down. Concurrent: prerequisites that are down as well, and a
    /// wait for a backoff ends.
    StartChild(Id),
    /// Stop it if it runs and start it again, with prerequisites that are down; never counted, and
    /// earlier restarts are forgotten.
    RestartChild(Id),
    /// `delete_child`: forget one that is down. Concurrent: one that runs is stopped first.
    RemoveChild(Id),
    /// Give a child a new specification, found by its id, from its next start on.
    UpdateChild(ChildSpec<Id>),
    /// `code_change`: new settings, and specifications that replace those of the same id, precede
    /// those not named, and are started only when asked.
    Reconfigure(SupervisorSpec, Vec<ChildSpec<Id>>),
    /// `get_childspec`.
    DescribeChild(Id),
    /// `which_children`.
    WhichChildren,
    /// `count_children`.
    CountChildren,
}

/// How a call ended.
pub type Reply<Id> = Result<Answer<Id>, Refusal<Id>>;

/// What a granted call brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<Id> {
    /// It is so.
    Done,
    /// The child is up.
    Started(Generation),
    /// The child had nothing to do.
    Ignored,
    /// The specification asked for.
    Child(Box<ChildSpec<Id>>),
    /// As OTP lists them: newest first; under `simple_one_for_one` oldest first, by incarnation, and then
    /// those that wait for their restart.
    Children(Vec<ChildStatus<Id>>),
    /// The numbers asked for.
    Counts(Counts),
}

/// Why a call was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal<Id> {
    /// No child is called so.
    NotFound,
    /// There is one of that id, and it is down or restarting.
    AlreadyPresent,
    /// There is one of that id, and it runs.
    AlreadyStarted(Generation),
    /// Not while it runs.
    Running,
    /// Not while it is being restarted.
    Restarting,
    /// Not under `simple_one_for_one`.
    SimpleOneForOne,
    /// Only under `simple_one_for_one`.
    NotSimpleOneForOne,
    /// The start failed. Strict: that is all; concurrent: it is tried again like any other.
    StartFailed,
    /// Somebody asked for the opposite before it was done.
    Superseded,
    /// The specification makes no sense.
    Invalid(SpecError<Id>),
    /// The supervisor is ending or has ended.
    SupervisorEnding,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Command<Id> {
    /// Start it and say how that went: `Started`, `StartFailed`, `Ignored` or `Exited`.
    Start {
        /// Which child.
        child: Id,
        /// Which incarnation this will be.
        generation: Generation,
    },
    /// Ask it to end, whether it is up already or not; say when it has: `Exited` or `StartFailed`.
    Stop {
        /// Which child.
        child: Id,
        /// Which incarnation.
        generation: Generation,
        /// What it may be told about its grace. The supervisor itself watches the time.
        budget: Shutdown,
    },
    /// End it by force.
    Kill {
        /// Which child.
        child: Id,
        /// Which incarnation.
        generation: Generation,
    },
    /// Answer a call.
    Reply {
        /// Whose.
        call: CallId,
        /// With this.
        reply: Reply<Id>,
    },
    /// Note what became of a child that nothing else tells.
    Report(Transition<Id>),
    /// Every child that can be up is: the supervisor itself has started. Once.
    Up,
    /// Every child is down and the supervisor has ended. Last.
    Exit(SupervisorExit<Id>),
}

/// What became of a child, for status and history.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition<Id> {
    /// It would start, but these are not up.
    Pending {
        /// Which child.
        child: Id,
        /// The siblings missing.
        waits_for: Vec<Id>,
    },
    /// Its restart waits.
    BackingOff {
        /// Which child.
        child: Id,
        /// Until then.
        until: Moment,
        /// Restarts in a row so far, this one included.
        restarts: u32,
    },
    /// It was restarted too often and rests.
    Failed {
        /// Which child.
        child: Id,
        /// Restarts inside the window, the one refused included.
        restarts: u32,
    },
    /// It ended and is not to be restarted.
    Completed {
        /// Which child.
        child: Id,
        /// How.
        exit: Exit,
    },
    /// It is down because somebody wanted that.
    Stopped {
        /// Which child.
        child: Id,
    },
    /// It is among the children from now on, because of this call.
    Added {
        /// Which child.
        child: Id,
        /// Whose.
        call: CallId,
    },
    /// It is no longer among the children.
    Removed {
        /// Which child.
        child: Id,
    },
    /// The strategy takes these down and up again together.
    GroupRestarting {
        /// The child that failed.
        cause: Id,
        /// The children concerned, the cause included, in start order.
        members: Vec<Id>,
    },
    /// It was killed and is still there; nothing starts in its place.
    Unkillable {
        /// Which child.
        child: Id,
        /// Which incarnation.
        generation: Generation,
    },
}

/// Why a supervisor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SupervisorExit<Id> {
    /// It was asked to.
    Stopped,
    /// This child's restart was one too many.
    RestartedTooOften(Id),
    /// This significant child ended by itself.
    AutoShutdown(Id),
    /// Strict: this child did not start, so the supervisor did not either.
    StartFailed(Id),
}

impl<Id> SupervisorExit<Id> {
    /// How the supervisor's own parent sees it: always OTP's `shutdown`.
    ///
    /// So a nested supervisor that gave up is restarted only when it is permanent. That surprises,
    /// but it is Erlang's rule.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Stopped
            | Self::RestartedTooOften(_)
            | Self::AutoShutdown(_)
            | Self::StartFailed(_) => Exit::Shutdown,
        }
    }
}

/// One child, as a listing shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildStatus<Id> {
    /// Its name.
    pub id: Id,
    /// What it is doing.
    pub phase: Phase,
    /// A supervisor or not.
    pub kind: ChildKind,
}

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Down and not about to change that. All that strict knows; OTP's `undefined`.
    Down,
    /// Would start, but a prerequisite is not up, or the rest of its group not down.
    Pending,
    /// Told to start.
    Starting(Generation),
    /// Up.
    Up(Generation),
    /// Waits for its restart. Strict: OTP's `restarting`, the next attempt is on its way.
    BackingOff {
        /// Until then; `None` in strict, which does not wait.
        until: Option<Moment>,
    },
    /// Told to stop, or about to be.
    Stopping(Generation),
    /// Ended and not to be restarted.
    Completed(Exit),
    /// Down because an operator wanted that.
    Stopped,
    /// Down because it was restarted too often.
    Failed,
}

/// OTP's `count_children`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Specifications: one, the template, under `simple_one_for_one`.
    pub specs: usize,
    /// Children that are alive.
    pub active: usize,
    /// Children that are supervisors, alive or not.
    pub supervisors: usize,
    /// Children that are not, alive or not.
    pub workers: usize,
}

impl AutoShutdown {
    /// Whether significance means anything.
    pub const fn is_on(self) -> bool {
        match self {
            Self::Never => false,
            Self::AnySignificant | Self::AllSignificant => true,
        }
    }
}
