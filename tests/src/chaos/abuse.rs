//! Carries out actions. What takes long goes on beside the next ones, and has ended when a round settles.

mod connections;
mod exhaustion;
mod operations;
mod signals;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::{action::Action, calls::Control, journal::Journal, records::Records, subject::Place};

/// Whom it abuses now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Victim {
    pub(super) guardian: i32,
    pub(super) node: i32,
}

/// What actions share; clones are the same.
#[derive(Clone)]
struct Scene {
    place: Arc<Place>,
    journal: Journal,
    control: Control,
    records: Arc<Mutex<Records>>,
}

/// The abuser.
pub(super) struct Abuser {
    scene: Scene,
    may_fill_disks: bool,
    going_on: JoinSet<()>,
}

impl Scene {
    /// What came of an action: most may fail, because of another one.
    fn tell(&self, outcome: anyhow::Result<String>) {
        match outcome {
            Ok(text) => self.journal.seen(text),
            Err(error) => self.journal.seen(format!("not done: {error:#}")),
        }
    }
}

impl Abuser {
    pub(super) fn new(
        place: Arc<Place>,
        journal: Journal,
        records: Arc<Mutex<Records>>,
        may_fill_disks: bool,
    ) -> Self {
        let control = Control::connect(&place.control());
        let scene = Scene { place, journal, control, records };
        Self { scene, may_fill_disks, going_on: JoinSet::new() }
    }

    /// Does what does not end the node, or begins it.
    pub(super) fn act(&mut self, action: Action, victim: Victim) {
        let scene = self.scene.clone();
        match action {
            Action::Kill { service } => scene.tell(scene.kill(&service)),
            Action::KillDescendant { service } => {
                scene.tell(scene.kill_descendant(&service));
            }
            Action::KillAll => scene.tell(scene.kill_all()),
            Action::FloodLogs => scene.tell(scene.flood_logs()),
            Action::BreakSocket { service, how } => scene.tell(scene.break_socket(&service, how)),
            Action::FillDisk { .. } if !self.may_fill_disks => {
                scene.journal.seen("not done: disks are not filled outside a sandbox");
            }
            lasting => {
                self.going_on.spawn(async move {
                    let outcome = scene.last(lasting, victim).await;
                    scene.tell(outcome);
                });
            }
        }
    }

    /// Waits for what was begun.
    pub(super) async fn rest(&mut self) {
        while self.going_on.join_next().await.is_some() {}
    }

    pub(super) fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.scene.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scene {
    async fn last(&self, action: Action, victim: Victim) -> anyhow::Result<String> {
        match action {
            Action::Freeze { service, ms } => self.freeze(&service, ms).await,
            Action::FreezeNode { ms } => self.freeze_pid(victim.node, ms).await,
            Action::FreezeGuardian { ms } => self.freeze_pid(victim.guardian, ms).await,
            Action::FloodRequests { service, count } => self.flood_requests(&service, count).await,
            Action::HoldConnections { socket, count, ms } => {
                self.hold_connections(socket, count, ms).await
            }
            Action::Garbage { socket, length, seed } => self.garbage(socket, length, seed).await,
            Action::FillDisk { disk, ms } => self.fill_disk(disk, ms).await,
            Action::ExhaustDescriptors { holder, ms } => {
                self.exhaust_descriptors(victim, holder, ms).await
            }
            Action::Restart { service } => self.restart(&service).await,
            Action::StopAndStart { service, ms } => self.stop_and_start(&service, ms).await,
            Action::Scale { service, instances } => self.scale(&service, instances).await,
            Action::Kill { .. }
            | Action::KillDescendant { .. }
            | Action::KillAll
            | Action::FloodLogs
            | Action::BreakSocket { .. }
            | Action::KillNode
            | Action::KillGuardian
            | Action::EndNode
            | Action::Settle => anyhow::bail!("the run does this itself"),
        }
    }
}
