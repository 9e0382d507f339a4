//! Actors in child processes that speak to each other, under a node with its guardian: this program is all
//! of them, and so has a `main` of its own.
//!
//! One node runs for all cases, one after the other; each says what it proved, or panics.
#![expect(clippy::print_stdout, reason = "a test without a harness says itself what it did")]

mod player;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use blackhole::{
    Node, Remote, ServiceSpec,
    actors::{CallError, CastError, ExitReason, Patience, Refusal, Unreachable},
};
use blackhole_protocol::InstanceId;
use player::{Ping, PlayerMessage, Pong, ScoreMessage};

/// What has not happened by then never will.
const DEADLINE: Duration = Duration::from_secs(30);

fn main() {
    let program = blackhole::program().service::<Ping>().service::<Pong>().enter();
    program.block_on(async {
        let directory = tempfile::tempdir().expect("a folder");
        let node = program
            .node()
            .runtime_dir(directory.path().join("run"))
            .data_dir(directory.path().join("data"))
            .log_dir(directory.path().join("log"))
            .service("ping", ServiceSpec::native::<Ping>())
            .service("pong", ServiceSpec::native::<Pong>())
            .start()
            .await
            .expect("the node begins");
        within(node.all_ready()).await.expect("both start");
        let world = World { ping: player(&node, "ping"), pong: player(&node, "pong"), node: &node };
        world.children_call_each_other().await;
        world.one_process_has_actors_of_several_types().await;
        world.a_killed_process_resolves_calls_and_says_why().await;
        world.a_child_hears_why_another_went().await;
        world.patience_is_a_choice().await;
        world.a_stopped_receiver_costs_its_sender_little().await;
        within(node.stop()).await.expect("it stops");
    });
}

fn player(node: &Node, service: &str) -> Remote<PlayerMessage> {
    let index = std::num::NonZeroU32::MIN;
    let instance = InstanceId { service: service.parse().expect("a name"), index };
    node.peers().remote(&instance, "player")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

struct World<'a> {
    node: &'a Node,
    ping: Remote<PlayerMessage>,
    pong: Remote<PlayerMessage>,
}

impl World<'_> {
    async fn children_call_each_other(&self) {
        let rally = |reply| PlayerMessage::Rally { strokes: 1000, reply };
        let strokes = self.ping.call(rally, DEADLINE).await.expect("an answer");
        assert_eq!(strokes, 1000);
        println!("two children called each other, a thousand times");
    }

    async fn one_process_has_actors_of_several_types(&self) {
        let reach = |actor: &str| self.node.remote::<ScoreMessage>("ping", actor).expect("a name");
        let scorer = reach("scorer");
        for points in [15, 30] {
            scorer.cast(ScoreMessage::Add(points)).await.expect("it is taken");
        }
        self.ping.call(PlayerMessage::Hit, DEADLINE).await.expect("the player answers");
        assert_eq!(scorer.call(ScoreMessage::Total, DEADLINE).await.expect("an answer"), 45);
        let mistaken = reach("player").call(ScoreMessage::Total, DEADLINE).await;
        let error = mistaken.expect_err("a player keeps no score");
        let CallError::Unreachable(Unreachable::Refused { source, .. }) = &error else {
            panic!("{error:?}")
        };
        assert!(matches!(source, Refusal::Schema { .. }), "{source}");
        self.ping.call(PlayerMessage::Hit, DEADLINE).await.expect("the player minds nothing");
        println!("one process has actors of two types, each reached as its own only");
    }

    async fn a_killed_process_resolves_calls_and_says_why(&self) {
        let generation = self.pong.connect().await.expect("it is there");
        let mut monitor = self.pong.monitor();
        let calls: Vec<_> = (0..64)
            .map(|_| {
                let pong = self.pong.clone();
                tokio::spawn(async move { pong.call(PlayerMessage::Hold, DEADLINE).await })
            })
            .collect();
        tokio::task::yield_now().await;
        self.pong.call(PlayerMessage::Hit, DEADLINE).await.expect("an answer");
        self.signal("pong", "KILL");
        for call in calls {
            let outcome = call.await.expect("no panic");
            assert!(matches!(outcome, Err(CallError::Lost(_))), "{outcome:?}");
        }
        let down = within(monitor.down()).await.expect("it was there");
        assert_eq!(down.generation, generation);
        let ExitReason::Process { reason, message } = &down.reason else { panic!("{down:?}") };
        assert_eq!((reason.as_str(), message.as_str()), ("signal", "was ended by SIGKILL"));
        self.pong.call(PlayerMessage::Hit, DEADLINE).await.expect("the successor answers");
        assert_eq!(self.pong.generation(), Some(generation + 1));
        println!("SIGKILL resolved 64 calls, its reason was told, and the successor answered");
    }

    async fn a_child_hears_why_another_went(&self) {
        let ping = self.ping.clone();
        let watching = tokio::spawn(async move {
            ping.call(PlayerMessage::Watch, DEADLINE).await.expect("an answer")
        });
        // Whichever of the two questions comes first.
        self.ping.call(PlayerMessage::Watching, DEADLINE).await.expect("an answer");
        let before = self.pong.generation();
        // It is frozen, and found to be.
        let frozen = Instant::now();
        self.signal("pong", "STOP");
        let why = within(watching).await.expect("no panic");
        assert!(why.contains("was silent on its link for 1000 ms"), "{why}");
        let found = frozen.elapsed();
        self.pong.call(PlayerMessage::Hit, DEADLINE).await.expect("the successor answers");
        assert_eq!(self.pong.generation(), before.map(|before| before + 1));
        println!("a frozen child was replaced, and another child heard why after {found:.1?}");
    }

    async fn patience_is_a_choice(&self) {
        within(self.node.handle().stop("pong")).await.expect("it stops");
        let hasty = self.pong.clone().with_patience(Patience::FailFast);
        let asked = Instant::now();
        let error = hasty.call(PlayerMessage::Hit, DEADLINE).await.expect_err("it is stopped");
        let CallError::Unreachable(error @ Unreachable::NotRunning { .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(error.to_string(), "`pong-1` is not there: it is stopped");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let patient = self.pong.clone().with_patience(Patience::WaitFor(DEADLINE));
        let waiting = tokio::spawn(async move { patient.call(PlayerMessage::Hit, DEADLINE).await });
        within(self.node.start("pong")).await.expect("it starts");
        waiting.await.expect("no panic").expect("it waited for the start");
        println!("one reference failed fast while the process was away, one waited for it");
    }

    async fn a_stopped_receiver_costs_its_sender_little(&self) {
        self.pong.connect().await.expect("it is there");
        self.signal("pong", "STOP");
        let before = resident_kib();
        let (mut sent, mut full) = (0, 0);
        for _ in 0..1_000_000 {
            match self.pong.try_cast(PlayerMessage::Note(vec![7; 64])) {
                Ok(()) => sent += 1,
                Err(CastError::Full { .. }) => full += 1,
                Err(CastError::Unreachable(_) | CastError::NotConnected { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let grown = resident_kib().saturating_sub(before);
        assert!(sent > 0 && full > 0, "{sent} sent, {full} refused");
        assert!(grown < 16 * 1024, "{grown} KiB");
        println!("a stopped receiver took {sent} casts, refused {full}, and cost {grown} KiB");
    }

    fn signal(&self, service: &str, signal: &str) {
        let pid = self.node.status_of(service).remove(0).pid.expect("it runs");
        let killed = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }
}

fn resident_kib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages = pages.split(' ').nth(1).expect("a second number");
    pages.parse::<u64>().expect("a number") * 4
}
