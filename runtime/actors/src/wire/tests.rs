use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::*;

#[test]
fn what_is_held_for_a_peer_grows_with_what_it_has_sent_and_not_with_what_it_announces() {
    let mut wire = Wire { received: vec![0; READ_LENGTH_MIN], ..Wire::default() };
    let missing = FRAME_LENGTH_MAX + LENGTH_PREFIX;
    wire.fit(LENGTH_PREFIX, missing);
    assert_eq!(wire.received.len(), READ_LENGTH_MIN);
    while wire.received.len() < missing {
        let before = wire.received.len();
        wire.fit(before, missing);
        assert!(wire.received.len() <= before * 2, "{before}");
    }
    assert_eq!(wire.received.len(), missing);
    for _ in 0..SMALL_READS_MAX * 16 {
        wire.fit(100, 0);
    }
    assert_eq!(wire.received.len(), READ_LENGTH_MIN);
}

/// Page faults of this thread so far.
#[cfg(target_env = "gnu")]
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("/proc");
    let (_, after_name) = stat.rsplit_once(')').expect("a name");
    after_name.split_whitespace().nth(7).and_then(|it| it.parse().ok()).expect("a number")
}

#[test]
#[cfg(target_env = "gnu")]
fn memory_of_a_window_of_messages_is_kept_from_one_to_the_next() {
    const LENGTH: usize = 64 << 10;
    const WINDOWS: u64 = 20;
    let window = || {
        let messages = (0..16).map(|_| hint::black_box(vec![1u8; LENGTH]));
        drop(messages.collect::<Vec<_>>());
    };
    keep_memory_of_a_window();
    window();
    let before = faults();
    (0..WINDOWS).for_each(|_| window());
    let each = (faults() - before) / WINDOWS;
    assert!(each < 16, "{each} page faults each");
}

#[test]
fn a_buffer_that_was_needed_once_is_not_kept() {
    let mut wire = Wire { sending: vec![0; FREED_LENGTH + 1].into(), ..Wire::default() };
    wire.finish_sending();
    assert_eq!(wire.sending.capacity(), 0);
}

/// Says a lot about each frame, and notes where the frames were.
#[derive(Default)]
struct Talker {
    frames: Vec<(usize, u8)>,
    said: usize,
    outgoing: Vec<u8>,
    collected_max: usize,
}

const SAID: usize = 1000;
const SAID_MAX: usize = 8;
const FRAMES: u8 = 200;

impl Endpoint for Talker {
    fn frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        self.frames.push((frame.as_ptr().addr(), frame[0]));
        self.outgoing.resize(self.outgoing.len() + SAID, 0);
        self.said += 1;
        Ok(())
    }

    fn is_congested(&self) -> bool {
        !self.outgoing.is_empty()
    }

    fn needs_a_pause(&self) -> bool {
        self.said >= SAID_MAX
    }

    fn settle(&mut self) {
        self.said = 0;
    }

    fn collect(&mut self, sending: &mut Sending, _: &Waker) -> Collected {
        self.collected_max = self.collected_max.max(self.outgoing.len());
        *sending = std::mem::take(&mut self.outgoing).into();
        if self.frames.len() == usize::from(FRAMES) && sending.rest().is_empty() {
            return Collected::Last;
        }
        Collected::More
    }
}

/// What a peer writes at once, and what an endpoint makes of it.
async fn talk() -> Talker {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let bytes: Vec<u8> = (0..FRAMES).flat_map(|number| [1, 0, 0, 0, number]).collect();
    theirs.write_all(&bytes).await.expect("it fits into the socket");
    let mut talker = Talker::default();
    let mut heard = Vec::new();
    let (driven, read) = tokio::join!(
        async {
            let driven = Wire::default().drive(&ours, &mut talker).await;
            drop(ours);
            driven
        },
        theirs.read_to_end(&mut heard),
    );
    driven.expect("nobody breaks a rule");
    read.expect("it is read");
    assert_eq!(heard.len(), usize::from(FRAMES) * SAID);
    talker
}

#[tokio::test]
async fn frames_wait_while_what_was_said_to_those_before_goes_out() {
    let talker = talk().await;
    assert!(talker.frames.iter().map(|(_, number)| *number).eq(0..FRAMES), "in their order");
    assert_eq!(talker.collected_max, SAID_MAX * SAID);
}

/// In each poll it is handed over what it takes, and no more.
#[tokio::test]
async fn others_have_their_turn_while_it_pauses() {
    use tokio::io::AsyncWriteExt;
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let bytes: Vec<u8> = (0..FRAMES).flat_map(|number| [1, 0, 0, 0, number]).collect();
    theirs.write_all(&bytes).await.expect("it fits into the socket");
    let (mut talker, mut wire) = (Talker::default(), Wire::default());
    let mut turns = 0;
    poll_fn(|context| {
        turns += 1;
        let _pending = wire.poll(&ours, &mut talker, context);
        assert!(talker.frames.len() <= turns * 2 * SAID_MAX, "{}", talker.frames.len());
        match talker.frames.len() == usize::from(FRAMES) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// How often a task is polled before it sleeps, after a frame of 64 KiB was written to it. Nothing but its own
/// spinning wakes it.
async fn polls_after_a_long_frame(spinner: Spinner) -> u32 {
    use tokio::io::AsyncWriteExt;
    const LENGTH: u16 = u16::MAX;
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let polls = Arc::new(AtomicU32::new(0));
    let counted = polls.clone();
    let driven = tokio::spawn(async move {
        let mut tired = Tired::default();
        let mut wire = Wire { received: vec![0; READ_LENGTH_MAX], spinner, ..Wire::default() };
        let polled = |context: &mut Context<'_>| {
            let poll = wire.poll(&ours, &mut tired, context).map(drop);
            counted.fetch_add(u32::from(tired.frames > 0), Ordering::Relaxed);
            poll
        };
        poll_fn(polled).await;
    });
    let frame = [&u32::from(LENGTH).to_le_bytes()[..], &vec![0; LENGTH.into()]].concat();
    theirs.write_all(&frame).await.expect("it fits into the socket");
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert!(!driven.is_finished(), "nobody ended it");
    driven.abort();
    polls.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_task_that_spins_is_polled_again_until_that_was_in_vain() {
    // Few: for what is read, and for what is not there any more.
    const WITHOUT: u32 = 6;
    assert!(polls_after_a_long_frame(Spinner::default()).await < WITHOUT);
    if std::thread::available_parallelism().is_ok_and(|count| count.get() == 1) {
        return;
    }
    // A task that is held up meanwhile spins less often.
    for _ in 0..100 {
        if polls_after_a_long_frame(Spinner::here()).await > WITHOUT {
            return;
        }
    }
    panic!("it does not spin");
}

/// Needs a pause after each frame, of which a read brings one at most.
#[derive(Default)]
struct Tired {
    frames: usize,
    needs_a_pause: bool,
}

impl Endpoint for Tired {
    fn frame(&mut self, _: &[u8]) -> Result<(), LinkError> {
        self.frames += 1;
        self.needs_a_pause = true;
        Ok(())
    }

    fn needs_a_pause(&self) -> bool {
        self.needs_a_pause
    }

    fn settle(&mut self) {
        self.needs_a_pause = false;
    }

    fn collect(&mut self, _: &mut Sending, _: &Waker) -> Collected {
        Collected::More
    }
}

#[tokio::test]
async fn a_pause_is_made_also_when_no_frame_is_left() {
    use tokio::io::AsyncWriteExt;
    const LENGTH: usize = READ_LENGTH_MIN * 3 / 4;
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let prefix = u32::try_from(LENGTH).expect("it is short").to_le_bytes();
    let frame = [&prefix[..], &[0; LENGTH]].concat();
    theirs.write_all(&frame.repeat(8)).await.expect("it fits into the socket");
    let (mut tired, mut wire) = (Tired::default(), Wire::default());
    let eight = poll_fn(|context| {
        let before = tired.frames;
        let _pending = wire.poll(&ours, &mut tired, context);
        assert!(tired.frames <= before + 1, "{} frames in one turn", tired.frames - before);
        if tired.frames == 8 { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::time::timeout(std::time::Duration::from_secs(30), eight).await.expect("in time");
}

#[tokio::test]
async fn frames_of_one_read_are_handed_over_where_they_are() {
    let talker = talk().await;
    let (first, _) = talker.frames[0];
    for (position, (address, _)) in talker.frames.iter().enumerate() {
        assert_eq!(*address, first + position * (LENGTH_PREFIX + 1), "frame {position} moved");
    }
}
