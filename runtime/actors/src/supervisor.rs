//! The supervisor as an actor: the shell around [`blackhole_policy::supervision`].
//!
//! It does four things: turns a message into an event, asks the policy, carries out the commands
//! in order, and arms one timer. What its children are it does not know: a [`Nursery`] starts
//! them, and each is asked to stop and killed through its [`Child`] handle. So the same actor
//! supervises OS processes, plain actors, and other supervisors.

use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use crate::{Alarm, Clock};
use blackhole_policy::moment::Moment;
use blackhole_policy::supervision::{
    Call, CallId, Command, Event, Exit, Generation, Reply, Supervisor as Policy, SupervisorExit,
    Transition,
};
use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent,
};

/// What a child is known by among its siblings.
pub trait ChildId: Clone + Eq + Hash + Debug + Send + Sync + 'static {}

impl<T: Clone + Eq + Hash + Debug + Send + Sync + 'static> ChildId for T {}

/// Knows how the children of one supervisor are started.
pub trait Nursery: Send + Sync + 'static {
    /// What its children are known by.
    type Id: ChildId;

    /// Starts a child, which reports what becomes of it through `reporter`.
    ///
    /// Must not wait: what takes time goes on in the child, which calls
    /// [`Reporter::started`] when it may be depended on.
    fn start(
        &self,
        reporter: Reporter<Self::Id>,
    ) -> impl Future<Output = Result<Box<dyn Child>, StartFailed>> + Send;

    /// Is told everything that the policy decided and that is not a command to a child.
    fn observe(&self, transition: &Transition<Self::Id>);

    /// Is told that all children are up, each time that this becomes true.
    fn up(&self);

    /// Is told that all children are down and the supervisor ends.
    fn ended(&self, exit: SupervisorExit<Self::Id>);

    /// How a child ended whose actor ended without having said so itself. A child that speaks for itself
    /// says so before its actor ends, and what is thought of it here is stale.
    fn silent_end(&self, actor: &ActorCell, end: SilentEnd<'_>) -> Exit {
        match end {
            SilentEnd::Terminated(_) => Exit::Normal,
            SilentEnd::Failed(error) => {
                tracing::error!(actor = %actor.get_id(), %error, "an actor failed: this is a bug");
                Exit::Abnormal
            }
        }
    }

    /// The recorder of what the policy is told and decides, if there is one now.
    fn witness(&self) -> Option<&dyn Witness<Self::Id>> {
        None
    }
}

/// What ractor tells of the end of an actor.
#[derive(Debug)]
pub enum SilentEnd<'a> {
    /// It stopped, or was stopped or killed; with the reason given.
    Terminated(Option<&'a str>),
    /// Its handler returned an error, or panicked.
    Failed(&'a ActorProcessingErr),
}

/// Records what a supervisor's policy is told and decides.
pub trait Witness<Id: ChildId>: Send + Sync {
    /// Before the policy is asked.
    fn hear(&self, now: Moment, policy: &Policy<Id>, event: &Event<Id>);
    /// After it has decided that.
    fn see(&self, commands: &[Command<Id>], next_deadline: Option<Moment>);
}

/// A running child, as its supervisor holds it.
pub trait Child: Send {
    /// The actor that is linked to the supervisor.
    fn actor(&self) -> ActorId;
    /// Asks it to go.
    fn ask(&self);
    /// Ends it now.
    fn kill(&self);
}

/// A child could not even begin; it has said why where people look.
#[derive(Debug)]
pub struct StartFailed;

/// What a supervisor is told.
#[derive(Debug)]
pub enum Message<Id: ChildId> {
    /// A child's news, or the parent's wish.
    Event(Event<Id>),
    /// An operator's wish.
    Call(Call<Id>, RpcReplyPort<Reply<Id>>),
    /// The armed moment has come.
    DeadlineReached,
}

/// How a child speaks to its supervisor, for one incarnation.
#[derive(Debug)]
pub struct Reporter<Id: ChildId> {
    supervisor: ActorRef<Message<Id>>,
    child: Id,
    generation: Generation,
}

impl<Id: ChildId> Clone for Reporter<Id> {
    fn clone(&self) -> Self {
        Self {
            supervisor: self.supervisor.clone(),
            child: self.child.clone(),
            generation: self.generation,
        }
    }
}

impl<Id: ChildId> Reporter<Id> {
    /// Which child.
    pub fn child(&self) -> &Id {
        &self.child
    }

    /// Which incarnation of it.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The supervisor, for the child to be linked to.
    pub fn supervisor(&self) -> ActorCell {
        self.supervisor.get_cell()
    }

    /// It may be depended on.
    pub fn started(&self) {
        let (child, generation) = (self.child.clone(), self.generation);
        self.send(Event::Started { child, generation });
    }

    /// It did not get up, and nothing of it is left.
    pub fn start_failed(&self) {
        let (child, generation) = (self.child.clone(), self.generation);
        self.send(Event::StartFailed { child, generation, jitter: draw() });
    }

    /// It is gone, with everything it had started.
    pub fn exited(&self, exit: Exit) {
        let (child, generation) = (self.child.clone(), self.generation);
        self.send(Event::Exited { child, generation, exit, jitter: draw() });
    }

    /// A supervisor that is gone has stopped its children, and no longer cares.
    fn send(&self, event: Event<Id>) {
        let _ = self.supervisor.cast(Message::Event(event));
    }
}

/// Uniform from -1 to 1.
fn draw() -> f64 {
    let bits = RandomState::new().hash_one(());
    let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    unit * 2.0 - 1.0
}

/// The actor. One value serves any number of supervisors of the same kind.
pub struct Supervisor<N: Nursery>(std::marker::PhantomData<fn() -> N>);

impl<N: Nursery> Default for Supervisor<N> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// What a supervisor begins with.
pub struct Arguments<N: Nursery> {
    /// Its strategy and its children.
    pub policy: Policy<N::Id>,
    /// How they are started.
    pub nursery: Arc<N>,
    /// The source of its moments.
    pub clock: Clock,
}

/// What a supervisor knows while it runs.
pub struct State<N: Nursery> {
    policy: Policy<N::Id>,
    nursery: Arc<N>,
    clock: Clock,
    children: HashMap<N::Id, Held>,
    actors: HashMap<ActorId, (N::Id, Generation)>,
    calls: HashMap<CallId, RpcReplyPort<Reply<N::Id>>>,
    calls_total: u64,
    alarm: Alarm,
}

struct Held {
    generation: Generation,
    child: Box<dyn Child>,
}

impl<N: Nursery> Actor for Supervisor<N> {
    type Msg = Message<N::Id>;
    type State = State<N>;
    type Arguments = Arguments<N>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Arguments<N>,
    ) -> Result<State<N>, ActorProcessingErr> {
        myself.cast(Message::Event(Event::StartRequested))?;
        Ok(State {
            policy: arguments.policy,
            nursery: arguments.nursery,
            clock: arguments.clock,
            children: HashMap::new(),
            actors: HashMap::new(),
            calls: HashMap::new(),
            calls_total: 0,
            alarm: Alarm::default(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State<N>,
    ) -> Result<(), ActorProcessingErr> {
        let event = match message {
            Message::Event(event) => event,
            Message::Call(request, reply) => state.register(request, reply),
            Message::DeadlineReached => {
                state.alarm.rang();
                Event::DeadlineReached
            }
        };
        state.decide(&myself, event).await;
        state.arm(&myself);
        Ok(())
    }

    /// A child that ended without a word (a panic, a kill) is reported here. News of an end overtake
    /// the child's last words, which tell how it ended: they queue up behind them, and are stale when
    /// there were any.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut State<N>,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, exit) = match &event {
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                let end = SilentEnd::Terminated(reason.as_deref());
                (actor, state.nursery.silent_end(actor, end))
            }
            SupervisionEvent::ActorFailed(actor, error) => {
                (actor, state.nursery.silent_end(actor, SilentEnd::Failed(error)))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let Some((child, generation)) = state.actors.remove(&actor.get_id()) else {
            return Ok(());
        };
        myself.cast(Message::Event(Event::Exited { child, generation, exit, jitter: draw() }))?;
        Ok(())
    }
}

impl<N: Nursery> State<N> {
    fn register(
        &mut self,
        request: Call<N::Id>,
        reply: RpcReplyPort<Reply<N::Id>>,
    ) -> Event<N::Id> {
        self.calls_total += 1;
        let call = CallId(self.calls_total);
        self.calls.insert(call, reply);
        Event::Called { call, request }
    }

    /// Asks the policy, and carries out what it says; a start that fails on the spot is the next
    /// event, handled in turn and not by recursion.
    async fn decide(&mut self, myself: &ActorRef<Message<N::Id>>, event: Event<N::Id>) {
        let mut next = Some(event);
        let mut failures = std::collections::VecDeque::new();
        while let Some(event) = next {
            if let Event::Exited { child, generation, .. } = &event {
                self.release(child, *generation);
            }
            for command in self.ask(event) {
                failures.extend(self.carry_out(myself, command).await);
            }
            next = failures.pop_front();
        }
    }

    fn ask(&mut self, event: Event<N::Id>) -> Vec<Command<N::Id>> {
        let now = self.clock.now();
        let witness = self.nursery.witness();
        if let Some(witness) = witness {
            witness.hear(now, &self.policy, &event);
        }
        let commands = self.policy.on_event(now, event);
        if let Some(witness) = witness {
            witness.see(&commands, self.policy.next_deadline());
        }
        commands
    }

    async fn carry_out(
        &mut self,
        myself: &ActorRef<Message<N::Id>>,
        command: Command<N::Id>,
    ) -> Option<Event<N::Id>> {
        match command {
            Command::Start { child, generation } => {
                return self.start(myself, child, generation).await;
            }
            Command::Stop { child, generation, .. } => {
                self.with(&child, generation, |child| child.ask())
            }
            Command::Kill { child, generation } => {
                self.with(&child, generation, |child| child.kill())
            }
            Command::Reply { call, reply } => {
                if let Some(port) = self.calls.remove(&call) {
                    // Whoever asked may have gone.
                    let _ = port.send(reply);
                }
            }
            Command::Report(transition) => self.nursery.observe(&transition),
            Command::Up => self.nursery.up(),
            Command::Exit(exit) => {
                self.nursery.ended(exit);
                myself.stop(None);
            }
        }
        None
    }

    async fn start(
        &mut self,
        myself: &ActorRef<Message<N::Id>>,
        child: N::Id,
        generation: Generation,
    ) -> Option<Event<N::Id>> {
        let reporter = Reporter { supervisor: myself.clone(), child: child.clone(), generation };
        match self.nursery.start(reporter).await {
            Ok(handle) => {
                self.actors.insert(handle.actor(), (child.clone(), generation));
                self.children.insert(child, Held { generation, child: handle });
                None
            }
            Err(StartFailed) => Some(Event::StartFailed { child, generation, jitter: draw() }),
        }
    }

    fn with(&self, child: &N::Id, generation: Generation, act: impl FnOnce(&dyn Child)) {
        if let Some(held) = self.children.get(child)
            && held.generation == generation
        {
            act(held.child.as_ref());
        }
    }

    fn release(&mut self, child: &N::Id, generation: Generation) {
        if self.children.get(child).is_some_and(|held| held.generation == generation)
            && let Some(held) = self.children.remove(child)
        {
            self.actors.remove(&held.child.actor());
        }
    }

    /// A supervisor that is gone needs no timer, so it is no failure if nobody is there for the ring.
    fn arm(&mut self, myself: &ActorRef<Message<N::Id>>) {
        let myself = myself.clone();
        self.alarm.set(&self.clock, self.policy.next_deadline(), move || {
            let _ = myself.cast(Message::DeadlineReached);
        });
    }
}
