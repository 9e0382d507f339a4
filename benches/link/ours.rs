//! The family *link*, of `bh`: an actor behind a gateway, and a reference to it.
//!
//! Beside the cases that all have: `kill`, from SIGKILL until 64 calls in flight have been resolved, in
//! milliseconds; `growth SECONDS`, what 100,000 casts a second to a stopped process add to the sender, in KiB;
//! `actors COUNT`, what so many further actors in the other process add to this one, in KiB.

mod contender;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use blackhole_actors::{CallError, CastError, Gateway, Message, Peers, Remote, Reply, Restart};
use blackhole_protocol::InstanceId;
use contender::{Contender, IN_FLIGHT, Payload, SMALL, Server, finish, runtime};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rustix::process::{Pid, Signal, kill_process};

const WITHIN: Duration = Duration::from_secs(60);
const ACTOR: &str = "echo";

#[derive(Message)]
#[blackhole(crate = "blackhole_actors")]
enum EchoMessage {
    Call {
        payload: Payload,
        reply: Reply<Payload>,
    },
    Put {
        payload: Payload,
        reply: Reply<()>,
    },
    Cast(Payload),
    /// To be answered never.
    Hold(Reply<()>),
    /// To be answered when there are so many more of its kind.
    Host {
        count: u32,
        reply: Reply<()>,
    },
}

struct Echo(Gateway);

impl Actor for Echo {
    type Msg = EchoMessage;
    type State = Vec<Reply<()>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<EchoMessage>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<EchoMessage>,
        message: EchoMessage,
        held: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EchoMessage::Call { payload, reply } => reply.send(payload),
            EchoMessage::Put { payload, reply } => {
                drop(payload);
                reply.send(());
            }
            EchoMessage::Cast(payload) => drop(payload),
            EchoMessage::Hold(reply) => held.push(reply),
            EchoMessage::Host { count, reply } => {
                for number in 0..count {
                    let (name, another) = (format!("{ACTOR}-{number}"), Self(self.0.clone()));
                    self.0.host(&name, another, (), Restart::Transient).await?;
                }
                reply.send(());
            }
        }
        Ok(())
    }
}

fn instance() -> InstanceId {
    InstanceId { service: "echo".parse().expect("a name"), index: NonZeroU32::MIN }
}

/// The folder of the socket is the runtime directory.
fn serve(path: PathBuf) {
    let folder = path.parent().expect("a folder").to_owned();
    runtime().block_on(async {
        let gateway = Gateway::start(instance(), 1).await.expect("it starts");
        let echo = Echo(gateway.clone());
        gateway.host(ACTOR, echo, (), Restart::Transient).await.expect("it starts");
        let listener = tokio::net::UnixListener::bind(folder.join(instance().link_file_name()));
        gateway.serve(listener.expect("the path is free")).await;
    });
}

#[derive(Clone)]
struct Link(Remote<EchoMessage>);

impl Contender for Link {
    async fn connect(path: &Path) -> Self {
        let folder = path.parent().expect("a folder");
        contender::stream(&folder.join(instance().link_file_name())).await;
        let link = Peers::new("bench", folder, None).remote(&instance(), ACTOR);
        link.connect().await.expect("it is there");
        Self(link)
    }

    async fn call(&self, payload: Payload) {
        let answer = self.0.call(|reply| EchoMessage::Call { payload, reply }, WITHIN).await;
        answer.expect("an answer");
    }

    async fn put(&self, payload: Payload) {
        let answer = self.0.call(|reply| EchoMessage::Put { payload, reply }, WITHIN).await;
        answer.expect("an answer");
    }

    async fn cast(&self, payload: Payload) {
        self.0.cast(EchoMessage::Cast(payload)).await.expect("it is sent");
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (Some("kill"), _) => finish("kill", Some(kill())),
        (Some("growth"), Some(seconds)) => {
            finish("growth", seconds.parse().ok().map(Duration::from_secs_f64).map(growth))
        }
        (Some("actors"), Some(count)) => finish("actors", count.parse().ok().map(actors)),
        _ => contender::main::<Link>(serve),
    }
}

fn signal(server: &Server, signal: Signal) {
    let pid = Pid::from_child(&server.child);
    kill_process(pid, signal).expect("it lives");
}

fn kill() -> f64 {
    let server = Server::start();
    runtime().block_on(async {
        let link = Link::connect(&server.path).await;
        let calls: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let link = link.clone();
                tokio::spawn(async move { link.0.call(EchoMessage::Hold, WITHIN).await })
            })
            .collect();
        // In order, so all of them are there when this is answered.
        tokio::task::yield_now().await;
        link.call(Payload::default()).await;
        let start = Instant::now();
        signal(&server, Signal::KILL);
        for call in calls {
            let outcome = call.await.expect("no panic");
            assert!(matches!(outcome, Err(CallError::Lost(_))), "{outcome:?}");
        }
        start.elapsed().as_secs_f64() * 1e3
    })
}

/// What has to be sent each millisecond.
const CASTS: usize = 100;

fn growth(span: Duration) -> f64 {
    let server = Server::start();
    runtime().block_on(async {
        let link = Link::connect(&server.path).await;
        link.call(Payload::default()).await;
        let before = resident();
        signal(&server, Signal::STOP);
        let (mut sent, mut refused) = (0u64, 0u64);
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        let start = Instant::now();
        let mut most = before;
        while start.elapsed() < span {
            tick.tick().await;
            for _ in 0..CASTS {
                match link.0.try_cast(EchoMessage::Cast(Payload(vec![7; SMALL]))) {
                    Ok(()) => sent += 1,
                    Err(CastError::Full { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            most = most.max(resident());
        }
        signal(&server, Signal::CONT);
        link.call(Payload::default()).await;
        assert!(refused > 0 && sent > 0, "{sent} were sent and {refused} refused");
        most - before
    })
}

fn actors(count: u32) -> f64 {
    let server = Server::start();
    runtime().block_on(async {
        let link = Link::connect(&server.path).await;
        link.call(Payload::default()).await;
        let before = resident();
        let hosted = link.0.call(|reply| EchoMessage::Host { count, reply }, WITHIN).await;
        hosted.expect("they start");
        let folder = server.path.parent().expect("a folder");
        let last = format!("{ACTOR}-{}", count - 1);
        let last = Link(Peers::new("bench", folder, None).remote(&instance(), &last));
        last.call(Payload::default()).await;
        resident() - before
    })
}

/// What this process holds, in KiB.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = pages.split(' ').nth(1).expect("a second number");
    pages.parse::<f64>().expect("a number") * 4.0
}
