//! `[services.*]`: one service by itself. What concerns several is checked beside it.

use std::time::Duration;

use blackhole_isolation::Enforcement;
use blackhole_policy::{
    backoff::Backoff,
    supervision::{Restart, RestartLimit, Strategy},
};

use super::{
    Context, Unit, adapting, environment, limit,
    probes::{self, Speaker},
    resources, sandbox, secrets,
};
use crate::{
    Config, Kind, Listen, Mode, OnFailed, Service, Stop, User,
    problem::{Draft, Problems, nearest},
    raw::{Grace, RawBackoff, RawService},
    read::{Field, Located},
    tree::Place,
};

const SIGTERM: i32 = 15;
const GRACE: Duration = Duration::from_secs(10);

/// What the node says for every service that does not say otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) limit: RestartLimit,
    pub(super) enforcement: Enforcement,
}

pub(super) fn validate(
    unit: &Unit<'_, RawService>,
    default: Defaults,
    context: Context<'_>,
    problems: &mut Problems,
) -> Service {
    let raw = unit.raw;
    let kind = kind(unit, context, problems);
    let speaker = match &kind {
        Kind::Command(_) => Speaker::Command,
        Kind::Native { mode: Mode::Subprocess, .. } => Speaker::Subprocess,
        Kind::Native { mode: Mode::Embedded, .. } => Speaker::Embedded,
    };
    if speaker == Speaker::Embedded {
        refuse_embedded(raw, default, problems);
        warn_embedded(raw, problems);
    }
    let folder = &context.source.folder;
    let probes = probes::validate(raw, speaker, folder, problems);
    let resources = resources::validate(raw.resources.value(), context, problems);
    resources::check_network(raw, problems);
    let scale = adapting::scale(raw, problems);
    Service {
        name: unit.name.clone(),
        group: None,
        kind,
        enabled: raw.enabled.value().copied().unwrap_or(true),
        instances: adapting::instances(raw, scale.as_ref(), problems),
        depends_on: Vec::new(),
        after: Vec::new(),
        restart: raw.restart.value().copied().unwrap_or(Restart::Permanent),
        limit: limit(&raw.restarts_max, &raw.restarts_window, default.limit, problems),
        on_failed: raw.on_failed.value().copied().unwrap_or(OnFailed::Rest),
        backoff: backoff(raw.backoff.value(), problems),
        startup: probes.startup,
        ready: probes.ready,
        live: probes.live,
        start_deadline: probes.start_deadline,
        stop: stop(raw),
        listen: listen(raw),
        working_directory: raw.working_directory.given().map(|located| {
            let base = context.source.base(&located.place.origin, context.host);
            located.value.clone().relative_to(base)
        }),
        user: user(raw, context, problems),
        environment: environment::validate(raw, context, problems),
        enforcement: raw.enforce.value().copied().unwrap_or(default.enforcement),
        sandbox: sandbox::validate(raw, context, problems),
        secrets: secrets::validate(raw, context, problems),
        tier: raw.tier.value().copied().unwrap_or_default(),
        guarantee: adapting::guarantee(raw, &resources, problems),
        scale: scale.filter(|_| speaker != Speaker::Embedded),
        resources,
    }
}

fn kind(unit: &Unit<'_, RawService>, context: Context<'_>, problems: &mut Problems) -> Kind {
    let raw = unit.raw;
    let natives = &context.host.native_services;
    if let Some(command) = raw.command.value() {
        for place in [key(&raw.mode), key(&raw.settings)].into_iter().flatten() {
            let rule = "is for native services, and this one has a command";
            problems.push(Draft::new(place, rule).hint("leave it out, or the command"));
        }
        return Kind::Command(command.0.clone());
    }
    if raw.command.is_absent() && !natives.iter().any(|native| native == unit.name.as_str()) {
        let known: Vec<&str> = natives.iter().map(String::as_str).collect();
        let listed = match known.as_slice() {
            [] => "this binary has none".to_owned(),
            known => format!("native services are: {}", known.join(", ")),
        };
        let hint = match nearest(unit.name.as_str(), &known) {
            Some(near) => format!("did you mean `{near}`? Otherwise add `command = [\"…\"]`"),
            None => "add `command = [\"program\", \"argument\"]`".to_owned(),
        };
        let rule = format!("has no command and is not a native service; {listed}");
        problems.push(Draft::new(&unit.written.key, rule).hint(hint));
    }
    Kind::Native {
        mode: raw.mode.value().copied().unwrap_or(Mode::Subprocess),
        settings: raw.settings.value().map_or("{}".to_owned(), |settings| settings.0.to_string()),
    }
}

fn key<T>(field: &Field<T>) -> Option<&Place> {
    field.given().map(|located| &located.key)
}

/// Rights that it must not have, and limits that must hold, where nothing can keep it from them.
fn refuse_embedded(raw: &RawService, default: Defaults, problems: &mut Problems) {
    let strict = raw.enforce.value().copied().unwrap_or(default.enforcement) == Enforcement::Strict;
    let resources = key(&raw.resources).filter(|_| strict);
    let rights = [key(&raw.user), key(&raw.sandbox)];
    for place in rights.into_iter().chain([resources]).flatten() {
        let rule = "cannot hold with `mode = \"embedded\"`: it runs inside the node's process";
        let hint = "write `mode = \"subprocess\"`, or leave it out";
        problems.push(Draft::new(place, rule).hint(hint));
    }
}

/// What a process of its own would have been needed for.
fn warn_embedded(raw: &RawService, problems: &mut Problems) {
    let needs_process = [
        key(&raw.working_directory),
        key(&raw.environment),
        key(&raw.environment_files),
        key(&raw.clear_environment),
        key(&raw.resources),
        key(&raw.enforce),
        key(&raw.secrets),
        key(&raw.tier),
        key(&raw.scale),
    ];
    for place in needs_process.into_iter().flatten() {
        let rule = "has no effect with `mode = \"embedded\"`: it runs inside the node's process";
        problems.push(Draft::new(place, rule).warning());
    }
}

fn backoff(raw: Option<&RawBackoff>, problems: &mut Problems) -> Backoff {
    let default = Backoff::default();
    let Some(raw) = raw else { return default };
    let backoff = Backoff {
        initial: raw.initial.value().copied().unwrap_or(default.initial),
        factor: raw.factor.value().map_or(default.factor, |factor| factor.0),
        max: raw.max.value().copied().unwrap_or(default.max),
        jitter: raw.jitter.value().map_or(default.jitter, |jitter| jitter.0),
        reset_after: raw.reset_after.value().copied().unwrap_or(default.reset_after),
    };
    if backoff.max < backoff.initial
        && let Some(place) = key(&raw.max).or(key(&raw.initial))
    {
        let rule = format!(
            "makes `max` ({}) shorter than `initial` ({})",
            crate::raw::written(backoff.max),
            crate::raw::written(backoff.initial)
        );
        problems.push(Draft::new(place, rule));
    }
    backoff
}

fn stop(raw: &RawService) -> Stop {
    let raw = raw.stop.value();
    let signal = raw.and_then(|stop| stop.signal.value()).map_or(SIGTERM, |signal| signal.0);
    let grace = match raw.and_then(|stop| stop.grace.value()) {
        Some(Grace::Infinity) => None,
        Some(Grace::Within(grace)) => Some(*grace),
        None => Some(GRACE),
    };
    Stop { signal, grace }
}

fn listen(raw: &RawService) -> Vec<Listen> {
    let written = raw.listen.value().map(Vec::as_slice).unwrap_or_default();
    written.iter().map(|located| located.value.0.clone()).collect()
}

fn user(raw: &RawService, context: Context<'_>, problems: &mut Problems) -> Option<User> {
    let (Some(located), group) = (raw.user.given(), raw.group.given()) else {
        for place in [key(&raw.group), key(&raw.supplementary_groups)].into_iter().flatten() {
            problems.push(Draft::new(place, "needs a `user` beside it"));
        }
        return None;
    };
    let (user, inline_group) = match located.value.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (located.value.as_str(), None),
    };
    if let (Some(_), Some(group)) = (inline_group, group) {
        let rule = format!("is written twice: `{}` has one already", located.value);
        problems.push(Draft::new(&group.key, rule));
    }
    let names = [Some(user), inline_group, group.map(|group| group.value.as_str())];
    let well_formed = names.into_iter().flatten().all(is_account_name);
    let supplementary = supplementary(raw, problems);
    if !well_formed {
        let rule = "must be `name` or `name:group`";
        problems.push(Draft::new(&located.place, rule).found(format!("{:?}", located.value)));
    }
    if well_formed && context.host.uid != 0 {
        let rule = "needs root: the node runs as another user and cannot change to it";
        problems.push(Draft::new(&located.place, rule).warning());
    }
    let group = inline_group.map(str::to_owned).or(group.map(|group| group.value.clone()));
    Some(User { user: user.to_owned(), group, supplementary })
}

fn supplementary(raw: &RawService, problems: &mut Problems) -> Option<Vec<String>> {
    let written = raw.supplementary_groups.value()?;
    for name in written.iter().filter(|name| !is_account_name(&name.value)) {
        let rule = "must be the name or the number of a group";
        problems.push(Draft::new(&name.place, rule).found(format!("{:?}", name.value)));
    }
    Some(written.iter().map(|name| name.value.clone()).collect())
}

fn is_account_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':')
}

/// Where OTP's own rules surprise.
pub(super) fn warn_in_groups(
    units: &[Unit<'_, RawService>],
    config: &Config,
    problems: &mut Problems,
) {
    for (unit, service) in units.iter().zip(config.services.values()) {
        let Some(group) = &service.group else {
            continue;
        };
        let raw = unit.raw;
        for place in [key(&raw.restarts_max), key(&raw.restarts_window), key(&raw.on_failed)] {
            let Some(place) = place else { continue };
            let rule = format!("has no effect: restarts count for the whole group `{group}`");
            let hint = format!("write it in `[groups.{group}]`");
            problems.push(Draft::new(place, rule).hint(hint).warning());
        }
        let strategy = config.groups.iter().find(|g| g.name == *group).map(|g| g.strategy);
        let temporary: Option<&Located<Restart>> =
            raw.restart.given().filter(|restart| restart.value == Restart::Temporary);
        if let (Some(Strategy::OneForAll | Strategy::RestForOne), Some(restart)) =
            (strategy, temporary)
        {
            let rule = format!(
                "means that it is stopped, and not started again, when `{group}` restarts its \
                 members"
            );
            problems.push(
                Draft::new(&restart.place, rule).hint("`transient` comes back with them").warning(),
            );
        }
    }
}
