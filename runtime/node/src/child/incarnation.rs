//! From what the file says to a living process.
//!
//! Everything that one incarnation needs is put together here, synchronously, on the path from an
//! exit to its replacement: what is opened is opened once and kept, and nothing waits.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use blackhole_config::{Config, Kind, Live, Mode, Ready, Scope, Service};
use blackhole_isolation::{Identity, Plan};
use blackhole_policy::{
    instance::{InstanceSpec, Startup},
    supervision::Generation,
};
use blackhole_process::{
    Launch, Signal, SpawnArguments,
    snapshot::{self, SnapshotFile},
    sockets::{EmbeddedEnds, NativeListeners},
};
use blackhole_protocol::{InstanceId, environment, link::Assignment};
use tokio::sync::oneshot;

use super::{
    body::{Body, Counts},
    disk::DiskWatch,
    exec_environment::ExecEnvironment,
    link::{Link, Unopened},
    request,
    resources::{NamedSocket, NativeSockets},
    start_error::StartError,
    watch::{Linked, Readiness, Watches},
};
use crate::{
    directories::{NOTIFY, make_owned, make_passage},
    holding,
    logs::{Capture, LineWatch, Origin},
    notify::{NotifyAccess, NotifySocket},
    nursery::NodeContext,
    probe::{ExecContext, ResolvedProbe},
    standing::Standings,
};

/// The name under which a native service finds its socket.
const GRPC: &str = "grpc";
/// The name under which it finds the socket on which its actors are reached.
const GATEWAY: &str = "gateway";
/// The name under which a native service finds its snapshot.
const SNAPSHOT: &str = "snapshot";
/// A native child that was silent for longer has hung, unless the file says otherwise.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a native child has between the request to stop and its end, where the file says that
/// it may take for ever.
const GRACE_UNBOUNDED: Duration = Duration::from_secs(24 * 60 * 60);

/// What was started: what lives, and what is to be done with it.
pub(super) struct Started {
    pub(super) body: Body,
    pub(super) spec: InstanceSpec,
    pub(super) watches: Watches,
}

/// Starts one incarnation of an instance. A control group that somebody else has removed meanwhile is
/// made again.
pub(super) fn start_incarnation(
    context: &NodeContext,
    service: &Service,
    instance: &InstanceId,
    generation: Generation,
) -> Result<Started, StartError> {
    let incarnation = Incarnation { context, service, instance, generation };
    match incarnation.start() {
        Err(StartError::Spawn(error)) if error.is_group_gone() => {
            tracing::warn!(%instance, "its control group was removed by somebody else");
            context.resources.plans.forget(instance);
            incarnation.start()
        }
        started => started,
    }
}

/// What makes a native child's process differ from a command's.
struct NativeParts {
    sockets: NativeSockets,
    child_end: UnixStream,
    linked: Linked,
}

/// Who puts one incarnation together.
pub(super) struct Incarnation<'a> {
    pub(super) context: &'a NodeContext,
    pub(super) service: &'a Service,
    pub(super) instance: &'a InstanceId,
    pub(super) generation: Generation,
}

impl<'a> Incarnation<'a> {
    fn start(&self) -> Result<Started, StartError> {
        let resources = &self.context.resources;
        match &self.service.kind {
            Kind::Command(command) => {
                let scope = self.scope();
                let words = command.iter().map(|word| word.render(&scope).into()).collect();
                self.spawn(words, None)
            }
            Kind::Native { mode, settings } => {
                let (node_end, child_end) = UnixStream::pair().map_err(StartError::Link)?;
                let sockets = resources.sockets.native(self.instance, self.scope().runtime_dir)?;
                let assignment = self.assignment(settings)?;
                match mode {
                    Mode::Subprocess => {
                        let command = resources.native.command(&self.service.name);
                        let (link, unopened) = self.link(node_end, assignment);
                        let linked = self.linked(link, unopened);
                        self.spawn(command, Some(NativeParts { sockets, child_end, linked }))
                    }
                    Mode::Embedded => self.embed(&sockets, node_end, child_end, assignment),
                }
            }
        }
    }

    pub(super) fn config(&self) -> &'a Config {
        &self.context.config
    }

    pub(super) fn scope(&self) -> Scope<'a> {
        let node = &self.config().node;
        Scope {
            runtime_dir: &node.runtime_dir,
            data_dir: &node.data_dir,
            log_dir: &node.log_dir,
            secrets_dir: self.context.resources.secrets.root(),
            node: &node.name,
            service: &self.instance.service,
            instance: self.instance.index,
        }
    }

    fn spawn(
        &self,
        command: Vec<OsString>,
        native: Option<NativeParts>,
    ) -> Result<Started, StartError> {
        let resources = &self.context.resources;
        let token = self.token();
        let mut sockets = resources.sockets.listed(self.service, &self.scope())?;
        if let Some(native) = &native {
            let NativeSockets { grpc, gateway, snapshot } = native.sockets.clone();
            let own = [(GRPC, grpc), (GATEWAY, gateway), (SNAPSHOT, snapshot)];
            sockets.splice(0..0, own.map(|(name, held)| (name.to_owned(), held)));
        }
        let environment = Arc::new(self.exec_environment()?);
        let plan = environment.plan.clone();
        let uid = plan.identity().map(|identity| identity.uid);
        let notify = self.notify_socket(uid)?;
        let before = Counts::of(&plan);
        let disk = self.disk();
        let launch = self.launch(command, &environment, notify.as_ref(), sockets)?;
        let context = ExecContext::new(move |builder| environment.apply(builder));
        let generation = self.generation.to_string();
        let spawned = launch.spawn(&SpawnArguments {
            variables: &[(environment::GENERATION, &generation)],
            token: Some(&token),
            link: native.as_ref().map(|native| native.child_end.as_fd()),
        })?;
        let pid = spawned.process.pid().unsigned_abs();
        let access = |socket: NotifySocket| {
            let uid = uid.unwrap_or_else(|| rustix::process::geteuid().as_raw());
            (socket, NotifyAccess { main: pid, uid, token: Some(token), cgroup: None })
        };
        let (readiness, line) = self.readiness(&context)?;
        let origin = Origin { instance: self.instance.clone(), generation: self.generation.0, pid };
        let outputs = [spawned.stdout, spawned.stderr];
        let capture = resources.logs.capture(Arc::new(origin), outputs, line)?;
        Ok(Started {
            body: Body::Process {
                process: spawned.process,
                capture: Arc::new(capture),
                plan,
                before,
                stop_signal: Signal::from_number(self.service.stop.signal).unwrap_or(Signal::TERM),
            },
            spec: self.spec(),
            watches: Watches {
                startup: self.probe(self.service.startup.as_ref(), &context)?.map(Box::new),
                readiness,
                liveness: self.liveness(&context)?.map(Box::new),
                notify: notify.map(access).map(Box::new),
                link: native.map(|native| Box::new(Linked { pid: Some(pid), ..native.linked })),
                disk,
                running: Vec::new(),
                starting: None,
            },
        })
    }

    fn embed(
        &self,
        sockets: &NativeSockets,
        node_end: UnixStream,
        child_end: UnixStream,
        assignment: Assignment,
    ) -> Result<Started, StartError> {
        let listener = |socket: &OwnedFd| {
            socket.try_clone().map(UnixListener::from).map_err(StartError::Embed)
        };
        let listeners = NativeListeners {
            grpc: listener(&sockets.grpc)?,
            gateway: listener(&sockets.gateway)?,
            snapshot: snapshot::shared(&sockets.snapshot)
                .and_then(SnapshotFile::open)
                .map_err(StartError::Embed)?,
        };
        let resources = &self.context.resources;
        let context = ExecContext::default();
        let (readiness, line) = self.readiness(&context)?;
        let (capture, records) = self.records(line)?;
        let ends = EmbeddedEnds { link: child_end, records };
        let service = resources
            .native
            .embed(&self.service.name, listeners, ends, &assignment)
            .map_err(StartError::Embed)?;
        let (link, unopened) = self.link(node_end, assignment);
        Ok(Started {
            body: Body::Embedded {
                service,
                link: link.clone(),
                unenforced: holding::lacking_inside_node(self.service, &self.scope()),
                _capture: capture,
            },
            spec: self.spec(),
            watches: Watches {
                startup: self.probe(self.service.startup.as_ref(), &context)?.map(Box::new),
                readiness,
                liveness: self.liveness(&context)?.map(Box::new),
                notify: None,
                link: Some(Box::new(self.linked(link, unopened))),
                disk: None,
                running: Vec::new(),
                starting: None,
            },
        })
    }

    /// Captured as a process's standard error would be; it has no standard output of its own.
    fn records(&self, line: Option<LineWatch>) -> Result<(Capture, OwnedFd), StartError> {
        let (stdout, _closed) = io::pipe().map_err(StartError::Embed)?;
        let (stderr, records) = io::pipe().map_err(StartError::Embed)?;
        let (instance, pid) = (self.instance.clone(), std::process::id());
        let origin = Origin { instance, generation: self.generation.0, pid };
        let outputs = [stdout.into(), stderr.into()];
        let capture = self.context.resources.logs.capture(Arc::new(origin), outputs, line)?;
        Ok((capture, records.into()))
    }

    fn link(&self, node_end: UnixStream, assignment: Assignment) -> (Link, Unopened) {
        Link::new(node_end, assignment, Standings::of(self.context.registry.clone()))
    }

    fn linked(&self, link: Link, unopened: Unopened) -> Linked {
        let patience = match self.service.live {
            Some(Live::Native { timeout }) => timeout,
            Some(Live::Notify { .. } | Live::Probe(_)) | None => PATIENCE,
        };
        let heartbeat = self.context.resources.heartbeat.clone();
        Linked { link, unopened, heartbeat, patience, pid: None }
    }

    fn launch(
        &self,
        command: Vec<OsString>,
        environment: &ExecEnvironment,
        notify: Option<&NotifySocket>,
        sockets: Vec<NamedSocket>,
    ) -> Result<Launch, StartError> {
        let mut builder = environment
            .apply(Launch::builder(command))
            .token_variable(environment::TOKEN)
            .link_variable(environment::LINK_FD);
        if let Some(socket) = notify {
            builder = builder.variable("NOTIFY_SOCKET", socket.path());
        }
        if let Some(Live::Notify { timeout }) = &self.service.live {
            builder = builder.variable("WATCHDOG_USEC", timeout.as_micros().to_string());
        }
        for (name, socket) in sockets {
            builder = builder.socket(name, socket);
        }
        Ok(builder.build()?)
    }

    /// Unique to this generation on this machine: the node's own pid is part of it.
    fn token(&self) -> String {
        let node = std::process::id();
        format!("{node}-{}-{}-{}", self.context.token, self.instance, self.generation)
    }

    /// What it may use. A directory that it must be able to write to is made first.
    pub(super) fn plan(&self) -> Result<Arc<Plan>, StartError> {
        let scope = self.scope();
        let own = request::writes_its_own(self.service).then(|| self.data_dir());
        let make = |path: &PathBuf, owner: Option<&Identity>| {
            let failed = |source| StartError::Directory { path: path.clone(), source };
            make_owned(path, owner).map_err(failed)
        };
        own.as_ref().map_or(Ok(()), |path| make(path, None))?;
        let plan = self.context.resources.plans.of(self.service, &scope, self.instance)?;
        own.as_ref().map_or(Ok(()), |path| make(path, plan.identity()))?;
        self.context.resources.limit_watch.add(self.instance, &plan);
        Ok(plan)
    }

    /// One for each generation: the file of one that goes must not be taken for its successor's.
    fn notify_socket(&self, uid: Option<u32>) -> Result<Option<NotifySocket>, StartError> {
        let told = matches!(self.service.ready, Ready::Notify)
            || matches!(self.service.live, Some(Live::Notify { .. }));
        if !told {
            return Ok(None);
        }
        let directory = self.scope().runtime_dir.join(NOTIFY);
        make_passage(&directory, uid)
            .map_err(|source| StartError::Directory { path: directory.clone(), source })?;
        let path = directory.join(format!("{}.{}", self.instance, self.generation));
        let socket = NotifySocket::bind(path)?;
        if let Some(uid) = uid {
            socket.give_to(uid)?;
        }
        Ok(Some(socket))
    }

    fn readiness(
        &self,
        context: &ExecContext,
    ) -> Result<(Readiness, Option<LineWatch>), StartError> {
        Ok(match &self.service.ready {
            Ready::Spawned => (Readiness::Spawned, None),
            Ready::Native | Ready::Notify => (Readiness::Told, None),
            Ready::UpFor(duration) => (Readiness::UpFor(*duration), None),
            Ready::Log(pattern) => {
                let (sender, matched) = oneshot::channel();
                // A child that has ended does not wait for the line.
                let line = LineWatch::new(pattern.clone(), |_| {
                    let _ = sender.send(());
                });
                (Readiness::Line(matched), Some(line))
            }
            Ready::Probe(probe) => {
                let resolved = ResolvedProbe::new(probe, &self.scope(), context)?;
                (Readiness::Probe(Box::new(resolved)), None)
            }
        })
    }

    fn liveness(&self, context: &ExecContext) -> Result<Option<ResolvedProbe>, StartError> {
        match &self.service.live {
            Some(Live::Probe(probe)) => self.probe(Some(probe), context),
            Some(Live::Notify { .. } | Live::Native { .. }) | None => Ok(None),
        }
    }

    fn probe(
        &self,
        probe: Option<&blackhole_config::Probe>,
        context: &ExecContext,
    ) -> Result<Option<ResolvedProbe>, StartError> {
        Ok(probe.map(|probe| ResolvedProbe::new(probe, &self.scope(), context)).transpose()?)
    }

    fn spec(&self) -> InstanceSpec {
        InstanceSpec {
            start_deadline: self.service.start_deadline,
            startup: match self.service.startup {
                Some(_) => Startup::Probed,
                None => Startup::Immediate,
            },
            watchdog: match self.service.live {
                Some(Live::Notify { timeout }) => Some(timeout),
                Some(Live::Native { .. } | Live::Probe(_)) | None => None,
            },
        }
    }

    fn assignment(&self, settings: &str) -> Result<Assignment, StartError> {
        let data_dir = self.data_dir();
        let plan = self.plan()?;
        make_owned(&data_dir, plan.identity())
            .map_err(|source| StartError::Directory { path: data_dir.clone(), source })?;
        let first = blackhole_process::LISTEN_FDS_START;
        let grace = self.service.stop.grace.unwrap_or(GRACE_UNBOUNDED);
        Ok(Assignment {
            node: self.config().node.name.clone(),
            instance: self.instance.clone(),
            generation: self.generation.0,
            data_dir,
            runtime_dir: self.scope().runtime_dir.to_path_buf(),
            sockets: [(GRPC, first), (GATEWAY, first + 1), (SNAPSHOT, first + 2)]
                .map(|(name, number)| (name.to_owned(), number))
                .into(),
            settings: settings.to_owned(),
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn disk(&self) -> Option<DiskWatch> {
        let limit = self.service.resources.disk?;
        Some(DiskWatch::new(self.data_dir(), limit))
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        request::own_directory(&self.scope())
    }
}
