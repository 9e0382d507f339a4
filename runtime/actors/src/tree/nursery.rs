//! How plain actors are started, asked and killed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use blackhole_policy::supervision::{Event, Exit, SupervisorExit, Transition};
use ractor::{Actor, ActorCell, ActorId, ActorRef};
use tokio::sync::watch;

use super::{
    Course, Starts,
    spec::{Start, TreeSpec},
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
    running: Mutex<HashMap<String, ActorCell>>,
    above: Above,
}

/// Who hears of the supervisor itself.
enum Above {
    Handle(watch::Sender<Course>),
    Parent(Reporter<String>),
}

impl Actors {
    pub(super) fn root(starts: Starts, course: watch::Sender<Course>) -> Self {
        Self { starts: Mutex::new(starts), running: Mutex::default(), above: Above::Handle(course) }
    }

    /// Whether nobody is called so; what is there already stays as it is.
    pub(super) fn learn(&self, id: &str, start: Start) -> bool {
        let mut starts = self.starts();
        let is_new = !starts.contains_key(id);
        if is_new {
            starts.insert(id.to_owned(), start);
        }
        is_new
    }

    pub(super) fn forget(&self, id: &str) {
        self.starts().remove(id);
    }

    /// The actor that was started last under this id, while it lives.
    pub(super) fn running(&self, id: &str) -> Option<ActorCell> {
        self.living().get(id).cloned()
    }

    fn starts(&self) -> MutexGuard<'_, Starts> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> MutexGuard<'_, HashMap<String, ActorCell>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start_tree(
        &self,
        tree: &TreeSpec,
        reporter: Reporter<String>,
    ) -> Result<Box<dyn Child>, StartFailed> {
        let (policy, starts) = tree.policy().map_err(|error| {
            tracing::error!(tree = reporter.child(), %error, "the tree cannot be");
            StartFailed
        })?;
        let parent = reporter.supervisor();
        let nursery = Arc::new(Self {
            starts: Mutex::new(starts),
            running: Mutex::default(),
            above: Above::Parent(reporter),
        });
        let arguments = Arguments { policy, nursery, clock: Clock::start() };
        let started =
            Actor::spawn_linked(None, Supervisor::<Self>::default(), arguments, parent).await;
        let (supervisor, _) = started.map_err(|error| {
            tracing::error!(%error, "the tree's supervisor did not start");
            StartFailed
        })?;
        Ok(Box::new(Subtree(supervisor)))
    }
}

impl Nursery for Actors {
    type Id = String;

    async fn start(&self, reporter: Reporter<String>) -> Result<Box<dyn Child>, StartFailed> {
        let start = self.starts().get(reporter.child()).cloned();
        match start.ok_or(StartFailed)? {
            Start::Tree(tree) => self.start_tree(&tree, reporter).await,
            Start::Actor(begin) => {
                let (actor, started) = begin(reporter.supervisor()).map_err(|error| {
                    tracing::warn!(actor = reporter.child(), %error, "did not start");
                    StartFailed
                })?;
                self.living().insert(reporter.child().clone(), actor.clone());
                tokio::spawn(async move {
                    match started.await {
                        Ok(()) => reporter.started(),
                        Err(error) => {
                            tracing::warn!(actor = reporter.child(), %error, "did not start");
                            reporter.start_failed();
                        }
                    }
                });
                Ok(Box::new(Plain(actor)))
            }
        }
    }

    /// An actor's end is its only news: an error, a panic, a stop of its own, or the supervisor's wish.
    fn silent_end(&self, actor: &ActorCell, end: SilentEnd<'_>) -> Exit {
        self.living().retain(|_, living| living.get_id() != actor.get_id());
        match end {
            SilentEnd::Terminated(Some(KILLED)) => Exit::Killed,
            SilentEnd::Terminated(Some(SHUTDOWN)) => Exit::Shutdown,
            SilentEnd::Terminated(_) => Exit::Normal,
            SilentEnd::Failed(error) => {
                tracing::warn!(actor = %actor.get_id(), %error, "an actor failed");
                Exit::Abnormal
            }
        }
    }

    fn observe(&self, transition: &Transition<String>) {
        tracing::debug!(?transition, "the supervisor of actors decided");
    }

    fn up(&self) {
        match &self.above {
            Above::Handle(course) => drop(course.send_replace(Course::Up)),
            Above::Parent(reporter) => reporter.started(),
        }
    }

    fn ended(&self, exit: SupervisorExit<String>) {
        match &self.above {
            Above::Handle(course) => drop(course.send_replace(Course::Ended(exit))),
            // Its parent is not told apart here: a tree that never was up did not start.
            Above::Parent(reporter) => match exit {
                SupervisorExit::StartFailed(_) => reporter.start_failed(),
                SupervisorExit::Stopped
                | SupervisorExit::RestartedTooOften(_)
                | SupervisorExit::AutoShutdown(_) => reporter.exited(exit.exit()),
            },
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
