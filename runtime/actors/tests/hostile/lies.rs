//! Gateways that say what is not so: references to their actors fail, and recover with the successor.

use std::time::Duration;

use blackhole_actors::{CastError, Patience, Refusal, Unreachable};
use blackhole_protocol::link::gateway::Window;

use super::{
    AsyncReadExt, AsyncWriteExt, CallError, FromGateway, Gateway, Holder, HolderMessage, Peers,
    Remote, Restart, SCHEMA, SOON, UnixListener, UnixStream, VERSION, WINDOW, append_frame,
    instance,
};

struct Liar {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

impl Liar {
    fn begin() -> (Self, Remote<HolderMessage>) {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(instance().link_file_name()));
        let holder = Peers::new("the test", folder.path(), None).remote(&instance(), "holder");
        (Self { folder, listener: listener.expect("the path is free") }, holder)
    }

    /// Greets one peer, lets it bind its first actor, and says something.
    async fn lie(&self, window: Window, lies: &[FromGateway]) -> UnixStream {
        let mut said = vec![FromGateway::Bound { target: 0 }];
        said.extend_from_slice(lies);
        self.answer(window, &said).await
    }

    /// Greets one peer, and answers its wish to bind its first actor.
    async fn answer(&self, window: Window, answers: &[FromGateway]) -> UnixStream {
        let (mut stream, _) = self.listener.accept().await.expect("a socket");
        let (version, schema) = (VERSION, SCHEMA);
        let (instance, generation) = (instance(), 1);
        let welcome = FromGateway::Welcome { version, schema, instance, generation, window };
        let bytes = framed(std::slice::from_ref(&welcome));
        // The greeting, and the wish to bind.
        stream.read_exact(&mut [0; 8]).await.expect("it greets");
        stream.write_all(&bytes).await.expect("it reads");
        // The name of the actor is the last thing that it says before it waits.
        let mut heard = Vec::new();
        while !heard.windows(6).any(|bytes| bytes == b"holder") {
            stream.read_buf(&mut heard).await.expect("it binds");
        }
        stream.write_all(&framed(answers)).await.expect("it reads");
        stream
    }

    /// Is followed by somebody honest.
    async fn replace(self) -> tempfile::TempDir {
        let gateway = Gateway::start(instance(), 2).await.expect("it starts");
        gateway.host("holder", Holder, (), Restart::Temporary).await.expect("it starts");
        tokio::spawn(gateway.serve(self.listener));
        self.folder
    }
}

fn framed(messages: &[FromGateway]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| append_frame(message, &mut bytes).expect("it fits"));
    bytes
}

async fn asks(holder: &Remote<HolderMessage>) -> Result<u64, CallError> {
    let get = |reply| HolderMessage::Get { salt: 1, text: "four".into(), reply };
    tokio::time::timeout(SOON, holder.call(get, SOON)).await.expect("the deadline is kept")
}

#[tokio::test]
async fn a_gateway_that_breaks_the_rules_is_left_and_its_successor_is_found() {
    for lie in [
        FromGateway::Bound { target: 0 },
        FromGateway::Refused { target: 0, refusal: Refusal::TooMany { targets_max: 0 } },
        FromGateway::Released { target: 0 },
        FromGateway::Granted { messages: 0, bytes: u32::MAX },
        FromGateway::Granted { messages: u32::MAX, bytes: 0 },
        FromGateway::Failed { call: 1 << 60, failure: blackhole_actors::Failure::Unanswered },
        FromGateway::Bound { target: 1 << 30 },
    ] {
        let (liar, holder) = Liar::begin();
        let asking = tokio::spawn({
            let holder = holder.clone();
            async move { asks(&holder).await }
        });
        let _stream = liar.lie(WINDOW, std::slice::from_ref(&lie)).await;
        let _folder = liar.replace().await;
        // What was sent is lost, and what was not is for the successor.
        let outcome = asking.await.expect("no panic");
        assert!(matches!(outcome, Ok(5) | Err(CallError::Lost(_))), "{outcome:?} after {lie:?}");
        assert_eq!(asks(&holder).await.expect("the successor answers"), 1 ^ 4, "after {lie:?}");
    }
}

#[tokio::test]
async fn who_cannot_send_leaves_the_credit_to_the_next_who_waits_for_it() {
    let (liar, holder) = Liar::begin();
    let window = Window { messages: 1, bytes: WINDOW.bytes };
    let (connected, mut stream) = tokio::join!(holder.connect(), liar.lie(window, &[]));
    connected.expect("it is there");
    holder.try_cast(HolderMessage::Fail(String::new())).expect("there is credit for one");
    let too_long = holder.cast(HolderMessage::Fail("x".repeat(2 << 20)));
    let next = holder.cast(HolderMessage::Fail(String::new()));
    let mut granted = Vec::new();
    append_frame(&FromGateway::Granted { messages: 1, bytes: 1 }, &mut granted).expect("it fits");
    // They wait in this order.
    let all = async { tokio::join!(too_long, next, stream.write_all(&granted)) };
    let (too_long, next, written) =
        tokio::time::timeout(SOON, all).await.expect("nobody waits for what is there");
    assert!(matches!(too_long, Err(CastError::Encode(_))), "{too_long:?}");
    next.expect("it is sent");
    written.expect("it is read");
}

#[tokio::test]
async fn an_actor_that_is_bound_by_a_gateway_that_leaves_is_found_at_its_successor() {
    let (liar, holder) = Liar::begin();
    let asking = tokio::spawn(async move { asks(&holder).await });
    let crossed = [FromGateway::Leaving, FromGateway::Bound { target: 0 }];
    let _stream = liar.answer(WINDOW, &crossed).await;
    let _folder = liar.replace().await;
    assert_eq!(asking.await.expect("no panic").expect("the successor answers"), 1 ^ 4);
}

/// How many retired connections are kept for their answers.
const RETIRED: usize = 4;

#[tokio::test]
async fn a_gateway_that_leaves_again_and_again_is_not_given_a_connection_each_time() {
    let (liar, holder) = Liar::begin();
    let leaves = [FromGateway::Bound { target: 0 }];
    let leaving = framed(&[FromGateway::Leaving]);
    let (mut asking, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..=RETIRED + 1 {
        let holder = holder.clone();
        asking.push(tokio::spawn(async move { asks(&holder).await }));
        let mut stream = liar.answer(WINDOW, &leaves).await;
        // The question is there, and is not answered.
        let mut heard = Vec::new();
        while !heard.windows(4).any(|bytes| bytes == b"four") {
            stream.read_buf(&mut heard).await.expect("it asks");
        }
        stream.write_all(&leaving).await.expect("it reads");
        // It takes leave of this one before it turns to the next.
        heard.clear();
        while !heard.windows(9).any(|bytes| bytes == b"successor") {
            stream.read_buf(&mut heard).await.expect("it takes leave");
        }
        streams.push(stream);
    }
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(SOON, streams[0].read_to_end(&mut rest)).await;
    closed.expect("the oldest is closed").expect("a socket");
    let lost = asking.remove(0).await.expect("no panic").expect_err("nobody answers");
    assert!(matches!(lost, CallError::Lost(_)), "{lost}");
    // Nobody waits for the others any more.
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    for stream in &mut streams[1..] {
        let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
        closed.expect("each is closed").expect("a socket");
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_read_a_goodbye_is_left_all_the_same() {
    let (liar, holder) = Liar::begin();
    let (connected, stream) = tokio::join!(holder.connect(), liar.lie(WINDOW, &[]));
    connected.expect("it is there");
    // More than a socket takes.
    let text = || HolderMessage::Fail("x".repeat((1 << 20) - 100));
    (0..2).for_each(|_| holder.try_cast(text()).expect("there is credit"));
    drop(holder);
    // Nothing is read; waiting for urgent data reports the other end's close alone.
    let closed = stream.ready(tokio::io::Interest::PRIORITY);
    let ready = tokio::time::timeout(SOON, closed).await.expect("it is closed");
    assert!(ready.expect("a socket").is_read_closed());
}

#[tokio::test]
async fn who_tells_an_actor_that_does_not_get_on_waits_no_longer_than_its_patience() {
    let (liar, holder) = Liar::begin();
    let window = Window { messages: 1, bytes: WINDOW.bytes };
    let (connected, _stream) = tokio::join!(holder.connect(), liar.lie(window, &[]));
    connected.expect("it is there");
    holder.try_cast(HolderMessage::Fail(String::new())).expect("there is credit for one");
    for patience in [Patience::FailFast, Patience::WaitFor(Duration::from_millis(10))] {
        let holder = holder.clone().with_patience(patience);
        let told = holder.cast(HolderMessage::Fail(String::new()));
        let refused = tokio::time::timeout(SOON, told).await.expect("it gives up");
        assert!(matches!(refused, Err(CastError::Full { messages: 1, .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_refuses_with_many_long_texts_is_quoted_in_short() {
    let (liar, holder) = Liar::begin();
    let (actor, known) = ("x".repeat(400_000), vec!["y".repeat(4000); 100]);
    let refusal = Refusal::Unknown { actor, known };
    let refused = [FromGateway::Refused { target: 0, refusal }];
    let (outcome, _stream) = tokio::join!(holder.connect(), liar.answer(WINDOW, &refused));
    let refused = outcome.expect_err("it is refused");
    let Unreachable::Refused { source, .. } = refused else { panic!("{refused}") };
    assert!(source.to_string().len() < 20_000, "{} bytes", source.to_string().len());
}

#[tokio::test]
async fn a_gateway_that_never_answers_who_wants_to_bind_is_left() {
    const WISHES: u32 = 100;
    let (liar, holder) = Liar::begin();
    let wishing = tokio::spawn({
        let holder = holder.clone();
        async move { holder.connect().await }
    });
    let mut stream = liar.answer(WINDOW, &[]).await;
    wishing.abort();
    let hasty = holder.with_patience(Patience::WaitFor(Duration::ZERO));
    for _ in 0..WISHES {
        hasty.connect().await.expect_err("nobody agrees");
    }
    let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
    closed.expect("it is closed").expect("a socket");
}

/// Otherwise what is remembered of them would pile up for as long as there are callers.
#[tokio::test]
async fn a_gateway_that_grants_calls_without_answering_them_is_left() {
    let (liar, holder) = Liar::begin();
    let (connected, mut stream) = tokio::join!(holder.connect(), liar.lie(WINDOW, &[]));
    connected.expect("it is there");
    let mut granted = Vec::new();
    append_frame(&FromGateway::Granted { messages: 1, bytes: 1 }, &mut granted).expect("it fits");
    let (asked, written) = tokio::join!(asks(&holder), async {
        // The answer is asked for.
        stream.readable().await.expect("it is open");
        stream.write_all(&granted).await
    });
    written.expect("it is read");
    let error = asked.expect_err("there is no answer").to_string();
    assert!(error.contains("granted a call that it has not answered"), "{error}");
}

#[tokio::test]
async fn a_gateway_that_grants_without_end_is_sent_no_more_than_others() {
    let (liar, holder) = Liar::begin();
    let generous = Window { messages: u32::MAX, bytes: u32::MAX };
    let (connected, _stream) = tokio::join!(holder.connect(), liar.lie(generous, &[]));
    connected.expect("it is there");
    let mut sent = 0;
    let refused = loop {
        match holder.try_cast(HolderMessage::Fail(String::new())) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent <= WINDOW.messages, "{sent}");
    };
    assert!(matches!(refused, CastError::Full { .. }), "{refused}");
}
