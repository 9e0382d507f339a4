//! Both ends of the wire between actors of different processes, each against a peer that says anything.
//!
//! An input is a script of frames: a byte says how long the next one is; what is left at the end goes
//! out as it is, length and all. Whatever was said, the other end stays there for those who behave.

use std::{cell::OnceCell, convert::Infallible, io, num::NonZeroU32, path::Path, time::Duration};

use blackhole_actors::{Gateway, Message, Patience, Peers, Remote, Reply, Restart};
use blackhole_protocol::{
    InstanceId,
    link::{
        FRAME_LENGTH_MAX, LENGTH_PREFIX, append_frame, frame_length,
        gateway::{FromGateway, SCHEMA, ToGateway, VERSION, WINDOW},
        take_value,
    },
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::Runtime,
};

use super::targets::Tree;

const ACTOR: &str = "counter";
/// Nobody waits longer for anything, on any machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// Who waits for an answer that may not come.
const CALL_WITHIN: Duration = Duration::from_millis(20);
/// What a frame may lead to at most: a refusal with names and the texts that were sent.
const ANSWER_LENGTH_MAX: usize = 4096;

#[derive(Message)]
#[blackhole(crate = "blackhole_actors")]
enum CounterMessage {
    Add(u64),
    Note { text: String, numbers: Vec<u32> },
    Get(Reply<u64>),
    Echo { text: String, reply: Reply<String> },
    Plant(Tree),
}

struct Counter;

impl Actor for Counter {
    type Msg = CounterMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<CounterMessage>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<CounterMessage>,
        message: CounterMessage,
        count: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CounterMessage::Add(more) => *count = count.wrapping_add(more),
            CounterMessage::Note { text, numbers } => {
                *count = count.wrapping_add((text.len() + numbers.len()) as u64);
            }
            CounterMessage::Get(reply) => reply.send(*count),
            CounterMessage::Echo { text, reply } => reply.send(text),
            CounterMessage::Plant(tree) => drop(tree),
        }
        Ok(())
    }
}

/// One end, and everything that it needs.
struct Stage {
    runtime: Runtime,
    folder: tempfile::TempDir,
    instance: InstanceId,
    listener: Option<UnixListener>,
}

impl Stage {
    fn build() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let folder = tempfile::tempdir()?;
        let service = "counting".parse().expect("a name");
        let instance = InstanceId { service, index: NonZeroU32::MIN };
        let path = folder.path().join(instance.link_file_name());
        let listener = runtime.block_on(async { UnixListener::bind(path) })?;
        Ok(Self { runtime, folder, instance, listener: Some(listener) })
    }

    /// With a gateway that hosts one actor.
    fn with_gateway() -> io::Result<Self> {
        let mut stage = Self::build()?;
        let listener = stage.listener.take().expect("it was just bound");
        stage.runtime.block_on(async {
            let gateway = Gateway::start(stage.instance.clone(), 1).await;
            let gateway = gateway.expect("nothing of it can fail");
            let hosted = gateway.host(ACTOR, Counter, (), Restart::Transient).await;
            hosted.expect("the actor starts");
            tokio::spawn(gateway.serve(listener));
        });
        Ok(stage)
    }

    fn counter(&self, folder: &Path) -> Remote<CounterMessage> {
        Peers::new("fuzz", folder, None).remote(&self.instance, ACTOR)
    }
}

thread_local! {
    static GATEWAY: OnceCell<Stage> = const { OnceCell::new() };
    static REFERENCE: OnceCell<Stage> = const { OnceCell::new() };
}

/// A gateway, to which somebody says anything: it answers in frames, and serves others.
pub(super) fn gateway(bytes: &[u8]) {
    GATEWAY.with(|stage| {
        let stage = stage.get_or_init(|| Stage::with_gateway().expect("a gateway"));
        stage.runtime.block_on(async {
            let said = tokio::time::timeout(DEADLINE, speak_to_gateway(stage, bytes)).await;
            let said = said.expect("the gateway ends a connection that was ended");
            let answers = check_frames(&said);
            let most = (answers + 1) * ANSWER_LENGTH_MAX + 2 * bytes.len();
            assert!(said.len() <= most, "{} bytes of answers", said.len());
            let counter = stage.counter(stage.folder.path());
            counter.call(CounterMessage::Get, DEADLINE).await.expect("the gateway serves others");
        });
    });
}

async fn speak_to_gateway(stage: &Stage, bytes: &[u8]) -> Vec<u8> {
    let path = stage.folder.path().join(stage.instance.link_file_name());
    let mut stream = UnixStream::connect(path).await.expect("the gateway accepts");
    // Whoever has said something wrong is cut in the middle of it.
    let _ = stream.write_all(&words_to_a_gateway(bytes)).await;
    let _ = stream.shutdown().await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    said
}

fn words_to_a_gateway(bytes: &[u8]) -> Vec<u8> {
    let hello = ToGateway::Hello { version: VERSION, schema: SCHEMA, from: "fuzz".to_owned() };
    let bind = ToGateway::Bind {
        target: 0,
        actor: ACTOR.to_owned(),
        message: CounterMessage::NAME.to_owned(),
        schema: CounterMessage::SCHEMA,
    };
    script(bytes, &[hello, bind])
}

/// How many frames there are; each begins with something that a gateway says.
fn check_frames(mut said: &[u8]) -> usize {
    let mut frames = 0;
    while let Some(length) = frame_length(said) {
        assert!(length <= FRAME_LENGTH_MAX, "a frame of {length} bytes");
        let Some(frame) = said.get(LENGTH_PREFIX..LENGTH_PREFIX + length) else { break };
        let mut rest = frame;
        let _message: FromGateway = take_value(&mut rest).expect("a gateway says it");
        said = &said[LENGTH_PREFIX + length..];
        frames += 1;
    }
    frames
}

/// A reference, whose gateway says anything: its holder has an answer or an error, in time.
pub(super) fn reference(bytes: &[u8]) {
    REFERENCE.with(|stage| {
        let stage = stage.get_or_init(|| Stage::build().expect("a socket"));
        let listener = stage.listener.as_ref().expect("nobody took it");
        let script = words_of_a_gateway(&stage.instance, bytes);
        stage.runtime.block_on(async {
            // Another one each time, for it remembers whom it was connected to.
            let counter = stage.counter(stage.folder.path()).with_patience(Patience::FailFast);
            let asked = async {
                let _answer = counter.call(CounterMessage::Get, CALL_WITHIN).await;
                let _told = counter.try_cast(CounterMessage::Add(1));
            };
            tokio::select! {
                asked = tokio::time::timeout(DEADLINE, asked) => asked.expect("a call ends in time"),
                never = speak_as_gateway(listener, &script) => match never {},
            }
        });
    });
}

fn words_of_a_gateway(instance: &InstanceId, bytes: &[u8]) -> Vec<u8> {
    let welcome = FromGateway::Welcome {
        version: VERSION,
        schema: SCHEMA,
        instance: instance.clone(),
        generation: 1,
        window: WINDOW,
    };
    script(bytes, &[welcome, FromGateway::Bound { target: 0 }])
}

/// Says the same to everybody who comes, and hears nothing.
async fn speak_as_gateway(listener: &UnixListener, script: &[u8]) -> Infallible {
    loop {
        let (mut stream, _) = listener.accept().await.expect("somebody comes");
        // Whoever has heard enough goes in the middle of it.
        let _ = stream.write_all(script).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// The first byte says how many of the `proper` frames come before: mostly all, sometimes none.
fn script<M: Serialize>(bytes: &[u8], proper: &[M; 2]) -> Vec<u8> {
    let Some((first, mut bytes)) = bytes.split_first() else { return Vec::new() };
    let mut script = Vec::new();
    for frame in &proper[..usize::from(first % 8).min(proper.len())] {
        append_frame(frame, &mut script).expect("it fits");
    }
    while let Some((length, rest)) = bytes.split_first() {
        let Some(frame) = rest.get(..usize::from(*length)) else { break };
        script.extend_from_slice(&u32::from(*length).to_le_bytes());
        script.extend_from_slice(frame);
        bytes = &rest[frame.len()..];
    }
    script.extend_from_slice(bytes);
    script
}
