//! What the node must know of what was done to it: its history against ours.

use blackhole_protocol::control::v1::{HistoryEntry, InstanceStatus};

/// The node remembers so many ends of each instance.
const HISTORY_ENTRIES_MAX: usize = 64;

/// Why a process that was killed may have ended, in the words of history: by our signal, or by the
/// node's, which came first, in the middle of a stop, a failing start, or a silence.
const REASONS_OF_KILLED: [&str; 5] = ["signal", "stop", "startup", "unresponsive", "probe"];

/// A process that was sent SIGKILL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Killed {
    pub(super) service: String,
    pub(super) instance: u32,
    pub(super) generation: u64,
    pub(super) pid: i32,
}

/// Actions since the node was started.
#[derive(Debug, Default)]
pub(super) struct Records {
    killed: Vec<Killed>,
    kills_total: u64,
}

impl Records {
    pub(super) fn killed(&mut self, killed: Killed) {
        self.killed.push(killed);
        self.kills_total += 1;
    }

    pub(super) fn kills_total(&self) -> u64 {
        self.kills_total
    }

    /// The node was started again and knows nothing of before.
    pub(super) fn new_life(&mut self) {
        self.killed.clear();
    }

    /// What was done so far is known to the node.
    pub(super) fn found(&mut self) {
        self.killed.clear();
    }

    /// What does not fit.
    pub(super) fn compare(
        &self,
        instances: &[InstanceStatus],
        history: &[HistoryEntry],
    ) -> Vec<String> {
        let mut problems = Vec::new();
        for instance in instances {
            let ends: Vec<_> = history.iter().filter(|entry| is_of(entry, instance)).collect();
            problems.extend(check_generations(instance, &ends));
        }
        problems.extend(self.killed.iter().filter_map(|killed| check_killed(killed, history)));
        problems
    }
}

fn is_of(entry: &HistoryEntry, instance: &InstanceStatus) -> bool {
    entry.service == instance.service && entry.instance == instance.instance
}

/// Each generation before the present one has ended once.
fn check_generations(instance: &InstanceStatus, ends: &[&HistoryEntry]) -> Vec<String> {
    let name = format!("{}-{}", instance.service, instance.instance);
    let mut generations: Vec<u64> = ends.iter().map(|end| end.generation).collect();
    generations.sort_unstable();
    let last = instance.generation - 1;
    let first = last.saturating_sub(HISTORY_ENTRIES_MAX as u64 - 1).max(1);
    let expected: Vec<u64> = if last == 0 { Vec::new() } else { (first..=last).collect() };
    let mut problems = Vec::new();
    if generations != expected {
        problems.push(format!(
            "{name} is in generation {}, its history has the ends of {generations:?}",
            instance.generation
        ));
    }
    // An operator's stop is no restart; everything else is, once.
    let by_itself = ends.iter().filter(|end| end.reason != "stop").count() as u64;
    if last <= HISTORY_ENTRIES_MAX as u64 && instance.restarts < by_itself {
        problems.push(format!(
            "{name} counts {} restarts, its history has {by_itself} ends that led to one",
            instance.restarts
        ));
    }
    if instance.restarts > last {
        problems.push(format!(
            "{name} counts {} restarts in {} generations",
            instance.restarts, instance.generation
        ));
    }
    problems
}

fn check_killed(killed: &Killed, history: &[HistoryEntry]) -> Option<String> {
    let Killed { service, instance, generation, pid } = killed;
    let of_instance =
        |entry: &&HistoryEntry| entry.service == *service && entry.instance == *instance;
    let ends: Vec<_> = history.iter().filter(of_instance).collect();
    let Some(end) = ends.iter().find(|end| end.generation == *generation) else {
        // So many others have ended since that this one is forgotten.
        let forgotten = ends
            .iter()
            .map(|end| end.generation)
            .min()
            .is_some_and(|oldest| ends.len() == HISTORY_ENTRIES_MAX && oldest > *generation);
        let problem = format!("{service}-{instance}.{generation} was killed; history is silent");
        return (!forgotten).then_some(problem);
    };
    let same_process = end.pid == Some(pid.unsigned_abs());
    let right_reason = REASONS_OF_KILLED.contains(&end.reason.as_str());
    let right_signal = end.reason != "signal" || end.signal.as_deref() == Some("SIGKILL");
    (!(same_process && right_reason && right_signal)).then(|| {
        format!(
            "{service}-{instance}.{generation} (process {pid}) was killed by SIGKILL; history has: \
             process {:?}, {}, {:?}, {:?}",
            end.pid, end.reason, end.code, end.signal
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(generation: u64, pid: u32, reason: &str, signal: &str) -> HistoryEntry {
        HistoryEntry {
            service: "clock".into(),
            instance: 1,
            generation,
            pid: Some(pid),
            reason: reason.into(),
            signal: Some(signal.into()),
            ..HistoryEntry::default()
        }
    }

    fn clock(generation: u64, restarts: u64) -> InstanceStatus {
        InstanceStatus {
            service: "clock".into(),
            instance: 1,
            generation,
            restarts,
            ..InstanceStatus::default()
        }
    }

    fn killed(generation: u64, pid: i32) -> Records {
        let mut records = Records::default();
        records.killed(Killed { service: "clock".into(), instance: 1, generation, pid });
        records
    }

    #[test]
    fn a_history_that_fits_is_accepted() {
        let history = [end(1, 10, "signal", "SIGKILL"), end(2, 11, "stop", "SIGTERM")];
        assert_eq!(killed(1, 10).compare(&[clock(3, 1)], &history), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let history = [end(1, 10, "exit", "SIGKILL")];
        assert_eq!(killed(1, 10).compare(&[clock(2, 1)], &history).len(), 1);
        let history = [end(1, 10, "signal", "SIGTERM")];
        assert_eq!(killed(1, 10).compare(&[clock(2, 1)], &history).len(), 1);
        let history = [end(1, 99, "signal", "SIGKILL")];
        assert_eq!(killed(1, 10).compare(&[clock(2, 1)], &history).len(), 1);
        // The end of the second is missing, and one restart is.
        let history = [end(1, 10, "signal", "SIGKILL")];
        assert_eq!(killed(2, 11).compare(&[clock(3, 0)], &history).len(), 3);
        let history = [end(1, 10, "signal", "SIGKILL")];
        assert_eq!(killed(1, 10).compare(&[clock(2, 2)], &history).len(), 1);
    }
}
