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
    /// `start_child`, with what the child is like.
    StartChild(Box<Role>),
    /// `start_child` under `simple_one_for_one`.
    StartInstance(String),
    /// `terminate_child` under `simple_one_for_one`, with the pid of the instance of that name.
    StopInstance(String),
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
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().with_context(|| format!("{what} is no object: {value}"))
}

fn list<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a [Value]> {
    match object.get(key) {
        None => Ok(&[]),
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
    let restarts_max = u32::try_from(intensity).context("invalid_intensity")?;
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
    let nested = match (kind, nested) {
        (ChildKind::Supervisor, None) => Some(tree(&Map::new())?),
        (ChildKind::Worker, Some(_)) => bail!("invalid_child_type: a worker has no `spec`"),
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
        Action::Exit(text(object, "exit", "")?.to_owned(), exit(object)?)
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
    let asked = match &supervisor {
        None => Some(tree),
        Some(name) => nested(tree, name),
    };
    let simple = asked.filter(|asked| asked.spec.strategy == Strategy::SimpleOneForOne);
    let request = match text(object, "call", "")? {
        "stop" => return Ok(Action::Stop),
        "start_child" => match simple {
            Some(simple) => Request::StartInstance(instance(object, simple, &supervisor, before)?),
            None => Request::StartChild(Box::new(child_to_start(object)?)),
        },
        "terminate_child" if simple.is_some() => Request::StopInstance(id()?),
        "terminate_child" => Request::Other(Call::StopChild(id()?)),
        "restart_child" => Request::Other(Call::StartChild(id()?)),
        "delete_child" => Request::Other(Call::RemoveChild(id()?)),
        "which_children" => Request::Other(Call::WhichChildren),
        "count_children" => Request::Other(Call::CountChildren),
        other => bail!("unknown call `{other}`: {}", Value::Object(object.clone())),
    };
    Ok(Action::Call(supervisor, request))
}

/// The child is under `child`, or under `spec` if that has an id or the step has one and `spec` looks
/// like a child, or it is the step itself.
fn child_to_start(object: &Map<String, Value>) -> Result<Role> {
    child(&Value::Object(object_to_start(object)?))
}

fn object_to_start(object: &Map<String, Value>) -> Result<Map<String, Value>> {
    let is_tree = |value: &Value| {
        ["strategy", "children", "intensity"].iter().any(|key| value.get(key).is_some())
    };
    let under = object.get("child").or_else(|| object.get("spec").filter(|spec| !is_tree(spec)));
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

/// What a new instance is called. In OTP it has no id; one without is the template's next.
fn instance(
    object: &Map<String, Value>,
    simple: &Scenario,
    supervisor: &Option<String>,
    before: &[Step],
) -> Result<String> {
    let child = object_to_start(object)?;
    let id = text(&child, "id", "")?;
    if !id.is_empty() {
        return Ok(id.to_owned());
    }
    let is_start = |step: &&Step| match &step.action {
        Action::Call(asked, Request::StartInstance(_)) => asked == supervisor,
        Action::Call(..) | Action::Exit(..) | Action::Stop => false,
    };
    let template = simple.children.first().map_or("", |role| role.spec.id.as_str());
    Ok(format!("{template}-{}", 1 + before.iter().filter(is_start).count()))
}

/// The first of that name, a supervisor's own children before those further down.
fn nested<'a>(tree: &'a Scenario, name: &str) -> Option<&'a Scenario> {
    let own = tree.children.iter().filter(|role| role.spec.id == name);
    let under = || tree.children.iter().filter_map(|role| role.nested.as_ref());
    let named = own.filter_map(|role| role.nested.as_ref()).next();
    named.or_else(|| under().find_map(|under| nested(under, name)))
}
