//! Words that are chosen from a list.

use blackhole_policy::{
    budget::Tier,
    supervision::{Restart, Strategy},
};

use crate::{Mode, OnFailed, read::choices};

choices! { Strategy {
    "one_for_one" => Strategy::OneForOne,
    "one_for_all" => Strategy::OneForAll,
    "rest_for_one" => Strategy::RestForOne,
} }

choices! { Restart {
    "permanent" => Restart::Permanent,
    "transient" => Restart::Transient,
    "temporary" => Restart::Temporary,
} }

choices! { OnFailed {
    "rest" => OnFailed::Rest,
    "escalate" => OnFailed::Escalate,
} }

choices! { Tier {
    "critical" => Tier::Critical,
    "core" => Tier::Core,
    "standard" => Tier::Standard,
} }

choices! { Mode {
    "subprocess" => Mode::Subprocess,
    "embedded" => Mode::Embedded,
} }
