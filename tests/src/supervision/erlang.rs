//! Scripts played by OTP's own supervisor: `tests/erlang/story.erl` drives it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use blackhole_policy::{
    rehearsal::{Behaviour, Role, Scenario, Start},
    supervision::{AutoShutdown, Call, ChildKind, Counting, Exit, Restart, Shutdown, Strategy},
};
use serde_json::Value;
use tempfile::TempDir;

use super::scenario::{Action, Request, Script};

const DRIVER: &str = include_str!("../../erlang/story.erl");

/// How the driver goes from one step to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As soon as nothing moves; a step's time means nothing. Looks again every so many milliseconds.
    Prompt(u64),
    /// At the step's time, by the clock.
    Timed,
}

/// Whether there is an Erlang to compare with.
pub fn is_installed() -> bool {
    let mut erl = Command::new("erl");
    let erl = erl.args(["-noshell", "-eval", "halt(0)."]);
    erl.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The driver, compiled.
#[derive(Debug)]
pub struct Erlang {
    folder: TempDir,
}

impl Erlang {
    /// Compiles the driver.
    ///
    /// # Errors
    /// The compiler could not be run or did not like it.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("could not create a directory for the driver")?;
        let driver = folder.path().join("story.erl");
        fs::write(&driver, DRIVER).context("could not write the driver")?;
        run(Command::new("erlc").arg("-o").arg(folder.path()).arg(&driver))?;
        Ok(Self { folder })
    }

    /// Plays scripts, so many at a time, and gives the story of each.
    ///
    /// # Errors
    /// Erlang could not be run, or did not play all of them.
    pub fn play(
        &self,
        scripts: &[Script],
        pace: Pace,
        at_a_time: usize,
    ) -> Result<Vec<Vec<Value>>> {
        let mut terms = String::new();
        for (number, script) in scripts.iter().enumerate() {
            write_script(&mut terms, number, script, pace);
        }
        let file = self.folder.path().join("scenarios");
        fs::write(&file, terms).context("could not write the scenarios")?;
        let mut erl = Command::new("erl");
        erl.args(["-noshell", "-pa"]).arg(self.folder.path()).args(["-run", "story", "main"]);
        let told = run(erl.arg(&file).arg(at_a_time.to_string()))?;
        let mut stories = BTreeMap::new();
        for line in told.lines() {
            let (number, line) =
                line.split_once('\t').with_context(|| format!("odd line: {line}"))?;
            let number: usize = number.parse().with_context(|| format!("odd number: {number}"))?;
            let line = serde_json::from_str(line).with_context(|| format!("odd line: {line}"))?;
            stories.entry(number).or_insert_with(Vec::new).push(line);
        }
        // Every story has at least the line that the outermost supervisor has ended.
        if stories.len() != scripts.len() {
            bail!("Erlang told {} of {} stories:\n{told}", stories.len(), scripts.len());
        }
        Ok(stories.into_values().collect())
    }
}

impl Erlang {
    /// Plays one script by the clock, and gives its story.
    ///
    /// # Errors
    /// Erlang could not be run.
    pub fn play_one(&self, script: &Script) -> Result<Vec<Value>> {
        let stories = self.play(std::slice::from_ref(script), Pace::Timed, 1)?;
        Ok(stories.into_iter().flatten().collect())
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("could not run {command:?}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

fn write_script(terms: &mut String, number: usize, script: &Script, pace: Pace) {
    let pace = match pace {
        Pace::Prompt(millis) => format!("{{prompt,{millis}}}"),
        Pace::Timed => "{timed,20}".to_owned(),
    };
    let steps: Vec<String> = script
        .steps
        .iter()
        .map(|step| format!("{{{},{}}}", step.at.since_origin().as_millis(), action(&step.action)))
        .collect();
    let tree = tree(&script.tree);
    writeln!(terms, "{{{number},{pace},{tree},[{}]}}.", steps.join(","))
        .expect("a string takes all that is written to it");
}

fn action(action: &Action) -> String {
    match action {
        Action::Exit(child, exit) => format!("{{exit,'{child}',{}}}", reason(*exit)),
        Action::Stop => "stop".to_owned(),
        Action::Call(whom, request) => {
            let whom = whom.as_ref().map_or("root".to_owned(), |name| format!("'{name}'"));
            format!("{{call,{whom},{}}}", self::request(request))
        }
    }
}

fn request(request: &Request) -> String {
    match request {
        Request::StartChild(Some(role)) => format!("{{start_child,{}}}", child(role)),
        Request::StartChild(None) => "{start_child,none}".to_owned(),
        Request::StopChild(id) => format!("{{terminate_child,'{id}'}}"),
        Request::Other(Call::StartChild(id)) => format!("{{restart_child,'{id}'}}"),
        Request::Other(Call::RemoveChild(id)) => format!("{{delete_child,'{id}'}}"),
        Request::Other(Call::CountChildren) => "count_children".to_owned(),
        Request::Other(_) => "which_children".to_owned(),
    }
}

fn reason(exit: Exit) -> &'static str {
    match exit {
        Exit::Normal => "normal",
        Exit::Shutdown => "shutdown",
        Exit::Killed => "killed",
        Exit::Abnormal => "crash",
    }
}

fn tree(tree: &Scenario) -> String {
    let strategy = match tree.spec.strategy {
        Strategy::OneForOne => "one_for_one",
        Strategy::OneForAll => "one_for_all",
        Strategy::RestForOne => "rest_for_one",
        Strategy::SimpleOneForOne => "simple_one_for_one",
    };
    let (intensity, period) = match tree.spec.counting {
        Counting::Shared(limit) => (limit.restarts_max, limit.window.as_secs()),
        Counting::PerChild => (0, 1),
    };
    let auto_shutdown = match tree.spec.auto_shutdown {
        AutoShutdown::Never => "never",
        AutoShutdown::AnySignificant => "any_significant",
        AutoShutdown::AllSignificant => "all_significant",
    };
    let children: Vec<String> = tree.children.iter().map(child).collect();
    format!(
        "{{#{{strategy=>{strategy},intensity=>{intensity},period=>{period},\
         auto_shutdown=>{auto_shutdown}}},[{}]}}",
        children.join(",")
    )
}

fn child(role: &Role) -> String {
    let spec = &role.spec;
    let restart = match spec.restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    };
    let shutdown = match spec.shutdown {
        Shutdown::Brutal => "brutal_kill".to_owned(),
        Shutdown::Timeout(grace) => grace.as_millis().to_string(),
        Shutdown::Infinity => "infinity".to_owned(),
    };
    let kind = match spec.kind {
        ChildKind::Worker => "worker",
        ChildKind::Supervisor => "supervisor",
    };
    let nested = role.nested.as_ref().map_or("none".to_owned(), tree);
    format!(
        "{{#{{id=>'{}',restart=>{restart},significant=>{},shutdown=>{shutdown},type=>{kind}}},{},{nested}}}",
        spec.id,
        spec.significant,
        behaviour(&role.behaviour),
    )
}

fn behaviour(behaviour: &Behaviour) -> String {
    let start = match behaviour.start {
        Start::Ignored => "ignore".to_owned(),
        Start::FailsFrom(first) => format!("{{fail_from,{first}}}"),
        Start::UpAfter(_) | Start::FailsBetween(..) => "ok".to_owned(),
    };
    format!("{{{start},{}}}", behaviour.stop_after.as_millis())
}
