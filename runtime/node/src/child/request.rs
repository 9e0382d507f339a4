//! What the file says about a service, in the words of isolation. Nothing is looked up and nothing
//! changed here.

use std::path::PathBuf;

use blackhole_config::{Paths, Resources, Sandbox, Scope, Service, Template};
use blackhole_isolation::{
    Bound, CpuQuota, Limits, PathRules, Priorities, Processes, Request, Resource, Rlimit,
    Sandbox as Preset, Temporary, Umask, User, Weight,
};

/// The default when the file says nothing. Whoever starts a service that [`writes_its_own`] makes
/// its directory first.
pub(crate) fn of(service: &Service, scope: &Scope<'_>) -> Request {
    let resources = &service.resources;
    let user = service.user.as_ref().map(|user| User {
        user: user.user.clone(),
        group: user.group.clone(),
        supplementary: user.supplementary.clone(),
    });
    let request = Request {
        limits: limits(resources),
        disks: resources.io.clone(),
        user,
        umask: resources.umask.and_then(Umask::new),
        rlimits: rlimits(resources),
        priorities: priorities(resources),
        ..Request::default()
    };
    let mut request = confined(request, &service.sandbox, scope);
    if let (Some(paths), false) = (&mut request.paths, service.secrets.is_empty()) {
        paths.read.push(scope.own_secrets_dir());
    }
    if request == Request::default() {
        return request;
    }
    let instance = format!("{}-{}", scope.service, scope.instance);
    Request { instance, enforcement: service.enforcement, ..request }
}

/// Whether one of its limits is a control group's.
pub(crate) fn needs_group(service: &Service) -> bool {
    limits(&service.resources) != Limits::default() || !service.resources.io.is_empty()
}

/// Whether its own directory is limited, or among the few places that it may write to, and so must
/// be there.
pub(crate) fn writes_its_own(service: &Service) -> bool {
    let sandbox = &service.sandbox;
    service.resources.disk.is_some()
        || sandbox.preset == Some(Preset::Strict)
        || sandbox.paths.is_some()
}

/// The service's own directory.
pub(crate) fn own_directory(scope: &Scope<'_>) -> PathBuf {
    scope.data_dir.join(scope.service.as_str())
}

fn confined(request: Request, sandbox: &Sandbox, scope: &Scope<'_>) -> Request {
    let own = [own_directory(scope)];
    let mut request = match sandbox.preset {
        Some(preset) => request.sandboxed(preset, &own),
        None => request,
    };
    if let Some(capabilities) = sandbox.capabilities {
        request.capabilities = Some(capabilities);
    }
    if let Some(no_new_privileges) = sandbox.no_new_privileges {
        request.no_new_privileges = no_new_privileges;
    }
    if let Some(seccomp) = &sandbox.seccomp {
        request.seccomp.clone_from(seccomp);
    }
    if let Some(paths) = &sandbox.paths {
        request.paths = Some(path_rules(paths, &own, scope));
    }
    if let Some(private) = sandbox.private_tmp {
        request.view.temporary = if private { Temporary::Private } else { Temporary::Shared };
    }
    if let Some(network) = sandbox.network {
        request.view.network = network;
    }
    if let Some(private) = sandbox.private_pids {
        request.view.processes = if private { Processes::Private } else { Processes::Shared };
    }
    request.view.read_only = rendered(&sandbox.read_only, scope);
    request.view.hidden = rendered(&sandbox.hidden, scope);
    request.optional.clone_from(&sandbox.optional);
    request
}

fn path_rules(paths: &Paths, own: &[PathBuf], scope: &Scope<'_>) -> PathRules {
    let mut rules = PathRules::writing_to(own);
    rules.write.extend(rendered(&paths.write, scope));
    rules.read = rendered(&paths.read, scope);
    if let Some(execute) = &paths.execute {
        rules.execute = rendered(execute, scope);
    }
    rules
}

fn rendered(paths: &[Template], scope: &Scope<'_>) -> Vec<PathBuf> {
    paths.iter().map(|path| path.render(scope).into()).collect()
}

fn priorities(resources: &Resources) -> Priorities {
    Priorities {
        nice: resources.nice.and_then(|nice| i8::try_from(nice).ok()),
        io: resources.io_priority,
        scheduler: resources.scheduler,
        affinity: resources.affinity.clone(),
        oom_score_adjust: resources.oom_score_adj.and_then(|score| i16::try_from(score).ok()),
    }
}

fn rlimits(resources: &Resources) -> Vec<Rlimit> {
    let files = |files: u32| Rlimit::fixed(Resource::Files, Bound::At(files.into()));
    resources.files_max.map(files).into_iter().chain(resources.rlimits.iter().copied()).collect()
}

fn limits(resources: &Resources) -> Limits {
    let weight =
        |weight: Option<u32>| weight.and_then(|it| u16::try_from(it).ok()).and_then(Weight::new);
    Limits {
        cpu: resources.cpu.and_then(CpuQuota::from_cores),
        cpu_weight: weight(resources.cpu_weight),
        cpus: resources.cpus.clone(),
        memory_max: resources.memory,
        memory_high: resources.memory_high,
        swap_max: resources.swap,
        io_weight: weight(resources.io_weight),
        tasks_max: resources.tasks_max.map(u64::from),
        bandwidth: resources.network,
        ..Limits::default()
    }
}
