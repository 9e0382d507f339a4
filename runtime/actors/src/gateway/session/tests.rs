use std::{
    num::NonZeroU32,
    sync::{Barrier, atomic::AtomicU64},
    task::Wake,
    thread,
};

use blackhole_protocol::InstanceId;

use super::{outbox::HELD_SIZE_MAX, *};
use crate::wire::Outgoing;

/// How often the two of them meet, each time in another order.
const MEETINGS: usize = 20_000;

#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn session() -> Session {
    let service = "busy".parse().expect("a name");
    let shared = Shared::of(InstanceId { service, index: NonZeroU32::MIN }, 1);
    Session {
        shared,
        seat: Seat::alone(),
        outbox: Arc::new(Outbox::default()),
        stage: Stage::Open,
        targets: Vec::new(),
        dirty_targets: Vec::new(),
        undone: Undone::default(),
        answered_wishes: 0,
        read_size: 0,
        now: None,
    }
}

/// An actor finishes what makes a portion whole, while the session looks whether there is anything to send
/// and goes to sleep: either it sends the credits or it is woken.
#[test]
fn a_portion_of_credits_that_becomes_whole_while_the_session_goes_to_sleep_is_granted() {
    const PORTION: u32 = WINDOW.messages / GRANTS_PER_WINDOW;
    let mut session = session();
    let (outbox, meeting) = (session.outbox.clone(), Arc::new(Barrier::new(2)));
    let finishing = thread::spawn({
        let meeting = meeting.clone();
        move || {
            for _ in 0..MEETINGS {
                let last = Ticket::of(&outbox, 1);
                outbox.done_messages.store(PORTION - 1, Ordering::SeqCst);
                meeting.wait();
                drop(last);
                meeting.wait();
                // The other looks at what came of it.
                meeting.wait();
            }
        }
    });
    let (bell, mut sent) = (Arc::new(Bell::default()), Sending::default());
    let waker = Waker::from(bell.clone());
    for position in 0..MEETINGS {
        session.undone = Undone { messages: PORTION, bytes: PORTION };
        let woken = bell.0.load(Ordering::SeqCst);
        meeting.wait();
        session.collect(&mut sent, &waker);
        meeting.wait();
        let heard = !sent.rest().is_empty() || bell.0.load(Ordering::SeqCst) > woken;
        assert!(heard, "meeting {position}: nobody hears of the credits");
        // What is left of this meeting is not for the next.
        sent.clear();
        session.outbox.done_messages.store(0, Ordering::SeqCst);
        session.outbox.done_bytes.store(0, Ordering::SeqCst);
        session.outbox.lock().outgoing = Outgoing::default();
        meeting.wait();
    }
    finishing.join().expect("it does not panic");
}

#[test]
fn who_has_sent_what_takes_much_memory_is_heard_when_some_of_that_is_done() {
    let mut session = session();
    let large = || {
        let mut ticket = Ticket::of(&session.outbox, 1);
        ticket.weigh(HELD_SIZE_MAX / 2);
        ticket
    };
    let [first, second, third] = [large(), large(), large()];
    assert!(session.is_full());
    let bell = Arc::new(Bell::default());
    session.wait_for_room(&Waker::from(bell.clone()));
    drop(first);
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    assert!(!session.is_full());
    drop((second, third));
    assert_eq!(session.outbox.held.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn who_was_sent_away_is_not_cut_before_it_has_its_last_answer() {
    const LONG: Duration = Duration::from_secs(3600);
    let outbox = Arc::new(Outbox::default());
    let question = Ticket::of(&outbox, 1);
    outbox.begin_leaving();
    let mut ignored = std::pin::pin!(outbox.ignored());
    let undone = tokio::time::timeout(LONG, &mut ignored).await;
    assert!(undone.is_err(), "its question is not answered");
    question.answer(0, |_| Ok(()));
    drop(question);
    let unsent = tokio::time::timeout(LONG, &mut ignored).await;
    assert!(unsent.is_err(), "its answer is not sent");
    for _ in 0..2 {
        outbox.lock().outgoing.collect(&mut Sending::default(), Waker::noop());
    }
    let sent = Instant::now();
    ignored.await;
    assert!(sent.elapsed() > FAREWELL_TIMEOUT, "it has had no moment to read it");
}

/// Each of a peer's references costs the same when it goes, however many there are. If each cost as many
/// steps as there are others, these would take minutes.
#[test]
fn to_forget_one_of_many_who_watch_an_actor_costs_no_look_at_the_others() {
    const WATCHERS: u32 = 300_000;
    const PATIENCE: Duration = Duration::from_secs(60);
    let session = session();
    let names = &session.shared.names;
    names.watched_by_nobody("watched");
    let begun = Instant::now();
    for target in 0..WATCHERS {
        let nothing = MessageType { name: "Nothing", schema: 0 };
        let bound = names.bind("watched", nothing, &session.outbox, target);
        bound.expect("it is there");
    }
    for target in 0..WATCHERS {
        assert!(begun.elapsed() < PATIENCE, "{target} of {WATCHERS} are forgotten");
        names.forget("watched", &session.outbox, target);
    }
}
