//! A scenario as JSON, and as what a rehearsal takes.
//!
//! `supervision-trace.md` beside the binary of that name is the description.

mod writing;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use blackhole_policy::{
    moment::Moment,
    rehearsal::{Behaviour, Role, Scenario, Start},
    supervision::{
        AutoShutdown, Call, ChildKind, ChildSpec, Counting, Exit, Restart, RestartLimit, Shutdown,
        Strategy, SupervisorSpec,
    },
};
use serde_json::{Map, Value};

/// A supervisor and what happens to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The tree.
    pub tree: Scenario,
    /// In order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When, if not at once.
    pub at: Moment,
    /// What.
    pub action: Action,
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A child ends by itself.
    Exit(String, Exit),
    /// Somebody asks a supervisor for something: the outermost, or the one named.
    Call(Option<String>, Request),
    /// The outermost supervisor is stopped.
    Stop,
}

/// What a supervisor is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `start_child`, with what the child is like: under `simple_one_for_one` its name alone counts, and
    /// there may be none.
    StartChild(Option<Box<Role>>),
    /// `terminate_child`: under `simple_one_for_one` with the pid of the instance of that name.
    StopChild(String),
    /// The others.
    Other(Call<String>),
}

impl Script {
    /// Reads a scenario.
    ///
    /// # Errors
    /// It is no JSON, or a key is missing or of the wrong kind.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(text).context("could not read the scenario as JSON")?;
        let object = object(&value, "the scenario")?;
        let tree = tree(object)?;
        let mut steps = Vec::new();
        for (index, value) in list(object, "steps")?.iter().enumerate() {
            let step = step(value, &tree, &steps).with_context(|| format!("in step {index}"))?;
            steps.push(step);
        }
        Ok(Self { tree, steps })
    }

    /// Whether some supervisor makes its children after a template.
    pub fn has_instances(&self) -> bool {
        let mut nested = with_all_under(self.tree.children.iter().chain(added(&self.steps)));
        is_simple(&self.tree) || nested.any(|role| role.nested.as_ref().is_some_and(is_simple))
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().with_context(|| format!("{what} is no object: {value}"))
}

fn list<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a [Value]> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(value) => {
            Ok(value.as_array().with_context(|| format!("`{key}` is no list: {value}"))?)
        }
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str, default: &'a str) -> Result<&'a str> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_str().with_context(|| format!("`{key}` is no string: {value}")),
    }
}

fn number(object: &Map<String, Value>, key: &str, default: u64) -> Result<u64> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_u64().with_context(|| format!("`{key}` is no number: {value}")),
    }
}

fn tree(object: &Map<String, Value>) -> Result<Scenario> {
    let strategy = match text(object, "strategy", "one_for_one")? {
        "one_for_one" => Strategy::OneForOne,
        "one_for_all" => Strategy::OneForAll,
        "rest_for_one" => Strategy::RestForOne,
        "simple_one_for_one" => Strategy::SimpleOneForOne,
        other => bail!("invalid_strategy: {other}"),
    };
    let auto_shutdown = match text(object, "auto_shutdown", "never")? {
        "never" => AutoShutdown::Never,
        "any_significant" => AutoShutdown::AnySignificant,
        "all_significant" => AutoShutdown::AllSignificant,
        other => bail!("invalid_auto_shutdown: {other}"),
    };
    let intensity = number(object, "intensity", 1).context("invalid_intensity")?;
    // So many restarts are as good as any number of them.
    let restarts_max = u32::try_from(intensity).unwrap_or(u32::MAX);
    let period = number(object, "period_s", 5).context("invalid_period")?;
    if period == 0 {
        bail!("invalid_period: 0");
    }
    let limit = RestartLimit { restarts_max, window: Duration::from_secs(period) };
    let spec = SupervisorSpec {
        strategy,
        counting: Counting::Shared(limit),
        auto_shutdown,
        ..SupervisorSpec::OTP
    };
    let children = list(object, "children")?.iter().map(child).collect::<Result<_>>()?;
    Ok(Scenario { spec, children })
}

fn child(value: &Value) -> Result<Role> {
    let object = object(value, "a child")?;
    let id = text(object, "id", "")?.to_owned();
    if id.is_empty() {
        bail!("missing_id: {value}");
    }
    role(object, id.clone()).with_context(|| format!("in child `{id}`"))
}

fn role(object: &Map<String, Value>, id: String) -> Result<Role> {
    let nested = match object.get("spec") {
        None | Some(Value::Null) => None,
        Some(spec) => Some(tree(self::object(spec, "`spec`")?)?),
    };
    let kind = match text(object, "type", if nested.is_some() { "supervisor" } else { "worker" })? {
        "worker" => ChildKind::Worker,
        "supervisor" => ChildKind::Supervisor,
        other => bail!("invalid_child_type: {other}"),
    };
    let default = match kind {
        ChildKind::Worker => ChildSpec::worker(id),
        ChildKind::Supervisor => ChildSpec::supervisor(id),
    };
    let restart = match text(object, "restart", "permanent")? {
        "permanent" => Restart::Permanent,
        "transient" => Restart::Transient,
        "temporary" => Restart::Temporary,
        other => bail!("invalid_restart_type: {other}"),
    };
    let shutdown = shutdown(object.get("shutdown"))?.unwrap_or(default.shutdown);
    let significant = match object.get("significant") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(other) => bail!("invalid_significant: {other}"),
    };
    // The type is a label: what a child really is, its start decides.
    let nested = match (kind, nested) {
        (ChildKind::Supervisor, None) => Some(tree(&Map::new())?),
        (ChildKind::Supervisor | ChildKind::Worker, nested) => nested,
    };
    let behaviour = behaviour(object.get("behaviour"))?;
    Ok(Role { spec: ChildSpec { restart, shutdown, significant, ..default }, behaviour, nested })
}

fn shutdown(value: Option<&Value>) -> Result<Option<Shutdown>> {
    Ok(match value {
        None | Some(Value::Null) => None,
        Some(Value::String(word)) if word == "brutal" || word == "brutal_kill" => {
            Some(Shutdown::Brutal)
        }
        Some(Value::String(word)) if word == "infinity" => Some(Shutdown::Infinity),
        Some(value) => {
            let millis = value.as_u64().with_context(|| format!("invalid_shutdown: {value}"))?;
            Some(Shutdown::Timeout(Duration::from_millis(millis)))
        }
    })
}

fn behaviour(value: Option<&Value>) -> Result<Behaviour> {
    match value {
        None | Some(Value::Null) => Ok(Behaviour::PROMPT),
        Some(Value::String(word)) if word == "ok" => Ok(Behaviour::PROMPT),
        Some(Value::String(word)) if word == "ignore" => Ok(Behaviour::starting(Start::Ignored)),
        Some(Value::Object(object)) => {
            let is_known = |key: &String| ["fail_from", "slow_stop_ms"].contains(&key.as_str());
            if let Some(unknown) = object.keys().find(|key| !is_known(key)) {
                bail!("unknown behaviour: {unknown}");
            }
            let mut behaviour = Behaviour::PROMPT;
            if object.contains_key("fail_from") {
                behaviour.start = Start::FailsFrom(number(object, "fail_from", 1)?);
            }
            behaviour.stop_after = Duration::from_millis(number(object, "slow_stop_ms", 0)?);
            Ok(behaviour)
        }
        Some(other) => bail!("unknown behaviour: {other}"),
    }
}

fn step(value: &Value, tree: &Scenario, before: &[Step]) -> Result<Step> {
    let object = object(value, "a step")?;
    let at = Moment::from_millis(number(object, "at_ms", 0)?);
    let action = if object.contains_key("exit") {
        let child = object["exit"].as_str();
        let child = child.with_context(|| format!("`exit` names no child: {}", object["exit"]))?;
        Action::Exit(child.to_owned(), exit(object)?)
    } else {
        call(object, tree, before)?
    };
    Ok(Step { at, action })
}

fn exit(object: &Map<String, Value>) -> Result<Exit> {
    Ok(match text(object, "reason", "crash")? {
        "normal" => Exit::Normal,
        "shutdown" => Exit::Shutdown,
        "killed" => Exit::Killed,
        "crash" => Exit::Abnormal,
        other => bail!("unknown reason: {other}"),
    })
}

fn call(object: &Map<String, Value>, tree: &Scenario, before: &[Step]) -> Result<Action> {
    let supervisor = match text(object, "supervisor", "")? {
        "" => None,
        name => Some(name.to_owned()),
    };
    let id = || match text(object, "id", "")? {
        "" => bail!("the call names no child: {}", Value::Object(object.clone())),
        id => Ok(id.to_owned()),
    };
    let request = match text(object, "call", "")? {
        "stop" => return Ok(Action::Stop),
        "start_child" => {
            let child = object_to_start(object)?;
            let is_named = child.get("id").is_some_and(|id| *id != Value::Null && *id != "");
            let role = if is_named || !may_be_simple(tree, before, supervisor.as_deref()) {
                Some(Box::new(self::child(&Value::Object(child))?))
            } else {
                None
            };
            Request::StartChild(role)
        }
        "terminate_child" => Request::StopChild(id()?),
        "restart_child" => Request::Other(Call::StartChild(id()?)),
        "delete_child" => Request::Other(Call::RemoveChild(id()?)),
        "which_children" => Request::Other(Call::WhichChildren),
        "count_children" => Request::Other(Call::CountChildren),
        other => bail!("unknown call `{other}`: {}", Value::Object(object.clone())),
    };
    Ok(Action::Call(supervisor, request))
}

/// The child is under `child`, or under `spec` if that says what only a child has, or it is the step itself.
fn object_to_start(object: &Map<String, Value>) -> Result<Map<String, Value>> {
    const OF_A_CHILD: [&str; 7] =
        ["id", "restart", "shutdown", "significant", "type", "spec", "behaviour"];
    let is_child = |value: &&Value| OF_A_CHILD.iter().any(|key| value.get(key).is_some());
    let under = object.get("child").or_else(|| object.get("spec").filter(is_child));
    let mut child = match under {
        Some(value) => self::object(value, "the child")?.clone(),
        None => object.clone(),
    };
    if !child.contains_key("id")
        && let Some(id) = object.get("id")
    {
        child.insert("id".to_owned(), id.clone());
    }
    Ok(child)
}

/// Whether that supervisor, or one of that name, makes its children after a template.
fn may_be_simple(tree: &Scenario, before: &[Step], supervisor: Option<&str>) -> bool {
    let Some(name) = supervisor else { return is_simple(tree) };
    with_all_under(tree.children.iter().chain(added(before)))
        .any(|role| role.spec.id == name && role.nested.as_ref().is_some_and(is_simple))
}

fn is_simple(tree: &Scenario) -> bool {
    tree.spec.strategy == Strategy::SimpleOneForOne
}

/// Children that calls ask for.
fn added(steps: &[Step]) -> impl Iterator<Item = &Role> {
    steps.iter().filter_map(|step| match &step.action {
        Action::Call(_, Request::StartChild(role)) => role.as_deref(),
        Action::Call(..) | Action::Exit(..) | Action::Stop => None,
    })
}

fn with_all_under<'a>(roles: impl Iterator<Item = &'a Role>) -> impl Iterator<Item = &'a Role> {
    let mut left: Vec<&Role> = roles.collect();
    std::iter::from_fn(move || {
        let role = left.pop()?;
        left.extend(role.nested.iter().flat_map(|nested| &nested.children));
        Some(role)
    })
}
