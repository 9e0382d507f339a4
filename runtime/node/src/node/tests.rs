//! What no test from outside can do to a node.

use blackhole_config::{HostFacts, Overrides, Source, load};
use blackhole_protocol::{Name, link::Assignment};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::*;
use crate::native::Embedded;

const SOON: Duration = Duration::from_secs(30);

struct NoServices;

impl NativeServices for NoServices {
    fn command(&self, service: &Name) -> Vec<std::ffi::OsString> {
        panic!("no test has a native service, and {service} is one");
    }

    fn embed(
        &self,
        service: &Name,
        _: sockets::NativeListeners,
        _: sockets::EmbeddedEnds,
        _: &Assignment,
    ) -> io::Result<Arc<dyn Embedded>> {
        panic!("no test has a native service, and {service} is one");
    }
}

#[tokio::test]
async fn a_node_whose_root_fails_ends_and_says_so() {
    let directory = tempfile::tempdir().expect("a folder");
    let place = directory.path().display();
    let text = format!(
        "[node]\nname = \"test\"\nruntime_dir = \"{place}/run\"\ndata_dir = \"{place}/data\"\n\
         log_dir = \"{place}/log\"\n[services.idle]\ncommand = [\"sleep\", \"1000\"]\n"
    );
    let folder = directory.path().to_owned();
    let source = Source::Text { name: "test.toml".into(), text, folder };
    let host = HostFacts { path: std::env::var("PATH").ok(), ..HostFacts::default() };
    let loaded = load(source, &Overrides::default(), &host).unwrap_or_else(|e| panic!("{e}"));
    let options = Options { native: Arc::new(NoServices), lifeline: None, signals: Signals::Left };
    let node = Node::begin(loaded.config, options).await.expect("the node begins");
    let registry = node.registry().clone();
    let runs = |registry: &Registry| registry.entries(|_| true)[0].state == State::Ready;
    tokio::time::timeout(SOON, registry.wait_until(runs)).await.expect("it starts");
    let pid = registry.entries(|_| true)[0].pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pidfd = pidfd_open(pid.expect("it runs"), PidfdFlags::NONBLOCK).expect("it runs");

    node.root.kill();
    let ended = tokio::time::timeout(SOON, node.run()).await.expect("it ends");
    assert!(matches!(ended, Err(NodeError::RootFailed)), "{ended:?}");
    let soon = Timespec { tv_sec: 30, tv_nsec: 0 };
    let dead = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&soon));
    assert_eq!(dead, Ok(1), "its service is left");
}
