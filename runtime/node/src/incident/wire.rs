//! The policy's types as JSON: it knows no serialisation, so each is declared here once more. A variant or
//! a field that is missing here does not compile.

use std::time::Duration;

use blackhole_policy::{
    backoff::Backoff,
    moment::Moment,
    supervision::{
        self, AutoShutdown, Call, CallId, ChildKind, ChildSpec, Counting, Discipline, Exit,
        Generation, OnFailed, Restart, RestartLimit, Shutdown, Strategy, SupervisorExit,
        SupervisorSpec,
        checkpoint::{self, ChildCheckpoint, Course, Grace, Graces, GroupCheckpoint, Next, State},
    },
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// As a number of nanoseconds since the node's origin; 584 years are its end.
pub(crate) fn nanoseconds(moment: Moment) -> u64 {
    u64::try_from(moment.since_origin().as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn moment(nanoseconds: u64) -> Moment {
    Moment::after_origin(Duration::from_nanos(nanoseconds))
}

/// What a supervisor remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint(#[serde(with = "CheckpointDef")] pub(crate) checkpoint::Checkpoint<String>);

/// What a supervisor is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event(#[serde(with = "EventDef")] pub(crate) supervision::Event<String>);

/// Declares a module that carries a type through another one, and lists and options of it.
macro_rules! carried {
    ($($module:ident: $type:ty as $carrier:ty, $out:expr, $into:expr;)*) => { $(
        mod $module {
            use super::*;

            pub(super) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let out: fn(&$type) -> $carrier = $out;
                out(value).serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let into: fn($carrier) -> $type = $into;
                <$carrier>::deserialize(deserializer).map(into)
            }
        }
    )* };
}

carried! {
    as_moment: Moment as u64, |value| nanoseconds(*value), moment;
    as_moment_maybe: Option<Moment> as Option<u64>,
        |value| value.map(nanoseconds), |value| value.map(moment);
    as_moments: Vec<Moment> as Vec<u64>,
        |value| value.iter().copied().map(nanoseconds).collect(),
        |value| value.into_iter().map(moment).collect();
    as_generation: Generation as u64, |value| value.0, Generation;
    as_call: CallId as u64, |value| value.0, CallId;
    as_calls: Vec<CallId> as Vec<u64>,
        |value| value.iter().map(|call| call.0).collect(),
        |value| value.into_iter().map(CallId).collect();
    as_specs: Vec<ChildSpec<String>> as Vec<Spec>,
        |value| value.iter().cloned().map(Spec).collect(),
        |value| value.into_iter().map(|spec| spec.0).collect();
    as_spec_maybe: Option<ChildSpec<String>> as Option<Spec>,
        |value| value.clone().map(Spec), |value| value.map(|spec| spec.0);
    as_children: Vec<ChildCheckpoint<String>> as Vec<Child>,
        |value| value.iter().cloned().map(Child).collect(),
        |value| value.into_iter().map(|child| child.0).collect();
    as_groups: Vec<GroupCheckpoint<String>> as Vec<Group>,
        |value| value.iter().cloned().map(Group).collect(),
        |value| value.into_iter().map(|group| group.0).collect();
}

#[derive(Serialize, Deserialize)]
struct Spec(#[serde(with = "ChildSpecDef")] ChildSpec<String>);

#[derive(Serialize, Deserialize)]
struct Child(#[serde(with = "ChildCheckpointDef")] ChildCheckpoint<String>);

#[derive(Serialize, Deserialize)]
struct Group(#[serde(with = "GroupCheckpointDef")] GroupCheckpoint<String>);

#[derive(Serialize, Deserialize)]
#[serde(remote = "supervision::Event<String>", rename_all = "snake_case")]
enum EventDef {
    StartRequested,
    Started {
        child: String,
        #[serde(with = "as_generation")]
        generation: Generation,
    },
    StartFailed {
        child: String,
        #[serde(with = "as_generation")]
        generation: Generation,
        jitter: f64,
    },
    Ignored {
        child: String,
        #[serde(with = "as_generation")]
        generation: Generation,
    },
    Exited {
        child: String,
        #[serde(with = "as_generation")]
        generation: Generation,
        #[serde(with = "ExitDef")]
        exit: Exit,
        jitter: f64,
    },
    StopRequested,
    Called {
        #[serde(with = "as_call")]
        call: CallId,
        #[serde(with = "CallDef")]
        request: Call<String>,
    },
    DeadlineReached,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Call<String>", rename_all = "snake_case")]
enum CallDef {
    AddChild(#[serde(with = "ChildSpecDef")] ChildSpec<String>),
    AddInstance(String),
    StopChild(String),
    StopIncarnation(String, #[serde(with = "as_generation")] Generation),
    StartChild(String),
    RestartChild(String),
    RemoveChild(String),
    UpdateChild(#[serde(with = "ChildSpecDef")] ChildSpec<String>),
    Reconfigure(
        #[serde(with = "SupervisorSpecDef")] SupervisorSpec,
        #[serde(with = "as_specs")] Vec<ChildSpec<String>>,
    ),
    DescribeChild(String),
    WhichChildren,
    CountChildren,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Exit", rename_all = "snake_case")]
enum ExitDef {
    Normal,
    Shutdown,
    Killed,
    Abnormal,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SupervisorSpec")]
struct SupervisorSpecDef {
    #[serde(with = "StrategyDef")]
    strategy: Strategy,
    #[serde(with = "DisciplineDef")]
    discipline: Discipline,
    #[serde(with = "CountingDef")]
    counting: Counting,
    #[serde(with = "AutoShutdownDef")]
    auto_shutdown: AutoShutdown,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Strategy", rename_all = "snake_case")]
enum StrategyDef {
    OneForOne,
    OneForAll,
    RestForOne,
    SimpleOneForOne,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Discipline", rename_all = "snake_case")]
enum DisciplineDef {
    Strict,
    Concurrent,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Counting", rename_all = "snake_case")]
enum CountingDef {
    Shared(#[serde(with = "RestartLimitDef")] RestartLimit),
    PerChild,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RestartLimit")]
struct RestartLimitDef {
    restarts_max: u32,
    window: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AutoShutdown", rename_all = "snake_case")]
enum AutoShutdownDef {
    Never,
    AnySignificant,
    AllSignificant,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ChildSpec<String>")]
struct ChildSpecDef {
    id: String,
    #[serde(with = "RestartDef")]
    restart: Restart,
    #[serde(with = "ShutdownDef")]
    shutdown: Shutdown,
    significant: bool,
    #[serde(with = "ChildKindDef")]
    kind: ChildKind,
    after: Vec<String>,
    #[serde(with = "RestartLimitDef")]
    limit: RestartLimit,
    #[serde(with = "OnFailedDef")]
    on_failed: OnFailed,
    #[serde(with = "BackoffDef")]
    backoff: Backoff,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Restart", rename_all = "snake_case")]
enum RestartDef {
    Permanent,
    Transient,
    Temporary,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Shutdown", rename_all = "snake_case")]
enum ShutdownDef {
    Brutal,
    Timeout(Duration),
    Infinity,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ChildKind", rename_all = "snake_case")]
enum ChildKindDef {
    Worker,
    Supervisor,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OnFailed", rename_all = "snake_case")]
enum OnFailedDef {
    Rest,
    Escalate,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Backoff")]
struct BackoffDef {
    initial: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
    reset_after: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "checkpoint::Checkpoint<String>")]
struct CheckpointDef {
    #[serde(with = "SupervisorSpecDef")]
    spec: SupervisorSpec,
    #[serde(with = "as_spec_maybe")]
    template: Option<ChildSpec<String>>,
    #[serde(with = "as_children")]
    children: Vec<ChildCheckpoint<String>>,
    #[serde(with = "as_moments")]
    restarts: Vec<Moment>,
    #[serde(with = "as_groups")]
    groups: Vec<GroupCheckpoint<String>>,
    #[serde(with = "CourseDef")]
    course: Course<String>,
    #[serde(with = "as_generation")]
    generation_floor: Generation,
    #[serde(with = "as_generation")]
    generation_max: Generation,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ChildCheckpoint<String>")]
struct ChildCheckpointDef {
    #[serde(with = "ChildSpecDef")]
    spec: ChildSpec<String>,
    #[serde(with = "as_generation")]
    generation: Generation,
    #[serde(with = "StateDef")]
    state: State,
    #[serde(with = "as_moments")]
    restarts: Vec<Moment>,
    restarts_in_a_row: u32,
    #[serde(with = "as_calls")]
    callers: Vec<CallId>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "GroupCheckpoint<String>")]
struct GroupCheckpointDef {
    members: Vec<String>,
    #[serde(with = "as_moment_maybe")]
    until: Option<Moment>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Course<String>", rename_all = "snake_case")]
enum CourseDef {
    Unstarted,
    Rising,
    Risen,
    Ending {
        #[serde(with = "SupervisorExitDef")]
        why: SupervisorExit<String>,
        #[serde(with = "GracesDef")]
        graces: Graces,
    },
    Ended,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SupervisorExit<String>", rename_all = "snake_case")]
enum SupervisorExitDef {
    Stopped,
    RestartedTooOften(String),
    AutoShutdown(String),
    StartFailed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Graces", rename_all = "snake_case")]
enum GracesDef {
    Given,
    Skipped,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "State", rename_all = "snake_case")]
enum StateDef {
    Pending,
    Starting {
        #[serde(with = "as_generation")]
        generation: Generation,
    },
    Up {
        #[serde(with = "as_generation")]
        generation: Generation,
        #[serde(with = "as_moment")]
        since: Moment,
    },
    BackingOff {
        #[serde(with = "as_moment")]
        until: Moment,
    },
    Leaving {
        #[serde(with = "as_generation")]
        generation: Generation,
        #[serde(with = "NextDef")]
        next: Next,
    },
    Stopping {
        #[serde(with = "as_generation")]
        generation: Generation,
        #[serde(with = "GraceDef")]
        grace: Grace,
        #[serde(with = "NextDef")]
        next: Next,
    },
    Completed(#[serde(with = "ExitDef")] Exit),
    Stopped,
    Failed,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Next", rename_all = "snake_case")]
enum NextDef {
    Start,
    Complete,
    Stop,
    Remove,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Grace", rename_all = "snake_case")]
enum GraceDef {
    Unlimited,
    Until(#[serde(with = "as_moment")] Moment),
    Killed {
        #[serde(with = "as_moment")]
        overdue_at: Moment,
    },
    Unkillable,
}
