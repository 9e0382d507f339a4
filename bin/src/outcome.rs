//! What became of the instances that a command started or stopped.

use std::io::Write;

use blackhole_protocol::control::v1::{InstanceState, InstanceStatus};

use crate::{client::Wait, error::Error, output::Output, status_table::how_it_ended, text};

/// What the operator wanted of the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Up,
    Down,
}

impl Goal {
    /// An instance that is over and was meant to be (`completed`) is up in the operator's eyes.
    fn is_met(self, instance: &InstanceStatus) -> bool {
        match self {
            Self::Up => {
                matches!(instance.state(), InstanceState::Ready | InstanceState::Completed)
            }
            Self::Down => instance.pid.is_none(),
        }
    }
}

/// Prints each instance in a line. An error when one did not get where it should be, unless
/// nobody waited for it.
pub(crate) fn report(
    stdout: &mut Output,
    instances: &[InstanceStatus],
    goal: Goal,
    wait: Wait,
) -> Result<(), Error> {
    for instance in instances {
        writeln!(stdout, "{}", line(instance))?;
    }
    let missed: Vec<_> = match wait {
        Wait::UntilDone => instances.iter().filter(|instance| !goal.is_met(instance)).collect(),
        Wait::No => Vec::new(),
    };
    if missed.is_empty() {
        return Ok(());
    }
    Err(Error::Failed(complaint(&missed, goal)))
}

fn line(instance: &InstanceStatus) -> String {
    let state = text::instance_state(instance.state());
    let pid = instance.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    format!("{}-{} {state}{pid}", text::visible(&instance.service), instance.instance)
}

fn complaint(missed: &[&InstanceStatus], goal: Goal) -> String {
    let mut services: Vec<_> =
        missed.iter().map(|instance| text::visible(&instance.service)).collect();
    services.dedup();
    let services = services.join(" ");
    let facts: Vec<_> = missed.iter().map(|instance| fact(instance)).collect();
    let wanted = match goal {
        Goal::Up => "not ready",
        Goal::Down => "still running",
    };
    format!(
        "{wanted}: {}\nhint: `bh logs {services}` shows what was written, `bh history {services}` \
         how it ended",
        facts.join("; ")
    )
}

fn fact(instance: &InstanceStatus) -> String {
    let state = text::instance_state(instance.state());
    let name = format!("`{}-{}`", text::visible(&instance.service), instance.instance);
    let exit = instance.last_exit.as_ref();
    let exit = exit.map(|exit| {
        format!(", last {}", how_it_ended(&exit.reason, exit.code, exit.signal.as_deref()))
    });
    let note = (!instance.note.is_empty()).then(|| format!(", {}", text::visible(&instance.note)));
    format!("{name} is {state}{}{}", exit.unwrap_or_default(), note.unwrap_or_default())
}
