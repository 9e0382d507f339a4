//! Reads the pipes of all processes: one thread, one epoll, one buffer.
//!
//! The node's own thread is not involved, so that no amount of output delays supervision, and a
//! stream costs nothing but its table entry. Each ready pipe is read once per round, at most one
//! buffer full: a flooding process gets its turn like the others. The thread sleeps while nobody
//! prints.
//!
//! Most programs write each line by itself, and a thread that reads it as soon as it comes would pay
//! a wake-up and a system call for every line. So while output comes all the time, the thread leaves
//! it in the pipes for a [`PAUSE`] and reads it together.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll},
    io::{Errno, ioctl_fionbio, read, write},
    pipe::fcntl_getpipe_size,
};

use super::{
    captured::Source,
    queue::{CloseOnDrop, Item, Queue},
};
use crate::pace::Pace;

/// Read from one pipe per round; the capacity of a pipe.
const READ_BYTES_MAX: usize = 64 << 10;

/// Read from a pipe whose owner gives it up, in case that somebody else keeps printing into it.
const DRAIN_READS_MAX: usize = 16;

/// Pipes served per round.
const EVENTS_MAX: usize = 128;

/// How long output stays in the pipes while it comes all the time.
const PAUSE: Duration = Duration::from_millis(1);

/// What one read of a terminal gives at most, which has no capacity to ask for.
const TERMINAL_BYTES: usize = 4 << 10;

/// The epoll key of the descriptor that announces orders.
const WAKE: u64 = 0;

/// Hands pipes to the thread and takes them back.
pub(crate) struct Intake {
    epoll: OwnedFd,
    wake: OwnedFd,
    orders: Mutex<Orders>,
}

struct Orders {
    next_key: u64,
    added: Vec<Added>,
    given_up: Vec<u64>,
    stopped: bool,
}

struct Added {
    key: u64,
    descriptor: OwnedFd,
    source: Source,
}

struct Pipe {
    descriptor: OwnedFd,
    source: Source,
    /// Who reads so many bytes at once has found the pipe half full: its writer may soon have to wait.
    half: usize,
}

impl Intake {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let orders =
            Orders { next_key: WAKE + 1, added: Vec::new(), given_up: Vec::new(), stopped: false };
        Ok(Self { epoll, wake, orders: Mutex::new(orders) })
    }

    /// Begins to read a pipe; returns the key to give it up by.
    pub(crate) fn add(&self, descriptor: OwnedFd, source: Source) -> io::Result<u64> {
        ioctl_fionbio(&descriptor, true)?;
        // The thread takes this lock before it serves an event, so it finds the pipe in any case
        // and need not be woken now.
        let mut orders = self.lock();
        let key = orders.next_key;
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.epoll, &descriptor, data, epoll::EventFlags::IN)?;
        orders.next_key += 1;
        orders.added.push(Added { key, descriptor, source });
        Ok(key)
    }

    /// Reads what is in the pipes and closes them. Unknown keys are pipes that have ended.
    pub(crate) fn give_up(&self, keys: &[u64]) {
        self.lock().given_up.extend_from_slice(keys);
        self.wake();
    }

    /// Gives up all pipes and ends the thread.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.wake();
    }

    fn wake(&self) {
        // Fails only when the counter is full, which means that the thread is being woken.
        let _woken = write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Lets output collect; an order ends it.
    fn pause(&self, pause: Duration) {
        let Ok(pause) = Timespec::try_from(pause) else { return };
        // Who cannot wait reads at once, as if there were no pause.
        let _ordered = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&pause));
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    fn new(Added { descriptor, source, .. }: Added) -> Self {
        let capacity = fcntl_getpipe_size(&descriptor).unwrap_or(TERMINAL_BYTES);
        Self { descriptor, source, half: capacity.min(READ_BYTES_MAX) / 2 }
    }
}

/// The thread's own part.
pub(crate) struct Reader {
    intake: Arc<Intake>,
    queue: CloseOnDrop,
    pipes: HashMap<u64, Pipe>,
    buffer: Box<[u8]>,
    pause: Duration,
}

/// What one read of a pipe gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Some,
    HalfFull,
    Nothing,
    End,
}

impl Reader {
    pub(crate) fn new(intake: Arc<Intake>, queue: Arc<Queue>) -> Self {
        let buffer = vec![0; READ_BYTES_MAX].into();
        let pipes = HashMap::new();
        Self { intake, queue: CloseOnDrop(queue), pipes, buffer, pause: PAUSE }
    }

    /// Serves until [`Intake::stop`].
    pub(crate) fn run(mut self) {
        let mut events = [MaybeUninit::uninit(); EVENTS_MAX];
        let mut pace = Pace::new(self.pause);
        loop {
            let began = Instant::now();
            let ready = match epoll::wait(&self.intake.epoll, &mut events, None) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "could not wait for the output of services");
                    return;
                }
            };
            if ready.iter().any(|event| event.data.u64() == WAKE) {
                // Resets the counter, before the orders are taken: a later one wakes again.
                let _counted = read(&self.intake.wake, &mut [0_u8; 8]);
            }
            let (added, given_up, stopped) = {
                let mut orders = self.intake.lock();
                let orders = &mut *orders;
                (
                    std::mem::take(&mut orders.added),
                    std::mem::take(&mut orders.given_up),
                    orders.stopped,
                )
            };
            let pause = pace.after(began.elapsed());
            self.pipes.extend(added.into_iter().map(|added| (added.key, Pipe::new(added))));
            let mut is_behind = ready.len() == EVENTS_MAX;
            for event in ready.iter().filter(|event| event.data.u64() != WAKE) {
                is_behind |= self.serve(event.data.u64()) == Reading::HalfFull;
            }
            for key in given_up {
                self.drain(key);
            }
            if stopped {
                let keys: Vec<u64> = self.pipes.keys().copied().collect();
                keys.into_iter().for_each(|key| self.drain(key));
                return;
            }
            if is_behind {
                pace.hurry();
            } else if let Some(pause) = pause {
                self.intake.pause(pause);
            }
        }
    }

    fn serve(&mut self, key: u64) -> Reading {
        let reading = self.read_once(key);
        if reading == Reading::End {
            self.end(key);
        }
        reading
    }

    fn drain(&mut self, key: u64) {
        for _ in 0..DRAIN_READS_MAX {
            match self.read_once(key) {
                Reading::Some | Reading::HalfFull => {}
                Reading::Nothing | Reading::End => break,
            }
        }
        self.end(key);
    }

    fn read_once(&mut self, key: u64) -> Reading {
        let Some(pipe) = self.pipes.get(&key) else { return Reading::Nothing };
        match read(&pipe.descriptor, &mut *self.buffer) {
            Ok(0) => Reading::End,
            Ok(length) => {
                self.queue.0.push_chunk(&pipe.source, &self.buffer[..length]);
                if length >= pipe.half { Reading::HalfFull } else { Reading::Some }
            }
            Err(Errno::AGAIN | Errno::INTR) => Reading::Nothing,
            // A terminal says so when the last process has closed it.
            Err(Errno::IO) => Reading::End,
            Err(error) => {
                let instance = &pipe.source.origin().instance;
                tracing::warn!(%instance, %error, "could not read the output of a service");
                Reading::End
            }
        }
    }

    fn end(&mut self, key: u64) {
        let Some(pipe) = self.pipes.remove(&key) else { return };
        // Closing would not suffice if somebody held a duplicate of the descriptor.
        if let Err(error) = epoll::delete(&self.intake.epoll, &pipe.descriptor) {
            tracing::warn!(%error, "could not stop watching the output of a service");
        }
        self.queue.0.push(Item::Ended(pipe.source));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, io::Write as _, thread};

    use super::*;
    use crate::{
        logs::{captured::testing, record::Stream},
        pace::BURST_ROUNDS_MAX,
    };

    /// So long that no test could wait for two of them.
    const LONG: Duration = Duration::from_secs(10);

    /// A reader in the middle of its pauses, because somebody prints all the time.
    struct Busy {
        intake: Arc<Intake>,
        queue: Arc<Queue>,
        _chatty: io::PipeWriter,
    }

    impl Busy {
        fn start() -> Self {
            let intake = Arc::new(Intake::new().expect("descriptors"));
            let queue = Arc::new(Queue::default());
            let reader = Reader { pause: LONG, ..Reader::new(intake.clone(), queue.clone()) };
            thread::spawn(|| reader.run());
            let (output, mut chatty) = io::pipe().expect("a pipe");
            let source = testing::source("chatty", Stream::Stdout);
            intake.add(output.into(), source).expect("a watched pipe");
            for _ in 0..=BURST_ROUNDS_MAX {
                chatty.write_all(b"again\n").expect("a pipe");
                // It has been read, in a round of its own.
                assert!(queue.take(&mut VecDeque::new()), "the reader has ended");
            }
            Self { intake, queue, _chatty: chatty }
        }

        fn add(&self, service: &str) -> (u64, io::PipeWriter) {
            let (output, writer) = io::pipe().expect("a pipe");
            let source = testing::source(service, Stream::Stdout);
            (self.intake.add(output.into(), source).expect("a watched pipe"), writer)
        }

        /// How many bytes are read until the pipe of a service has ended.
        fn until(&self, service: &str) -> usize {
            let mut bytes_read = 0;
            loop {
                let mut batch = VecDeque::new();
                assert!(self.queue.take(&mut batch), "the reader has ended");
                for item in batch {
                    match item {
                        Item::Chunk { bytes, source, .. } => {
                            bytes_read += bytes.len();
                            self.queue.release(&source, bytes.len());
                        }
                        Item::Ended(source)
                            if source.origin().instance.service.as_str() == service =>
                        {
                            return bytes_read;
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn an_order_ends_a_pause() {
        let busy = Busy::start();
        let (key, _writer) = busy.add("leaked");
        let begun = Instant::now();
        busy.intake.give_up(&[key]);
        busy.until("leaked");
        assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
        busy.intake.stop();
        busy.until("chatty");
        assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn who_fills_its_pipe_is_not_kept_waiting_again() {
        let busy = Busy::start();
        let (_, mut writer) = busy.add("flood");
        let begun = Instant::now();
        let chunk = [b'x'; 32 << 10];
        let printing = thread::spawn(move || {
            (0..64).try_for_each(|_| writer.write_all(&chunk)).expect("a pipe");
        });
        assert!(busy.until("flood") >= 64 * chunk.len());
        assert!(begun.elapsed() < 2 * LONG, "{:?}", begun.elapsed());
        printing.join().expect("no panic");
    }
}
