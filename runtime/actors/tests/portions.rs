//! A caller that has asked much goes on with the first answers while the last are given.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use blackhole_actors::{Gateway, Message, Peers, Reply, Restart};
use blackhole_protocol::InstanceId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{net::UnixListener, task::JoinSet};

const SOON: Duration = Duration::from_secs(30);
const QUESTIONS: u32 = 64;

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
enum OracleMessage {
    Ask(Reply<()>),
}

/// Counts what it has answered.
struct Oracle(Arc<AtomicU32>);

impl Actor for Oracle {
    type Msg = OracleMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<OracleMessage>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<OracleMessage>,
        message: OracleMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let OracleMessage::Ask(reply) = message;
        reply.send(());
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn the_first_answers_are_there_before_the_last_are_given() {
    let instance =
        InstanceId { service: "oracle".parse().expect("a name"), index: NonZeroU32::MIN };
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(instance.clone(), 1).await.expect("it starts");
    let answered = Arc::new(AtomicU32::new(0));
    let oracle = Oracle(answered.clone());
    gateway.host("oracle", oracle, (), Restart::Temporary).await.expect("it starts");
    let path = folder.path().join(instance.link_file_name());
    tokio::spawn(gateway.serve(UnixListener::bind(path).expect("the path is free")));
    let oracle = Peers::new("the test", folder.path(), None).remote(&instance, "oracle");
    oracle.connect().await.expect("it is there");

    let mut questions = JoinSet::new();
    for _ in 0..QUESTIONS {
        let (oracle, answered) = (oracle.clone(), answered.clone());
        questions.spawn(async move {
            oracle.call(OracleMessage::Ask, SOON).await.expect("an answer");
            answered.load(Ordering::Relaxed)
        });
    }
    let seen = questions.join_all().await;
    let (first, last) = (seen.iter().min(), seen.iter().max());
    assert!(first <= Some(&(QUESTIONS / 2)), "{first:?} of {QUESTIONS} before anybody heard one");
    assert_eq!(last, Some(&QUESTIONS));
}
