//! What of a file would hold on this host, here and now, for `bh check`: nothing is started, made or
//! changed. The answer is that of the start, key by key, because it is asked of the same plan.

use std::{
    error::Error,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use blackhole_config::{Config, Kind, Mode, Scope, Service};
use blackhole_isolation::{
    Enforcement, Groups, Host, IsolationError, Limits, Mounts, Network, Part, Priorities,
    Processes, ProjectQuota, Request, Sandbox, Temporary, View, rehearse,
};

use crate::{
    child::{own_directory, request_of},
    secrets,
};

/// Whether a key would hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The kernel sees to it.
    Enforced,
    /// The service runs without it, and status says so.
    Downgraded,
    /// The service is not started.
    Refused,
}

impl Holds {
    /// The word for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Downgraded => "downgraded",
            Self::Refused => "refused",
        }
    }
}

/// What becomes of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Below the service, such as `resources.memory` or `sandbox.network`; of a preset the part.
    pub key: String,
    /// What becomes of it.
    pub holds: Holds,
    /// Why not, or what else should be known; empty when there is nothing.
    pub why: String,
}

/// This host as a node that was started here and now would find it.
#[derive(Debug)]
pub struct Survey {
    host: Host,
    cpus: usize,
    memory: Option<u64>,
    swap: Option<u64>,
    /// All processes and threads together.
    tasks: Option<u64>,
}

impl Survey {
    /// Looks at this host.
    pub fn of_this_host() -> Self {
        let groups = Groups::survey(&Mounts::detect());
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
            Some(kibibytes * 1024)
        };
        let number = |name: &str| {
            let text = fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
            text.ok()?.trim().parse::<u64>().ok()
        };
        Self {
            host: Host::detect().with_groups(groups),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            memory: bytes("MemTotal:"),
            swap: bytes("SwapTotal:"),
            tasks: number("pid_max").into_iter().chain(number("threads-max")).min(),
        }
    }

    /// What becomes of everything that the file says about a service's limits and privileges.
    pub fn of_service(&self, config: &Config, service: &Service) -> Vec<Verdict> {
        let node = &config.node;
        let scope = Scope {
            runtime_dir: &node.runtime_dir,
            data_dir: &node.data_dir,
            log_dir: &node.log_dir,
            // Of the file's own words about paths; no secret is there before the start.
            secrets_dir: &node.runtime_dir,
            node: &node.name,
            service: &service.name,
            instance: NonZeroU32::MIN,
        };
        if is_embedded(service) {
            return inside_node(service, &scope);
        }
        let request = request_of(service, &scope);
        let made = [own_directory(&scope), scope.own_secrets_dir()];
        let mut verdicts = self.of_request(&request, &made);
        check_working_directory(&request, service, &scope, &mut verdicts);
        if let Some(program) = program(service, &scope) {
            self.check_program(&request, &program, &made, &mut verdicts);
        }
        self.check_whole(&request, &made, &mut verdicts);
        if service.resources.files_max.is_some() {
            let files = verdicts.iter_mut().filter(|it| it.key == "resources.rlimits.nofile");
            files.for_each(|verdict| verdict.key = "resources.files_max".to_owned());
        }
        // The node sees to it itself, on every host; where the kernel can, that does as well.
        verdicts.extend(service.resources.disk.map(|_| Verdict {
            key: "resources.disk".to_owned(),
            holds: Holds::Enforced,
            why: match ProjectQuota::offered(&own_directory(&scope)) {
                Ok(()) => String::new(),
                Err(error) => format!(
                    "is held by the node, not by the file system: it warns, then stops the service ({error})"
                ),
            },
        }));
        self.compare(service, &own_directory(&scope), &mut verdicts);
        verdicts.extend(service.secrets.iter().map(|secret| {
            let (holds, why) = match secrets::look(&secret.source) {
                Ok(()) => (Holds::Enforced, String::new()),
                Err(error) => (Holds::Refused, told(&error)),
            };
            Verdict { key: format!("secrets.{}", secret.name), holds, why }
        }));
        verdicts
    }

    /// What becomes of the parts of a preset.
    pub fn of_preset(&self, preset: Sandbox) -> Vec<Verdict> {
        self.of_request(&Request::default().sandboxed(preset, &[]), &[])
    }

    fn of_request(&self, request: &Request, made: &[PathBuf]) -> Vec<Verdict> {
        fragments(request)
            .into_iter()
            .map(|fragment| {
                let (holds, why) = self.try_out(request, &fragment, made);
                Verdict { key: fragment.key, holds, why }
            })
            .collect()
    }

    fn try_out(&self, whole: &Request, fragment: &Fragment, made: &[PathBuf]) -> (Holds, String) {
        let plan = match rehearse(&lenient(&fragment.request), &self.host, made) {
            Ok(plan) => plan,
            Err(error) => return (Holds::Refused, told(&error)),
        };
        // A key that means little alone is tried beside another one.
        let key = fragment.key.rsplit('.').next().unwrap_or_default();
        let Some(lacking) = plan.downgraded().iter().find(|lacking| lacking.key == key) else {
            return (Holds::Enforced, String::new());
        };
        let may_lack = match fragment.part {
            Some(part) => whole.optional.contains(&part),
            None => whole.enforcement == Enforcement::BestEffort,
        };
        let holds = if may_lack { Holds::Downgraded } else { Holds::Refused };
        (holds, lacking.reason.clone())
    }

    /// A program that the service does not see, or may not execute, is not started.
    fn check_program(
        &self,
        request: &Request,
        program: &Path,
        made: &[PathBuf],
        verdicts: &mut [Verdict],
    ) {
        let plan = rehearse(&lenient(request), &self.host, made);
        let Some(part) = plan.ok().and_then(|plan| plan.forbids_executing(program)) else {
            return;
        };
        let why = match part {
            Part::Paths => "which no path of `execute` holds",
            _ => "which it would not see",
        };
        let why = format!("its program is `{}`, {why}", program.display());
        stop_start(part, &why, request, verdicts);
    }

    /// What holds alone and not together.
    fn check_whole(&self, request: &Request, made: &[PathBuf], verdicts: &mut Vec<Verdict>) {
        if verdicts.iter().any(|verdict| verdict.holds == Holds::Refused) {
            return;
        }
        if let Err(error) = rehearse(request, &self.host, made) {
            let key = key_of(&error).to_owned();
            verdicts.push(Verdict { key, holds: Holds::Refused, why: told(&error) });
        }
    }

    /// Limits that this host can never reach.
    fn compare(&self, service: &Service, own: &Path, verdicts: &mut [Verdict]) {
        let resources = &service.resources;
        let above = |key: &str, limit: Option<f64>, has: Option<f64>, what: &str| {
            let reached = limit.zip(has).is_none_or(|(limit, has)| limit <= has);
            (!reached).then(|| {
                (
                    format!("resources.{key}"),
                    format!("can never be reached: this host has only {what}"),
                )
            })
        };
        let mebibytes = |bytes: Option<u64>| format!("{} MiB", bytes.unwrap_or_default() >> 20);
        let as_float = |number: Option<u64>| number.map(|number| number as f64);
        let (memory, has) = (as_float(self.memory), mebibytes(self.memory));
        let cpus = format!("{} CPUs", self.cpus);
        let swap = format!("{} of swap", mebibytes(self.swap));
        let tasks = format!("room for {} tasks", self.tasks.unwrap_or_default());
        let disk = disk_size(own);
        let disk_has = format!("{} where its directory is", mebibytes(disk));
        let found = [
            above("cpu", resources.cpu, Some(self.cpus as f64), &cpus),
            above("memory", resources.memory.map(|it| it as f64), memory, &has),
            above("memory_high", as_float(resources.memory_high), memory, &has),
            above("swap", as_float(resources.swap), as_float(self.swap), &swap),
            above("tasks_max", resources.tasks_max.map(f64::from), as_float(self.tasks), &tasks),
            above("disk", as_float(resources.disk), as_float(disk), &disk_has),
        ];
        for (key, why) in found.into_iter().flatten() {
            for verdict in verdicts.iter_mut().filter(|it| it.key == key && it.why.is_empty()) {
                verdict.why.clone_from(&why);
            }
        }
    }
}

/// Of the file system on which a directory is, or will be.
fn disk_size(directory: &Path) -> Option<u64> {
    let there = directory.ancestors().find(|path| path.exists())?;
    let size = rustix::fs::statvfs(there).ok()?;
    Some(size.f_blocks.saturating_mul(size.f_frsize))
}

/// A service that begins in a directory which it does not see is not started.
fn check_working_directory(
    request: &Request,
    service: &Service,
    scope: &Scope<'_>,
    verdicts: &mut [Verdict],
) {
    let written = service.working_directory.as_ref().map(|path| PathBuf::from(path.render(scope)));
    let Some(directory) = written.or_else(|| std::env::current_dir().ok()) else { return };
    let covered = |paths: &[PathBuf]| {
        paths.iter().any(|path| directory.starts_with(path) && directory != *path)
    };
    let view = &request.view;
    let temporary = ["/tmp", "/var/tmp"].map(PathBuf::from);
    let parts = [
        (Part::PrivateTmp, view.temporary == Temporary::Private && covered(&temporary)),
        (Part::Hidden, covered(&view.hidden)),
    ];
    for (part, _) in parts.into_iter().filter(|(_, is_covered)| *is_covered) {
        let why = format!(
            "the service begins in `{}`, which it would not see: write `working_directory`",
            directory.display()
        );
        stop_start(part, &why, request, verdicts);
    }
}

/// A part that holds, and with which the service cannot be started.
fn stop_start(part: Part, why: &str, request: &Request, verdicts: &mut [Verdict]) {
    let key = format!("sandbox.{}", part.key());
    let is_optional = request.optional.contains(&part);
    for verdict in verdicts.iter_mut().filter(|it| it.key == key && it.holds == Holds::Enforced) {
        verdict.holds = if is_optional { Holds::Downgraded } else { Holds::Refused };
        why.clone_into(&mut verdict.why);
    }
}

/// Where the program of a command lies, if it is found.
fn program(service: &Service, scope: &Scope<'_>) -> Option<PathBuf> {
    let Kind::Command(command) = &service.kind else { return None };
    let name = command.first()?.render(scope);
    if name.contains('/') {
        let directory = service.working_directory.as_ref().map(|path| path.render(scope));
        return Some(directory.map_or_else(PathBuf::new, PathBuf::from).join(name));
    }
    let inline = &service.environment.inline;
    let written = inline.get("PATH").map(|path| path.render(scope).into());
    let directories = written.or_else(|| std::env::var_os("PATH"))?;
    std::env::split_paths(&directories).map(|path| path.join(&name)).find(|path| path.is_file())
}

/// With everything that this host refuses left out.
fn lenient(request: &Request) -> Request {
    Request { enforcement: Enforcement::BestEffort, optional: Part::ALL.into(), ..request.clone() }
}

fn key_of(error: &IsolationError) -> &'static str {
    match error {
        IsolationError::Identity(_) => "user",
        IsolationError::Rlimit(_) => "resources.rlimits",
        IsolationError::Disk(_) => "resources.io",
        IsolationError::View(_) => "sandbox",
        IsolationError::Paths(_) => "sandbox.paths",
        IsolationError::Capability(_) => "sandbox.capabilities",
        _ => "resources",
    }
}

const INSIDE_NODE: &str = "with `mode = \"embedded\"` it runs inside the node's process";

fn is_embedded(service: &Service) -> bool {
    matches!(service.kind, Kind::Native { mode: Mode::Embedded, .. })
}

/// Only a process can be limited.
fn inside_node(service: &Service, scope: &Scope<'_>) -> Vec<Verdict> {
    let fragments = fragments(&request_of(service, scope)).into_iter().map(|it| it.key);
    let disk = service.resources.disk.map(|_| "resources.disk".to_owned());
    let lacking = |key| Verdict { key, holds: Holds::Downgraded, why: INSIDE_NODE.to_owned() };
    fragments.chain(disk).map(lacking).collect()
}

/// What a service inside the node is not held by, each with its key and the reason.
pub(crate) fn lacking_inside_node(service: &Service, scope: &Scope<'_>) -> Vec<String> {
    let told = |verdict: Verdict| {
        let key = verdict.key.rsplit('.').next().unwrap_or_default();
        format!("{key}: {}", verdict.why)
    };
    inside_node(service, scope).into_iter().map(told).collect()
}

/// One key alone, as a request of its own.
struct Fragment {
    key: String,
    /// `None`: not of the sandbox.
    part: Option<Part>,
    request: Request,
}

fn fragments(whole: &Request) -> Vec<Fragment> {
    let mut found = Vec::new();
    if let Some(user) = &whole.user {
        let request = Request { user: Some(user.clone()), ..Request::default() };
        found.push(Fragment { key: "user".into(), part: None, request });
    }
    let resources = limits(whole).into_iter().chain(process_limits(whole));
    found.extend(resources.map(|(key, request)| Fragment {
        key: format!("resources.{key}"),
        part: None,
        request,
    }));
    if whole.no_new_privileges {
        let request = Request { no_new_privileges: true, ..Request::default() };
        found.push(Fragment { key: "sandbox.no_new_privileges".into(), part: None, request });
    }
    for part in Part::ALL {
        if let Some(request) = of_part(whole, part) {
            let key = format!("sandbox.{}", part.key());
            found.push(Fragment { key, part: Some(part), request });
        }
    }
    found
}

fn limits(whole: &Request) -> Vec<(String, Request)> {
    let all = &whole.limits;
    let none = Limits::default;
    let alone = [
        ("cpu", Limits { cpu: all.cpu, ..none() }),
        ("cpu_weight", Limits { cpu_weight: all.cpu_weight, ..none() }),
        ("cpus", Limits { cpus: all.cpus.clone(), ..none() }),
        ("memory", Limits { memory_max: all.memory_max, ..none() }),
        ("memory_high", Limits { memory_high: all.memory_high, ..none() }),
        // Alone it may mean less than beside a limit of memory.
        (
            "swap",
            match all.swap_max {
                Some(_) => Limits { swap_max: all.swap_max, memory_max: all.memory_max, ..none() },
                None => none(),
            },
        ),
        ("io_weight", Limits { io_weight: all.io_weight, ..none() }),
        ("network", Limits { bandwidth: all.bandwidth, ..none() }),
        ("tasks_max", Limits { tasks_max: all.tasks_max, ..none() }),
    ];
    let asked = alone.into_iter().filter(|(_, limits)| *limits != Limits::default());
    let mut asked: Vec<_> = asked
        .map(|(key, limits)| (key.to_owned(), Request { limits, ..Request::default() }))
        .collect();
    for rates in &whole.disks {
        let request = Request { disks: vec![rates.clone()], ..Request::default() };
        asked.push(("io".to_owned(), request));
    }
    asked
}

fn process_limits(whole: &Request) -> Vec<(String, Request)> {
    let mut found = Vec::new();
    if whole.umask.is_some() {
        found.push(("umask".into(), Request { umask: whole.umask, ..Request::default() }));
    }
    for limit in &whole.rlimits {
        // Whom the kernel holds to it depends on the user and his power.
        let request = Request {
            rlimits: vec![*limit],
            user: whole.user.clone(),
            capabilities: whole.capabilities,
            ..Request::default()
        };
        found.push((format!("rlimits.{}", limit.resource.key()), request));
    }
    let all = &whole.priorities;
    let none = Priorities::default;
    let alone = [
        ("nice", Priorities { nice: all.nice, ..none() }),
        ("io_priority", Priorities { io: all.io, ..none() }),
        ("scheduler", Priorities { scheduler: all.scheduler, ..none() }),
        ("affinity", Priorities { affinity: all.affinity.clone(), ..none() }),
        ("oom_score_adj", Priorities { oom_score_adjust: all.oom_score_adjust, ..none() }),
    ];
    let asked = alone.into_iter().filter(|(_, priorities)| *priorities != Priorities::default());
    // Which scheduler it may have depends on the group that it is in.
    let shared =
        Limits { cpu: whole.limits.cpu, cpu_weight: whole.limits.cpu_weight, ..Limits::default() };
    found.extend(asked.map(|(key, priorities)| {
        let limits = if key == "scheduler" { shared.clone() } else { Limits::default() };
        (key.to_owned(), Request { priorities, limits, ..Request::default() })
    }));
    found
}

/// Which paths there are depends on what is seen.
fn of_part(whole: &Request, part: Part) -> Option<Request> {
    let view = &whole.view;
    let empty = Request::default;
    let seen = |view: View| (view != View::default()).then(|| Request { view, ..empty() });
    match part {
        Part::Capabilities => {
            whole.capabilities.map(|it| Request { capabilities: Some(it), ..empty() })
        }
        Part::Seccomp => whole.seccomp.clone().map(|it| Request { seccomp: Some(it), ..empty() }),
        Part::Paths => whole.paths.clone().map(|paths| Request {
            paths: Some(paths),
            view: view.clone(),
            ..empty()
        }),
        Part::PrivateTmp => seen(View { temporary: view.temporary, ..View::default() })
            .filter(|_| view.temporary == Temporary::Private),
        Part::ReadOnly => seen(View { read_only: view.read_only.clone(), ..View::default() }),
        Part::Hidden => seen(View { hidden: view.hidden.clone(), ..View::default() }),
        Part::Network => seen(View { network: view.network, ..View::default() })
            .filter(|_| view.network == Network::None),
        Part::PrivatePids => seen(View { processes: view.processes, ..View::default() })
            .filter(|_| view.processes == Processes::Private),
    }
}

/// An error and its causes in one line, without hints.
fn told(error: &dyn Error) -> String {
    let text = error.to_string();
    let head = text.split("\nhint:").next().unwrap_or_default();
    match error.source() {
        Some(source) => format!("{head}: {}", told(source)),
        None => head.to_owned(),
    }
}
