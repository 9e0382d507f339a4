//! The family *growth*: how cost grows with what causes it.
//!
//! Each case is measured at several sizes. What the first size costs counts as fixed and is taken off; the
//! figure is the exponent of the power that fits the rest best: 1 is linear, 2 would be quadratic.
//! Processor time is counted and not time that passes, so that a busy machine disturbs little.
//!
//! What is counted in each case is said in [`CASES`].

use std::{fs, path::Path, process::Command, thread, time::Duration};

use anyhow::ensure;

use crate::{
    BH, clock,
    family::{Extent, Findings, Setting},
    figure::{Figure, Goal, Unit},
    processes::{self, Activity},
    subject::{
        Behaviour, PATIENCE, PRINT_SECONDS, PRINTED, Running, Subject, blackhole::Blackhole,
    },
};

const BENCH: &str = "growth";
pub(crate) const CASES: [(&str, &str); 4] = [
    (
        "services, processor time",
        "of guardian and node until 1 to 800 services run and nothing more is done",
    ),
    ("services, memory", "resident memory of guardian and node, with the same"),
    ("instances, processor time", "the same with 1 to 800 instances of one service"),
    (
        "log lines, processor time",
        "of guardian and node until all lines are stored that one service prints in two seconds, at 100 to 80,000 a \
         second; all of them must be stored",
    ),
];
const CHILDREN: [usize; 6] = [1, 50, 100, 200, 400, 800];
const CHILDREN_BRIEF: [usize; 4] = [1, 50, 100, 200];
/// Lines in a second. The least is one for each time that the child wakes, so that waking counts as fixed.
const LINES: [usize; 5] = [100, 10_000, 20_000, 40_000, 80_000];
const ROUNDS: usize = 5;
/// Who has not run for so long does nothing more.
const REST: Duration = Duration::from_millis(500);
/// A little more than linear, for what measuring adds.
const EXPONENT_MAX: f64 = 1.15;

pub(crate) fn measure(setting: &Setting<'_>) -> anyhow::Result<Findings> {
    let bench = Bench { bh: setting.program("bh")?, child: setting.program("stamp-static")? };
    let children = match setting.extent {
        Extent::Whole => &CHILDREN[..],
        Extent::Brief => &CHILDREN_BRIEF,
    };
    let mut figures = Vec::new();
    let mut add = |case: &str, sizes: &[usize], costs: Vec<Vec<f64>>| {
        let exponents = costs.iter().map(|costs| exponent(sizes, costs)).collect();
        let figure = Figure::new(BENCH, case, BH, Unit::Exponent, exponents);
        figures.push(figure.held_to(Some(Goal::AtMost(EXPONENT_MAX))));
    };
    let costs = bench.rounds(children, Shape::Services, setting.tell)?;
    add("services, processor time", children, of_each(&costs, |cost| cost.processor));
    add("services, memory", children, of_each(&costs, |cost| cost.memory));
    let costs = bench.rounds(children, Shape::Instances, setting.tell)?;
    add("instances, processor time", children, of_each(&costs, |cost| cost.processor));
    let costs = bench.rounds(&LINES, Shape::Lines, setting.tell)?;
    add("log lines, processor time", &LINES, of_each(&costs, |cost| cost.processor));
    Ok(Findings { figures, ..Findings::default() })
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Services,
    Instances,
    Lines,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Instances => "instances",
            Self::Lines => "log lines",
        }
    }
}

struct Cost {
    /// In nanoseconds.
    processor: f64,
    /// In KiB.
    memory: f64,
}

struct Bench {
    bh: std::path::PathBuf,
    child: std::path::PathBuf,
}

impl Bench {
    /// For each round, the cost of each size.
    fn rounds(
        &self,
        sizes: &[usize],
        shape: Shape,
        tell: &dyn Fn(&str),
    ) -> anyhow::Result<Vec<Vec<Cost>>> {
        let round = |round| {
            let most = sizes[sizes.len() - 1];
            tell(&format!("up to {most} {} ({round} of {ROUNDS})", shape.name()));
            sizes.iter().map(|size| self.cost(*size, shape)).collect()
        };
        (1..=ROUNDS).map(round).collect()
    }

    fn cost(&self, size: usize, shape: Shape) -> anyhow::Result<Cost> {
        let (children, behaviour) = match shape {
            Shape::Services | Shape::Instances => (size, Behaviour::Stay),
            Shape::Lines => (1, Behaviour::Print { per_second: size }),
        };
        let shaped = Shaped { inner: Blackhole { bh: self.bh.clone() }, shape };
        let mut running = Running::start(&shaped, &self.child, children, behaviour)?;
        running.stamps.take(children, PATIENCE)?;
        let processor = at_rest(&running)?.cpu_nanoseconds as f64;
        let memory = processes::memory(&running.own_processes()).rss as f64;
        if let Behaviour::Print { per_second } = behaviour {
            let (stored, printed) = (stored_lines(&running.site())?, per_second * PRINT_SECONDS);
            ensure!(stored == printed, "{stored} of {printed} lines were stored");
        }
        running.stop()?;
        Ok(Cost { processor, memory })
    }
}

/// What the supervisor has done when it does nothing more.
fn at_rest(running: &Running) -> anyhow::Result<Activity> {
    let deadline = clock::now() + PATIENCE;
    let so_far = || processes::activity(&running.own_processes());
    let mut before = so_far();
    loop {
        thread::sleep(REST);
        let after = so_far();
        if after.switches == before.switches {
            return Ok(after);
        }
        ensure!(clock::now() < deadline, "`bh` does not come to rest within {PATIENCE:?}");
        before = after;
    }
}

/// The lines of the child in the files of its log.
fn stored_lines(site: &Path) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(site.join("log"))? {
        let text = fs::read_to_string(entry?.path())?;
        count += text.lines().filter(|line| line.contains(PRINTED)).count();
    }
    Ok(count)
}

/// `bh` with another file.
struct Shaped {
    inner: Blackhole,
    shape: Shape,
}

impl Subject for Shaped {
    fn name(&self) -> &'static str {
        BH
    }

    fn version(&self) -> String {
        self.inner.version()
    }

    fn prepare(&self, directory: &Path, program: &Path, count: usize) -> anyhow::Result<Command> {
        let command = self.inner.prepare(directory, program, count)?;
        if self.shape == Shape::Instances {
            let program = program.display();
            let file = format!("[services.s]\ncommand = [\"{program}\"]\ninstances = {count}\n");
            fs::write(directory.join("config.toml"), file)?;
        }
        Ok(command)
    }
}

fn of_each(costs: &[Vec<Cost>], part: impl Fn(&Cost) -> f64) -> Vec<Vec<f64>> {
    costs.iter().map(|round| round.iter().map(&part).collect()).collect()
}

/// Of the power that fits best, by least squares of logarithms; the first size is the fixed cost.
fn exponent(sizes: &[usize], costs: &[f64]) -> f64 {
    let fixed = costs[0];
    let points: Vec<(f64, f64)> = sizes
        .iter()
        .zip(costs)
        .skip(1)
        .filter(|(_, cost)| **cost > fixed)
        .map(|(size, cost)| ((*size as f64).ln(), (cost - fixed).ln()))
        .collect();
    let count = points.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let covariance = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>();
    let variance = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum::<f64>();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_cost_does_not_count() {
        let sizes = [1, 10, 100, 1000];
        let linear: Vec<f64> =
            sizes.iter().map(|size| 500.0 + 3.0 * (*size as f64 - 1.0)).collect();
        assert!((exponent(&sizes, &linear) - 1.0).abs() < 0.05);
        let square: Vec<f64> = sizes.iter().map(|size| 500.0 + (*size as f64).powi(2)).collect();
        assert!((exponent(&sizes, &square) - 2.0).abs() < 0.05);
    }
}
