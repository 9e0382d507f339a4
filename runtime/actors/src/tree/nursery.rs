//! How plain actors are started, asked and killed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use blackhole_policy::supervision::{Event, Exit, SupervisorExit, Transition};
use ractor::{Actor, ActorCell, ActorId, ActorRef};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use super::{
    Course, Starts, Tree,
    spec::{Begin, Start, TreeSpec},
};
use crate::{
    Clock,
    supervisor::{
        Arguments, Child, Message, Nursery, Reporter, SilentEnd, StartFailed, Supervisor,
    },
};

/// What the supervisor of a tree tells an actor that it asks to stop, as OTP does.
const SHUTDOWN: &str = "shutdown";
/// What ractor says of an actor that was killed.
const KILLED: &str = "killed";

/// The nursery of one supervisor of a tree.
pub(super) struct Actors {
    starts: Mutex<Starts>,
    proposed: Mutex<Option<(String, Start)>>,
    /// Held by who proposes: the supervisor adds one child at a time, too.
    proposing: AsyncMutex<()>,
    lives: Arc<Mutex<Lives>>,
    course: watch::Sender<Course>,
    /// Who supervises the supervisor, in a nested tree.
    parent: Option<Reporter<String>>,
}

/// What is known of the children.
#[derive(Default)]
struct Lives {
    /// What was started last under an id, while it lives.
    running: HashMap<String, Running>,
    /// How it ended last, or why it did not start.
    ends: HashMap<String, String>,
}

enum Running {
    Actor(ActorCell),
    Tree(Tree),
}

impl Running {
    fn is(&self, actor: ActorId) -> bool {
        match self {
            Self::Actor(cell) => cell.get_id() == actor,
            Self::Tree(tree) => tree.supervisor.get_id() == actor,
        }
    }
}

impl Lives {
    /// A tree that gives up says so before its actor ends.
    fn how_ended(&self, id: &str) -> Option<String> {
        let giving_up = match self.running.get(id) {
            Some(Running::Tree(tree)) => tree.why_ended(),
            Some(Running::Actor(_)) | None => None,
        };
        giving_up.or_else(|| self.ends.get(id).cloned())
    }

    /// Takes a child that is gone off the list.
    fn end(&mut self, actor: ActorId, how: String) {
        let found = self.running.iter().find(|(_, running)| running.is(actor));
        let Some(id) = found.map(|(id, _)| id.clone()) else { return };
        if let Some(Running::Tree(tree)) = self.running.remove(&id)
            && let Some(why) = tree.why_ended()
        {
            self.ends.insert(id, why);
        } else {
            self.ends.insert(id, how);
        }
    }

    fn did_not_start(&mut self, id: &str, why: String) {
        self.running.remove(id);
        self.ends.insert(id.to_owned(), why);
    }
}

impl Actors {
    /// The nursery, and where to hear how far its supervisor is.
    pub(super) fn new(
        starts: Starts,
        parent: Option<Reporter<String>>,
    ) -> (Arc<Self>, watch::Receiver<Course>) {
        let (course, heard) = watch::channel(Course::Rising);
        let actors = Self {
            starts: Mutex::new(starts),
            proposed: Mutex::default(),
            proposing: AsyncMutex::default(),
            lives: Arc::default(),
            course,
            parent,
        };
        (Arc::new(actors), heard)
    }

    /// Keeps how a child begins that the supervisor is about to be asked to add. It is not known by that yet:
    /// until the supervisor gets to it, the id may be another's.
    pub(super) async fn propose(&self, id: &str, start: Start) -> Proposal<'_> {
        let turn = self.proposing.lock().await;
        *locked(&self.proposed) = Some((id.to_owned(), start));
        Proposal { actors: self, _turn: turn }
    }

    fn adopt(&self, id: &str) {
        if let Some((proposed, start)) = &*locked(&self.proposed)
            && proposed == id
        {
            locked(&self.starts).insert(id.to_owned(), start.clone());
        }
    }

    /// Whoever proposed it still wants to hear why it did not start.
    fn forget(&self, id: &str) {
        locked(&self.starts).remove(id);
        let is_proposed =
            locked(&self.proposed).as_ref().is_some_and(|(proposed, _)| proposed == id);
        if !is_proposed {
            locked(&self.lives).ends.remove(id);
        }
    }

    /// The actor that was started last under this id, while it lives.
    pub(super) fn actor(&self, id: &str) -> Option<ActorCell> {
        match locked(&self.lives).running.get(id)? {
            Running::Actor(actor) => Some(actor.clone()),
            Running::Tree(_) => None,
        }
    }

    /// The same, of a nested tree.
    pub(super) fn tree(&self, id: &str) -> Option<Tree> {
        match locked(&self.lives).running.get(id)? {
            Running::Actor(_) => None,
            Running::Tree(tree) => Some(tree.clone()),
        }
    }

    /// How a child ended last, or why it did not start.
    pub(super) fn how_ended(&self, id: &str) -> Option<String> {
        locked(&self.lives).how_ended(id)
    }

    async fn start_tree(
        &self,
        tree: &TreeSpec,
        reporter: Reporter<String>,
    ) -> Result<Box<dyn Child>, String> {
        let (policy, starts) = tree.policy().map_err(|error| error.to_string())?;
        let (id, parent) = (reporter.child().clone(), reporter.supervisor());
        let (actors, course) = Self::new(starts, Some(reporter));
        let arguments = Arguments { policy, nursery: actors.clone(), clock: Clock::start() };
        let started =
            Actor::spawn_linked(None, Supervisor::<Self>::default(), arguments, parent).await;
        let (supervisor, _) = started.map_err(|error| error.to_string())?;
        let running = Tree { supervisor: supervisor.clone(), actors, course };
        locked(&self.lives).running.insert(id, Running::Tree(running));
        Ok(Box::new(Subtree(supervisor)))
    }

    fn start_actor(
        &self,
        begin: &Begin,
        reporter: Reporter<String>,
    ) -> Result<Box<dyn Child>, String> {
        let (actor, started) = begin(reporter.supervisor()).map_err(|error| error.to_string())?;
        let id = reporter.child().clone();
        locked(&self.lives).running.insert(id, Running::Actor(actor.clone()));
        let lives = self.lives.clone();
        tokio::spawn(async move {
            match started.await {
                Ok(()) => reporter.started(),
                Err(error) => {
                    tracing::warn!(actor = reporter.child(), %error, "did not start");
                    locked(&lives).did_not_start(reporter.child(), error.to_string());
                    reporter.start_failed();
                }
            }
        });
        Ok(Box::new(Plain(actor)))
    }
}

/// Ends what was proposed, whether or not it was adopted.
pub(super) struct Proposal<'a> {
    actors: &'a Actors,
    _turn: AsyncMutexGuard<'a, ()>,
}

impl Drop for Proposal<'_> {
    fn drop(&mut self) {
        let proposed = locked(&self.actors.proposed).take();
        if let Some((id, _)) = proposed
            && !locked(&self.actors.starts).contains_key(&id)
        {
            locked(&self.actors.lives).ends.remove(&id);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nursery for Actors {
    type Id = String;

    async fn start(&self, reporter: Reporter<String>) -> Result<Box<dyn Child>, StartFailed> {
        let id = reporter.child().clone();
        let start = locked(&self.starts).get(&id).cloned();
        let started = match start.ok_or(StartFailed)? {
            Start::Tree(tree) => self.start_tree(&tree, reporter).await,
            Start::Actor(begin) => self.start_actor(&*begin, reporter),
        };
        started.map_err(|error| {
            tracing::warn!(actor = id, error, "did not start");
            locked(&self.lives).did_not_start(&id, error);
            StartFailed
        })
    }

    /// An actor's end is its only news: an error, a panic, a stop of its own, or the supervisor's wish.
    fn silent_end(&self, actor: &ActorCell, end: SilentEnd<'_>) -> Exit {
        let (exit, how) = match end {
            SilentEnd::Terminated(Some(KILLED)) => (Exit::Killed, "was killed".to_owned()),
            SilentEnd::Terminated(Some(SHUTDOWN)) => (Exit::Shutdown, "was stopped".to_owned()),
            SilentEnd::Terminated(Some(why)) => (Exit::Normal, format!("ended: {why}")),
            SilentEnd::Terminated(None) => (Exit::Normal, "ended".to_owned()),
            SilentEnd::Failed(error) => {
                tracing::warn!(actor = %actor.get_id(), %error, "an actor failed");
                (Exit::Abnormal, format!("failed: {error}"))
            }
        };
        locked(&self.lives).end(actor.get_id(), how);
        exit
    }

    fn observe(&self, transition: &Transition<String>) {
        tracing::debug!(?transition, "the supervisor of actors decided");
        match transition {
            Transition::Added { child, .. } => self.adopt(child),
            Transition::Removed { child } => self.forget(child),
            Transition::Pending { .. }
            | Transition::BackingOff { .. }
            | Transition::Failed { .. }
            | Transition::Completed { .. }
            | Transition::Stopped { .. }
            | Transition::GroupRestarting { .. }
            | Transition::Unkillable { .. } => {}
        }
    }

    fn up(&self) {
        self.course.send_replace(Course::Up);
        if let Some(parent) = &self.parent {
            parent.started();
        }
    }

    fn ended(&self, exit: SupervisorExit<String>) {
        self.course.send_replace(Course::Ended(exit.clone()));
        let Some(parent) = &self.parent else { return };
        match exit {
            // A tree that never was up did not start.
            SupervisorExit::StartFailed(_) => parent.start_failed(),
            SupervisorExit::Stopped
            | SupervisorExit::RestartedTooOften(_)
            | SupervisorExit::AutoShutdown(_) => parent.exited(exit.exit()),
        }
    }
}

/// An actor, as its supervisor holds it.
struct Plain(ActorCell);

impl Child for Plain {
    fn actor(&self) -> ActorId {
        self.0.get_id()
    }

    fn ask(&self) {
        self.0.stop(Some(SHUTDOWN.to_owned()));
    }

    fn kill(&self) {
        self.0.kill();
    }
}

/// A tree, as the supervisor above holds it.
struct Subtree(ActorRef<Message<String>>);

impl Subtree {
    /// One that is gone has reported so.
    fn request_stop(&self) {
        let _ = self.0.cast(Message::Event(Event::StopRequested));
    }
}

impl Child for Subtree {
    fn actor(&self) -> ActorId {
        self.0.get_id()
    }

    fn ask(&self) {
        self.request_stop();
    }

    /// To ask a second time skips every budget below.
    fn kill(&self) {
        self.request_stop();
        self.request_stop();
    }
}
