//! Whence a child's readiness and its signs of life are learnt.

use std::{sync::Arc, time::Duration};

use blackhole_policy::instance::Event;
use ractor::ActorRef;
use tokio::task::AbortHandle;

use super::{
    Message,
    body::tell,
    link::{Link, Unopened},
};
use crate::{
    heartbeat::Heartbeat,
    logs::LineWatch,
    notify::{Notification, NotifySocket},
    probe::{Assumed, Prober, ResolvedProbe, Verdict},
};

/// What is to be watched, and what is being watched; all of it ends with this value.
pub(super) struct Watches {
    pub(super) startup: Option<ResolvedProbe>,
    pub(super) readiness: Readiness,
    pub(super) liveness: Option<ResolvedProbe>,
    pub(super) notify: Option<NotifySocket>,
    pub(super) link: Option<Linked>,
    pub(super) running: Vec<Running>,
}

/// When the child is ready.
pub(super) enum Readiness {
    /// Since it was spawned.
    Spawned,
    /// When it says so, by its link or by sd_notify.
    Told,
    /// When a line of its output has matched.
    Line(LineWatch),
    /// When it has stayed up for so long.
    UpFor(Duration),
    /// When a probe succeeds.
    Probe(ResolvedProbe),
}

/// A native child's link, before it is opened.
pub(super) struct Linked {
    pub(super) link: Link,
    pub(super) unopened: Unopened,
    pub(super) heartbeat: Heartbeat,
    /// Silence longer than this means that it hangs.
    pub(super) patience: Duration,
}

/// Something that goes on until it is dropped.
pub(super) enum Running {
    Probe { _prober: Prober },
    Task(AbortHandle),
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Probe { .. } => {}
            Self::Task(task) => task.abort(),
        }
    }
}

impl Watches {
    /// Begins with what is watched from the first moment on.
    pub(super) fn begin(&mut self, actor: &ActorRef<Message>) {
        if let Some(probe) = self.startup.take() {
            self.probe(probe, actor, |verdict| match verdict {
                Verdict::Healthy => Some(Event::StartupPassed),
                Verdict::Unhealthy { .. } => None,
            });
        }
        if let Some(socket) = self.notify.take() {
            let task = tokio::spawn(listen(socket, actor.clone()));
            self.running.push(Running::Task(task.abort_handle()));
        }
        if let Some(linked) = self.link.take() {
            let (asked, reported) = (linked.link, actor.clone());
            let pulse = linked.heartbeat.watch(
                linked.patience,
                move |sequence| {
                    // A full link is silence, which the patience judges.
                    asked.ping(sequence);
                },
                move |silence| {
                    let why = format!("was silent on its link for {} ms", silence.as_millis());
                    tell(&reported, Event::Unresponsive(why));
                },
            );
            self.running.push(Running::Task(linked.unopened.open(actor.clone(), pulse)));
        }
    }

    /// Looks at readiness from now on.
    pub(super) fn readiness(&mut self, actor: &ActorRef<Message>) {
        match std::mem::replace(&mut self.readiness, Readiness::Told) {
            Readiness::Spawned => tell(actor, Event::BecameReady),
            Readiness::Told => {}
            Readiness::Line(line) => {
                let actor = actor.clone();
                let task = tokio::spawn(async move {
                    if line.matched().await {
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
            Readiness::Probe(probe) => self.probe(probe, actor, |verdict| {
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
            self.probe(probe, actor, |verdict| match verdict {
                Verdict::Healthy => None,
                Verdict::Unhealthy { failures, reason } => Some(Event::LiveFailed(format!(
                    "failed its liveness probe {failures} times in a row: {reason}"
                ))),
            });
        }
    }

    fn probe(
        &mut self,
        probe: ResolvedProbe,
        actor: &ActorRef<Message>,
        meaning: impl Fn(Verdict) -> Option<Event> + Send + 'static,
    ) {
        let actor = actor.clone();
        let prober = Prober::start(probe, Assumed::Unknown, move |verdict| {
            if let Some(event) = meaning(verdict) {
                tell(&actor, event);
            }
        });
        self.running.push(Running::Probe { _prober: prober });
    }
}

async fn listen(mut socket: NotifySocket, actor: ActorRef<Message>) {
    loop {
        let notification = socket.next().await;
        for event in meaning(&notification) {
            tell(&actor, event);
        }
        if let Some(status) = notification.status {
            // An actor that is gone is past caring.
            let _ = actor.cast(Message::Noted(status));
        }
    }
}
