//! Files in, states out.

use blackhole_node::{
    Ending, Wait,
    registry::{Entry, Registry, State},
};

use super::{PATIENCE, begin, kill, state, until};

/// Runs `test` beside the node, then stops the node.
async fn with(text: &str, test: impl AsyncFnOnce(&Registry, &blackhole_node::Operator)) -> Ending {
    let directory = tempfile::tempdir().expect("a directory");
    let node = begin(directory.path(), text).await;
    let (registry, operator) = (node.registry().clone(), node.operator().clone());
    let running = tokio::spawn(node.run());
    test(&registry, &operator).await;
    operator.shut_down();
    let ended = tokio::time::timeout(PATIENCE, running).await.expect("the node ends in time");
    ended.expect("the node does not panic").expect("the node ends well")
}

#[tokio::test]
async fn services_start_in_order_and_a_killed_one_is_back_with_its_reason_told() {
    let file = "[services.a]\ncommand = [\"sleep\", \"1000\"]\n\
                [services.b]\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"a\"]\n";
    let ending = with(file, async |registry, _| {
        until(registry, "b is ready", |registry| state(registry, "b") == State::Ready).await;
        let (held, _) = registry.subscribe();
        let story: Vec<String> = held
            .iter()
            .filter_map(|event| Some(format!("{} {}", event.instance.as_ref()?, event.event)))
            .filter(|line| line.ends_with("spawned") || line.ends_with("ready"))
            .collect();
        assert_eq!(story, ["a-1 spawned", "a-1 ready", "b-1 spawned", "b-1 ready"]);

        let first = registry.entries(|entry| entry.instance.service.as_str() == "a")[0].clone();
        let pid = rustix::process::Pid::from_raw(first.pid.expect("it lives") as i32);
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL)
            .expect("it is killed");
        until(registry, "a has a second generation", |registry| {
            let entry = &registry.entries(|entry| entry.instance.service.as_str() == "a")[0];
            entry.state == State::Ready && entry.generation.0 == 2
        })
        .await;
        let history = registry.history(|_| true);
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].exited.reason.as_str(), "signal");
        assert_eq!(history[0].exited.signal.as_deref(), Some("SIGKILL"));
    })
    .await;
    assert_eq!(ending, Ending::Stopped);
}

#[tokio::test]
async fn a_crash_loop_fails_alone() {
    let file = "[services.bad]\ncommand = [\"false\"]\nrestarts_max = 3\nbackoff = { initial = 0 }\n\
                [services.good]\ncommand = [\"sleep\", \"1000\"]\n";
    with(file, async |registry, _| {
        until(registry, "bad has failed", |registry| state(registry, "bad") == State::Failed).await;
        assert_eq!(state(registry, "good"), State::Ready);
        let history = registry.history(|_| true);
        assert_eq!(history.len(), 4, "{history:#?}");
        assert!(history.iter().all(|entry| entry.exited.code == Some(1)));
    })
    .await;
}

#[tokio::test]
async fn a_failure_that_escalates_ends_the_node() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = "[services.bad]\ncommand = [\"false\"]\nrestarts_max = 0\non_failed = \"escalate\"\n\
                [services.good]\ncommand = [\"sleep\", \"1000\"]\n";
    let node = begin(directory.path(), file).await;
    let ended = tokio::time::timeout(PATIENCE, node.run()).await.expect("the node ends in time");
    assert_eq!(ended.expect("it ends well"), Ending::GaveUp { name: "bad-1".into() });
}

#[tokio::test]
async fn an_operator_stops_starts_restarts_and_scales() {
    let file = "[services.a]\ncommand = [\"sleep\", \"1000\"]\n";
    with(file, async |registry, operator| {
        let a = operator.select(&["a".into()]).expect("a is known");
        operator.start(&a, Wait::UntilDone).await.expect("it runs");
        operator.stop(&a, Wait::UntilDone).await.expect("it stops");
        assert_eq!(state(registry, "a"), State::Stopped);
        operator.start(&a, Wait::UntilDone).await.expect("it starts");
        assert_eq!(state(registry, "a"), State::Ready);
        operator.restart(&a, Wait::UntilDone).await.expect("it restarts");
        assert_eq!(registry.entries(|_| true)[0].generation.0, 3);
        assert_eq!(registry.entries(|_| true)[0].restarts_total(), 0);
        operator.scale("a", 3, Wait::UntilDone).await.expect("it grows");
        assert_eq!(registry.survey(|entry| entry.state), [State::Ready; 3]);
        operator.scale("a", 1, Wait::UntilDone).await.expect("it shrinks");
        assert_eq!(registry.survey(|entry| entry.state), [State::Ready]);
        let unknown = operator.select(&["nobody".into()]).expect_err("there is no such service");
        assert_eq!(unknown.to_string(), "there is no service or group `nobody` (known: a)");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_with_its_stage() {
    let file = "[services.a]\ncommand = [\"/nowhere/at-all\"]\nrestarts_max = 1\n\
                backoff = { initial = 0 }\n";
    with(file, async |registry, _| {
        until(registry, "a has failed", |registry| state(registry, "a") == State::Failed).await;
        let last = registry.history(|_| true).pop().expect("an entry");
        assert_eq!(last.exited.reason.as_str(), "spawn");
        assert!(last.exited.message.contains("/nowhere/at-all"), "{}", last.exited.message);
        assert!(last.exited.stage.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_restart_brings_up_what_it_needs() {
    let file = "[services.a]\ncommand = [\"sleep\", \"1000\"]\n\
                [services.b]\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"a\"]\n";
    with(file, async |registry, operator| {
        until(registry, "b is ready", |registry| state(registry, "b") == State::Ready).await;
        let [a, b] = ["a", "b"].map(|name| operator.select(&[name.into()]).expect("it is known"));
        operator.stop(&a, Wait::UntilDone).await.expect("a stops");
        assert_eq!(state(registry, "b"), State::Ready);
        operator.restart(&b, Wait::UntilDone).await.expect("b restarts");
        assert_eq!(state(registry, "a"), State::Ready);
    })
    .await;
}

#[tokio::test]
async fn a_transient_service_that_crashes_is_started_again_and_one_that_is_done_is_not() {
    let file = "[services.crashes]\ncommand = [\"false\"]\nrestart = \"transient\"\n\
                restarts_max = 2\nbackoff = { initial = 0 }\n\
                [services.done]\ncommand = [\"true\"]\nrestart = \"transient\"\n";
    with(file, async |registry, _| {
        until(registry, "both rest", |registry| {
            [state(registry, "crashes"), state(registry, "done")]
                .iter()
                .all(|state| matches!(state, State::Failed | State::Completed))
        })
        .await;
        assert_eq!(state(registry, "crashes"), State::Failed);
        assert_eq!(state(registry, "done"), State::Completed);
        let crashes = |entry: &Entry| entry.instance.service.as_str() == "crashes";
        assert_eq!(registry.history(crashes).len(), 3);
    })
    .await;
}

/// How often each instance of a service was spawned, as `name-index generation`.
fn spawns(registry: &Registry, service: &str) -> Vec<String> {
    let (held, _) = registry.subscribe();
    let of = |event: &std::sync::Arc<blackhole_node::registry::Event>| {
        let instance = event.instance.as_ref().filter(|it| it.service.as_str() == service)?;
        (event.event == "spawned").then(|| format!("{instance} {}", event.generation))
    };
    held.iter().filter_map(of).collect()
}

#[tokio::test]
async fn a_group_that_is_restarted_goes_on_with_its_generations_and_its_scale() {
    let file = "[groups.g]\nservices = [\"bad\", \"wide\", \"narrow\"]\nrestarts_max = 1\n\
                [services.bad]\ncommand = [\"sleep\", \"1000\"]\nbackoff = { initial = 0 }\n\
                [services.wide]\ncommand = [\"sleep\", \"1000\"]\n\
                [services.narrow]\ncommand = [\"sleep\", \"1000\"]\ninstances = 2\n";
    with(file, async |registry, operator| {
        let all_ready = |registry: &Registry| {
            registry.survey(|entry| entry.state).iter().all(|state| *state == State::Ready)
        };
        until(registry, "all is ready", all_ready).await;
        operator.scale("wide", 2, Wait::UntilDone).await.expect("it grows");
        operator.scale("narrow", 1, Wait::UntilDone).await.expect("it shrinks");
        kill(registry, "bad").await;
        // One too many: the group ends, and its parent starts it again.
        kill(registry, "bad").await;
        until(registry, "all is ready again", all_ready).await;
        assert_eq!(spawns(registry, "bad"), ["bad-1 1", "bad-1 2", "bad-1 3"]);
        assert_eq!(spawns(registry, "narrow"), ["narrow-1 1", "narrow-2 1", "narrow-1 3"]);
        assert_eq!(spawns(registry, "wide"), ["wide-1 1", "wide-2 1", "wide-1 3", "wide-2 3"]);
        assert_eq!(registry.entries(|_| true)[0].restarts_total(), 2);
    })
    .await;
}

#[tokio::test]
async fn scaling_counts_from_what_is_there_and_never_leaves_a_row_behind() {
    let file = "[groups.g]\nservices = [\"member\"]\n\
                [services.member]\ncommand = [\"sleep\", \"1000\"]\n\
                [services.base]\ncommand = [\"sleep\", \"1000\"]\ninstances = 2\n\
                [services.top]\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"base\"]\n";
    with(file, async |registry, operator| {
        until(registry, "top is ready", |registry| state(registry, "top") == State::Ready).await;
        operator.scale("base", 1, Wait::UntilDone).await.expect("it shrinks");
        operator.scale("top", 3, Wait::UntilDone).await.expect("it grows");
        operator.scale("top", 1, Wait::No).await.expect("it will shrink");
        operator.scale("top", 3, Wait::UntilDone).await.expect("it grows after all");
        until(registry, "all of it is ready", |registry| {
            let top = registry.entries(|entry| entry.instance.service.as_str() == "top");
            top.iter().map(|entry| entry.state).collect::<Vec<_>>() == [State::Ready; 3]
        })
        .await;
        let none = operator.scale("top", 0, Wait::UntilDone).await.expect_err("none is too few");
        assert!(none.to_string().contains("at least one instance"), "{none}");

        let group = operator.select(&["g".into()]).expect("it is known");
        operator.stop(&group, Wait::UntilDone).await.expect("it stops");
        let down = operator.scale("member", 2, Wait::UntilDone).await.expect_err("nobody is there");
        assert!(down.to_string().contains("the group `g` of `member` is not running"), "{down}");
        assert_eq!(registry.entries(|entry| entry.group.is_some()).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_named_twice_is_asked_once() {
    let file = "[groups.g]\nservices = [\"slow\"]\n[services.slow]\n\
                command = [\"sh\", \"-c\", \"trap 'sleep 0.2; exit 7' TERM; echo up; while :; do \
                sleep 0.01; done\"]\nready = { log = \"up\" }\n";
    with(file, async |registry, operator| {
        until(registry, "it is ready", |registry| state(registry, "slow") == State::Ready).await;
        for names in [["slow", "slow"], ["g", "slow"]] {
            let twice = operator.select(&names.map(Into::into)).expect("it is known");
            operator.stop(&twice, Wait::UntilDone).await.expect("it stops");
            let last = registry.history(|_| true).pop().expect("an entry");
            assert_eq!(last.exited.code, Some(7), "its grace was skipped");
            operator.start(&twice, Wait::UntilDone).await.expect("it starts");
        }
    })
    .await;
}
