//! One incarnation of one service process: from spawn to exit.
//!
//! Decides when the process counts as started, when it is ready, when it has hung, and why it will
//! have ended. Deliberately not here: whether it is started again (that is
//! [`supervision`](crate::supervision)) and how a signal is sent (that is the shell's).
//!
//! | state | meaning | left by |
//! | --- | --- | --- |
//! | `Starting` | lives, must not be depended on yet | readiness, the deadline, a stop, exit |
//! | `Running` | has been ready once; is so now or not | a stop, a failed liveness check, exit |
//! | `Stopping` | was asked to go | exit; killed when its supervisor says so |
//! | `Condemned` | was killed, for a reason that its exit status will not tell | exit |
//!
//! The supervisor keeps the time between asking and killing; this machine keeps every deadline
//! that belongs to the process alone: the start, and the watchdog.

use std::{fmt, time::Duration};

use crate::{moment::Moment, supervision::Exit};

/// What is known about a service before its process exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceSpec {
    /// From spawn to ready, at most.
    pub start_deadline: Duration,
    /// A startup probe must succeed before readiness and liveness are looked at.
    pub startup: Startup,
    /// A child that gives no sign of life for longer than this hangs.
    pub watchdog: Option<Duration>,
}

/// Whether a startup probe comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Startup {
    /// Readiness is looked at from the spawn on.
    Immediate,
    /// Readiness is looked at when [`Event::StartupPassed`] has come.
    Probed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The startup probe succeeded.
    StartupPassed,
    /// The child said, or its probe found, that it may be called.
    BecameReady,
    /// It lives, and must not be called for the time being.
    BecameUnready(String),
    /// The liveness probe failed for good.
    LiveFailed(String),
    /// The sign of life that the watchdog waits for.
    Kicked,
    /// The child says how often signs of life will come from now on.
    WatchdogSet(Duration),
    /// The child cannot be reached by the means that must always work (the link).
    Unresponsive(String),
    /// The child asks for more time to start.
    StartExtended(Duration),
    /// The child has begun to stop by itself.
    StoppingReported,
    /// A resource was exceeded; the kernel or the node ends the process for it.
    LimitExceeded(Reason),
    /// The supervisor wants it to go.
    StopAsked,
    /// The supervisor's patience is over.
    KillAsked,
    /// [`Instance::next_deadline`] has come.
    DeadlineReached,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Look at readiness from now on.
    WatchReadiness,
    /// Look at liveness from now on.
    WatchLiveness,
    /// It is started: its supervisor may go on with what waits for it.
    AnnounceStarted,
    /// It may be called.
    AnnounceReady,
    /// It must not be called, and why.
    AnnounceUnready(String),
    /// Ask the process group to go.
    Ask,
    /// Kill the process group; the sentence says why, for people.
    Kill(String),
}

/// Why a process ended, in the words of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// By itself, with an exit code.
    Exit,
    /// By a signal that was not ours.
    Signal,
    /// The kernel ended it for want of memory.
    Oom,
    /// A liveness probe failed.
    Probe,
    /// It was not ready in time.
    Startup,
    /// It exceeded a limit.
    Limit,
    /// It exceeded its disk limit.
    Disk,
    /// It never came to be.
    Spawn,
    /// It was asked to.
    Stop,
    /// A successor took over.
    Replace,
    /// It did not answer on the link.
    Unresponsive,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Exit,
        Self::Signal,
        Self::Oom,
        Self::Probe,
        Self::Startup,
        Self::Limit,
        Self::Disk,
        Self::Spawn,
        Self::Stop,
        Self::Replace,
        Self::Unresponsive,
    ];

    /// The word that history, events and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Oom => "oom",
            Self::Probe => "probe",
            Self::Startup => "startup",
            Self::Limit => "limit",
            Self::Disk => "disk",
            Self::Spawn => "spawn",
            Self::Stop => "stop",
            Self::Replace => "replace",
            Self::Unresponsive => "unresponsive",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// How the operating system says that a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `exit(code)`.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// If a deadline is noticed this much too late, the node itself was stalled, and what the child sent in time
/// may still be queued: it gets one more such interval.
const HELD_UP: Duration = Duration::from_millis(750);

/// Who outlives the last kill for want of memory by more than this was not the one that was killed.
const OOM_BLAME_MAX: Duration = Duration::from_secs(1);

/// The number of SIGKILL on every platform that has it.
const SIGKILL: i32 = 9;

/// The exit code by which a shell passes on that its last command was ended by SIGKILL.
const SIGKILL_BY_SHELL: i32 = 128 + SIGKILL;

/// One incarnation. See the module for its states.
#[derive(Debug, Clone)]
pub struct Instance {
    spec: InstanceSpec,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Starting(Starting),
    Running { ready: bool, watchdog: Option<Moment> },
    Stopping,
    Condemned(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Starting {
    deadline: Moment,
    startup: Startup,
    /// The last word on it, if there was any.
    ready: Option<bool>,
}

impl Instance {
    /// A process that was spawned at `now`, and what to do first.
    pub fn spawned(spec: InstanceSpec, now: Moment) -> (Self, Vec<Command>) {
        let deadline = now + spec.start_deadline;
        let state = State::Starting(Starting { deadline, startup: spec.startup, ready: None });
        let commands = match spec.startup {
            Startup::Immediate => vec![Command::WatchReadiness],
            Startup::Probed => Vec::new(),
        };
        (Self { spec, state }, commands)
    }

    /// What follows from `event`.
    pub fn on_event(&mut self, now: Moment, event: Event) -> Vec<Command> {
        match self.state {
            State::Starting(starting) => self.while_starting(now, event, starting),
            State::Running { ready, watchdog } => self.while_running(now, event, ready, watchdog),
            State::Stopping => self.while_stopping(event),
            State::Condemned(_) => Vec::new(),
        }
    }

    /// When [`Event::DeadlineReached`] is due.
    pub fn next_deadline(&self) -> Option<Moment> {
        match self.state {
            State::Starting(Starting { deadline, .. }) => Some(deadline),
            State::Running { watchdog, .. } => watchdog,
            State::Stopping | State::Condemned(_) => None,
        }
    }

    /// Why it ended, and what that is to its supervisor.
    ///
    /// `last_oom` is how long before its end the kernel last killed a member of its group for want of memory, if it
    /// did while this lived.
    pub fn classify(&self, ended: Ended, last_oom: Option<Duration>) -> (Reason, Exit) {
        let oom = last_oom.is_some_and(|before| before <= OOM_BLAME_MAX);
        match (&self.state, ended) {
            (State::Condemned(reason), _) => (*reason, Exit::Abnormal),
            (State::Stopping, _) => (Reason::Stop, Exit::Shutdown),
            (_, Ended::Signal(SIGKILL) | Ended::Code(SIGKILL_BY_SHELL)) if oom => {
                (Reason::Oom, Exit::Abnormal)
            }
            (_, Ended::Signal(SIGKILL)) => (Reason::Signal, Exit::Killed),
            (_, Ended::Signal(_)) => (Reason::Signal, Exit::Abnormal),
            (State::Starting(_), Ended::Code(0)) => (Reason::Startup, Exit::Abnormal),
            (_, Ended::Code(0)) => (Reason::Exit, Exit::Normal),
            (_, Ended::Code(_)) => (Reason::Exit, Exit::Abnormal),
        }
    }

    fn while_starting(&mut self, now: Moment, event: Event, starting: Starting) -> Vec<Command> {
        let Starting { deadline, startup, ready } = starting;
        match event {
            Event::StartupPassed => {
                self.state = State::Starting(Starting { startup: Startup::Immediate, ..starting });
                match ready {
                    Some(true) => self.run(now),
                    Some(false) | None => vec![Command::WatchReadiness],
                }
            }
            Event::BecameReady => match startup {
                Startup::Immediate => self.run(now),
                Startup::Probed => {
                    self.state = State::Starting(Starting { ready: Some(true), ..starting });
                    Vec::new()
                }
            },
            Event::BecameUnready(_) => {
                self.state = State::Starting(Starting { ready: Some(false), ..starting });
                Vec::new()
            }
            Event::StartExtended(by) => {
                let deadline = deadline.max(now + by);
                self.state = State::Starting(Starting { deadline, ..starting });
                Vec::new()
            }
            Event::DeadlineReached if now >= deadline + HELD_UP => {
                self.state = State::Starting(Starting { deadline: now + HELD_UP, ..starting });
                Vec::new()
            }
            Event::DeadlineReached if now >= deadline => {
                let seconds = self.spec.start_deadline.as_secs_f64();
                self.condemn(Reason::Startup, format!("was not ready within {seconds} s"))
            }
            Event::LiveFailed(why) => self.condemn(Reason::Probe, why),
            Event::Unresponsive(why) => self.condemn(Reason::Unresponsive, why),
            Event::LimitExceeded(reason) => self.condemn_for_limit(reason),
            Event::StopAsked => self.stop(),
            Event::KillAsked => self.kill(),
            Event::WatchdogSet(timeout) => {
                self.spec.watchdog = Some(timeout);
                Vec::new()
            }
            Event::StoppingReported | Event::Kicked | Event::DeadlineReached => Vec::new(),
        }
    }

    fn while_running(
        &mut self,
        now: Moment,
        event: Event,
        ready: bool,
        watchdog: Option<Moment>,
    ) -> Vec<Command> {
        match event {
            Event::BecameReady => {
                self.state = State::Running { ready: true, watchdog };
                if ready { Vec::new() } else { vec![Command::AnnounceReady] }
            }
            Event::BecameUnready(why) => {
                self.state = State::Running { ready: false, watchdog };
                if ready { vec![Command::AnnounceUnready(why)] } else { Vec::new() }
            }
            Event::StoppingReported => {
                self.state = State::Running { ready: false, watchdog: None };
                if ready {
                    vec![Command::AnnounceUnready("stops by itself".into())]
                } else {
                    Vec::new()
                }
            }
            Event::WatchdogSet(timeout) => {
                self.spec.watchdog = Some(timeout);
                self.state = State::Running { ready, watchdog: self.watchdog_from(now) };
                Vec::new()
            }
            Event::Kicked => {
                self.state = State::Running { ready, watchdog: self.watchdog_from(now) };
                Vec::new()
            }
            Event::DeadlineReached if watchdog.is_some_and(|it| now >= it + HELD_UP) => {
                self.state = State::Running { ready, watchdog: Some(now + HELD_UP) };
                Vec::new()
            }
            Event::DeadlineReached if watchdog.is_some_and(|deadline| now >= deadline) => {
                self.condemn(Reason::Probe, "gave no sign of life to its watchdog".into())
            }
            Event::LiveFailed(why) => self.condemn(Reason::Probe, why),
            Event::Unresponsive(why) => self.condemn(Reason::Unresponsive, why),
            Event::LimitExceeded(reason) => self.condemn_for_limit(reason),
            Event::StopAsked => self.stop(),
            Event::KillAsked => self.kill(),
            Event::StartupPassed | Event::StartExtended(_) | Event::DeadlineReached => Vec::new(),
        }
    }

    fn while_stopping(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::KillAsked => self.kill(),
            Event::StartupPassed
            | Event::BecameReady
            | Event::BecameUnready(_)
            | Event::LiveFailed(_)
            | Event::Kicked
            | Event::WatchdogSet(_)
            | Event::Unresponsive(_)
            | Event::StartExtended(_)
            | Event::StoppingReported
            | Event::LimitExceeded(_)
            | Event::StopAsked
            | Event::DeadlineReached => Vec::new(),
        }
    }

    fn run(&mut self, now: Moment) -> Vec<Command> {
        self.state = State::Running { ready: true, watchdog: self.watchdog_from(now) };
        vec![Command::AnnounceStarted, Command::AnnounceReady, Command::WatchLiveness]
    }

    fn stop(&mut self) -> Vec<Command> {
        self.state = State::Stopping;
        vec![Command::Ask]
    }

    fn kill(&mut self) -> Vec<Command> {
        self.state = State::Stopping;
        vec![Command::Kill("did not stop within its grace".into())]
    }

    fn condemn(&mut self, reason: Reason, why: String) -> Vec<Command> {
        self.state = State::Condemned(reason);
        vec![Command::Kill(why)]
    }

    fn condemn_for_limit(&mut self, reason: Reason) -> Vec<Command> {
        self.condemn(reason, format!("exceeded its {reason} limit"))
    }

    fn watchdog_from(&self, now: Moment) -> Option<Moment> {
        self.spec.watchdog.map(|timeout| now + timeout)
    }
}

#[cfg(test)]
mod tests;
