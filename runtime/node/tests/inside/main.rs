//! A node inside the test, with real processes.

mod incident;
mod tree;

use std::{path::Path, sync::Arc, time::Duration};

use blackhole_config::{HostFacts, Overrides, Source, load};
use blackhole_node::{
    Node, Options, Signals,
    native::{Embedded, NativeServices},
    registry::{Registry, State},
};
use blackhole_protocol::{Name, link::Assignment};

/// A condition that has not come true by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

struct NoServices;

impl NativeServices for NoServices {
    fn command(&self, service: &Name) -> Vec<std::ffi::OsString> {
        panic!("no test has a native service, and {service} is one");
    }

    fn embed(
        &self,
        service: &Name,
        _: blackhole_process::sockets::NativeListeners,
        _: blackhole_process::sockets::EmbeddedEnds,
        _: &Assignment,
    ) -> std::io::Result<Arc<dyn Embedded>> {
        panic!("no test has a native service, and {service} is one");
    }
}

async fn begin(directory: &Path, text: &str) -> Node {
    let place = directory.display();
    let text = format!(
        "[node]\nname = \"test\"\nruntime_dir = \"{place}/run\"\ndata_dir = \"{place}/data\"\n\
         log_dir = \"{place}/log\"\n{text}"
    );
    let source = Source::Text { name: "test.toml".into(), text, folder: directory.into() };
    let host = HostFacts {
        hostname: "test".into(),
        current_dir: directory.into(),
        path: std::env::var("PATH").ok(),
        ..HostFacts::default()
    };
    let loaded = load(source, &Overrides::default(), &host).unwrap_or_else(|e| panic!("{e}"));
    let options = Options { native: Arc::new(NoServices), lifeline: None, signals: Signals::Left };
    Node::begin(loaded.config, options).await.expect("the node begins")
}

fn state(registry: &Registry, service: &str) -> State {
    registry.entries(|entry| entry.instance.service.as_str() == service)[0].state
}

async fn until(registry: &Registry, what: &str, condition: impl Fn(&Registry) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, registry.wait_until(condition)).await;
    if waited.is_err() {
        panic!("{what} never came true; last seen:\n{:#?}", registry.entries(|_| true));
    }
}

/// Kills a service's process, and waits until another one is ready.
async fn kill(registry: &Registry, service: &str) {
    let look = |registry: &Registry| {
        registry.entries(|entry| entry.instance.service.as_str() == service)[0].clone()
    };
    until(registry, "it is ready", |registry| look(registry).state == State::Ready).await;
    let before = look(registry);
    let pid = rustix::process::Pid::from_raw(before.pid.expect("it lives").cast_signed());
    rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL)
        .expect("it is killed");
    until(registry, "it has a successor", |registry| {
        look(registry).state == State::Ready && look(registry).pid != before.pid
    })
    .await;
}
