//! Peers that break the rules: the connection is closed with a word why, and nobody else suffers.
//!
//! [`fuzz_gateway`] and [`fuzz_reference`] take any bytes and are all that a fuzzer needs; here they are fed with
//! mutations of what is valid, from a seed that `BLACKHOLE_SEED` replaces.

mod greed;
mod lies;
mod own_code;
mod undone;

use std::{io::Write as _, num::NonZeroU32, path::Path, time::Duration};

use blackhole_actors::{CallError, Gateway, Message, Patience, Peers, Remote, Reply, Restart};
use blackhole_protocol::{
    InstanceId,
    link::{
        LENGTH_PREFIX, append_frame, append_frame_with, append_value, decode,
        gateway::{FromGateway, SCHEMA, ToGateway, VERSION, WINDOW},
        take_value,
    },
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

const SOON: Duration = Duration::from_secs(30);
/// Inputs that each of the two is fed with.
const INPUTS: u64 = 400;

#[derive(Debug, Message)]
#[blackhole(crate = "blackhole_actors")]
enum HolderMessage {
    Hold(Reply<u64>),
    Get { salt: u64, text: String, reply: Reply<u64> },
    Fail(String),
}

struct Holder;

impl Actor for Holder {
    type Msg = HolderMessage;
    type State = Vec<Reply<u64>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<HolderMessage>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<HolderMessage>,
        message: HolderMessage,
        held: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HolderMessage::Hold(reply) => {
                held.retain(Reply::is_awaited);
                held.push(reply);
            }
            HolderMessage::Get { salt, text, reply } => reply.send(salt ^ text.len() as u64),
            HolderMessage::Fail(why) => return Err(why.into()),
        }
        Ok(())
    }
}

fn instance() -> InstanceId {
    InstanceId { service: "hostile".parse().expect("a name"), index: NonZeroU32::MIN }
}

struct World {
    folder: tempfile::TempDir,
    gateway: Gateway,
    holder: Remote<HolderMessage>,
}

impl World {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::start(instance(), 1).await.expect("it starts");
        gateway.host("holder", Holder, (), Restart::Temporary).await.expect("it starts");
        gateway.host("fragile", Holder, (), Restart::Temporary).await.expect("it starts");
        let listener = UnixListener::bind(folder.path().join(instance().link_file_name()));
        tokio::spawn(gateway.serve(listener.expect("the path is free")));
        let holder = Peers::new("a good peer", folder.path(), None).remote(&instance(), "holder");
        Self { folder, gateway, holder }
    }

    async fn stream(&self) -> UnixStream {
        let path = self.folder.path().join(instance().link_file_name());
        UnixStream::connect(path).await.expect("it listens")
    }

    /// The good peer, whose connection is as old as the gateway, is served as before.
    async fn serves(&self) {
        let get = |reply| HolderMessage::Get { salt: 1, text: "four".into(), reply };
        assert_eq!(self.holder.call(get, SOON).await.expect("an answer"), 1 ^ 4);
    }
}

fn framed(messages: &[ToGateway]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        append_frame(message, &mut bytes).expect("it fits");
    }
    bytes
}

fn hello() -> ToGateway {
    ToGateway::Hello { version: VERSION, schema: SCHEMA, from: "the test".into() }
}

fn bind() -> ToGateway {
    let (actor, message) = ("holder".to_owned(), HolderMessage::NAME.to_owned());
    ToGateway::Bind { target: 0, actor, message, schema: HolderMessage::SCHEMA }
}

/// A call of the variant `Hold`.
fn hold(call: u64, bytes: &mut Vec<u8>) {
    append_frame_with(bytes, |bytes| {
        append_value(&ToGateway::Call { target: 0, call, within_us: 1 << 40 }, bytes)?;
        append_value(&0u32, bytes)
    })
    .expect("it fits");
}

/// What the gateway says last before it closes the connection.
async fn goodbye(world: &World, said: &[u8]) -> String {
    let mut stream = world.stream().await;
    // It may be cut before all of it is out.
    let _ = stream.write_all(said).await;
    let mut heard = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut heard)).await;
    drop(read.expect("it closes the connection"));
    let mut last = String::new();
    let mut rest = &heard[..];
    while let Some(prefix) = rest.first_chunk::<LENGTH_PREFIX>() {
        let end = LENGTH_PREFIX + u32::from_le_bytes(*prefix) as usize;
        let frame = decode(&rest[LENGTH_PREFIX..end]).expect("a gateway speaks well");
        if let FromGateway::Goodbye { reason } = frame {
            last = reason;
        }
        rest = &rest[end..];
    }
    last
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_told_which_and_cut() {
    let world = World::begin().await;
    world.serves().await;
    let long = "x".repeat((1 << 20) - 100);
    let named = |target, actor: &str| {
        let (actor, message) = (actor.to_owned(), HolderMessage::NAME.to_owned());
        ToGateway::Bind { target, actor, message, schema: HolderMessage::SCHEMA }
    };
    let chatty = ToGateway::Hello { version: VERSION, schema: SCHEMA, from: "x".repeat(5000) };
    let other_version = ToGateway::Hello { version: 99, schema: SCHEMA, from: String::new() };
    let other_schema = ToGateway::Hello { version: VERSION, schema: 7, from: String::new() };
    let mut greedy = framed(&[hello(), bind()]);
    (0..=u64::from(WINDOW.messages)).for_each(|call| hold(call, &mut greedy));
    let mut garbage = framed(&[hello()]);
    garbage.extend([3, 0, 0, 0, 250, 250, 250]);
    let mut surplus = framed(&[hello()]);
    surplus.extend([3, 0, 0, 0, 2, 0, 0]);
    let cases = [
        (
            framed(&[other_version]),
            format!("version 99 of the link and this program version {VERSION}"),
        ),
        (
            framed(&[other_schema]),
            format!("schema {:016x} of the link and this program schema {SCHEMA:016x}", 7),
        ),
        (framed(&[bind()]), "version".to_owned()),
        (vec![255; 64], "announced a frame of 4294967295 bytes".to_owned()),
        (framed(&[chatty]), "and 4096 is the most".to_owned()),
        (framed(&[hello(), hello()]), "greeted twice".to_owned()),
        (framed(&[hello(), named(0, &long)]), "used a name that is too long".to_owned()),
        (framed(&[hello(), named(16_000, "holder")]), "a number that is not free".to_owned()),
        (framed(&[hello(), bind(), bind()]), "bound a number that is not free".to_owned()),
        (
            framed(&[hello(), ToGateway::Cast { target: 5 }]),
            "spoke to a number that is not bound".to_owned(),
        ),
        (framed(&[hello(), ToGateway::Release { target: 5 }]), "released a number".to_owned()),
        (greedy, "sent more than it had been granted".to_owned()),
        (garbage, "could not decode".to_owned()),
        (surplus, "ends 1 bytes before its frame does".to_owned()),
    ];
    for (said, expected) in cases {
        let why = goodbye(&world, &said).await;
        assert!(why.contains(&expected), "`{why}` does not say `{expected}`");
        world.serves().await;
    }
}

/// A program of another user; python is at hand where tests run, and ours could not be read there.
#[tokio::test]
async fn a_program_of_another_user_is_refused_with_both_users_in_the_text() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    let world = World::begin().await;
    let path = world.folder.path().join(instance().link_file_name());
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    };
    [world.folder.path(), &path].into_iter().for_each(open);
    let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
                  print(s.recv(4096))";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script]).arg(&path).uid(65_534).stderr(std::process::Stdio::null());
    let Ok(output) = tokio::task::spawn_blocking(move || python.output()).await.expect("no panic")
    else {
        say("skipped: only the superuser can become another user");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the peer runs as user 65534, and only user 0"), "{said}");
    world.serves().await;
}

/// splitmix64: <https://prng.di.unimi.it/splitmix64.c>.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("it is below")
    }

    /// Changes, removes, repeats or adds a few bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let byte = self.next().to_le_bytes()[0];
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = byte,
                2 => bytes.truncate(at.max(1)),
                3 => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend(piece);
                }
                _ => bytes.insert(at, byte),
            }
        }
    }
}

/// Past the test runner, which keeps to itself what a test that passes prints.
fn say(text: &str) {
    // In one piece: others print at the same time. A run whose errors go nowhere is nobody's to read.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn seed() -> u64 {
    let given = std::env::var("BLACKHOLE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(0x5eed);
    say(&format!("BLACKHOLE_SEED={seed}"));
    seed
}

/// Any bytes from a peer: the gateway answers or closes, and nothing else.
async fn fuzz_gateway(world: &World, bytes: &[u8]) {
    let mut stream = world.stream().await;
    // It may be cut before all of it is out.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut heard = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut heard)).await;
    drop(read.expect("a peer that has said everything is let go"));
}

#[tokio::test]
async fn a_gateway_survives_anything_that_a_peer_says() {
    let world = World::begin().await;
    world.serves().await;
    let mut valid = framed(&[hello(), bind()]);
    (0..4).for_each(|call| hold(call, &mut valid));
    valid.extend(framed(&[ToGateway::Release { target: 0 }]));
    let mut seeded = Seeded(seed());
    for _ in 0..INPUTS {
        let mut bytes = valid.clone();
        seeded.mutate(&mut bytes);
        fuzz_gateway(&world, &bytes).await;
    }
    world.serves().await;
}

/// Any bytes from a gateway: a call fails or is answered, in time.
async fn fuzz_reference(bytes: &[u8]) -> Result<u64, CallError> {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = UnixListener::bind(folder.path().join(instance().link_file_name()));
    let (listener, bytes) = (listener.expect("the path is free"), bytes.to_vec());
    let speaking = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a socket");
        // It may be cut before all of it is out.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
    });
    let peers = Peers::new("the test", folder.path(), None);
    let holder: Remote<HolderMessage> = peers.remote(&instance(), "holder");
    let holder = holder.with_patience(Patience::FailFast);
    let outcome = tokio::time::timeout(SOON, holder.call(HolderMessage::Hold, SOON / 2)).await;
    speaking.abort();
    outcome.expect("the deadline is kept")
}

#[tokio::test]
async fn a_reference_survives_anything_that_a_gateway_says() {
    let welcome = FromGateway::Welcome {
        version: VERSION,
        schema: SCHEMA,
        instance: instance(),
        generation: 1,
        window: WINDOW,
    };
    let mut valid = Vec::new();
    for message in [&welcome, &FromGateway::Bound { target: 0 }] {
        append_frame(message, &mut valid).expect("it fits");
    }
    append_frame_with(&mut valid, |bytes| {
        append_value(&FromGateway::Answer { call: 0 }, bytes)?;
        append_value(&7u64, bytes)
    })
    .expect("it fits");
    append_frame(&FromGateway::Granted { messages: 1, bytes: 9 }, &mut valid).expect("it fits");
    let mut seeded = Seeded(seed());
    for _ in 0..INPUTS {
        let mut bytes = valid.clone();
        seeded.mutate(&mut bytes);
        drop(fuzz_reference(&bytes).await);
    }
}
