//! OTP's rules on plain actors: the supervisor is the node's, the children are ractor's.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use blackhole_actors::{ActorSpec, Tree, TreeError, TreeSpec};
use blackhole_policy::supervision::{
    AutoShutdown, Phase, Refusal, Restart, Shutdown, Strategy, SupervisorExit,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};

/// What has not happened by then never will.
const DEADLINE: Duration = Duration::from_secs(30);

/// What happened, in order.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    fn tell(&self, line: String) {
        self.0.lock().expect("nobody panics with it").push(line);
    }

    /// What was told since the last look.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }

    async fn until(&self, line: &str) {
        let told = async {
            while !self.0.lock().expect("nobody panics with it").iter().any(|told| told == line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, told)
            .await
            .unwrap_or_else(|_| panic!("`{line}` was never told: {:?}", self.take()));
    }
}

/// An actor that does as it is told, and tells of its starts and stops.
#[derive(Clone)]
struct Puppet {
    id: &'static str,
    story: Story,
    /// Starts so far, over all incarnations.
    starts: Arc<AtomicU32>,
    fails_from: u32,
    is_slow: bool,
}

#[derive(Debug)]
enum Tell {
    Stop,
    Fail,
    Panic,
    Hang,
}

impl Actor for Puppet {
    type Msg = Tell;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Tell>, (): ()) -> Result<(), ActorProcessingErr> {
        let starts = self.starts.fetch_add(1, Ordering::SeqCst) + 1;
        if starts >= self.fails_from {
            self.story.tell(format!("{} fails to start", self.id));
            return Err("told to".into());
        }
        self.story.tell(format!("{} up {starts}", self.id));
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Tell>,
        message: Tell,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Tell::Stop => myself.stop(None),
            Tell::Fail => return Err("told to".into()),
            Tell::Panic => panic!("told to"),
            Tell::Hang => std::future::pending().await,
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Tell>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        if self.is_slow {
            std::future::pending::<()>().await;
        }
        self.story.tell(format!("{} down", self.id));
        Ok(())
    }
}

impl Story {
    fn puppet(&self, id: &'static str) -> Puppet {
        let (story, starts) = (self.clone(), Arc::default());
        Puppet { id, story, starts, fails_from: u32::MAX, is_slow: false }
    }

    fn spec(&self, id: &'static str) -> ActorSpec {
        self.puppet(id).spec()
    }
}

impl Puppet {
    fn spec(self) -> ActorSpec {
        ActorSpec::new(self.id, move || (self.clone(), ()))
    }
}

fn tell(tree: &Tree, id: &str, message: Tell) {
    let actor = tree.actor::<Tell>(id).unwrap_or_else(|| panic!("{id} is not up"));
    actor.cast(message).expect("it hears");
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

async fn started(spec: TreeSpec) -> Tree {
    within(Tree::start(spec)).await.expect("it starts")
}

#[tokio::test]
async fn actors_start_in_order_and_stop_in_reverse() {
    let story = Story::default();
    let spec = TreeSpec::one_for_one();
    let tree =
        started(spec.child(story.spec("a")).child(story.spec("b")).child(story.spec("c"))).await;
    assert_eq!(story.take(), ["a up 1", "b up 1", "c up 1"]);
    assert_eq!(within(tree.stop()).await, SupervisorExit::Stopped);
    assert_eq!(story.take(), ["c down", "b down", "a down"]);
    let refused = within(tree.count()).await.expect_err("nobody is there");
    assert!(matches!(refused, TreeError::Refused(Refusal::SupervisorEnding)), "{refused}");
}

#[tokio::test]
async fn one_for_one_restarts_the_one_that_failed_and_a_panic_is_a_failure() {
    let story = Story::default();
    let spec = TreeSpec::one_for_one().restarts(2, DEADLINE);
    let tree = started(spec.child(story.spec("a")).child(story.spec("b"))).await;
    tell(&tree, "a", Tell::Fail);
    story.until("a up 2").await;
    tell(&tree, "b", Tell::Panic);
    story.until("b up 2").await;
    assert_eq!(story.take(), ["a up 1", "b up 1", "a up 2", "b up 2"]);
    within(tree.stop()).await;
}

#[tokio::test]
async fn one_for_all_takes_everything_down_and_up_again() {
    let story = Story::default();
    let spec = TreeSpec::new(Strategy::OneForAll);
    let spec = spec.child(story.spec("a")).child(story.spec("b")).child(story.spec("c"));
    let tree = started(spec).await;
    story.take();
    tell(&tree, "b", Tell::Fail);
    story.until("c up 2").await;
    assert_eq!(story.take(), ["c down", "a down", "a up 2", "b up 2", "c up 2"]);
    within(tree.stop()).await;
}

#[tokio::test]
async fn rest_for_one_restarts_those_after_the_one_that_failed() {
    let story = Story::default();
    let spec = TreeSpec::new(Strategy::RestForOne);
    let spec = spec.child(story.spec("a")).child(story.spec("b")).child(story.spec("c"));
    let tree = started(spec).await;
    story.take();
    tell(&tree, "b", Tell::Fail);
    story.until("c up 2").await;
    assert_eq!(story.take(), ["c down", "b up 2", "c up 2"]);
    within(tree.stop()).await;
}

#[tokio::test]
async fn who_ends_well_is_restarted_only_when_permanent() {
    for (restart, expected) in [
        (Restart::Permanent, vec!["a up 1", "a down", "a up 2"]),
        (Restart::Transient, vec!["a up 1", "a down"]),
        (Restart::Temporary, vec!["a up 1", "a down"]),
    ] {
        let story = Story::default();
        let tree = started(TreeSpec::one_for_one().child(story.spec("a").restart(restart))).await;
        tell(&tree, "a", Tell::Stop);
        story.until(expected.last().expect("a line")).await;
        // The answer comes after what was decided about the end.
        let specs = within(tree.count()).await.expect("it answers").specs;
        assert_eq!(story.take(), expected);
        assert_eq!(specs, if restart == Restart::Temporary { 0 } else { 1 }, "{restart:?}");
        within(tree.stop()).await;
    }
}

#[tokio::test]
async fn too_many_restarts_end_the_tree_in_reverse_order() {
    let story = Story::default();
    let spec = TreeSpec::one_for_one().restarts(1, DEADLINE);
    let spec = spec.child(story.spec("a")).child(story.spec("b")).child(story.spec("c"));
    let tree = started(spec).await;
    tell(&tree, "b", Tell::Fail);
    story.until("b up 2").await;
    story.take();
    tell(&tree, "b", Tell::Fail);
    let exit = within(tree.ended()).await;
    assert_eq!(exit, SupervisorExit::RestartedTooOften("b".into()));
    assert_eq!(story.take(), ["c down", "a down"]);
}

#[tokio::test]
async fn a_first_start_that_fails_leaves_nothing() {
    let story = Story::default();
    let broken = Puppet { fails_from: 1, ..story.puppet("b") }.spec();
    let spec = TreeSpec::one_for_one().child(story.spec("a")).child(broken).child(story.spec("c"));
    let refused = within(Tree::start(spec)).await.expect_err("b does not start");
    assert_eq!(refused.to_string(), "the tree ended before it was up: `b` did not start");
    assert_eq!(story.take(), ["a up 1", "b fails to start", "a down"]);
}

#[tokio::test]
async fn restarts_that_fail_count_until_there_are_too_many() {
    let story = Story::default();
    let broken = Puppet { fails_from: 2, ..story.puppet("a") }.spec();
    let tree = started(TreeSpec::one_for_one().restarts(3, DEADLINE).child(broken)).await;
    tell(&tree, "a", Tell::Fail);
    assert_eq!(within(tree.ended()).await, SupervisorExit::RestartedTooOften("a".into()));
    let fails = "a fails to start";
    assert_eq!(story.take(), ["a up 1", fails, fails, fails]);
}

#[tokio::test(start_paused = true)]
async fn each_actor_has_its_own_budget_to_stop() {
    let story = Story::default();
    let slow = Puppet { is_slow: true, ..story.puppet("slow") };
    let brutal = Puppet { is_slow: true, ..story.puppet("brutal") };
    let spec = TreeSpec::one_for_one()
        .child(story.spec("quick"))
        .child(slow.spec().shutdown(Shutdown::Timeout(Duration::from_secs(3))))
        .child(brutal.spec().shutdown(Shutdown::Brutal));
    let tree = started(spec).await;
    story.take();
    let asked_at = tokio::time::Instant::now();
    tree.stop().await;
    assert_eq!(asked_at.elapsed().as_secs(), 3);
    assert_eq!(story.take(), ["quick down"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_in_a_message_is_killed_when_its_budget_is_over() {
    let story = Story::default();
    let tree = started(TreeSpec::one_for_one().child(story.spec("a"))).await;
    tell(&tree, "a", Tell::Hang);
    let asked_at = tokio::time::Instant::now();
    tree.stop().await;
    assert_eq!(asked_at.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_tree_in_a_tree_is_one_child_and_stops_as_a_whole() {
    let story = Story::default();
    let inner = TreeSpec::one_for_one().restarts(0, DEADLINE);
    let inner = inner.child(story.spec("x")).child(story.spec("y"));
    let outer =
        TreeSpec::one_for_one().child(story.spec("a")).child(ActorSpec::tree("inner", inner));
    let tree = started(outer).await;
    assert_eq!(story.take(), ["a up 1", "x up 1", "y up 1"]);
    let counts = within(tree.count()).await.expect("it answers");
    assert_eq!((counts.workers, counts.supervisors, counts.active), (1, 1, 2));
    within(tree.stop()).await;
    assert_eq!(story.take(), ["y down", "x down", "a down"]);
}

#[tokio::test]
async fn a_nested_tree_that_gives_up_is_a_restart_of_its_parent_which_gives_up_in_turn() {
    let story = Story::default();
    let inner = TreeSpec::new(Strategy::OneForAll).restarts(1, DEADLINE);
    let inner = inner.child(story.spec("x")).child(story.spec("y"));
    let middle = TreeSpec::one_for_one().restarts(1, DEADLINE);
    let middle = middle.child(ActorSpec::tree("inner", inner)).child(story.spec("m"));
    let outer = TreeSpec::one_for_one().restarts(0, DEADLINE);
    let outer = outer.child(story.spec("a")).child(ActorSpec::tree("middle", middle));
    let tree = started(outer).await;
    let middle = tree.tree("middle").expect("it is up");
    for expected in [
        vec!["a up 1", "x up 1", "y up 1", "m up 1", "y down", "x up 2", "y up 2"],
        // The inner tree gives up, and the middle one restarts it.
        vec!["y down", "x up 3", "y up 3"],
        vec!["y down", "x up 4", "y up 4"],
    ] {
        let inner = within_inner(&middle).await;
        tell(&inner, "x", Tell::Fail);
        story.until(expected.last().expect("a line")).await;
        assert_eq!(story.take(), expected);
    }
    tell(&within_inner(&middle).await, "x", Tell::Fail);
    assert_eq!(within(tree.ended()).await, SupervisorExit::RestartedTooOften("middle".into()));
    assert_eq!(story.take(), ["y down", "m down", "a down"]);
    let how = tree.how_ended("middle").expect("it ended");
    let because = "ended: `inner` was restarted too often, and last it \
                   ended: `x` was restarted too often, and last it failed: told to";
    assert_eq!(how, because);
}

/// The tree `inner`, once both of its actors are up.
async fn within_inner(middle: &Tree) -> Tree {
    within(async {
        loop {
            if let Some(inner) = middle.tree("inner")
                && inner.actor::<Tell>("x").is_some()
                && inner.actor::<Tell>("y").is_some()
            {
                return inner;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn an_actor_that_did_not_start_says_why() {
    let story = Story::default();
    let tree = started(TreeSpec::one_for_one()).await;
    let broken = Puppet { fails_from: 1, ..story.puppet("a") }.spec();
    let error = within(tree.add(broken)).await.expect_err("it does not start").to_string();
    assert!(error.starts_with("`a` did not start: ") && error.contains("told to"), "{error}");
    within(tree.stop()).await;
}

#[tokio::test]
async fn the_id_of_a_temporary_actor_that_ended_is_free_for_another() {
    let (story, other) = (Story::default(), Story::default());
    let tree = started(TreeSpec::one_for_one()).await;
    within(tree.add(story.spec("job").restart(Restart::Temporary))).await.expect("it starts");
    tell(&tree, "job", Tell::Stop);
    story.until("job down").await;
    within(async {
        while within(tree.count()).await.expect("it answers").specs > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(tree.add(other.spec("job"))).await.expect("the id is free");
    assert_eq!(
        (story.take(), other.take()),
        (vec!["job up 1".into(), "job down".into()], vec!["job up 1".into()])
    );
    within(tree.stop()).await;
}

/// The supervisor is busy with a slow stop while a child of one id goes and another of that id is asked for.
#[tokio::test]
async fn who_takes_the_id_of_another_that_goes_begins_as_asked_and_is_restarted_so() {
    let (story, other) = (Story::default(), Story::default());
    let slow = Puppet { is_slow: true, ..story.puppet("slow") };
    let grace = Shutdown::Timeout(Duration::from_millis(200));
    let spec = TreeSpec::one_for_one().restarts(3, DEADLINE);
    let spec = spec.child(story.spec("job")).child(slow.spec().shutdown(grace));
    let tree = started(spec).await;
    within(tree.stop_child("job")).await.expect("it stops");
    let (_, removed, added) = within(async {
        tokio::join!(tree.stop_child("slow"), tree.remove("job"), tree.add(other.spec("job")))
    })
    .await;
    removed.expect("it was down");
    added.expect("the id was free by then");
    assert_eq!(other.take(), ["job up 1"]);
    tell(&tree, "job", Tell::Fail);
    other.until("job up 2").await;
    within(tree.stop()).await;
}

#[tokio::test]
async fn what_can_be_started_once_ends_a_tree_without_restarts_and_no_other_first() {
    let story = Story::default();
    let tree = started(TreeSpec::one_for_one().restarts(1, DEADLINE)).await;
    within(tree.add(ActorSpec::once("a", story.puppet("a"), ()))).await.expect("it starts");
    tell(&tree, "a", Tell::Fail);
    assert_eq!(within(tree.ended()).await, SupervisorExit::RestartedTooOften("a".into()));
    assert_eq!(story.take(), ["a up 1"]);
    let how = tree.how_ended("a").expect("it ended");
    assert!(how.contains("it can be started once"), "{how}");
}

#[tokio::test]
async fn the_end_of_a_significant_actor_ends_the_tree() {
    let story = Story::default();
    let significant = story.spec("job").restart(Restart::Transient).significant();
    let spec = TreeSpec::one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
    let tree = started(spec.child(story.spec("helper")).child(significant)).await;
    tell(&tree, "job", Tell::Stop);
    assert_eq!(within(tree.ended()).await, SupervisorExit::AutoShutdown("job".into()));
    assert_eq!(story.take(), ["helper up 1", "job up 1", "job down", "helper down"]);
}

#[tokio::test]
async fn children_come_and_go_at_run_time_by_otps_rules() {
    let story = Story::default();
    let tree = started(TreeSpec::one_for_one().child(story.spec("a"))).await;
    within(tree.add(story.spec("b"))).await.expect("it starts");
    let again = within(tree.add(story.spec("b"))).await.expect_err("it is there");
    assert!(matches!(again, TreeError::Refused(Refusal::AlreadyStarted(_))), "{again}");
    let running = within(tree.remove("b")).await.expect_err("it runs");
    assert!(matches!(running, TreeError::Refused(Refusal::Running)), "{running}");
    within(tree.stop_child("b")).await.expect("it stops");
    let children = within(tree.children()).await.expect("it answers");
    let listed: Vec<_> = children.iter().map(|child| (child.id.as_str(), child.phase)).collect();
    assert!(matches!(listed[..], [("b", Phase::Down), ("a", Phase::Up(_))]), "{listed:?}");
    within(tree.start_child("b")).await.expect("it starts");
    within(tree.stop_child("b")).await.expect("it stops");
    within(tree.remove("b")).await.expect("it goes");
    assert!(tree.actor::<Tell>("b").is_none());
    let nobody = within(tree.start_child("b")).await.expect_err("it is gone");
    assert!(matches!(nobody, TreeError::Refused(Refusal::NotFound)), "{nobody}");
    let broken = Puppet { fails_from: 1, ..story.puppet("c") }.spec();
    within(tree.add(broken)).await.expect_err("it does not start");
    within(tree.add(story.spec("c"))).await.expect("its name is free");
    within(tree.stop()).await;
}

#[tokio::test]
async fn actors_of_a_concurrent_tree_wait_for_those_they_come_after() {
    let story = Story::default();
    let spec = TreeSpec::one_for_one().concurrent();
    let spec = spec.child(story.spec("b").after("a")).child(story.spec("a"));
    let tree = started(spec).await;
    assert_eq!(story.take(), ["a up 1", "b up 1"]);
    within(tree.stop()).await;
    assert_eq!(story.take(), ["b down", "a down"]);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused() {
    let story = Story::default();
    let twice = TreeSpec::one_for_one().child(story.spec("a")).child(story.spec("a"));
    let refused = Tree::start(twice).await.expect_err("there are two");
    assert!(matches!(refused, TreeError::Spec(_)), "{refused}");
}

#[tokio::test]
async fn a_reference_of_another_type_is_none() {
    let story = Story::default();
    let tree = started(TreeSpec::one_for_one().child(story.spec("a"))).await;
    assert!(tree.actor::<Tell>("a").is_some());
    assert!(tree.actor::<String>("a").is_none());
    within(tree.stop()).await;
}
