//! Whence a child's readiness and its signs of life are learnt.

use std::{sync::Arc, time::Duration};

use blackhole_isolation::scheduling_of;
use blackhole_policy::{
    instance::Event,
    silence::{Finding, Scheduling},
};
use ractor::ActorRef;
use tokio::{sync::oneshot, task::AbortHandle};

use super::{
    Message,
    body::tell,
    disk::DiskWatch,
    link::{Link, Unopened},
};
use crate::{
    heartbeat::Heartbeat,
    notify::{Change, Notification, NotifyAccess, NotifySocket},
    probe::{Assumed, Prober, ResolvedProbe, Verdict},
};

/// What is to be watched, and what is being watched; all of it ends with this value.
///
/// Most children have little of it, and the task of each holds a place for all of it: so it is boxed.
pub(super) struct Watches {
    pub(super) startup: Option<Box<ResolvedProbe>>,
    pub(super) readiness: Readiness,
    pub(super) liveness: Option<Box<ResolvedProbe>>,
    pub(super) notify: Option<Box<(NotifySocket, NotifyAccess)>>,
    pub(super) link: Option<Box<Linked>>,
    pub(super) disk: Option<DiskWatch>,
    pub(super) running: Vec<Running>,
    /// The startup probe, until it has passed.
    pub(super) starting: Option<Prober>,
}

/// When the child is ready.
pub(super) enum Readiness {
    /// Since it was spawned.
    Spawned,
    /// When it says so, by its link or by sd_notify.
    Told,
    /// When a line of its output has matched.
    Line(oneshot::Receiver<()>),
    /// When it has stayed up for so long.
    UpFor(Duration),
    /// When a probe succeeds.
    Probe(Box<ResolvedProbe>),
}

/// A native child's link, before it is opened.
pub(super) struct Linked {
    pub(super) link: Link,
    pub(super) unopened: Unopened,
    pub(super) heartbeat: Heartbeat,
    /// Silence longer than this means that it hangs.
    pub(super) patience: Duration,
    /// Its own; none inside the node.
    pub(super) pid: Option<u32>,
}

/// Something that goes on until it is dropped.
pub(super) enum Running {
    Probe(Prober),
    Task(AbortHandle),
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Probe(_) => {}
            Self::Task(task) => task.abort(),
        }
    }
}

impl Watches {
    /// Begins with what is watched from the first moment on.
    pub(super) fn begin(&mut self, actor: &ActorRef<Message>) {
        if let Some(probe) = self.startup.take() {
            self.starting =
                Some(prober(*probe, Assumed::Unhealthy, actor, |verdict| match verdict {
                    Verdict::Healthy => Some(Event::StartupPassed),
                    Verdict::Unhealthy { .. } => None,
                }));
        }
        if let Some(disk) = self.disk.take() {
            self.running.push(Running::Task(disk.begin(actor.clone())));
        }
        if let Some((socket, access)) = self.notify.take().map(|it| *it) {
            let task = tokio::spawn(listen(socket, access, actor.clone()));
            self.running.push(Running::Task(task.abort_handle()));
        }
        if let Some(linked) = self.link.take().map(|it| *it) {
            let (asked, reported, pid) = (linked.link, actor.clone(), linked.pid);
            let pulse = linked.heartbeat.watch(
                linked.patience,
                move |sequence| {
                    // A full link is silence, which the patience judges.
                    asked.ping(sequence);
                },
                move || pid.and_then(scheduling),
                move |finding| found(&reported, finding),
            );
            self.running.push(Running::Task(linked.unopened.open(actor.clone(), pulse)));
        }
    }

    /// Looks at readiness from now on.
    pub(super) fn readiness(&mut self, actor: &ActorRef<Message>) {
        self.starting = None;
        match std::mem::replace(&mut self.readiness, Readiness::Told) {
            Readiness::Spawned => tell(actor, Event::BecameReady),
            Readiness::Told => {}
            Readiness::Line(line) => {
                let actor = actor.clone();
                let task = tokio::spawn(async move {
                    // Output that ends without the line never makes it ready.
                    if line.await.is_ok() {
                        tell(&actor, Event::BecameReady);
                    }
                });
                self.running.push(Running::Task(task.abort_handle()));
            }
            Readiness::UpFor(duration) => {
                let actor = actor.clone();
                let task = tokio::spawn(async move {
                    tokio::time::sleep(duration).await;
                    tell(&actor, Event::BecameReady);
                });
                self.running.push(Running::Task(task.abort_handle()));
            }
            Readiness::Probe(probe) => self.probe(*probe, Assumed::Unhealthy, actor, |verdict| {
                Some(match verdict {
                    Verdict::Healthy => Event::BecameReady,
                    Verdict::Unhealthy { reason, .. } => Event::BecameUnready(reason.to_string()),
                })
            }),
        }
    }

    /// Looks at liveness from now on.
    pub(super) fn liveness(&mut self, actor: &ActorRef<Message>) {
        if let Some(probe) = self.liveness.take() {
            self.probe(*probe, Assumed::Healthy, actor, |verdict| match verdict {
                Verdict::Healthy => None,
                Verdict::Unhealthy { failures, reason } => Some(Event::LiveFailed(format!(
                    "failed its liveness probe {failures} times in a row: {reason}"
                ))),
            });
        }
    }

    /// Why the latest try of a probe failed, for a child that never became ready.
    pub(super) fn last_failure(&self) -> Option<Arc<str>> {
        let probers = self.running.iter().filter_map(|running| match running {
            Running::Probe(prober) => Some(prober),
            Running::Task(_) => None,
        });
        self.starting.iter().chain(probers).find_map(Prober::last_failure)
    }

    fn probe(
        &mut self,
        probe: ResolvedProbe,
        assumed: Assumed,
        actor: &ActorRef<Message>,
        meaning: impl Fn(Verdict) -> Option<Event> + Send + 'static,
    ) {
        self.running.push(Running::Probe(prober(probe, assumed, actor, meaning)));
    }
}

fn prober(
    probe: ResolvedProbe,
    assumed: Assumed,
    actor: &ActorRef<Message>,
    meaning: impl Fn(Verdict) -> Option<Event> + Send + 'static,
) -> Prober {
    let actor = actor.clone();
    Prober::start(probe, assumed, move |verdict| {
        if let Some(event) = meaning(verdict) {
            tell(&actor, event);
        }
    })
}

/// What the kernel says of a process; nothing of one that has just ended.
fn scheduling(pid: u32) -> Option<Scheduling> {
    let seen = scheduling_of(pid).ok()?;
    Some(Scheduling { is_runnable: seen.is_runnable, cpu: seen.cpu })
}

fn found(actor: &ActorRef<Message>, finding: Finding) {
    match finding {
        Finding::Hung(silence) => {
            let why = format!("was silent on its link for {} ms", silence.as_millis());
            tell(actor, Event::Unresponsive(why));
        }
        Finding::Starved(silence) => {
            // An actor that is gone is past caring.
            let _ = actor.cast(Message::Starved(silence));
        }
    }
}

/// Hears the child's datagrams until its actor is gone.
async fn listen(mut socket: NotifySocket, access: NotifyAccess, actor: ActorRef<Message>) {
    loop {
        match socket.next(&access).await {
            Ok(Notification::Accepted { changes, refused, .. }) => {
                for refusal in refused {
                    tracing::warn!(main = access.main, "{refusal}");
                }
                changes.into_iter().for_each(|change| notified(&actor, change));
            }
            Ok(Notification::Refused(refusal)) => tracing::warn!(main = access.main, "{refusal}"),
            Err(error) => {
                tracing::error!(main = access.main, %error, "stopped hearing notifications");
                return;
            }
        }
    }
}

fn notified(actor: &ActorRef<Message>, change: Change) {
    let event = match change {
        Change::Ready => Event::BecameReady,
        Change::Reloading => Event::BecameUnready("reads its configuration again".into()),
        Change::Stopping => Event::StoppingReported,
        Change::WatchdogKicked => Event::Kicked,
        Change::WatchdogTriggered => Event::LiveFailed("said that it is stuck".into()),
        Change::WatchdogTimeout(timeout) => Event::WatchdogSet(timeout),
        Change::TimeoutExtended(by) => Event::StartExtended(by),
        Change::Status(status) => return note(actor, status),
        Change::Errno(errno) => {
            return note(actor, std::io::Error::from_raw_os_error(errno.into()).to_string());
        }
    };
    tell(actor, event);
}

fn note(actor: &ActorRef<Message>, text: String) {
    // An actor that is gone is past caring.
    let _ = actor.cast(Message::Noted(text));
}
