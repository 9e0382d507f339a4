//! What users of the demo do meanwhile: several workers, each with a pace, that can be paused.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::RwLock, task::JoinSet};

use super::{
    blocks::Blocks,
    identities::{Identities, Thoroughness},
    journal::Journal,
    subject::Place,
};
use crate::random::Random;

/// The workers; they end when this is dropped.
pub(super) struct Workload {
    shared: Arc<Shared>,
    /// Held so that they end with the workload.
    _workers: JoinSet<()>,
    random: Random,
}

struct Shared {
    /// Every worker holds it for one action; who pauses them takes it alone.
    gate: RwLock<()>,
    blocks: Blocks,
    identities: Identities,
    storage: PathBuf,
    identity: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Job {
    Store,
    Read,
    Create,
    Change,
    LogIn,
    Look,
}

/// Who there is, and how long each waits after each action, in milliseconds.
const WORKERS: [(Job, u64); 8] = [
    (Job::Store, 15),
    (Job::Store, 25),
    (Job::Read, 10),
    (Job::Read, 30),
    (Job::Create, 60),
    (Job::Change, 90),
    (Job::LogIn, 800),
    (Job::Look, 20),
];

impl Workload {
    pub(super) fn start(place: &Place, journal: &Journal, seed: u64) -> Self {
        let (storage, identity) = (place.serving("storage"), place.serving("identity"));
        let shared = Arc::new(Shared {
            gate: RwLock::new(()),
            blocks: Blocks::new(&storage, journal.clone()),
            identities: Identities::new(&identity, journal.clone()),
            storage,
            identity,
        });
        let mut workers = JoinSet::new();
        for (index, (job, pause)) in (1..).zip(WORKERS) {
            let random = Random::new(seed ^ (index << 56));
            workers.spawn(work(shared.clone(), job, Duration::from_millis(pause), random));
        }
        Self { shared, _workers: workers, random: Random::new(!seed) }
    }

    /// Lets everybody finish and holds them while everything that was acknowledged is looked for. Gives
    /// how many there were.
    pub(super) async fn verify(&mut self, how: Thoroughness) -> usize {
        let Shared { gate, blocks, identities, storage, identity } = &*self.shared;
        let _paused = gate.write().await;
        blocks.verify(storage).await + identities.verify(identity, how, &mut self.random).await
    }
}

async fn work(shared: Arc<Shared>, job: Job, pause: Duration, mut random: Random) {
    loop {
        let open = shared.gate.read().await;
        let Shared { blocks, identities, .. } = &*shared;
        match job {
            Job::Store => {
                blocks.store(&mut random).await;
                blocks.make_room().await;
            }
            Job::Read => blocks.read(&mut random).await,
            Job::Create => identities.create(&mut random).await,
            Job::Change => identities.change(&mut random).await,
            Job::LogIn => identities.log_in(&mut random).await,
            Job::Look => identities.look(&mut random).await,
        }
        drop(open);
        tokio::time::sleep(pause).await;
    }
}
