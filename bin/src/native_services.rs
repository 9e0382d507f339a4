//! The services that this binary contains, as the node sees them.

use std::{
    ffi::OsString,
    io,
    os::unix::net::{UnixListener, UnixStream},
    process::ExitCode,
    sync::Arc,
};

use blackhole_node::native::{Boxed, Embedded, NativeServices};
use blackhole_policy::instance::Ended;
use blackhole_protocol::{InstanceId, Name, link::Assignment};
use blackhole_sdk::{Ending, Service};

use crate::error::Error;

/// A service, and the two ways to run it.
struct Contained {
    name: &'static str,
    serve: fn() -> ExitCode,
    embed: fn(&InstanceId, UnixListener, UnixStream) -> io::Result<blackhole_sdk::Embedded>,
}

const CONTAINED: [Contained; 2] =
    [contained::<blackhole_identity::Identity>(), contained::<blackhole_storage::Storage>()];

const fn contained<S: Service>() -> Contained {
    Contained { name: S::NAME, serve: blackhole_sdk::serve::<S>, embed: blackhole_sdk::embed::<S> }
}

/// Their names, as the file calls them.
pub(crate) fn names() -> Vec<String> {
    CONTAINED.iter().map(|service| service.name.to_owned()).collect()
}

fn find(name: &str) -> Option<&'static Contained> {
    const { &CONTAINED }.iter().find(|service| service.name == name)
}

/// Runs one of them in this process, until it has ended.
pub(crate) fn serve(name: &str) -> Result<ExitCode, Error> {
    let unknown = || {
        let known = names().join(", ");
        Error::Usage(format!("there is no native service `{name}`\nhint: known are {known}"))
    };
    Ok((find(name).ok_or_else(unknown)?.serve)())
}

/// Starts each of them as `bh service --name NAME`, from the very file that the node runs.
pub(crate) struct ThisProgram;

impl NativeServices for ThisProgram {
    fn command(&self, service: &Name) -> Vec<OsString> {
        ["/proc/self/exe", "service", "--name", service.as_str()].map(OsString::from).to_vec()
    }

    fn embed(
        &self,
        service: &Name,
        grpc: UnixListener,
        link: UnixStream,
        assignment: &Assignment,
    ) -> io::Result<Arc<dyn Embedded>> {
        let service = find(service.as_str()).ok_or(io::ErrorKind::NotFound)?;
        let embedded = (service.embed)(&assignment.instance, grpc, link)?;
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
