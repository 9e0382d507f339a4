//! A recording, decided once more.

use std::{collections::HashMap, fmt};

use blackhole_policy::supervision::{SpecError, Supervisor};

use super::{Line, VERSION, wire};

/// A replay in which every decision was the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The node's name.
    pub node: String,
    /// Supervisors that were told something.
    pub supervisors: usize,
    /// Events that were decided.
    pub decisions: usize,
    /// Commands that they came to.
    pub commands: usize,
}

impl fmt::Display for Replayed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, supervisors, decisions, commands } = self;
        write!(
            formatter,
            "{decisions} decisions of {supervisors} supervisors of node {node}, {commands} commands: \
             all the same"
        )
    }
}

/// Why a replay did not come to the same.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is no recording.
    #[error("line {line} is no line of a recording")]
    Malformed {
        /// From 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// It begins with something else than a recording does.
    #[error("the first line is not that of a recording")]
    NoBeginning,
    /// It was made by another version of this program.
    #[error("this recording has version {theirs}, and this program reads version {VERSION}")]
    Version {
        /// The recording's.
        theirs: u32,
    },
    /// A supervisor is told something before it is said where it stands.
    #[error("line {line}: nothing is known of supervisor `{supervisor}` before")]
    Unknown {
        /// From 1.
        line: usize,
        /// As the recording calls it.
        supervisor: String,
    },
    /// A checkpoint that makes no supervisor.
    #[error("line {line}: the checkpoint makes no supervisor")]
    Checkpoint {
        /// From 1.
        line: usize,
        /// Why.
        source: SpecError<String>,
    },
    /// A decision that differs.
    #[error(
        "line {line}: supervisor `{supervisor}` decides otherwise now\n  recorded: {recorded}\n  \
         replayed: {replayed}"
    )]
    Different {
        /// From 1.
        line: usize,
        /// As the recording calls it.
        supervisor: String,
        /// The commands and the deadline of then.
        recorded: String,
        /// Those of now.
        replayed: String,
    },
}

/// Lets fresh machines decide what was recorded, and compares each decision: the commands with their
/// order, and the moment at which the machine wants to be asked again. Empty lines are left out.
///
/// # Errors
/// At the first line that is no line of a recording, or is decided otherwise.
pub fn replay<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Replayed, ReplayError> {
    let mut lines = lines.into_iter().enumerate().filter(|(_, text)| !text.trim().is_empty());
    let (_, first) = lines.next().ok_or(ReplayError::NoBeginning)?;
    let node = match parse(1, first)? {
        Line::Incident { version: VERSION, node } => node,
        Line::Incident { version: theirs, .. } => return Err(ReplayError::Version { theirs }),
        Line::Checkpoint { .. } | Line::Decided { .. } => return Err(ReplayError::NoBeginning),
    };
    let mut replay = Replay {
        machines: HashMap::new(),
        done: Replayed { node, supervisors: 0, decisions: 0, commands: 0 },
    };
    for (index, text) in lines {
        replay.take(index + 1, parse(index + 1, text)?)?;
    }
    replay.done.supervisors = replay.machines.len();
    Ok(replay.done)
}

fn parse(line: usize, text: &str) -> Result<Line, ReplayError> {
    serde_json::from_str(text).map_err(|source| ReplayError::Malformed { line, source })
}

struct Replay {
    machines: HashMap<String, Supervisor<String>>,
    done: Replayed,
}

impl Replay {
    fn take(&mut self, line: usize, said: Line) -> Result<(), ReplayError> {
        match said {
            Line::Incident { .. } => Err(ReplayError::NoBeginning),
            Line::Checkpoint { supervisor, remembers } => {
                let machine = Supervisor::resume(remembers.0)
                    .map_err(|source| ReplayError::Checkpoint { line, source })?;
                self.machines.insert(supervisor, machine);
                Ok(())
            }
            Line::Decided { supervisor, at_ns, event, commands, deadline_ns } => {
                let Some(machine) = self.machines.get_mut(&supervisor) else {
                    return Err(ReplayError::Unknown { line, supervisor });
                };
                let decided = machine.on_event(wire::moment(at_ns), event.0);
                let decided: Vec<String> =
                    decided.iter().map(|command| format!("{command:?}")).collect();
                let deadline = machine.next_deadline().map(wire::nanoseconds);
                if (&decided, deadline) != (&commands, deadline_ns) {
                    let recorded = told(&commands, deadline_ns);
                    let replayed = told(&decided, deadline);
                    return Err(ReplayError::Different { line, supervisor, recorded, replayed });
                }
                self.done.decisions += 1;
                self.done.commands += decided.len();
                Ok(())
            }
        }
    }
}

fn told(commands: &[String], deadline_ns: Option<u64>) -> String {
    let commands = if commands.is_empty() { "nothing".to_owned() } else { commands.join("; ") };
    match deadline_ns {
        Some(deadline) => format!("{commands}; deadline {}", wire::moment(deadline)),
        None => commands,
    }
}
