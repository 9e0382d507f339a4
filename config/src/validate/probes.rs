//! `startup`, `ready`, `live` and the start's deadline.

use std::{num::NonZeroU32, time::Duration};

use super::longer_than_zero;
use crate::{
    Check, GrpcCheck, HttpCheck, Live, Probe, Ready, Template, Tls,
    problem::{Draft, Problems},
    raw::{GrpcTarget, RawLive, RawProbe, RawReady, RawService, RawTls, Said},
    read::{Field, Located},
    tree::Place,
};

const START_DEADLINE: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(10);
const EVERY_STARTING: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(1);
/// A command that kicks a watchdog must do so at least this often.
const WATCHDOG_SILENCE_MAX: Duration = Duration::from_secs(30);
/// A native child answers on its link at least this often, or it hangs.
const LINK_SILENCE_MAX: Duration = Duration::from_secs(1);
const FAILURES_MAX: NonZeroU32 = NonZeroU32::new(3).expect("three is not zero");
const SUCCESSES_MIN: NonZeroU32 = NonZeroU32::MIN;
/// The socket that the node holds for an instance of a native service.
const OWN_SOCKET: &str = "unix:{runtime_dir}/{service}-{instance}.sock";

/// What the service is, as far as its probes care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// A program that knows nothing of the link.
    Command,
    /// A service of this binary in a process of its own.
    Subprocess,
    /// One inside the node: it cannot be killed for silence.
    Embedded,
}

/// The probes of one service.
pub(super) struct Probes {
    pub(super) startup: Option<Probe>,
    pub(super) ready: Ready,
    pub(super) live: Option<Live>,
    pub(super) start_deadline: Duration,
}

/// Which key a probe stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Startup,
    Ready,
    Live,
}

/// What a probe's table says.
enum Meaning {
    Native,
    Notify,
    Log(regex::Regex),
    UpFor(Duration),
    Check(Check),
}

pub(super) fn validate(
    raw: &RawService,
    speaker: Speaker,
    folder: &std::path::Path,
    problems: &mut Problems,
) -> Probes {
    let mut reader = Reader { speaker, folder, problems };
    Probes {
        startup: raw.startup.given().and_then(|probe| reader.startup(&probe.value, &probe.key)),
        ready: reader.ready(&raw.ready),
        live: reader.live(&raw.live),
        start_deadline: deadline(raw, problems),
    }
}

fn deadline(raw: &RawService, problems: &mut Problems) -> Duration {
    let in_ready = match raw.ready.value() {
        Some(RawReady::Probe(probe)) => Some(&probe.deadline),
        _ => None,
    };
    let in_startup = raw.startup.value().map(|probe| &probe.deadline);
    let written: Vec<&Located<Duration>> = [Some(&raw.start_deadline), in_ready, in_startup]
        .into_iter()
        .flatten()
        .filter_map(Field::given)
        .collect();
    for second in written.iter().skip(1) {
        let rule = format!("is the same as `{}`: write one of them", written[0].key.path);
        problems.push(Draft::new(&second.key, rule));
    }
    let Some(first) = written.first() else {
        return START_DEADLINE;
    };
    if first.value.is_zero() {
        problems.push(Draft::new(&first.place, "must be longer than 0").found("0"));
    }
    first.value
}

struct Reader<'a> {
    speaker: Speaker,
    folder: &'a std::path::Path,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn startup(&mut self, raw: &RawProbe, key: &Place) -> Option<Probe> {
        match self.said(raw, key, Role::Startup)? {
            Meaning::Check(check) => Some(self.probe(raw, check)),
            Meaning::Native | Meaning::Notify | Meaning::Log(_) | Meaning::UpFor(_) => None,
        }
    }

    fn ready(&mut self, field: &Field<RawReady>) -> Ready {
        let default = match self.speaker {
            Speaker::Command => Ready::Spawned,
            Speaker::Subprocess | Speaker::Embedded => Ready::Native,
        };
        let Some(located) = field.given() else {
            return default;
        };
        let raw = match &located.value {
            RawReady::Said(Said::Spawned) => return Ready::Spawned,
            RawReady::Said(Said::Notify) => return Ready::Notify,
            RawReady::Said(Said::Native) => {
                self.refuse_link(&located.place);
                return Ready::Native;
            }
            RawReady::Probe(raw) => raw,
        };
        match self.said(raw, &located.key, Role::Ready) {
            None => default,
            Some(Meaning::Native) => Ready::Native,
            Some(Meaning::Notify) => Ready::Notify,
            Some(Meaning::Log(regex)) => Ready::Log(regex),
            Some(Meaning::UpFor(duration)) => Ready::UpFor(duration),
            Some(Meaning::Check(check)) => Ready::Probe(self.probe(raw, check)),
        }
    }

    fn live(&mut self, field: &Field<RawLive>) -> Option<Live> {
        let Some(located) = field.given() else {
            return match self.speaker {
                Speaker::Subprocess => Some(Live::Native { timeout: LINK_SILENCE_MAX }),
                Speaker::Command | Speaker::Embedded => None,
            };
        };
        let raw = match &located.value {
            RawLive::Said(Said::Native) => {
                self.refuse_link(&located.place);
                return Some(Live::Native { timeout: LINK_SILENCE_MAX });
            }
            RawLive::Said(Said::Notify | Said::Spawned) => {
                return Some(Live::Notify { timeout: WATCHDOG_SILENCE_MAX });
            }
            RawLive::Probe(raw) => raw,
        };
        let said = self.said(raw, &located.key, Role::Live)?;
        let silence = |default| raw.timeout.value().copied().unwrap_or(default);
        match said {
            Meaning::Native => Some(Live::Native { timeout: silence(LINK_SILENCE_MAX) }),
            Meaning::Notify => Some(Live::Notify { timeout: silence(WATCHDOG_SILENCE_MAX) }),
            Meaning::Check(check) => Some(Live::Probe(self.probe(raw, check))),
            Meaning::Log(_) | Meaning::UpFor(_) => None,
        }
    }

    fn refuse_link(&mut self, place: &Place) {
        if self.speaker == Speaker::Command {
            self.problems.push(
                Draft::new(place, "is for native services: a command does not speak the link")
                    .hint("use \"notify\", or a check as in { tcp = \"127.0.0.1:80\" }"),
            );
        }
    }

    /// The one check of a probe's table.
    fn said(&mut self, raw: &RawProbe, key: &Place, role: Role) -> Option<Meaning> {
        let checks = raw.checks();
        let allowed: &[&str] = match role {
            Role::Startup => &["grpc", "http", "tcp", "unix", "exec"],
            Role::Live => &["native", "notify", "grpc", "http", "tcp", "unix", "exec"],
            Role::Ready => {
                &["native", "notify", "grpc", "http", "tcp", "unix", "exec", "log", "up_for"]
            }
        };
        let Some((first, first_key)) = checks.first() else {
            if !raw.has_invalid_check() {
                let hint = format!("add one of {}", allowed.join(", "));
                self.problems.push(Draft::new(key, "has no check").hint(hint));
            }
            return None;
        };
        for (_, second_key) in checks.iter().skip(1) {
            let rule = format!("is a second check beside `{first}`: exactly one is allowed");
            self.problems.push(Draft::new(second_key, rule));
        }
        if !allowed.contains(first) {
            let hint = format!("possible are {}", allowed.join(", "));
            self.problems.push(Draft::new(first_key, "is not possible here").hint(hint));
            return None;
        }
        self.refuse_useless_keys(raw, first, role);
        self.meaning(raw, first_key)
    }

    fn meaning(&mut self, raw: &RawProbe, key: &Place) -> Option<Meaning> {
        if let Some(true) = raw.native.value() {
            self.refuse_link(key);
            return Some(Meaning::Native);
        }
        if let Some(true) = raw.notify.value() {
            return Some(Meaning::Notify);
        }
        if raw.native.value().is_some() || raw.notify.value().is_some() {
            self.problems.push(Draft::new(key, "can only be true").hint("leave it out instead"));
            return None;
        }
        if let Some(regex) = raw.log.value() {
            return Some(Meaning::Log(regex.clone()));
        }
        if let Some(duration) = longer_than_zero(&raw.up_for, self.problems) {
            return Some(Meaning::UpFor(duration));
        }
        self.check(raw, key).map(Meaning::Check)
    }

    fn check(&mut self, raw: &RawProbe, key: &Place) -> Option<Check> {
        let tls = raw.tls.given().and_then(|tls| self.tls(tls));
        if let Some(target) = raw.grpc.value() {
            let target = match (target, self.speaker) {
                (GrpcTarget::At(target), _) => target.clone(),
                (GrpcTarget::OwnSocket, speaker) => {
                    if speaker == Speaker::Command {
                        let rule = "can only be true for a native service";
                        let hint = "write where it listens, as in \"127.0.0.1:50051\"";
                        self.problems.push(Draft::new(key, rule).hint(hint));
                    }
                    Template::parse(OWN_SOCKET).expect("its placeholders are known")
                }
            };
            let service = raw.service.value().cloned().unwrap_or_default();
            return Some(Check::Grpc(GrpcCheck { target, service, tls }));
        }
        if let Some(url) = raw.http.value() {
            if let (Some(tls), false) = (raw.tls.given(), url.is_https) {
                self.problems.push(Draft::new(&tls.key, "has no effect: the URL is not `https`"));
            }
            return Some(Check::Http(HttpCheck { url: url.template.clone(), tls }));
        }
        if let Some(target) = raw.tcp.value() {
            return Some(Check::Tcp(target.0.clone()));
        }
        if let Some(path) = raw.unix.value() {
            return Some(Check::Unix(path.clone().relative_to(self.folder)));
        }
        raw.exec.value().map(|command| Check::Exec(command.0.clone()))
    }

    fn tls(&mut self, raw: &Located<RawTls>) -> Option<Tls> {
        let RawTls { ca, cert, key, server_name } = &raw.value;
        let path = |template: &Template| template.clone().relative_to(self.folder);
        let identity = match (cert, key) {
            (Field::Given(cert), Field::Given(key)) => Some((path(&cert.value), path(&key.value))),
            (Field::Given(cert), Field::Absent) => {
                self.problems.push(Draft::new(&cert.key, "needs a `key` beside it"));
                None
            }
            (Field::Absent, Field::Given(key)) => {
                self.problems.push(Draft::new(&key.key, "needs a `cert` beside it"));
                None
            }
            _ => None,
        };
        let server_name = server_name.value().cloned();
        Some(Tls { ca: ca.value().map(path), identity, server_name })
    }

    /// A key that changes nothing was meant to change something.
    fn refuse_useless_keys(&mut self, raw: &RawProbe, check: &str, role: Role) {
        fn key<T>(field: &Field<T>) -> Option<&Place> {
            field.given().map(|located| &located.key)
        }
        let is_tried = !matches!(check, "native" | "notify" | "log" | "up_for");
        let waits_for_signs = role == Role::Live && matches!(check, "native" | "notify");
        let useless = [
            (key(&raw.every), is_tried),
            (key(&raw.timeout), is_tried || waits_for_signs),
            (key(&raw.failures_max), is_tried),
            (key(&raw.successes_min), is_tried),
            (key(&raw.service), check == "grpc"),
            (key(&raw.tls), matches!(check, "grpc" | "http")),
        ];
        for place in useless.into_iter().filter_map(|(key, used)| key.filter(|_| !used)) {
            let rule = format!("has no effect with `{check}`");
            self.problems.push(Draft::new(place, rule).hint("leave it out"));
        }
        if let (Some(place), Role::Live) = (key(&raw.deadline), role) {
            let hint = "a live check begins after the start; `start_deadline` bounds the start";
            self.problems.push(Draft::new(place, "has no effect under `live`").hint(hint));
        }
    }

    fn probe(&mut self, raw: &RawProbe, check: Check) -> Probe {
        let every = longer_than_zero(&raw.every, self.problems);
        Probe {
            check,
            every: every.unwrap_or(EVERY),
            every_starting: every.unwrap_or(EVERY_STARTING),
            timeout: longer_than_zero(&raw.timeout, self.problems).unwrap_or(TIMEOUT),
            failures_max: raw.failures_max.value().map_or(FAILURES_MAX, |count| count.non_zero()),
            successes_min: raw
                .successes_min
                .value()
                .map_or(SUCCESSES_MIN, |count| count.non_zero()),
        }
    }
}
