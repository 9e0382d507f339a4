//! A pool whose service somebody else scales.

use std::time::Duration;

use blackhole::{Node, PoolError, ServiceSpec, Work};
use tokio::sync::Semaphore;

/// What has not happened by then never will.
const DEADLINE: Duration = Duration::from_secs(30);

/// A job that is held until it may end, or one that is done at once.
struct Holding;

static BEGUN: Semaphore = Semaphore::const_new(0);
static MAY_END: Semaphore = Semaphore::const_new(0);

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
enum Job {
    Held,
    Quick,
}

impl Work for Holding {
    const NAME: &'static str = "holding";
    type Job = Job;
    type Output = ();

    fn run(job: Job) {
        if let Job::Held = job {
            BEGUN.add_permits(1);
            let may_end = tokio::runtime::Handle::current().block_on(MAY_END.acquire());
            may_end.expect("it is never closed").forget();
        }
    }
}

struct Sleeping;

impl Work for Sleeping {
    const NAME: &'static str = "sleeping";
    type Job = Duration;
    type Output = ();

    fn run(duration: Duration) {
        std::thread::sleep(duration);
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

#[tokio::test]
async fn a_pool_uses_the_workers_that_others_add_and_not_those_that_they_take_away() {
    let workers = ServiceSpec::pool::<Holding>(1);
    let node = Node::builder().embedded().service("holding", workers).start().await;
    let node = node.expect("it starts");
    let pool = node.pool::<Holding>("holding").expect("it is there");
    let submit = |job| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.submit(job, DEADLINE).await })
    };
    let held = submit(Job::Held);
    within(BEGUN.acquire()).await.expect("it is never closed").forget();
    let waiting = submit(Job::Quick);
    within(node.scale("holding", 2)).await.expect("it grows");
    within(waiting).await.expect("no panic").expect("the new worker does it");
    assert_eq!(pool.size(), 2);

    within(node.scale("holding", 1)).await.expect("it shrinks");
    let waiting = [submit(Job::Quick), submit(Job::Quick)];
    MAY_END.add_permits(1);
    within(held).await.expect("no panic").expect("it may end");
    for job in waiting {
        within(job).await.expect("no panic").expect("the worker that is left does it");
    }
    let refused = within(pool.resize(0)).await.expect_err("a service has an instance");
    assert!(matches!(refused, PoolError::Resize(_)), "{refused}");
    within(pool.resize(3)).await.expect("it grows");
    assert_eq!(pool.size(), 3);
    within(pool.resize(1)).await.expect("it shrinks");
    assert_eq!(pool.size(), 1);
}

/// A worker has one job at a time, whichever pool gave it: a job that takes its worker down takes no other along.
#[tokio::test]
async fn two_pools_of_one_service_have_the_same_workers() {
    let workers = ServiceSpec::pool::<Sleeping>(1);
    let node = Node::builder().embedded().service("sleeping", workers).start().await;
    let node = node.expect("it starts");
    let pool = || node.pool::<Sleeping>("sleeping").expect("it is there");
    let (one, other) = (pool(), pool());
    let (overrun, done) = within(async {
        tokio::join!(
            one.submit(Duration::from_secs(2), Duration::from_millis(200)),
            other.submit(Duration::ZERO, DEADLINE)
        )
    })
    .await;
    let overrun = overrun.expect_err("it sleeps longer");
    assert!(matches!(overrun, PoolError::DeadlineExceeded { .. }), "{overrun}");
    done.expect("another process does it");
}
