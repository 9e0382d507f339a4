//! What a tree of actors is made of.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use blackhole_policy::{
    backoff::Backoff,
    supervision::{
        AutoShutdown, ChildKind, ChildSpec, Counting, Discipline, Restart, RestartLimit, Shutdown,
        SpecError, Strategy, Supervisor as Policy, SupervisorSpec,
    },
};
use ractor::{Actor, ActorCell, ActorRuntime, SpawnErr};

use super::Starts;

/// OTP's default: how long an actor has between being asked to stop and being killed.
const SHUTDOWN: Shutdown = Shutdown::Timeout(Duration::from_secs(5));
/// OTP's default: more restarts than this within [`WINDOW`] are too many.
const RESTARTS_MAX: u32 = 1;
/// OTP's default.
const WINDOW: Duration = Duration::from_secs(5);

/// How an incarnation of a child begins.
#[derive(Clone)]
pub(super) enum Start {
    Actor(Arc<Begin>),
    Tree(Arc<TreeSpec>),
}

/// How an incarnation of an actor begins, below that supervisor.
pub(super) type Begin = dyn Fn(ActorCell) -> Result<Begun, SpawnErr> + Send + Sync;

/// An actor that begins, and how that went, later.
pub(super) type Begun = (ActorCell, Pin<Box<dyn Future<Output = Result<(), SpawnErr>> + Send>>);

/// One actor, or one tree, below a supervisor. The defaults are OTP's: permanent, 5 s to stop.
#[must_use = "an actor runs when its tree is started"]
pub struct ActorSpec {
    spec: ChildSpec<String>,
    start: Start,
}

impl ActorSpec {
    /// An actor; each incarnation is made anew, with its arguments, by `make`.
    pub fn new<A: Actor>(
        id: impl Into<String>,
        make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        Self::beginning(id, move || Ok(make()))
    }

    /// An actor that is there already: an end of it cannot be followed by another start. It is for trees
    /// that end with it, or with [`Restart::Temporary`].
    pub fn once<A: Actor>(id: impl Into<String>, actor: A, arguments: A::Arguments) -> Self {
        let only = Mutex::new(Some((actor, arguments)));
        Self::beginning(id, move || {
            let only = only.lock().unwrap_or_else(PoisonError::into_inner).take();
            only.ok_or_else(|| SpawnErr::StartupFailed("it can be started once".into()))
        })
    }

    fn beginning<A: Actor>(
        id: impl Into<String>,
        make: impl Fn() -> Result<(A, A::Arguments), SpawnErr> + Send + Sync + 'static,
    ) -> Self {
        let begin = move |supervisor: ActorCell| {
            let (actor, arguments) = make()?;
            let (actor, started) =
                ActorRuntime::<A>::spawn_linked_instant(None, actor, arguments, supervisor)?;
            let started = async move {
                match started.await {
                    Ok(started) => started.map(drop),
                    Err(panic) => Err(SpawnErr::StartupFailed(panic.into())),
                }
            };
            Ok((actor.get_cell(), Box::pin(started) as _))
        };
        let spec = ChildSpec { shutdown: SHUTDOWN, ..ChildSpec::worker(id.into()) };
        Self { spec, start: Start::Actor(Arc::new(begin)) }
    }

    /// A nested tree, which has as long to stop as it needs.
    pub fn tree(id: impl Into<String>, tree: TreeSpec) -> Self {
        let spec = ChildSpec {
            shutdown: Shutdown::Infinity,
            kind: ChildKind::Supervisor,
            ..ChildSpec::worker(id.into())
        };
        Self { spec, start: Start::Tree(Arc::new(tree)) }
    }

    /// Which ends are followed by a restart. A stop of its own is a normal end, an error or a panic an
    /// abnormal one.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.spec.restart = restart;
        self
    }

    /// How it is stopped. [`Shutdown::Brutal`] kills it at its next await.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.spec.shutdown = shutdown;
        self
    }

    /// Its end by itself counts for [`TreeSpec::auto_shutdown`].
    pub fn significant(mut self) -> Self {
        self.spec.significant = true;
        self
    }

    /// Delays between restarts; read where the tree is [concurrent](TreeSpec::concurrent) alone.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.spec.backoff = backoff;
        self
    }

    /// A sibling that must be up first; read where the tree is [concurrent](TreeSpec::concurrent)
    /// alone. May be called several times.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.spec.after.push(id.into());
        self
    }

    /// What it is known by among its siblings.
    pub fn id(&self) -> &str {
        &self.spec.id
    }

    pub(super) fn into_parts(self) -> (ChildSpec<String>, Start) {
        (self.spec, self.start)
    }
}

/// A supervisor and its children, in start order. The defaults are OTP's: one restart within 5 s,
/// one thing at a time.
#[must_use = "a tree runs when it is started"]
pub struct TreeSpec {
    spec: SupervisorSpec,
    children: Vec<(ChildSpec<String>, Start)>,
}

impl TreeSpec {
    /// A supervisor without children. `simple_one_for_one` is not for trees: [`Tree::add`](super::Tree::add)
    /// adds actors at run time under any other strategy.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            spec: SupervisorSpec {
                strategy,
                discipline: Discipline::Strict,
                counting: Counting::Shared(RestartLimit {
                    restarts_max: RESTARTS_MAX,
                    window: WINDOW,
                }),
                auto_shutdown: AutoShutdown::Never,
            },
            children: Vec::new(),
        }
    }

    /// As [`new`](Self::new): the end of one actor is no concern of the others.
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// Adds an actor or a tree, at the end of the start order.
    pub fn child(mut self, child: ActorSpec) -> Self {
        self.children.push(child.into_parts());
        self
    }

    /// More than `restarts_max` restarts of all children together within `window` end the tree. A strict
    /// tree takes whole seconds, at least one, as OTP does; with others it does not begin.
    pub fn restarts(mut self, restarts_max: u32, window: Duration) -> Self {
        self.spec.counting = Counting::Shared(RestartLimit { restarts_max, window });
        self
    }

    /// Whether the end of significant children ends the tree.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.spec.auto_shutdown = auto_shutdown;
        self
    }

    /// Starts and stops side by side what does not depend on each other by [`ActorSpec::after`], tries
    /// failed starts again, and lets restarts wait: what services want. Without this it is OTP to the
    /// letter.
    pub fn concurrent(mut self) -> Self {
        self.spec.discipline = Discipline::Concurrent;
        self
    }

    pub(super) fn into_policy(self) -> Result<(Policy<String>, Starts), SpecError<String>> {
        let starts = self.starts();
        let specs = self.children.into_iter().map(|(spec, _)| spec).collect();
        Ok((Policy::new(self.spec, specs)?, starts))
    }

    /// As [`into_policy`](Self::into_policy), for a tree that may be started again.
    pub(super) fn policy(&self) -> Result<(Policy<String>, Starts), SpecError<String>> {
        let specs = self.children.iter().map(|(spec, _)| spec.clone()).collect();
        Ok((Policy::new(self.spec, specs)?, self.starts()))
    }

    fn starts(&self) -> Starts {
        self.children.iter().map(|(spec, start)| (spec.id.clone(), start.clone())).collect()
    }
}
