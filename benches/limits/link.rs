//! The limit of the family *link*: length-prefixed bincode over a Unix socket, and nothing else. Frames
//! that are under way together are written together, and whatever one read has brought is answered
//! by one write.
//!
//! With `LINK_SPINS` in its environment it spins before it sleeps, as a link of `bh` does and by the same
//! rules: what is left between the two is then everything else.

#[path = "../link/contender.rs"]
#[expect(dead_code, reason = "shared: each program uses what it needs")]
mod contender;

#[path = "../../runtime/actors/src/wire/spin.rs"]
mod spin;

use std::{
    env,
    future::poll_fn,
    io::{self, ErrorKind},
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    task::{Context, Poll},
    thread,
    time::Instant,
};

use contender::{
    Answered, Calls, Case, Payload, SMALL, SPAN, Server, Tally, WARM_UP, finish, runtime, stream,
};
use serde::{Deserialize, Serialize};
use spin::Spinner;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

#[derive(Serialize, Deserialize)]
enum Message {
    Call { id: u64, payload: Payload },
    Put { id: u64, payload: Payload },
    Cast { payload: Payload },
    Answer { id: u64, payload: Payload },
}

/// What is read at once; more where a frame is longer.
const READ_LENGTH: usize = 256 * 1024;
/// What is written at once.
const WRITE_LENGTH: usize = 256 * 1024;
/// Casts that are written at once.
const CASTS: usize = 512;

struct Wire {
    stream: UnixStream,
    received: Vec<u8>,
    filled: usize,
    sending: Vec<u8>,
    /// Where it looks before it sleeps.
    spinner: Option<Spinner>,
}

impl Wire {
    fn over(stream: UnixStream) -> Self {
        let spinner = env::var_os("LINK_SPINS").map(|_| Spinner::here());
        Self { stream, received: vec![0; READ_LENGTH], filled: 0, sending: Vec::new(), spinner }
    }

    fn append(&mut self, message: &Message) {
        let start = self.sending.len();
        self.sending.extend_from_slice(&[0; 4]);
        let configuration = bincode::config::standard();
        bincode::serde::encode_into_std_write(message, &mut self.sending, configuration)
            .expect("it can be encoded");
        let length = u32::try_from(self.sending.len() - start - 4).expect("it is short");
        self.sending[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    async fn flush(&mut self) {
        self.stream.write_all(&self.sending).await.expect("the peer reads");
        self.sending.clear();
    }

    /// The messages that one read brings; none at the end.
    async fn receive(&mut self, mut each: impl FnMut(&mut Vec<u8>, Message)) -> bool {
        let read = match self.spinner {
            None => self.stream.read(&mut self.received[self.filled..]).await,
            Some(_) => poll_fn(|context| self.poll_read(context)).await,
        };
        let read = read.expect("a socket");
        self.filled += read;
        let mut taken = 0;
        while let Some(prefix) = self.received[taken..self.filled].first_chunk::<4>() {
            let end = taken + 4 + u32::from_le_bytes(*prefix) as usize;
            if end > self.filled {
                break;
            }
            let frame = &self.received[taken + 4..end];
            let configuration = bincode::config::standard();
            let (message, _) = bincode::serde::decode_from_slice(frame, configuration)
                .expect("the peer speaks the same");
            each(&mut self.sending, message);
            taken = end;
        }
        if let Some(spinner) = self.spinner.as_mut().filter(|_| read > 0) {
            spinner.on_read(read, taken > 0, Instant::now());
        }
        self.received.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        if self.filled == self.received.len() {
            self.received.resize(2 * self.filled, 0);
        }
        read > 0
    }

    /// Reads, or looks again as long as that is worth more than sleep.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while self.stream.poll_read_ready(context)?.is_ready() {
            match self.stream.try_read(&mut self.received[self.filled..]) {
                Err(empty) if empty.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
        if self.spinner.as_mut().is_some_and(|it| it.should_spin(Instant::now())) {
            thread::yield_now();
            let _woken_then = pin!(tokio::task::yield_now()).poll(context);
        }
        Poll::Pending
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [first, path] = words.as_slice()
        && first == "serve"
    {
        runtime().block_on(serve(path.into()));
        return ExitCode::SUCCESS;
    }
    let measured = Case::of(&words).map(|case| {
        let server = Server::start();
        runtime().block_on(async {
            let mut wire = Wire::over(stream(&server.path).await);
            match case {
                Case::Latency { message, length } => {
                    one_by_one(&mut wire, asking(message, length), &server).await.median()
                }
                Case::ProcessorTime => {
                    let ask = asking(Answered::Call, SMALL);
                    one_by_one(&mut wire, ask, &server).await.processor_time()
                }
                Case::Rate { message, length, in_flight } => {
                    together(&mut wire, asking(message, length), in_flight).await
                }
                Case::Casts => casts(&mut wire).await,
            }
        })
    });
    finish(&words.join(" "), measured)
}

/// Makes one message after the other, as its senders do.
fn asking(message: Answered, length: usize) -> impl Fn() -> Message {
    let payload = Payload(vec![7; length]);
    move || match message {
        Answered::Call => Message::Call { id: 1, payload: payload.clone() },
        Answered::Put => Message::Put { id: 1, payload: payload.clone() },
    }
}

async fn serve(path: PathBuf) {
    let listener = UnixListener::bind(path).expect("the path is free");
    let (stream, _) = listener.accept().await.expect("a socket");
    let mut wire = Wire::over(stream);
    loop {
        let mut answers = Vec::new();
        let more = wire
            .receive(|_, message| match message {
                Message::Call { id, payload } => answers.push(Message::Answer { id, payload }),
                Message::Put { id, .. } => {
                    answers.push(Message::Answer { id, payload: Payload::default() });
                }
                Message::Cast { .. } | Message::Answer { .. } => {}
            })
            .await;
        answers.iter().for_each(|answer| wire.append(answer));
        wire.flush().await;
        if !more {
            return;
        }
    }
}

async fn one_by_one<'a>(
    wire: &mut Wire,
    ask: impl Fn() -> Message,
    server: &'a Server,
) -> Calls<'a> {
    let mut calls = Calls::to(server);
    while calls.is_more_wanted() {
        let message = ask();
        let before = Instant::now();
        wire.append(&message);
        wire.flush().await;
        let mut answered = false;
        while !answered {
            wire.receive(|_, _| answered = true).await;
        }
        calls.add(before);
    }
    calls
}

/// As many are kept under way.
async fn together(wire: &mut Wire, ask: impl Fn() -> Message, in_flight: usize) -> f64 {
    let start = Instant::now();
    let tally = Tally::default();
    let mut free = in_flight;
    while start.elapsed() < WARM_UP + SPAN {
        for _ in 0..free {
            wire.append(&ask());
            if wire.sending.len() >= WRITE_LENGTH {
                wire.flush().await;
            }
        }
        wire.flush().await;
        free = 0;
        while free == 0 {
            wire.receive(|_, _| free += 1).await;
        }
        tally.add(free as u64, start.elapsed());
    }
    tally.rate(start.elapsed())
}

async fn casts(wire: &mut Wire) -> f64 {
    call(wire).await;
    let start = Instant::now();
    let mut count = 0u64;
    while start.elapsed() < SPAN {
        for _ in 0..CASTS {
            wire.append(&Message::Cast { payload: Payload(vec![7; SMALL]) });
        }
        wire.flush().await;
        count += CASTS as u64;
    }
    call(wire).await;
    count as f64 / start.elapsed().as_secs_f64()
}

async fn call(wire: &mut Wire) {
    wire.append(&Message::Call { id: 1, payload: Payload::default() });
    wire.flush().await;
    let mut answered = false;
    while !answered {
        wire.receive(|_, _| answered = true).await;
    }
}
