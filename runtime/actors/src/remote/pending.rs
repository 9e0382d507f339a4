//! What one connection has under way: calls that wait for answers, and actors that have numbers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use blackhole_protocol::link::gateway::{ExitReason, Refusal};
use tokio::sync::{oneshot, watch};

use crate::{link::LinkError, reply::Awaited};

/// Calls that wait for answers. Each is answered once, so a number is free after it.
#[derive(Default)]
pub(super) struct Calls {
    waiting: Vec<Option<Box<dyn Awaited>>>,
    free: Vec<usize>,
}

impl Calls {
    /// The number that the next call will have.
    pub(super) fn next(&self) -> u64 {
        self.free.last().copied().unwrap_or(self.waiting.len()) as u64
    }

    /// The call that was numbered last is under way.
    pub(super) fn insert(&mut self, call: u64, awaited: Box<dyn Awaited>) {
        debug_assert_eq!(call, self.next());
        match self.free.pop() {
            Some(place) => self.waiting[place] = Some(awaited),
            None => self.waiting.push(Some(awaited)),
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u32 {
        let waiting = self.waiting.len() - self.free.len();
        u32::try_from(waiting).expect("no more than there was credit for")
    }

    /// Whether any of those who made them still waits.
    pub(super) fn are_awaited(&self) -> bool {
        self.waiting.iter().flatten().any(|awaited| awaited.is_awaited())
    }

    /// A call has its answer.
    pub(super) fn remove(&mut self, call: u64) -> Result<Box<dyn Awaited>, LinkError> {
        let place = usize::try_from(call).ok().filter(|place| *place < self.waiting.len());
        let answered = place.and_then(|place| Some((place, self.waiting[place].take()?)));
        let (place, awaited) =
            answered.ok_or(LinkError::Misuse("answered a call that nobody made"))?;
        self.free.push(place);
        Ok(awaited)
    }

    pub(super) fn into_awaited(self) -> impl Iterator<Item = Box<dyn Awaited>> {
        self.waiting.into_iter().flatten()
    }
}

/// Actors that have numbers.
#[derive(Default)]
pub(super) struct Targets {
    places: Vec<Target>,
    free: Vec<u32>,
    /// Wishes that were given up and are not answered. Below zero while one is answered before whoever gave it up
    /// has said so.
    forgone: i32,
}

/// What the gateway answers to a wish to bind.
pub(super) type Agreement = Result<Bound, Refusal>;

enum Target {
    Free,
    Binding(oneshot::Sender<Agreement>),
    Bound { ended: watch::Sender<Option<ExitReason>>, usable: Arc<AtomicBool> },
    Releasing,
}

/// An actor that has a number.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) target: u32,
    pub(super) usable: Arc<AtomicBool>,
    /// Closed without a reason when the connection is lost.
    pub(super) ended: watch::Receiver<Option<ExitReason>>,
}

/// Whether the actor is still wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Still,
    NoMore,
}

impl Targets {
    /// A number for an actor that is to be bound.
    pub(super) fn reserve(&mut self, agreed: oneshot::Sender<Agreement>) -> u32 {
        let binding = Target::Binding(agreed);
        if let Some(target) = self.free.pop() {
            self.places[target as usize] = binding;
            return target;
        }
        self.places.push(binding);
        u32::try_from(self.places.len() - 1).expect("the gateway refuses long before that")
    }

    /// Nobody waits any more for one of the answers to come: how many of these there are now.
    pub(super) fn forgo(&mut self) -> i32 {
        self.forgone += 1;
        self.forgone
    }

    /// The gateway agrees.
    pub(super) fn bound(&mut self, target: u32) -> Result<Wanted, LinkError> {
        let place = self.place(target)?;
        if !matches!(place, Target::Binding(_)) {
            return Err(LinkError::Misuse("bound what nobody wanted bound"));
        }
        let (sender, ended) = watch::channel(None);
        let usable = Arc::new(AtomicBool::new(true));
        let next = Target::Bound { ended: sender, usable: usable.clone() };
        if let Target::Binding(agreed) = std::mem::replace(place, next)
            && agreed.send(Ok(Bound { target, usable, ended })).is_ok()
        {
            return Ok(Wanted::Still);
        }
        *place = Target::Releasing;
        self.forgone -= 1;
        Ok(Wanted::NoMore)
    }

    /// The gateway does not agree.
    pub(super) fn refused(&mut self, target: u32, refusal: Refusal) -> Result<(), LinkError> {
        let place = self.place(target)?;
        if !matches!(place, Target::Binding(_)) {
            return Err(LinkError::Misuse("refused what nobody wanted bound"));
        }
        if let Target::Binding(agreed) = std::mem::replace(place, Target::Free)
            && agreed.send(Err(refusal)).is_err()
        {
            self.forgone -= 1;
        }
        self.free.push(target);
        Ok(())
    }

    /// Nobody needs the number any more; it is free when the gateway has said so.
    pub(super) fn release(&mut self, target: u32) {
        if let Ok(place) = self.place(target) {
            *place = Target::Releasing;
        }
    }

    /// The gateway has forgotten the number.
    pub(super) fn released(&mut self, target: u32) -> Result<(), LinkError> {
        let place = self.place(target)?;
        if !matches!(place, Target::Releasing) {
            return Err(LinkError::Misuse("released what is in use"));
        }
        *place = Target::Free;
        self.free.push(target);
        Ok(())
    }

    /// The actor is gone.
    pub(super) fn down(&mut self, target: u32, reason: ExitReason) -> Result<(), LinkError> {
        match self.place(target)? {
            Target::Bound { ended, usable } => {
                usable.store(false, Ordering::Release);
                ended.send_replace(Some(reason));
                Ok(())
            }
            // The two crossed on their way.
            Target::Releasing => Ok(()),
            Target::Free | Target::Binding(_) => {
                Err(LinkError::Misuse("reported the end of what is not bound"))
            }
        }
    }

    /// Nobody speaks to an actor by its number any more; those who watch one still do.
    pub(super) fn retire(&self) {
        for place in &self.places {
            if let Target::Bound { usable, .. } = place {
                usable.store(false, Ordering::Release);
            }
        }
    }

    /// The connection is lost.
    pub(super) fn lose(self) {
        self.retire();
    }

    fn place(&mut self, target: u32) -> Result<&mut Target, LinkError> {
        self.places.get_mut(target as usize).ok_or(LinkError::Misuse("used a number of its own"))
    }
}
