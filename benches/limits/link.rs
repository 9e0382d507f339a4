//! The limit of the family *link*: length-prefixed bincode over a Unix socket, and nothing else. Frames
//! that are under way together are written together, and whatever one read has brought is answered
//! by one write.

#[path = "../link/contender.rs"]
#[expect(dead_code, reason = "shared: each program uses what it needs")]
mod contender;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use contender::{
    IN_FLIGHT, IN_FLIGHT_LARGE, LARGE, Payload, SMALL, SPAN, Server, WARM_UP, finish, median,
    runtime, stream,
};
use serde::{Deserialize, Serialize};
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

/// What is read at once.
const READ_LENGTH: usize = 256 * 1024;
/// Casts that are written at once.
const CASTS: usize = 512;

struct Wire {
    stream: UnixStream,
    received: Vec<u8>,
    filled: usize,
    sending: Vec<u8>,
}

impl Wire {
    fn over(stream: UnixStream) -> Self {
        Self { stream, received: vec![0; READ_LENGTH], filled: 0, sending: Vec::new() }
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
        let read = self.stream.read(&mut self.received[self.filled..]).await.expect("a socket");
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
        self.received.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        read > 0
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    if let ("serve", Some(path)) = (first.as_str(), second) {
        runtime().block_on(serve(path.into()));
        return ExitCode::SUCCESS;
    }
    let server = Server::start();
    let value = runtime().block_on(async {
        let mut wire = Wire::over(stream(&server.path).await);
        let call = |id, length| Message::Call { id, payload: Payload(vec![7; length]) };
        let put = |id, length| Message::Put { id, payload: Payload(vec![7; length]) };
        match first.as_str() {
            "call" => Some(one_by_one(&mut wire).await),
            "flight" => Some(together(&mut wire, IN_FLIGHT, |id| call(id, SMALL)).await),
            "large" => Some(together(&mut wire, IN_FLIGHT_LARGE, |id| put(id, LARGE)).await),
            "cast" => Some(cast(&mut wire).await),
            _ => None,
        }
    });
    finish(&first, value)
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

async fn one_by_one(wire: &mut Wire) -> f64 {
    let start = Instant::now();
    let mut taken = Vec::new();
    while start.elapsed() < WARM_UP + SPAN {
        let before = Instant::now();
        wire.append(&Message::Call { id: 1, payload: Payload(vec![7; SMALL]) });
        wire.flush().await;
        let mut answered = false;
        while !answered {
            wire.receive(|_, _| answered = true).await;
        }
        if start.elapsed() > WARM_UP {
            taken.push(before.elapsed());
        }
    }
    median(&mut taken)
}

/// As many are kept under way.
async fn together(wire: &mut Wire, in_flight: usize, mut ask: impl FnMut(u64) -> Message) -> f64 {
    let start = Instant::now();
    let (mut answered, mut answered_before) = (0u64, 0);
    let mut free = in_flight;
    while start.elapsed() < WARM_UP + SPAN {
        for id in 0..free {
            wire.append(&ask(id as u64));
        }
        wire.flush().await;
        free = 0;
        while free == 0 {
            wire.receive(|_, _| free += 1).await;
        }
        answered += free as u64;
        if start.elapsed() < WARM_UP {
            answered_before = answered;
        }
    }
    (answered - answered_before) as f64 / SPAN.as_secs_f64()
}

async fn cast(wire: &mut Wire) -> f64 {
    let start = Instant::now();
    let mut count = 0u64;
    while start.elapsed() < SPAN {
        for _ in 0..CASTS {
            wire.append(&Message::Cast { payload: Payload(vec![7; SMALL]) });
        }
        wire.flush().await;
        count += CASTS as u64;
    }
    wire.append(&Message::Call { id: 1, payload: Payload::default() });
    wire.flush().await;
    let mut answered = false;
    while !answered {
        wire.receive(|_, _| answered = true).await;
    }
    let elapsed: Duration = start.elapsed();
    count as f64 / elapsed.as_secs_f64()
}
