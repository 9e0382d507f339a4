//! What the abuser does: the words of a script, as they are drawn, recorded and replayed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The services of the subject that may be killed, frozen, restarted.
pub(super) const SERVICES: [&str; 7] =
    ["identity", "storage", "clock", "family", "talker", "left", "right"];
/// Those that have a socket on which they serve.
const SERVING: [&str; 2] = ["identity", "storage"];
/// Those that may have several instances.
const SCALABLE: [&str; 2] = ["clock", "family"];

/// One action. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each line says what its fields are")]
pub enum Action {
    /// SIGKILL for the process of a service's first instance.
    Kill { service: String },
    /// SIGKILL for one of the processes that a service has started.
    KillDescendant { service: String },
    /// SIGKILL for every process below the node at once.
    KillAll,
    /// SIGSTOP, and SIGCONT later, if it still lives.
    Freeze { service: String, ms: u64 },
    /// The same for the node.
    FreezeNode { ms: u64 },
    /// The same for the guardian.
    FreezeGuardian { ms: u64 },
    /// A service prints as fast as it can.
    FloodLogs,
    /// So many requests to a service at once.
    FloodRequests { service: String, count: u64 },
    /// Connections that say nothing.
    HoldConnections { socket: Socket, count: u64, ms: u64 },
    /// Bytes that mean nothing.
    Garbage { socket: Socket, length: u64, seed: u64 },
    /// A file takes all the room.
    FillDisk { disk: Disk, ms: u64 },
    /// No descriptor is left for a process.
    ExhaustDescriptors { holder: Holder, ms: u64 },
    /// The file of a service's socket vanishes, or is replaced by a socket on which nobody answers.
    BreakSocket { service: String, how: Breakage },
    /// As an operator restarts.
    Restart { service: String },
    /// As an operator stops, and starts again later.
    StopAndStart { service: String, ms: u64 },
    /// As an operator scales.
    Scale { service: String, instances: u32 },
    /// SIGKILL for the node, then it is started again.
    KillNode,
    /// SIGKILL for the guardian, then it is started again.
    KillGuardian,
    /// SIGTERM for the guardian, then it is started again.
    EndNode,
    /// The end of a round: everything must be well.
    Settle,
}

/// Where clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Socket {
    Control,
    Http,
    Identity,
    Storage,
    Notify,
}

/// What can be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disk {
    Data,
    Logs,
}

/// Who runs out of descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    Node,
    Identity,
    Storage,
}

/// What happens to a socket's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakage {
    Removed,
    Replaced,
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        formatter.write_str(&text)
    }
}

impl Action {
    /// The word for it, without its details.
    pub fn kind(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => {
                fields.keys().next().cloned().unwrap_or_default()
            }
            Ok(value) => value.as_str().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// One that the node survives.
    pub(super) fn draw(random: &mut Random) -> Self {
        let service = |random: &mut Random| random.one_of(&SERVICES).to_string();
        match random.between(0, 100) {
            0..24 => Self::Kill { service: service(random) },
            24..30 => Self::KillDescendant { service: random.one_of(&SCALABLE).to_string() },
            30..33 => Self::KillAll,
            33..41 => Self::Freeze { service: service(random), ms: random.between(10, 2_500) },
            41..44 => Self::FreezeNode { ms: random.between(10, 1_500) },
            44..46 => Self::FreezeGuardian { ms: random.between(10, 1_500) },
            46..50 => Self::FloodLogs,
            50..55 => Self::FloodRequests {
                service: random.one_of(&SERVING).to_string(),
                count: random.between(50, 1_000),
            },
            55..60 => Self::HoldConnections {
                socket: *random.one_of(&Socket::ACCEPTING),
                count: random.between(1, 400),
                ms: random.between(10, 2_000),
            },
            60..68 => Self::Garbage {
                socket: *random.one_of(&Socket::ALL),
                length: random.between(1, 20_000),
                seed: random.next(),
            },
            68..74 => Self::FillDisk {
                disk: *random.one_of(&[Disk::Data, Disk::Logs]),
                ms: random.between(50, 2_000),
            },
            74..80 => Self::ExhaustDescriptors {
                holder: *random.one_of(&[Holder::Node, Holder::Identity, Holder::Storage]),
                ms: random.between(50, 1_500),
            },
            80..83 => Self::BreakSocket {
                service: random.one_of(&SERVING).to_string(),
                how: *random.one_of(&[Breakage::Removed, Breakage::Replaced]),
            },
            83..90 => Self::Restart { service: service(random) },
            90..95 => Self::StopAndStart { service: service(random), ms: random.between(1, 1_000) },
            _ => Self::Scale {
                service: random.one_of(&SCALABLE).to_string(),
                instances: u32::try_from(random.between(1, 5)).expect("below five"),
            },
        }
    }

    /// One that the node does not survive.
    pub(super) fn draw_death(random: &mut Random) -> Self {
        random.one_of(&[Self::KillNode, Self::KillGuardian, Self::EndNode]).clone()
    }
}

impl Socket {
    const ALL: [Self; 5] = [Self::Control, Self::Http, Self::Identity, Self::Storage, Self::Notify];
    const ACCEPTING: [Self; 4] = [Self::Control, Self::Http, Self::Identity, Self::Storage];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_can_be_written_and_read() {
        let mut random = Random::new(7);
        for _ in 0..2_000 {
            let action = Action::draw(&mut random);
            let read: Action = serde_json::from_str(&action.to_string()).expect("it is read");
            assert_eq!(read, action);
            assert!(!action.kind().is_empty());
        }
    }
}
