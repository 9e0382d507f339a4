//! `hot-path NAME COUNT`: goes one path so many times, for whoever counts its instructions.

use std::{
    env, hint::black_box, io::Write, num::NonZeroU32, os::fd::OwnedFd, sync::Arc, time::Duration,
};

use anyhow::{Context, bail};
use blackhole_config::{HostFacts, Overrides, Source};
use blackhole_node::logs::{Closed, LogSettings, Logs, Origin};
use blackhole_policy::{
    backoff::Backoff,
    moment::Moment,
    supervision::{
        AutoShutdown, ChildKind, ChildSpec, Command, Counting, Discipline, Event, Exit, OnFailed,
        Restart, RestartLimit, Shutdown, Strategy, Supervisor, SupervisorSpec,
    },
};
use blackhole_process::Launch;
use blackhole_protocol::{InstanceId, link};

const CHILDREN: u32 = 200;

/// Less than a pipe holds.
const LINES_AT_ONCE: u32 = 500;

fn main() -> anyhow::Result<()> {
    let mut words = env::args().skip(1);
    let path = words.next().context("which path?")?;
    let count: u32 = words.next().context("how often?")?.parse()?;
    match path.as_str() {
        "policy" => policy(count),
        "frame-encode" => frame_encode(count),
        "frame-decode" => frame_decode(count),
        "log-line" => log_lines(count),
        "config-load" => config_load(count),
        "launch" => launch(count),
        unknown => bail!("there is no path `{unknown}`"),
    }
}

/// One of 200 children crashes and is started again.
fn policy(count: u32) -> anyhow::Result<()> {
    let limit = RestartLimit { restarts_max: u32::MAX, window: Duration::from_secs(1) };
    let child = |id| ChildSpec {
        id,
        restart: Restart::Permanent,
        shutdown: Shutdown::Brutal,
        significant: false,
        kind: ChildKind::Worker,
        after: Vec::new(),
        limit,
        on_failed: OnFailed::Rest,
        backoff: Backoff::NONE,
    };
    let spec = SupervisorSpec {
        strategy: Strategy::OneForOne,
        discipline: Discipline::Concurrent,
        counting: Counting::PerChild,
        auto_shutdown: AutoShutdown::Never,
    };
    let mut supervisor = Supervisor::new(spec, (0..CHILDREN).map(child).collect())
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut now = Moment::ORIGIN;
    let mut running = vec![None; CHILDREN as usize];
    let mut tell = |event| {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            now = Moment::after_origin(now.since_origin() + Duration::from_secs(1));
            for command in supervisor.on_event(now, event) {
                if let Command::Start { child, generation } = command {
                    running[child as usize] = Some(generation);
                    events.push(Event::Started { child, generation });
                }
            }
        }
        running.clone()
    };
    let mut running = tell(Event::StartRequested);
    for round in 0..count {
        let child = round % CHILDREN;
        let generation = running[child as usize].context("it was started")?;
        running = tell(Event::Exited { child, generation, exit: Exit::Abnormal, jitter: 0.0 });
    }
    Ok(())
}

/// A heartbeat becomes bytes.
fn frame_encode(count: u32) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(64);
    for sequence in 0..count {
        bytes.clear();
        link::append_frame(&link::ToChild::Ping { sequence: sequence.into() }, &mut bytes)?;
        black_box(&bytes);
    }
    Ok(())
}

/// And a message again.
fn frame_decode(count: u32) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    link::append_frame(&link::ToChild::Ping { sequence: 300 }, &mut bytes)?;
    for _ in 0..count {
        let message: link::ToChild = link::decode(black_box(&bytes[link::LENGTH_PREFIX..]))?;
        black_box(message);
    }
    Ok(())
}

/// A line that a service prints is captured, understood and stored. Lines come many at once, each
/// time from a new process that prints and ends, so that every run reads as many at a time.
fn log_lines(count: u32) -> anyhow::Result<()> {
    const LINE: &str = "2026-11-21T06:42:00Z WARN connection refused by 10.0.0.7: trying again\n";
    let directory = tempfile::tempdir()?;
    let config = load(String::new())?;
    let logs = Logs::open(LogSettings {
        directory: directory.path().to_owned(),
        node: "bench".into(),
        limits: config.logs,
    })?;
    let instance = InstanceId { service: "web".parse()?, index: NonZeroU32::MIN };
    let origin = Arc::new(Origin { instance, generation: 1, pid: 1 });
    let lines = LINE.repeat(LINES_AT_ONCE as usize);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for _ in 0..count / LINES_AT_ONCE {
        let (stdout, mut writer) = std::io::pipe()?;
        let (stderr, _) = std::io::pipe()?;
        writer.write_all(lines.as_bytes())?;
        drop(writer);
        let outputs = [OwnedFd::from(stdout), OwnedFd::from(stderr)];
        let capture = logs.capture(origin.clone(), outputs, None)?;
        let closed = runtime.block_on(capture.closed(Duration::from_secs(60)));
        anyhow::ensure!(matches!(closed, Closed::Clean), "the lines are not stored in a minute");
    }
    runtime.block_on(logs.flush(Duration::from_secs(60)))?;
    Ok(())
}

/// A file of 200 services is read, checked and understood.
fn config_load(count: u32) -> anyhow::Result<()> {
    let service =
        |number| format!("[services.s{number}]\ncommand = [\"/bin/true\"]\ninstances = 2\n");
    let text: String = (0..CHILDREN).map(service).collect();
    for _ in 0..count {
        black_box(load(text.clone())?);
    }
    Ok(())
}

fn load(text: String) -> anyhow::Result<blackhole_config::Config> {
    let source = Source::Text { name: "bench.toml".into(), text, folder: "/".into() };
    let host = HostFacts {
        hostname: "bench".into(),
        current_dir: "/".into(),
        home: Some("/root".into()),
        xdg_runtime_dir: Some("/run/user/1".into()),
        ..HostFacts::default()
    };
    let loaded = blackhole_config::load(source, &Overrides::default(), &host);
    Ok(loaded.map_err(|rejected| anyhow::anyhow!("{:?}", rejected.problems))?.config)
}

/// What a start needs is put together.
fn launch(count: u32) -> anyhow::Result<()> {
    for _ in 0..count {
        let names = ["NODE", "SERVICE", "INSTANCE", "RUNTIME_DIR", "DATA_DIR"];
        let builder = names.iter().fold(Launch::builder(["/bin/true"]), |builder, name| {
            builder.variable(format!("BLACKHOLE_{name}"), "a value of some length")
        });
        black_box(builder.token_variable("BLACKHOLE_TOKEN").build()?);
    }
    Ok(())
}
