//! A node, said in code: services and groups, from code, from a file, or both.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use blackhole_config::{HostFacts, Loaded, Overrides, Rejected, Source, Table, Value, load};
use blackhole_isolation::Enforcement;
use blackhole_node::{NodeError, Options, Signals, host};
use blackhole_policy::supervision::Strategy;
use tempfile::TempDir;

use crate::{
    Budget, GroupSpec, Logs, Node, Program, ServiceSpec,
    native::ContainedServices,
    node,
    program::command_of,
    spec::{Members, enforcement_written, strategy_written},
};

/// Collects what a node runs. Nothing is opened or started before [`start`](Self::start).
#[derive(Debug)]
#[must_use = "a node runs when it is started"]
pub struct NodeBuilder {
    /// What code says, the services and groups apart.
    table: Table,
    members: Members,
    file: Option<Source>,
    overrides: Overrides,
    program: Option<Program>,
    natives: Natives,
    files: Files,
}

/// Where native services run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Natives {
    /// As the keys say.
    AsSaid,
    /// Inside this process.
    Embedded,
}

/// Where the node's files lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    /// As the keys say, or by the node's name.
    AsSaid,
    /// In a directory that goes with the node, unless a key says otherwise.
    Temporary,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What code and file say makes no sense: every problem, with its key and the line that wrote it.
    #[error("the node cannot be as it is described\n{0}")]
    Rejected(#[source] Box<Rejected>),
    /// A native service in a child process that the program does not know at its start.
    #[error(
        "service `{service}` runs `{contained}` in a child process, which this program does not announce\n\
         hint: add it to the first line of `main`: `blackhole::program().service::<…>().enter()`; \
         or run it with `.embedded()`"
    )]
    Unannounced {
        /// As the node calls it.
        service: String,
        /// The service's own name.
        contained: &'static str,
    },
    /// Something that every node asks of the host.
    #[error("could not look at the host")]
    Host(#[source] io::Error),
    /// The directory of an embedded node.
    #[error("could not create a directory for the node's files")]
    Directory(#[source] io::Error),
    /// The thread that the node runs on.
    #[error("could not start the node's thread")]
    Thread(#[source] io::Error),
    /// The node itself.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl NodeBuilder {
    pub(crate) fn of(program: Option<Program>) -> Self {
        Self {
            table: Table::new(),
            members: Members::default(),
            file: None,
            overrides: Overrides::default(),
            program,
            natives: Natives::AsSaid,
            files: Files::AsSaid,
        }
    }

    /// The node's name. Default: this program's.
    #[track_caller]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set("node", "name", name.into())
    }

    /// Where sockets and state are. Default: as for `bh run`, by the node's name.
    #[track_caller]
    pub fn runtime_dir(self, path: impl AsRef<Path>) -> Self {
        self.set("node", "runtime_dir", path.as_ref())
    }

    /// Where services keep data. Default: as for `bh run`, by the node's name.
    #[track_caller]
    pub fn data_dir(self, path: impl AsRef<Path>) -> Self {
        self.set("node", "data_dir", path.as_ref())
    }

    /// Where log files are. Default: as for `bh run`, by the node's name.
    #[track_caller]
    pub fn log_dir(self, path: impl AsRef<Path>) -> Self {
        self.set("node", "log_dir", path.as_ref())
    }

    /// How siblings at the root are treated when one fails. Default: [`Strategy::OneForOne`].
    #[track_caller]
    pub fn strategy(self, strategy: Strategy) -> Self {
        self.set("supervisor", "strategy", strategy_written(strategy))
    }

    /// More than `restarts_max` restarts of a service within `window` are too many, unless the service
    /// or its group says otherwise. Default: 5 in 5 minutes.
    #[track_caller]
    pub fn restarts(self, restarts_max: u32, window: Duration) -> Self {
        self.set("supervisor", "restarts_max", restarts_max).set(
            "supervisor",
            "restarts_window",
            window,
        )
    }

    /// Serves `/health`, `/ready` and `/metrics` over HTTP.
    #[track_caller]
    pub fn http(self, address: SocketAddr) -> Self {
        self.set("http", "listen", address.to_string())
    }

    /// What happens when this host cannot enforce a limit of a service that does not say so itself.
    /// Default: [`Enforcement::BestEffort`].
    #[track_caller]
    pub fn enforce(self, enforcement: Enforcement) -> Self {
        self.set("node", "enforce", enforcement_written(enforcement))
    }

    /// How much of the services' output is kept.
    #[track_caller]
    pub fn logs(mut self, logs: Logs) -> Self {
        self.table.set("logs", logs.into_table());
        self
    }

    /// What all services may have together. Without it nothing is shared out.
    #[track_caller]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.table.set("resources", budget.into_table());
        self
    }

    /// Adds a service at the root.
    #[track_caller]
    pub fn service(mut self, name: impl Into<String>, service: ServiceSpec) -> Self {
        self.members.service(name.into(), service);
        self
    }

    /// Adds a group at the root.
    #[track_caller]
    pub fn group(mut self, name: impl Into<String>, group: GroupSpec) -> Self {
        self.members.group(name.into(), group);
        self
    }

    /// Takes what a file says; what code says wins over it, key by key.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.file = Some(Source::Path(path.as_ref().to_owned()));
        self
    }

    /// Takes what a text says, which is written as a file is; what code says wins over it, key by key.
    pub fn toml(mut self, text: impl Into<String>) -> Self {
        let (name, folder) = ("the text".to_owned(), Path::new("").to_owned());
        self.file = Some(Source::Text { name, text: text.into(), folder });
        self
    }

    /// Lets `BLACKHOLE_*` variables win over code and file, as they do for `bh run`. Without this the
    /// environment is not looked at: a program that a node has started inherits that node's.
    pub fn overridden_by_environment(mut self) -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        self.overrides = Overrides::from_environment(variables.filter(|(_, it)| !it.is_empty()));
        self
    }

    /// For tests: every native service runs on a thread of this process, and the node's files lie in a
    /// temporary directory that goes with it. Commands are child processes all the same.
    pub fn embedded(mut self) -> Self {
        self.natives = Natives::Embedded;
        self.in_temporary_directory()
    }

    /// Puts the node's files, sockets and logs into a directory that goes with it.
    pub fn in_temporary_directory(mut self) -> Self {
        self.files = Files::Temporary;
        self
    }

    /// Any key of a table of the file other than services and groups, as the file would say it.
    ///
    /// ```
    /// use blackhole::Node;
    ///
    /// let node = Node::builder().set("node", "name", "dev");
    /// # drop(node);
    /// ```
    #[track_caller]
    pub fn set(mut self, table: &str, key: &str, value: impl Into<Value>) -> Self {
        self.table.table(table).set(key, value);
        self
    }

    /// Checks everything that [`start`](Self::start) would, without starting anything, and gives the
    /// warnings: what is allowed, and may surprise.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn check(self) -> Result<Vec<blackhole_config::Problem>, StartError> {
        Ok(self.load()?.loaded.warnings)
    }

    /// Starts the node on a thread of its own, and returns when it has begun to start its services;
    /// [`NodeHandle::ready`](crate::NodeHandle::ready) waits for them.
    ///
    /// # Errors
    /// When what is described makes no sense, or the node cannot take possession of its directories.
    pub async fn start(self) -> Result<Node, StartError> {
        let program = self.program.clone();
        let ready = self.load()?;
        let lifeline = program.and_then(|program| program.take_lifeline());
        let signals = if lifeline.is_some() { Signals::Heeded } else { Signals::Left };
        let options = Options { native: Arc::new(ready.contained), lifeline, signals };
        node::start(ready.loaded.config, options, ready.directory).await
    }

    fn load(mut self) -> Result<Checked, StartError> {
        let contained = self.contained()?;
        let directory = self.settle()?;
        let mut host = host::facts(contained.names()).map_err(StartError::Host)?;
        if let Some(name) = self.program_name() {
            host.hostname = name;
        }
        let folder = host.current_dir.clone();
        self.table.absorb(self.members.table);
        let source = Source::Code { table: self.table, over: self.file.map(Box::new), folder };
        let loaded = refined(source, &self.overrides, &host)?;
        Ok(Checked { loaded, contained, directory })
    }

    /// The services that the program announces and those that are described, each by its names.
    fn contained(&self) -> Result<ContainedServices, StartError> {
        let announced = self.program.as_ref().map(Program::contained);
        let mut contained = announced.unwrap_or_else(|| ContainedServices::new([], command_of));
        for (name, service) in &self.members.contained {
            let is_known = self.program.as_ref().is_some_and(|program| program.contains(service));
            if !is_known && self.natives == Natives::AsSaid && !self.is_embedded(name) {
                let (service, contained) = (name.clone(), service.name());
                return Err(StartError::Unannounced { service, contained });
            }
            contained.call(name, *service);
        }
        Ok(contained)
    }

    fn is_embedded(&self, service: &str) -> bool {
        let Some(Value::Table(services)) = self.members.table.get("services") else { return false };
        let Some(Value::Table(service)) = services.get(service) else { return false };
        service.get("mode") == Some(&Value::from("embedded"))
    }

    /// Settles where natives run and files lie.
    fn settle(&mut self) -> Result<Option<TempDir>, StartError> {
        if self.natives == Natives::Embedded {
            for (name, _) in &self.members.contained {
                self.members.table.table("services").table(name).set("mode", "embedded");
            }
        }
        if self.files == Files::AsSaid {
            return Ok(None);
        }
        let directory = tempfile::Builder::new().prefix("blackhole-").tempdir();
        let directory = directory.map_err(StartError::Directory)?;
        let node = self.table.table("node");
        for (key, folder) in [("runtime_dir", "run"), ("data_dir", "data"), ("log_dir", "log")] {
            if node.get(key).is_none() {
                node.set(key, directory.path().join(folder));
            }
        }
        Ok(Some(directory))
    }

    /// A file is the host's; a program's own node is called after the program.
    fn program_name(&self) -> Option<String> {
        if self.file.is_some() {
            return None;
        }
        let path = std::env::args_os().next()?;
        let name = Path::new(&path).file_stem()?.to_str()?;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        Some(name.chars().map(plain).collect())
    }
}

struct Checked {
    loaded: Loaded,
    contained: ContainedServices,
    directory: Option<TempDir>,
}

fn refined(source: Source, overrides: &Overrides, host: &HostFacts) -> Result<Loaded, StartError> {
    load(source, overrides, host).map_err(|rejected| StartError::Rejected(Box::new(rejected)))
}

#[cfg(test)]
mod tests;
