//! The services that a program contains, as its node sees them.
//!
//! Most programs never name these types: [`program`](crate::program) and
//! [`ServiceSpec`](crate::ServiceSpec) do.

use std::{ffi::OsString, fmt, io, sync::Arc};

use blackhole_node::native::{Boxed, Embedded, NativeServices};
use blackhole_policy::instance::Ended;
use blackhole_process::sockets::{EmbeddedEnds, NativeListeners};
use blackhole_protocol::{InstanceId, Name, link::Assignment};
use blackhole_sdk::{Ending, Service};

/// One service that is part of this program, and the two ways to run it.
#[derive(Clone, Copy)]
pub struct Contained {
    name: &'static str,
    serve: fn() -> u8,
    embed: fn(&InstanceId, NativeListeners, EmbeddedEnds) -> io::Result<blackhole_sdk::Embedded>,
}

impl Contained {
    /// A service, under its own name.
    pub const fn of<S: Service>() -> Self {
        Self { name: S::NAME, serve: blackhole_sdk::run::<S>, embed: blackhole_sdk::embed::<S> }
    }

    /// The service's own name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it in this process until it has ended, and gives the exit code.
    pub fn serve(&self) -> u8 {
        (self.serve)()
    }
}

impl fmt::Debug for Contained {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Contained").field(&self.name).finish()
    }
}

/// The command that runs a contained service in a child process, by the service's own name.
pub type CommandOf = fn(&str) -> Vec<OsString>;

/// Everything that a program contains, by the names that the file gives.
#[derive(Debug, Clone)]
pub struct ContainedServices {
    services: Vec<(String, Contained)>,
    command: CommandOf,
}

impl ContainedServices {
    /// Services under their own names.
    pub fn new(services: impl IntoIterator<Item = Contained>, command: CommandOf) -> Self {
        let services = services.into_iter().map(|service| (service.name.to_owned(), service));
        Self { services: services.collect(), command }
    }

    /// Gives a service one more name.
    pub(crate) fn call(&mut self, name: &str, service: Contained) {
        self.services.retain(|(known, _)| known != name);
        self.services.push((name.to_owned(), service));
    }

    /// Their names, as the file calls them.
    pub fn names(&self) -> Vec<String> {
        self.services.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The service that the file calls so.
    pub fn find(&self, name: &str) -> Option<Contained> {
        self.services.iter().find(|(known, _)| known == name).map(|(_, service)| *service)
    }
}

impl NativeServices for ContainedServices {
    /// The file was checked against [`Self::names`]; a name that is not there starts nothing.
    fn command(&self, service: &Name) -> Vec<OsString> {
        let own = self.find(service.as_str()).map_or(service.as_str(), |service| service.name);
        (self.command)(own)
    }

    fn embed(
        &self,
        service: &Name,
        listeners: NativeListeners,
        ends: EmbeddedEnds,
        assignment: &Assignment,
    ) -> io::Result<Arc<dyn Embedded>> {
        let service = self.find(service.as_str()).ok_or(io::ErrorKind::NotFound)?;
        let embedded = (service.embed)(&assignment.instance, listeners, ends)?;
        Ok(Arc::new(OnThread(embedded)))
    }
}

/// A service on a thread, in the terms of processes: history has one vocabulary for both.
struct OnThread(blackhole_sdk::Embedded);

/// What a process exits with when its main thread has panicked.
const PANIC: i32 = 101;
const SIGKILL: i32 = 9;

impl Embedded for OnThread {
    fn ended(&self) -> Boxed<(Ended, String)> {
        let ended = self.0.ended();
        Box::pin(async move {
            match ended.await {
                Ending::Stopped => (Ended::Code(0), String::new()),
                Ending::Aborted => (Ended::Signal(SIGKILL), String::new()),
                Ending::Failed(why) => (Ended::Code(1), why),
                Ending::Panicked(why) => (Ended::Code(PANIC), why),
            }
        })
    }

    fn abort(&self) {
        self.0.abort();
    }
}
