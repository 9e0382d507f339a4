//! The family *supervision*: what it costs to start, replace, hold and stop children.
//!
//! What is counted in each case is said in [`CASES`].

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;

use crate::{
    BH, clock,
    family::{Extent, Findings, Setting},
    figure::{Figure, Goal, Role, Unit},
    processes::{self, Activity},
    subject::{self, Behaviour, LIMIT, PATIENCE, Running, Subject, signal},
};

const BENCH: &str = "supervision";
pub(crate) const CASES: [(&str, &str); 9] = [
    ("start N", "from the start of the supervisor until the last of N children runs"),
    (
        "replace 1 of 200",
        "from SIGKILL of one of 200 children, which has run for more than a second, until its replacement runs",
    ),
    (
        "crash loop",
        "restarts in a second of one child that exits with 1 at once, from its first start on",
    ),
    (
        "rss N, pss N",
        "memory of all processes that are not children, together, 1.5 s after the start: each for itself, and with what \
         is shared divided among all that share it",
    ),
    (
        "rss of each child beyond 200",
        "(rss 1000 - rss 200) / 800, of the medians; the bare loop holds nothing for a child",
    ),
    (
        "idle, processor time in 20 s",
        "of the same processes, with 200 children that do nothing; the kernel counts it in nanoseconds (schedstat)",
    ),
    ("idle, context switches", "how often a thread of them began to run, in the same 20 s"),
    (
        "stop N",
        "from the request to stop everything until the supervisor and the last child are gone",
    ),
    (
        "left of 200 without P",
        "processes that live on 2 s after P, a process of the supervisor, was sent SIGKILL: `bh` has two, its guardian \
         and its node, others one",
    ),
];
/// Children, and how often they are started by each peer.
const SIZES: [(usize, usize); 3] = [(10, 5), (USUAL_SIZE, 5), (LARGEST_SIZE, 2)];
const SIZES_BRIEF: [(usize, usize); 2] = [(10, 3), (USUAL_SIZE, 3)];
/// How often they are by `bh` and by the limit, whose ratio is held to a goal.
const ROUNDS_HELD: usize = 9;
const ROUNDS_HELD_BRIEF: usize = 3;
/// The size at which one child is replaced, and at which nothing happens.
const USUAL_SIZE: usize = 200;
const LARGEST_SIZE: usize = 1000;
const TRIALS: usize = 20;
/// Of each peer.
const CRASH_LOOPS: usize = 3;
const CRASH_LOOP: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(20);
/// After the start, what a supervisor still does has so long to end; also the age under which
/// some supervisors make a replacement wait.
const SETTLE: Duration = Duration::from_millis(1500);
const LEFT_AFTER: Duration = Duration::from_secs(2);

/// Everything, of all subjects, in turns: ten minutes.
pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    let contenders = subject::installed(setting)?.into_iter().map(Contender::new).collect();
    let (sizes, rounds_held) = match setting.extent {
        Extent::Whole => (&SIZES[..], ROUNDS_HELD),
        Extent::Brief => (&SIZES_BRIEF[..], ROUNDS_HELD_BRIEF),
    };
    let mut bench = Bench { contenders, program: setting.program("stamp-static")?, rounds_held };
    let mut figures = Vec::new();
    for (size, of_peers) in sizes {
        figures.extend(bench.starts(*size, *of_peers, setting.tell)?);
    }
    figures.extend(memory_of_each(&figures));
    figures.extend(bench.steady(setting.tell)?);
    figures.extend(bench.crash_loops(setting.tell)?);
    (setting.tell)("losing the supervisor");
    figures.extend(bench.losses()?);
    let failures = bench.contenders.iter().filter_map(Contender::remark);
    let settings = bench.contenders.iter().flat_map(|it| remarks_of(it.subject.as_ref(), sizes));
    let left_out = subject::not_measured(setting).into_iter();
    let remarks = left_out.chain(settings).chain(failures).collect();
    let subjects = bench.contenders.iter().map(|it| it.subject.as_ref());
    let versions = subjects.map(|it| (it.name(), it.version())).collect();
    Ok(Findings { figures, versions, remarks })
}

/// What its user would set otherwise, and with how many children it is not measured.
fn remarks_of(subject: &dyn Subject, sizes: &[(usize, usize)]) -> Vec<String> {
    let name = subject.name();
    let most = subject.count_max().filter(|(most, _)| sizes.iter().any(|(size, _)| size > most));
    let count =
        most.map(|(most, why)| format!("`{name}` is measured with up to {most} children: {why}"));
    let setting = subject.remark().map(|remark| format!("`{name}`: {remark}"));
    setting.into_iter().chain(count).collect()
}

/// A subject, and why it is no longer measured, if it is not: what a peer cannot do ends nothing else.
struct Contender {
    subject: Box<dyn Subject>,
    failure: Option<String>,
}

impl Contender {
    fn new(subject: Box<dyn Subject>) -> Self {
        Self { subject, failure: None }
    }

    fn remark(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(format!("`{}` did not run from here on: {failure}", self.subject.name()))
    }
}

struct Bench {
    contenders: Vec<Contender>,
    program: PathBuf,
    rounds_held: usize,
}

fn is_peer(subject: &dyn Subject) -> bool {
    ![LIMIT, BH].contains(&subject.name())
}

/// What is learnt of one subject while others take their turns.
#[derive(Default)]
struct Samples {
    start: Vec<f64>,
    stop: Vec<f64>,
    rss: Vec<f64>,
    pss: Vec<f64>,
}

impl Bench {
    /// So many turns of each peer, and as many as are held to a goal of `bh` and of the limit.
    fn rounds(
        &mut self,
        what: &str,
        of_peers: usize,
        tell: &dyn Fn(&str),
        mut trial: impl FnMut(usize, &dyn Subject, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let rounds = self.rounds_held.max(of_peers);
        for round in 1..=rounds {
            tell(&format!("{what} ({round} of {rounds})"));
            self.turn(|place, subject, program| match is_peer(subject) && round > of_peers {
                true => Ok(()),
                false => trial(place, subject, program),
            })?;
        }
        Ok(())
    }

    /// One turn of everybody who has not failed yet; they are told by their places.
    fn turn(
        &mut self,
        mut trial: impl FnMut(usize, &dyn Subject, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for (place, contender) in self.contenders.iter_mut().enumerate() {
            if contender.failure.is_some() {
                continue;
            }
            let subject = contender.subject.as_ref();
            match trial(place, subject, &self.program) {
                Err(error) if is_peer(subject) => {
                    contender.failure = Some(format!("{error:#}").replace('\n', " "));
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn samples<T: Default>(&self) -> Vec<T> {
        self.contenders.iter().map(|_| T::default()).collect()
    }

    /// What was learnt, with the names of those of whom something was.
    fn named<T>(&self, samples: Vec<Vec<T>>) -> impl Iterator<Item = (&'static str, Vec<T>)> {
        let names = self.contenders.iter().map(|it| it.subject.name());
        names.zip(samples).filter(|(_, samples)| !samples.is_empty())
    }

    fn starts(
        &mut self,
        size: usize,
        of_peers: usize,
        tell: &dyn Fn(&str),
    ) -> anyhow::Result<Vec<Figure>> {
        let mut all: Vec<Samples> = self.samples();
        let what = format!("starting and stopping {size} children");
        self.rounds(&what, of_peers, tell, |place, subject, program| {
            if subject.count_max().is_some_and(|(most, _)| most < size) {
                return Ok(());
            }
            let (running, duration) = start(subject, program, size)?;
            thread::sleep(SETTLE);
            let memory = processes::memory(&running.own_processes());
            let stop = milliseconds(running.stop()?);
            let samples = &mut all[place];
            samples.start.push(milliseconds(duration));
            samples.rss.push(memory.rss as f64);
            samples.pss.push(memory.pss as f64);
            samples.stop.push(stop);
            Ok(())
        })?;
        let names = self.contenders.iter().map(|it| it.subject.name());
        let measured = names.zip(all).filter(|(_, it)| !it.start.is_empty());
        let figures = measured.flat_map(|(name, samples)| {
            let of = |what, unit, samples| figure(format!("{what} {size}"), name, unit, samples);
            [
                of("start", Unit::Milliseconds, samples.start).held_to(start_goal(size)),
                of("rss", Unit::KiB, samples.rss).held_to(memory_goal(size)),
                of("pss", Unit::KiB, samples.pss),
                of("stop", Unit::Milliseconds, samples.stop),
            ]
        });
        Ok(figures.collect())
    }

    /// All subjects run side by side: first nothing happens, then children are killed in turns.
    fn steady(&mut self, tell: &dyn Fn(&str)) -> anyhow::Result<Vec<Figure>> {
        tell(&format!("{USUAL_SIZE} children of everybody, doing nothing"));
        let mut all: Vec<Option<(Running, Vec<i32>)>> = self.samples();
        self.turn(|place, subject, program| {
            let mut running = Running::start(subject, program, USUAL_SIZE, Behaviour::Stay)?;
            let stamps = running.stamps.take(USUAL_SIZE, PATIENCE)?;
            all[place] = Some((running, stamps.iter().map(|stamp| stamp.pid).collect()));
            Ok(())
        })?;
        thread::sleep(SETTLE);
        let mut figures = idle(all.iter().flatten().map(|(running, _)| running));
        tell(&format!("replacing one child after the other, {TRIALS} times"));
        let mut samples: Vec<Vec<f64>> = self.samples();
        for trial in 0..TRIALS {
            self.turn(|place, _, _| {
                let (running, victims) = all[place].as_mut().context("it did not start")?;
                let killed = clock::now();
                signal(victims[trial], Signal::KILL);
                let stamp = running.stamps.next(PATIENCE)?;
                samples[place].push(milliseconds(stamp.at - killed));
                Ok(())
            })?;
        }
        figures.extend(self.named(samples).map(|(name, samples)| {
            let case = format!("replace 1 of {USUAL_SIZE}");
            figure(case, name, Unit::Milliseconds, samples).held_to(Some(Goal::TimesLimit(1.5)))
        }));
        Ok(figures)
    }

    fn crash_loops(&mut self, tell: &dyn Fn(&str)) -> anyhow::Result<Vec<Figure>> {
        let mut samples: Vec<Vec<f64>> = self.samples();
        self.rounds("crash loops", CRASH_LOOPS, tell, |place, subject, program| {
            let mut running = Running::start(subject, program, 1, Behaviour::Exit)?;
            let first = running.stamps.next(PATIENCE)?;
            let restarts = running.stamps.during(CRASH_LOOP)?;
            let last = restarts.last().map_or(first.at + CRASH_LOOP, |stamp| stamp.at);
            samples[place].push(restarts.len() as f64 / (last - first.at).as_secs_f64());
            Ok(())
        })?;
        let figures = self.named(samples).map(|(name, samples)| {
            figure("crash loop", name, Unit::PerSecond, samples).held_to(Some(Goal::LimitOver(1.5)))
        });
        Ok(figures.collect())
    }

    fn losses(&mut self) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        self.turn(|_, subject, program| {
            for (place, victim) in subject.vital().into_iter().enumerate() {
                let (running, _) = start(subject, program, USUAL_SIZE)?;
                let own = running.own_processes();
                let pid = *own.get(place).with_context(|| format!("{victim} is not there"))?;
                let left = running.left_without(pid, LEFT_AFTER)? as f64;
                let case = format!("left of {USUAL_SIZE} without {victim}");
                let left = figure(case, subject.name(), Unit::Processes, vec![left]);
                figures.push(left.held_to(Some(Goal::AtMost(0.0))));
            }
            Ok(())
        })?;
        Ok(figures)
    }
}

fn start(
    subject: &dyn Subject,
    program: &Path,
    size: usize,
) -> anyhow::Result<(Running, Duration)> {
    let mut running = Running::start(subject, program, size, Behaviour::Stay)?;
    let stamps = running.stamps.take(size, PATIENCE);
    let stamps = stamps.with_context(|| running.failed_to(&format!("start {size} children")))?;
    let last = stamps.iter().map(|stamp| stamp.at).max().unwrap_or_default();
    let since = running.since;
    Ok((running, last - since))
}

fn idle<'a>(all: impl Iterator<Item = &'a Running>) -> Vec<Figure> {
    let all: Vec<&Running> = all.collect();
    let own: Vec<Vec<i32>> = all.iter().map(|running| running.own_processes()).collect();
    let before: Vec<Activity> = own.iter().map(|pids| processes::activity(pids)).collect();
    let since = clock::now();
    thread::sleep(IDLE);
    let seconds = (clock::now() - since).as_secs_f64();
    let after = own.iter().map(|pids| processes::activity(pids));
    let changes = before.into_iter().zip(after);
    let of_each = all.iter().zip(changes).flat_map(|(running, (before, after))| {
        let cpu = Duration::from_nanos(after.cpu_nanoseconds - before.cpu_nanoseconds);
        let switches = (after.switches - before.switches) as f64 / seconds;
        let of = |case, unit, sample| figure(case, running.name, unit, vec![sample]);
        [
            of("idle, processor time in 20 s", Unit::Milliseconds, milliseconds(cpu))
                .held_to(Some(Goal::AtMost(0.0))),
            of("idle, context switches", Unit::PerSecond, switches)
                .held_to(Some(Goal::AtMost(0.0))),
        ]
    });
    of_each.collect()
}

fn figure(case: impl Into<String>, subject: &'static str, unit: Unit, samples: Vec<f64>) -> Figure {
    let figure = Figure::new(BENCH, case, subject, unit, samples);
    if subject == LIMIT { figure.as_limit() } else { figure }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn start_goal(size: usize) -> Option<Goal> {
    (size >= USUAL_SIZE).then_some(Goal::TimesLimit(1.5))
}

/// 16 MiB with 200 children.
fn memory_goal(size: usize) -> Option<Goal> {
    (size == USUAL_SIZE).then_some(Goal::AtMost(16.0 * 1024.0))
}

/// What each child beyond the usual size adds to the memory, of everybody who was measured with more; at most 14 KiB.
fn memory_of_each(figures: &[Figure]) -> Vec<Figure> {
    let of_size = |size: usize| {
        let case = format!("rss {size}");
        figures.iter().filter(move |it| it.case == case && it.role != Role::Limit)
    };
    let each = of_size(LARGEST_SIZE).filter_map(|more| {
        let usual = of_size(USUAL_SIZE).find(|it| it.subject == more.subject)?;
        let further = (LARGEST_SIZE - USUAL_SIZE) as f64;
        let added = (more.median() - usual.median()) / further;
        let case = format!("rss of each child beyond {USUAL_SIZE}");
        Some(figure(case, more.subject, Unit::KiB, vec![added]).held_to(Some(Goal::AtMost(14.0))))
    });
    each.collect()
}
