//! A running node is watched and steered from the program's own runtime.

use std::{collections::BTreeMap, time::Duration};

use blackhole::{
    Ending, Node, NodeBuilder, NodeHandle, NodeHandleError, ServiceSpec,
    registry::{NodeState, State},
    service::{Context, Routes, SNAPSHOT_LENGTH_MAX, Service, ServiceError},
};

/// What has not happened by then never will.
const DEADLINE: Duration = Duration::from_secs(30);

/// A native service that refuses to start when its settings say so.
pub(crate) struct Echo;

impl Service for Echo {
    const NAME: &'static str = "echo";
    type Settings = BTreeMap<String, String>;

    async fn start(context: Context<Self::Settings>) -> Result<Self, ServiceError> {
        match context.settings.get("refuse") {
            Some(why) => Err(why.clone().into()),
            None => Ok(Self),
        }
    }

    fn register(&self, _: &mut Routes) {}
}

/// Hands its generation on when it is stopped, and refuses to start without that of the one before.
struct Heir(u64);

impl Service for Heir {
    const NAME: &'static str = "heir";
    type Settings = BTreeMap<String, String>;

    async fn start(context: Context<Self::Settings>) -> Result<Self, ServiceError> {
        let inherited = context.restored()?.map_or(0, |bytes| u64::from(bytes[0]));
        let own = context.generation();
        if inherited + 1 == own {
            Ok(Self(own))
        } else {
            Err(format!("inherited {inherited}").into())
        }
    }

    fn register(&self, _: &mut Routes) {}

    fn snapshot(&self) -> Option<Vec<u8>> {
        Some(vec![u8::try_from(self.0).expect("a test has few generations")])
    }
}

#[tokio::test]
async fn what_a_service_hands_on_when_it_stops_is_there_when_it_starts() {
    let heir = ServiceSpec::native::<Heir>().restarts(0, DEADLINE);
    let node = builder().service("heir", heir).start().await.expect("it starts");
    for generation in 1..4 {
        within(node.ready("heir")).await.expect("it has what it needs");
        assert_eq!(node.status_of("heir")[0].generation, generation);
        within(node.restart("heir")).await.expect("it restarts");
    }
}

/// Hands on at a stop what is too large to be kept, and refuses to start without what was kept before.
struct Hoarder;

impl Service for Hoarder {
    const NAME: &'static str = "hoarder";
    type Settings = BTreeMap<String, String>;

    async fn start(context: Context<Self::Settings>) -> Result<Self, ServiceError> {
        let inherited = context.restored()?;
        if context.generation() == 1 {
            context.keeper().keep(b"enough")?;
        } else if inherited.as_deref() != Some(b"enough") {
            return Err("what was kept is gone".into());
        }
        Ok(Self)
    }

    fn register(&self, _: &mut Routes) {}

    fn snapshot(&self) -> Option<Vec<u8>> {
        Some(vec![0; SNAPSHOT_LENGTH_MAX + 1])
    }
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_is_told_and_the_one_before_stays() {
    let logs = tempfile::tempdir().expect("a folder");
    let hoarder = ServiceSpec::native::<Hoarder>().restarts(0, DEADLINE);
    let node = builder().log_dir(logs.path()).service("hoarder", hoarder).start().await;
    let node = node.expect("it starts");
    within(node.ready("hoarder")).await.expect("it is ready");
    within(node.restart("hoarder")).await.expect("it has what was kept");
    assert_eq!(node.status_of("hoarder")[0].generation, 2);
    let history = within(node.history("hoarder")).await.expect("it is known");
    assert_eq!(history[0].exited.code, Some(0), "{:?}", history[0].exited);
    // Its log is whole when the node has ended.
    within(node.stop()).await.expect("it ends well");
    let said = files_below(logs.path()).join("\n");
    assert!(said.contains("the snapshot is not handed on"), "{said}");
    assert!(said.contains(&format!("{} bytes is too large", SNAPSHOT_LENGTH_MAX + 1)), "{said}");
}

/// What all files of a folder say.
fn files_below(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![std::fs::read_to_string(path).expect("it is text")],
        })
        .collect()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

fn sleeper() -> ServiceSpec {
    ServiceSpec::command(["sleep", "1000"])
}

fn builder() -> NodeBuilder {
    Node::builder().embedded()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
}

/// Waits for an event of a service.
async fn until(node: &NodeHandle, service: &str, event: &str, generation: u64) {
    let mut events = node.events();
    within(async {
        while let Some(happening) = events.next().await {
            let Some(seen) = happening.event() else { continue };
            let is_of = seen.instance.as_ref().is_some_and(|it| it.service.as_str() == service);
            if is_of && seen.event == event && seen.generation.0 == generation {
                return;
            }
        }
        panic!("the node ended before {service} {generation} was {event}");
    })
    .await;
}

#[tokio::test]
async fn a_killed_process_is_replaced_and_its_history_says_why() {
    let node = builder().service("api", sleeper()).start().await.expect("it starts");
    within(node.all_ready()).await.expect("it is ready");
    let before = node.status_of("api").remove(0);
    kill(before.pid.expect("it has a process"));
    until(&node, "api", "ready", 2).await;
    let after = node.status_of("api").remove(0);
    assert_eq!((after.state, after.generation, after.restarts), (State::Ready, 2, 1));
    let history = within(node.history("api")).await.expect("it is known");
    assert_eq!(history[0].exited.signal.as_deref(), Some("SIGKILL"));
    assert_eq!(within(node.stop()).await.expect("it ends well"), Ending::Stopped);
}

#[tokio::test]
async fn services_are_stopped_started_restarted_and_scaled() {
    let node = builder().service("api", sleeper()).start().await.expect("it starts");
    let node: &NodeHandle = &node;
    within(node.ready("api")).await.expect("it is ready");
    within(node.stop("api")).await.expect("it stops");
    let resting = within(node.ready("api")).await.expect_err("it rests");
    assert_eq!(
        resting.to_string().lines().next(),
        Some("`api-1` will not be ready: it is stopped: was ended by SIGTERM")
    );
    within(node.start("api")).await.expect("it starts");
    within(node.restart("api")).await.expect("it restarts");
    within(node.scale("api", 3)).await.expect("it grows");
    let states: Vec<State> = node.status().iter().map(|status| status.state).collect();
    assert_eq!(states, [State::Ready; 3]);
    within(node.scale("api", 1)).await.expect("it shrinks");
    assert_eq!(node.status().len(), 1);
    let unknown = within(node.restart("apo")).await.expect_err("there is none");
    assert!(unknown.to_string().contains("there is no service or group `apo`"), "{unknown}");
}

#[test]
fn a_node_that_is_dropped_has_stopped_everything() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let (node, handle, events) = runtime.block_on(async {
        let node = builder().service("api", sleeper().instances(2)).start().await;
        let node = node.expect("it starts");
        within(node.all_ready()).await.expect("they are ready");
        let (handle, events) = (node.handle(), node.events());
        (node, handle, events)
    });
    let pids: Vec<u32> = node.status().iter().filter_map(|status| status.pid).collect();
    assert_eq!(pids.len(), 2);
    drop(node);
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} was left behind");
    }
    assert_eq!(handle.state(), NodeState::Stopping);
    let asked = runtime.block_on(within(handle.restart("api"))).expect_err("nobody is there");
    assert!(asked.to_string().contains("the node is stopping"), "{asked}");
    // A reader of events hears the last of them, and then that there are no more.
    let mut events = events;
    let mut last = Vec::new();
    while let Some(happening) = runtime.block_on(within(events.next())) {
        last.extend(happening.event().map(|event| event.event));
    }
    assert_eq!(last.last(), Some(&"stopped"), "{last:?}");
}

#[tokio::test]
async fn a_native_service_runs_inside_the_test_with_its_settings() {
    let refusing = BTreeMap::from([("refuse", "no disk")]);
    let node = builder()
        .service("good", ServiceSpec::native::<Echo>())
        .service("bad", ServiceSpec::native::<Echo>().settings(&refusing).restarts(0, DEADLINE))
        .start()
        .await
        .expect("it starts");
    within(node.ready("good")).await.expect("it is ready");
    assert_eq!(node.status_of("good")[0].pid, Some(std::process::id()));
    let failed = within(node.ready("bad")).await.expect_err("it refuses");
    let NodeHandleError::NotReady { state, .. } = &failed else { panic!("{failed}") };
    assert_eq!(*state, State::Failed);
    let history = within(node.history("bad")).await.expect("it is known");
    let stderr = history[0].exited.stderr.clone().unwrap_or_default();
    assert!(stderr.contains("no disk"), "{stderr}");
}

#[tokio::test]
async fn a_service_that_escalates_ends_the_node() {
    let bad = ServiceSpec::command(["false"]).restarts(0, DEADLINE);
    let bad = bad.on_failed(blackhole::OnFailed::Escalate);
    let node = builder().service("bad", bad).service("good", sleeper()).start().await;
    let node = node.expect("it starts");
    let ending = within(node.ended()).await.expect("it ends well");
    assert_eq!(ending, Ending::GaveUp { name: "bad-1".into() });
}

#[test]
fn handles_go_anywhere() {
    fn sent<T: Send + Sync + Clone + 'static>() {}
    sent::<NodeHandle>();
    sent::<blackhole::Program>();
}
