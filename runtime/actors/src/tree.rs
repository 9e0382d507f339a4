//! Trees of plain actors under OTP's rules, by the same supervisor that supervises processes.
//!
//! ractor links actors and tells a parent of an end; when to restart, in which order to stop, and how long a
//! stop may take is decided here as everywhere else, by [`blackhole_policy::supervision`]. A
//! [`TreeSpec`] says what is supervised, [`Tree::start`] starts it and is ready when everything is up,
//! [`Tree::stop`] stops it in reverse start order, each actor within its own budget.
//!
//! ```
//! use blackhole_actors::{ActorSpec, Tree, TreeSpec};
//! use ractor::{Actor, ActorProcessingErr, ActorRef};
//!
//! struct Echo;
//!
//! impl Actor for Echo {
//!     type Msg = String;
//!     type State = ();
//!     type Arguments = ();
//!
//!     async fn pre_start(&self, _: ActorRef<String>, (): ()) -> Result<(), ActorProcessingErr> {
//!         Ok(())
//!     }
//!
//!     async fn handle(&self, _: ActorRef<String>, said: String, (): &mut ()) -> Result<(), ActorProcessingErr> {
//!         if said == "crash" { Err(said.into()) } else { Ok(()) }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tree = Tree::start(TreeSpec::one_for_one().child(ActorSpec::new("echo", || (Echo, ())))).await?;
//! tree.actor::<String>("echo").expect("it is up").cast("hello".to_owned())?;
//! tree.stop().await;
//! # Ok(())
//! # }
//! ```

mod nursery;
mod spec;

use std::{collections::HashMap, sync::Arc};

use blackhole_policy::supervision::{Answer, Call, ChildStatus, Counts, Event, Refusal, SpecError};
pub use blackhole_policy::supervision::{
    AutoShutdown, Restart, Shutdown, Strategy, SupervisorExit,
};
use ractor::{Actor, ActorRef, Message, SpawnErr};
use tokio::sync::watch;

use self::nursery::Actors;
pub use self::spec::{ActorSpec, TreeSpec};
use crate::{
    Clock,
    supervisor::{self, Arguments, Supervisor},
};

/// Why a tree, or an actor of it, did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// What was described makes no sense.
    #[error("the tree of actors cannot be")]
    Spec(#[from] SpecError<String>),
    /// The supervisor's own actor.
    #[error("could not start the tree's supervisor")]
    Start(#[from] SpawnErr),
    /// The tree ended before everything was up.
    #[error("the tree ended before it was up: {}", told(.0))]
    Ended(SupervisorExit<String>),
    /// An actor or a tree that was to be added, or started again, did not start.
    #[error("`{id}` did not start: {why}")]
    NotStarted {
        /// Its id.
        id: String,
        /// What it said.
        why: String,
    },
    /// The supervisor did not grant it.
    #[error("the supervisor refused: {0:?}")]
    Refused(Refusal<String>),
}

fn told(exit: &SupervisorExit<String>) -> String {
    match exit {
        SupervisorExit::Stopped => "it was stopped".to_owned(),
        SupervisorExit::RestartedTooOften(child) => format!("`{child}` was restarted too often"),
        SupervisorExit::AutoShutdown(child) => format!("`{child}` ended, and was significant"),
        SupervisorExit::StartFailed(child) => format!("`{child}` did not start"),
    }
}

/// A running tree of actors; clones are the same. It runs on when the last of them is dropped.
#[derive(Clone)]
pub struct Tree {
    supervisor: ActorRef<supervisor::Message<String>>,
    actors: Arc<Actors>,
    course: watch::Receiver<Course>,
}

/// How far a tree is.
#[derive(Debug, Clone)]
enum Course {
    Rising,
    Up,
    Ended(SupervisorExit<String>),
}

impl Tree {
    /// Starts a tree, and waits until every actor is up.
    ///
    /// # Errors
    /// When the description breaks a rule, or an actor does not start: then nothing is left of the tree.
    pub async fn start(spec: TreeSpec) -> Result<Self, TreeError> {
        let (policy, starts) = spec.into_policy()?;
        let (actors, course) = Actors::new(starts, None);
        let arguments = Arguments { policy, nursery: actors.clone(), clock: Clock::start() };
        let (supervisor, _) =
            Actor::spawn(None, Supervisor::<Actors>::default(), arguments).await?;
        let tree = Self { supervisor, actors, course };
        match tree.until(|course| !matches!(course, Course::Rising)).await {
            Course::Rising | Course::Up => Ok(tree),
            Course::Ended(exit) => Err(TreeError::Ended(exit)),
        }
    }

    /// The actor that is up under this id now. After a restart it is another one: ask again.
    pub fn actor<M: Message>(&self, id: &str) -> Option<ActorRef<M>> {
        let cell = self.actors.actor(id)?;
        cell.is_message_type_of::<M>().unwrap_or(false).then(|| cell.into())
    }

    /// The same, of an actor that was just added.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn actor_that_is_up<M: Message>(&self, id: &str) -> Result<ActorRef<M>, TreeError> {
        self.actor(id).ok_or_else(|| {
            let why = self.how_ended(id).unwrap_or_else(|| "it ended at once".to_owned());
            TreeError::NotStarted { id: id.to_owned(), why }
        })
    }

    /// The nested tree that runs under this id now. After a restart it is another one: ask again.
    pub fn tree(&self, id: &str) -> Option<Self> {
        self.actors.tree(id)
    }

    /// How a child ended last, or why it did not start: for people.
    pub fn how_ended(&self, id: &str) -> Option<String> {
        self.actors.how_ended(id)
    }

    /// Adds an actor at the end of the start order, starts it, and waits until it is up: OTP's
    /// `start_child`.
    ///
    /// # Errors
    /// When there is one of that id, or it does not start.
    pub async fn add(&self, child: ActorSpec) -> Result<(), TreeError> {
        let tree = self.clone();
        to_its_end(async move { tree.add_child(child).await }).await
    }

    async fn add_child(&self, child: ActorSpec) -> Result<(), TreeError> {
        let id = child.id().to_owned();
        let (spec, start) = child.into_parts();
        let _proposal = self.actors.propose(&id, start).await;
        self.up(&id, Call::AddChild(spec)).await
    }

    /// Stops an actor within its budget and leaves it stopped: OTP's `terminate_child`.
    ///
    /// # Errors
    /// When there is none of that id.
    pub async fn stop_child(&self, id: &str) -> Result<(), TreeError> {
        self.call(Call::StopChild(id.to_owned())).await.map(drop)
    }

    /// Starts an actor that is down: OTP's `restart_child`.
    ///
    /// # Errors
    /// When there is none of that id, or it runs.
    pub async fn start_child(&self, id: &str) -> Result<(), TreeError> {
        self.up(id, Call::StartChild(id.to_owned())).await
    }

    /// Forgets an actor that is down: OTP's `delete_child`.
    ///
    /// # Errors
    /// When there is none of that id, or it runs.
    pub async fn remove(&self, id: &str) -> Result<(), TreeError> {
        self.call(Call::RemoveChild(id.to_owned())).await.map(drop)
    }

    /// The children, newest first, as OTP lists them.
    ///
    /// # Errors
    /// When the tree has ended.
    pub async fn children(&self) -> Result<Vec<ChildStatus<String>>, TreeError> {
        match self.call(Call::WhichChildren).await? {
            Answer::Children(children) => Ok(children),
            _ => unreachable!("the answer to this call"),
        }
    }

    /// How many children there are, and how many are up.
    ///
    /// # Errors
    /// When the tree has ended.
    pub async fn count(&self) -> Result<Counts, TreeError> {
        match self.call(Call::CountChildren).await? {
            Answer::Counts(counts) => Ok(counts),
            _ => unreachable!("the answer to this call"),
        }
    }

    /// Asks it to stop; asked a second time, it skips the budgets.
    pub fn ask_to_stop(&self) {
        // A supervisor that is gone has stopped already.
        let _ = self.supervisor.cast(supervisor::Message::Event(Event::StopRequested));
    }

    /// Stops everything in reverse start order, each actor within its own budget, and waits for that.
    pub async fn stop(&self) -> SupervisorExit<String> {
        self.ask_to_stop();
        self.ended().await
    }

    /// Waits until it has ended, with every actor in it; says why.
    pub async fn ended(&self) -> SupervisorExit<String> {
        match self.until(|course| matches!(course, Course::Ended(_))).await {
            Course::Ended(exit) => exit,
            Course::Rising | Course::Up => SupervisorExit::Stopped,
        }
    }

    async fn until(&self, reached: impl FnMut(&Course) -> bool) -> Course {
        let mut course = self.course.clone();
        match course.wait_for(reached).await {
            Ok(course) => course.clone(),
            // Its supervisor was killed, and ractor took the actors with it.
            Err(_gone) => Course::Ended(SupervisorExit::Stopped),
        }
    }

    /// Why it ended, if it has, and how the child ended that it ended for.
    fn why_ended(&self) -> Option<String> {
        let exit = match &*self.course.borrow() {
            Course::Rising | Course::Up => return None,
            Course::Ended(exit) => exit.clone(),
        };
        let how = match &exit {
            SupervisorExit::Stopped => None,
            SupervisorExit::RestartedTooOften(child)
            | SupervisorExit::AutoShutdown(child)
            | SupervisorExit::StartFailed(child) => self.how_ended(child),
        };
        let mut why = format!("ended: {}", told(&exit));
        if let Some(how) = how {
            why.push_str(", and last it ");
            why.push_str(&how);
        }
        Some(why)
    }

    /// Has a child started, by this request.
    async fn up(&self, id: &str, request: Call<String>) -> Result<(), TreeError> {
        match self.call(request).await {
            Ok(_) => Ok(()),
            Err(TreeError::Refused(Refusal::StartFailed)) => {
                let why = self.how_ended(id).unwrap_or_else(|| "it did not say why".to_owned());
                Err(TreeError::NotStarted { id: id.to_owned(), why })
            }
            Err(error) => Err(error),
        }
    }

    async fn call(&self, request: Call<String>) -> Result<Answer<String>, TreeError> {
        let (port, answer) = tokio::sync::oneshot::channel();
        let message = supervisor::Message::Call(request, port.into());
        let gone = || TreeError::Refused(Refusal::SupervisorEnding);
        self.supervisor.cast(message).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(TreeError::Refused)
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tree").field("course", &*self.course.borrow()).finish()
    }
}

/// Goes on whether or not anybody still waits for it: what the supervisor was asked, it does, and what is
/// kept of an actor must follow.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, TreeError>> + Send + 'static,
) -> Result<T, TreeError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime that drove it has ended.
            Err(_cancelled) => Err(TreeError::Refused(Refusal::SupervisorEnding)),
        },
    }
}

/// How actors are started, by their ids.
type Starts = HashMap<String, spec::Start>;
