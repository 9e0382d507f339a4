//! How time passes in a rehearsal: from cue to cue.

use super::{
    Rehearsal, Troupe,
    director::{Actor, Doing, Stage},
};
use crate::{
    moment::Moment,
    supervision::{Event, Exit},
};

/// Something that its time brings about.
#[derive(Debug, Clone, Copy)]
enum Cue {
    Child(Troupe, usize),
    Machine(Troupe),
}

impl Rehearsal {
    /// Starts the outermost supervisor and lets time pass until it is up or has ended, as who starts
    /// an OTP supervisor waits for that.
    pub fn start_and_wait(&mut self) {
        self.start();
        while self.troupes.get(&self.root).is_some_and(|root| root.stage == Stage::Starting)
            && let Some((at, cue)) = self.next_cue()
        {
            self.now = self.now.max(at);
            self.give(cue);
        }
    }

    /// Lets time pass.
    pub fn advance_to(&mut self, moment: Moment) {
        self.settle(moment);
        self.now = self.now.max(moment);
    }

    /// Lets time pass until nothing more happens by itself, or `moment` is reached.
    pub fn settle(&mut self, moment: Moment) {
        while let Some((at, cue)) = self.next_cue().filter(|(at, _)| *at <= moment) {
            self.now = self.now.max(at);
            self.give(cue);
        }
    }

    /// Children before machines, should both be due at once.
    fn next_cue(&self) -> Option<(Moment, Cue)> {
        let children = self.troupes.iter().flat_map(|(troupe, director)| {
            let due = |(index, actor): (usize, &Actor)| {
                Some((actor.doing.due()?, Cue::Child(*troupe, index)))
            };
            director.actors.iter().enumerate().filter_map(due)
        });
        let machines = self.troupes.iter().filter_map(|(troupe, director)| {
            Some((director.machine.next_deadline()?, Cue::Machine(*troupe)))
        });
        children.chain(machines).min_by_key(|(at, _)| *at)
    }

    fn give(&mut self, cue: Cue) {
        match cue {
            Cue::Machine(troupe) => self.pending.push_back((troupe, Event::DeadlineReached)),
            Cue::Child(troupe, index) => match self.director(troupe).actors[index].doing {
                Doing::Starting { .. } => self.bring_on(troupe, index),
                Doing::Running { exit_at: Some((_, exit)) } => {
                    let actor = self.take_off(troupe, index);
                    self.tell_end(troupe, actor, exit);
                }
                Doing::Running { exit_at: None } => {}
                Doing::Stopping { .. } => {
                    let actor = self.take_off(troupe, index);
                    self.tell_stopped(troupe, actor, Exit::Shutdown);
                }
            },
        }
        self.play();
    }
}

impl Doing {
    fn due(self) -> Option<Moment> {
        match self {
            Self::Starting { up_at: due } | Self::Stopping { down_at: due } => due,
            Self::Running { exit_at } => exit_at.map(|(at, _)| at),
        }
    }
}
