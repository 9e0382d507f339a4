//! The child-process actor: one incarnation of one service process.
//!
//! The process's life is the actor's life. The actor turns what happens to the process into events
//! of [`blackhole_policy::instance`], and carries out what that says; whether the process is started
//! again is its supervisor's business. An embedded service is the same actor with a thread where
//! the process would be.

mod body;
mod disk;
mod exec_environment;
mod incarnation;
mod limits;
mod link;
mod request;
mod resources;
mod secrets;
mod start_error;
mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use blackhole_actors::{
    Alarm,
    supervisor::{Child, Reporter, StartFailed},
};
use blackhole_policy::{
    instance::{Command, Ended, Event, Instance, Reason},
    supervision::Exit,
};
use blackhole_protocol::InstanceId;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

pub(crate) use limits::Plans;
pub(crate) use request::{of as request_of, own_directory, writes_its_own};
pub(crate) use resources::{Resources, Sockets};

use self::{
    body::{Body, Remains},
    incarnation::Started,
    start_error::StartError,
    watch::Watches,
};
use crate::{
    logs::Closed,
    nursery::{Member, NodeContext},
    registry::{Change, Exited, killed_for_memory},
};

/// What the actor is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Something happened to the process.
    Event(Event),
    /// It says so about itself.
    Noted(String),
    /// It will soon have used up its disk limit.
    NearDiskLimit(String),
    /// It waits for a CPU and was silent meanwhile; for how long.
    Starved(Duration),
    /// It used more of something than it may; how much, for people.
    Exceeded { reason: Reason, detail: String },
    /// It is gone, with everything it had started.
    Gone(Remains),
}

/// Starts one incarnation; it reports to its supervisor what becomes of it.
pub(crate) async fn start(
    context: &Arc<NodeContext>,
    instance: InstanceId,
    reporter: Reporter<Member>,
) -> Result<Box<dyn Child>, StartFailed> {
    let generation = reporter.generation();
    let refused = |error: StartError| {
        context.registry.record(&instance, generation, Change::Exited(error.into_exited()));
        StartFailed
    };
    let service = context
        .config
        .services
        .get(&instance.service)
        .ok_or_else(|| refused(StartError::unknown(&instance)))?;
    let adapting = &context.adapting;
    adapting.admit(service, &instance).map_err(|short| refused(StartError::Refused(short)))?;
    let delivered = secrets::deliver(context, service, &instance, generation).await;
    let started = delivered
        .and_then(|()| incarnation::start_incarnation(context, service, &instance, generation))
        .inspect_err(|_| secrets::withdraw(context, &instance, generation))
        .map_err(refused)?;
    context.registry.record(&instance, generation, Change::Spawned { pid: started.body.pid() });
    let lacking = started.body.unenforced();
    if !lacking.is_empty() {
        context.registry.record(&instance, generation, Change::Unenforced(lacking));
    }
    let supervisor = reporter.supervisor();
    let arguments = Arguments { context: context.clone(), instance, reporter, started };
    match Actor::spawn_linked(None, ChildProcess, arguments, supervisor).await {
        Ok((actor, _)) => Ok(Box::new(Handle(actor))),
        Err(error) => {
            tracing::error!(%error, "a child-process actor did not start: this is a bug");
            Err(StartFailed)
        }
    }
}

/// A running child, as its supervisor holds it.
struct Handle(ActorRef<Message>);

impl Handle {
    /// An actor that is gone has reported so.
    fn tell(&self, event: Event) {
        let _ = self.0.cast(Message::Event(event));
    }
}

impl Child for Handle {
    fn actor(&self) -> ActorId {
        self.0.get_id()
    }

    fn ask(&self) {
        self.tell(Event::StopAsked);
    }

    fn kill(&self) {
        self.tell(Event::KillAsked);
    }
}

struct ChildProcess;

struct Arguments {
    context: Arc<NodeContext>,
    instance: InstanceId,
    reporter: Reporter<Member>,
    started: Started,
}

struct State {
    context: Arc<NodeContext>,
    instance: InstanceId,
    reporter: Reporter<Member>,
    policy: Instance,
    body: Body,
    watches: Watches,
    alarm: Alarm,
    spawned_at: Instant,
    /// Why it was killed, for people.
    sentence: Option<String>,
    /// How much it used, if it was killed for that.
    excess: Option<String>,
}

impl Actor for ChildProcess {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { context, instance, reporter, started } = arguments;
        let (policy, first) = Instance::spawned(started.spec, context.clock.now());
        let mut state = State {
            context,
            instance,
            reporter,
            policy,
            body: started.body,
            watches: started.watches,
            alarm: Alarm::default(),
            spawned_at: Instant::now(),
            sentence: None,
            excess: None,
        };
        state.body.report_end_to(&myself);
        state.watches.begin(&myself);
        state.carry_out(&myself, first);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Event(event) => {
                if event == Event::DeadlineReached {
                    state.alarm.rang();
                }
                let commands = state.policy.on_event(state.context.clock.now(), event);
                state.carry_out(&myself, commands);
            }
            Message::Noted(note) => state.record(Change::Noted(note)),
            Message::NearDiskLimit(text) => state.record(Change::NearDiskLimit(text)),
            Message::Starved(silence) => state.record(Change::Starved(silence)),
            Message::Exceeded { reason, detail } => {
                state.excess = Some(detail);
                let event = Event::LimitExceeded(reason);
                let commands = state.policy.on_event(state.context.clock.now(), event);
                state.carry_out(&myself, commands);
            }
            Message::Gone(remains) => {
                state.finish(remains);
                myself.stop(None);
            }
        }
        Ok(())
    }

    /// The actor has no child actors; its tasks are watched by their effects.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        _: SupervisionEvent,
        _: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

impl State {
    fn carry_out(&mut self, myself: &ActorRef<Message>, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::WatchReadiness => self.watches.readiness(myself),
                Command::WatchLiveness => self.watches.liveness(myself),
                Command::AnnounceStarted => self.reporter.started(),
                Command::AnnounceReady => self.record(Change::Ready),
                Command::AnnounceUnready(why) => self.record(Change::Unready(why)),
                Command::Ask => {
                    self.record(Change::Stopping("was asked to stop".into()));
                    self.body.ask();
                }
                Command::Kill(why) => {
                    let why = self.with_last_failure(why);
                    self.record(Change::Stopping(why.clone()));
                    self.sentence = Some(why);
                    self.body.kill();
                }
            }
        }
        let myself = myself.clone();
        self.alarm.set(&self.context.clock, self.policy.next_deadline(), move || {
            // An actor that is gone needs no timer.
            let _ = myself.cast(Message::Event(Event::DeadlineReached));
        });
    }

    /// What a probe saw last explains why the child was killed for not becoming ready.
    fn with_last_failure(&mut self, why: String) -> String {
        if let Some(excess) = self.excess.take() {
            return format!("{why}: {excess}");
        }
        match self.watches.last_failure() {
            Some(failure) if !why.contains(&*failure) => format!("{why}: {failure}"),
            Some(_) | None => why,
        }
    }

    fn finish(&mut self, remains: Remains) {
        let (reason, exit) = self.policy.classify(remains.ended, remains.last_oom);
        if let Some(leak) = remains.leak {
            self.record(Change::Leaked(leak));
        }
        let (code, signal) = match remains.ended {
            Ended::Code(code) => (Some(code), None),
            Ended::Signal(number) => (None, Some(body::signal_name(number))),
        };
        let mut message = self.message(reason, code, signal.as_deref());
        if let Some(cause) = remains.cause {
            message += &format!(": {cause}");
        }
        // One process is what the reason says already.
        if remains.oom_kills > u64::from(reason == Reason::Oom) {
            message += &format!("; {}", killed_for_memory(remains.oom_kills));
        }
        if let Some(refused) = remains.tasks_refused {
            message += &format!("; {refused}");
        }
        self.record(Change::Exited(Exited {
            pid: Some(self.body.pid()),
            reason,
            code,
            signal,
            stage: None,
            uptime: self.spawned_at.elapsed(),
            stderr: remains.stderr,
            message,
        }));
        secrets::withdraw(&self.context, &self.instance, self.reporter.generation());
        self.report(exit);
        self.read_to_the_end();
    }

    /// Its replacement does not wait for what it printed last, which passes through two threads.
    fn read_to_the_end(&self) {
        let Some(output) = self.body.output() else { return };
        let (context, instance) = (self.context.clone(), self.instance.clone());
        let generation = self.reporter.generation();
        tokio::spawn(async move {
            let (stderr, closed) = output.end().await;
            let record = |change| context.registry.record(&instance, generation, change);
            record(Change::Read(stderr));
            if closed == Closed::Leaked {
                record(Change::Leaked("another process holds its output open".into()));
            }
        });
    }

    fn report(&self, exit: Exit) {
        self.reporter.exited(exit);
    }

    fn message(&self, reason: Reason, code: Option<i32>, signal: Option<&str>) -> String {
        let how = match (code, signal) {
            (Some(0), _) => "exited with 0".to_owned(),
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was ended by {signal}"),
            (None, None) => "ended".to_owned(),
        };
        match (&self.sentence, reason) {
            (Some(why), _) => format!("{why}; {how}"),
            (None, Reason::Oom) => format!("ran out of memory; {how}"),
            (None, Reason::Startup) => format!("{how} before it was ready"),
            (
                None,
                Reason::Exit
                | Reason::Signal
                | Reason::Probe
                | Reason::Limit
                | Reason::Disk
                | Reason::Spawn
                | Reason::Stop
                | Reason::Replace
                | Reason::Unresponsive,
            ) => how,
        }
    }

    fn record(&self, change: Change) {
        self.context.registry.record(&self.instance, self.reporter.generation(), change);
    }
}
