//! What lives: a process, or a thread of the node.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use blackhole_isolation::Plan;
use blackhole_policy::{
    instance::{Ended, Event},
    usage_alert::TasksRefused,
};
use blackhole_process::{ExitStatus, Process, Signal, Swept};
use ractor::ActorRef;

use super::{Message, link::Link};
use crate::{
    logs::{Capture, Closed},
    native::Embedded,
};

/// After the exit, output that somebody else holds open is read for so long.
const OUTPUT_WAIT_MAX: Duration = Duration::from_millis(500);

/// After the exit, what is left in its control group has so long to end.
const GROUP_END_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long descriptors or memory may be short before the group is given up.
const SHORTAGE_WAIT_MAX: Duration = Duration::from_secs(60);
/// When they are short, the next try is after this.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// A process or what stands in its place.
pub(super) enum Body {
    /// A process of its own.
    Process {
        process: Process,
        capture: Arc<Capture>,
        /// What it may use; holds its control group, where it has one.
        plan: Arc<Plan>,
        /// What the kernel had counted in its group before it began.
        before: Counts,
        /// Asks it to go.
        stop_signal: Signal,
    },
    /// A thread of the node.
    Embedded {
        service: Arc<dyn Embedded>,
        link: Link,
        /// What the file asks for and only a process can be given, each with its key and the reason.
        unenforced: Vec<String>,
        /// Of its records, as long as this lives.
        _capture: Capture,
    },
}

/// What a process prints. It may outlast the process's actor.
pub(super) struct Output(Arc<Capture>);

/// What is known when it is gone.
#[derive(Debug)]
pub(crate) struct Remains {
    /// How it ended.
    pub(super) ended: Ended,
    /// Of its processes, itself included: those that the kernel ended for want of memory.
    pub(super) oom_kills: u64,
    /// How long before its end the last of them was, if there was one.
    pub(super) last_oom: Option<Duration>,
    /// Processes and threads that its limit refused it, if any.
    pub(super) tasks_refused: Option<TasksRefused>,
    /// What the signal that ended it tells of its limits.
    pub(super) cause: Option<&'static str>,
    /// The last lines of its standard error; absent where [`Body::output`] knows them later.
    pub(super) stderr: Option<String>,
    /// What outlived it, if anything did.
    pub(super) leak: Option<String>,
}

impl Body {
    /// The process; the node itself for a service inside it.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Process { process, .. } => process.pid().unsigned_abs(),
            Self::Embedded { .. } => std::process::id(),
        }
    }

    /// What the file asks for and does not hold, each with its key and the reason.
    pub(super) fn unenforced(&self) -> Vec<String> {
        let plan = match self {
            Self::Process { plan, .. } => plan,
            Self::Embedded { unenforced, .. } => return unenforced.clone(),
        };
        let skipped = plan.skipped().map(|part| format!("{}: the kernel refused it", part.key()));
        plan.downgraded().iter().map(ToString::to_string).chain(skipped).collect()
    }

    /// Asks everything in it to go. What is gone already needs no asking.
    pub(super) fn ask(&self) {
        match self {
            Self::Process { process, stop_signal, .. } => {
                let _ = process.signal_group(*stop_signal);
                // A stopped process takes the request only once it goes on.
                let _ = process.signal_group(Signal::CONT);
            }
            Self::Embedded { link, .. } => link.stop(),
        }
    }

    /// Ends everything in it now.
    pub(super) fn kill(&self) {
        match self {
            Self::Process { process, .. } => {
                let _ = process.kill_group();
            }
            Self::Embedded { service, .. } => service.abort(),
        }
    }

    /// What a process prints.
    pub(super) fn output(&self) -> Option<Output> {
        match self {
            Self::Process { capture, .. } => Some(Output(capture.clone())),
            Self::Embedded { .. } => None,
        }
    }

    /// Sends [`Message::Gone`] once, when it is gone with everything that it had started.
    pub(super) fn report_end_to(&self, actor: &ActorRef<Message>) {
        let actor = actor.clone();
        match self {
            Self::Process { process, plan, before, .. } => {
                // Boxed: what is kept first and awaited then takes its room twice.
                let (exited, swept) = (Box::pin(process.exited()), process.sweep());
                let (plan, before) = (plan.clone(), *before);
                tokio::spawn(async move {
                    let status = exited.await;
                    let counts = Counts::of(&plan);
                    let oom_kills = counts.oom_kills.saturating_sub(before.oom_kills);
                    let last_oom = (oom_kills > 0).then_some(counts.oom_age);
                    let tasks_refused = counts.tasks_refused_since(before, &plan);
                    let ended = ended(status);
                    let cause = match ended {
                        Ended::Signal(signal) => plan.told_by(signal),
                        Ended::Code(_) => None,
                    };
                    // Boxed, so that a living child does not hold the room for what follows its end.
                    Box::pin(end_group(plan)).await;
                    let leak = leak(swept.await);
                    let stderr = None;
                    let remains =
                        Remains { ended, oom_kills, last_oom, tasks_refused, cause, stderr, leak };
                    // The actor ends only after this message, or with the node.
                    let _ = actor.cast(Message::Gone(remains));
                });
            }
            Self::Embedded { service, .. } => {
                let ended = service.ended();
                tokio::spawn(async move {
                    let (ended, stderr) = ended.await;
                    let stderr = Some(stderr);
                    let remains = Remains {
                        ended,
                        oom_kills: 0,
                        last_oom: None,
                        tasks_refused: None,
                        cause: None,
                        stderr,
                        leak: None,
                    };
                    let _ = actor.cast(Message::Gone(remains));
                });
            }
        }
    }
}

impl Output {
    /// Waits until the output of a process that is gone was read, and gives the end of its standard
    /// error.
    pub(super) async fn end(self) -> (String, Closed) {
        let closed = self.0.closed(OUTPUT_WAIT_MAX).await;
        (self.0.stderr_tail(), closed)
    }
}

/// What the kernel has counted in an instance's group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    oom_kills: u64,
    oom_age: Duration,
    tasks_refused: u64,
}

impl Counts {
    pub(super) fn of(plan: &Plan) -> Self {
        let Some(group) = plan.group() else { return Self::default() };
        let oom = group.oom().unwrap_or_else(|error| {
            tracing::warn!(%error, "could not ask whether memory ran out");
            None
        });
        let oom = oom.unwrap_or_default();
        let tasks_refused = group.tasks_refused().unwrap_or_else(|error| {
            tracing::warn!(%error, "could not ask whether tasks were refused");
            None
        });
        Self {
            oom_kills: oom.kills,
            oom_age: oom.age,
            tasks_refused: tasks_refused.unwrap_or_default(),
        }
    }

    fn tasks_refused_since(self, before: Self, plan: &Plan) -> Option<TasksRefused> {
        let limit = plan.group()?.tasks_max()?;
        let times = self.tasks_refused.saturating_sub(before.tasks_refused);
        (times > 0).then_some(TasksRefused { limit, times })
    }
}

/// Kills what is left in the group, off the node's thread, where there is a group. Waits for descriptors if there
/// are none: what is left would belong to the next incarnation, which needs some as well.
async fn end_group(plan: Arc<Plan>) {
    if plan.group().is_none_or(|group| group.processes().is_ok_and(|left| left.is_empty())) {
        return;
    }
    let deadline = Instant::now() + SHORTAGE_WAIT_MAX;
    loop {
        let plan = plan.clone();
        let end = move || plan.group().map_or(Ok(()), |group| group.end(GROUP_END_WAIT_MAX));
        match tokio::task::spawn_blocking(end).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) if error.is_shortage() && Instant::now() < deadline => {
                tokio::time::sleep(SHORTAGE_PAUSE).await;
            }
            Ok(Err(error)) => return tracing::error!(%error, "its control group did not end"),
            Err(error) => return tracing::error!(%error, "its control group could not be ended"),
        }
    }
}

/// A process whose status another part of the program has taken counts as failed.
fn ended(status: ExitStatus) -> Ended {
    match status {
        ExitStatus::Code(code) => Ended::Code(code),
        ExitStatus::Signal { signal, .. } => Ended::Signal(signal.number()),
        ExitStatus::Unknown => Ended::Code(-1),
    }
}

/// Such as `SIGKILL`.
pub(super) fn signal_name(number: i32) -> String {
    match Signal::from_number(number) {
        Some(signal) => signal.to_string(),
        None => format!("signal {number}"),
    }
}

fn leak(leftovers: std::io::Result<Swept>) -> Option<String> {
    match leftovers {
        Ok(swept) if swept.is_empty() => None,
        Ok(swept) if swept.surviving.is_empty() => {
            let killed = swept.killed.iter();
            let names: Vec<String> =
                killed.map(|process| format!("{} ({})", process.name, process.pid)).collect();
            Some(format!("killed what it left behind: {}", names.join(", ")))
        }
        Ok(swept) => {
            let pids: Vec<String> =
                swept.surviving.iter().map(|process| process.pid.to_string()).collect();
            Some(format!("could not kill what it left behind: {}", pids.join(", ")))
        }
        Err(error) => Some(format!("could not look for what it left behind: {error}")),
    }
}

/// Turns a sign of life into the policy's word for it.
pub(super) fn tell(actor: &ActorRef<Message>, event: Event) {
    // An actor that is gone is past caring.
    let _ = actor.cast(Message::Event(event));
}
