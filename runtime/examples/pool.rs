//! Work for the processor on crash-proof workers: a job that crashes loses itself, and nothing else.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, time::Duration};

use blackhole::{Pool, PoolError, ServiceSpec, Work};
use serde::{Deserialize, Serialize};

/// Counts primes, unless it is told to misbehave.
struct Primes;

#[derive(Serialize, Deserialize)]
enum Job {
    Below(u32),
    Abort,
    Segfault,
    Panic,
    Hang,
}

impl Work for Primes {
    const NAME: &'static str = "primes";
    type Job = Job;
    type Output = usize;

    fn run(job: Job) -> usize {
        match job {
            Job::Below(limit) => (2..limit).filter(|n| is_prime(*n)).count(),
            Job::Abort => std::process::abort(),
            Job::Segfault => segfault(),
            Job::Panic => panic!("a number that is not one"),
            Job::Hang => loop {
                std::thread::park();
            },
        }
    }
}

fn is_prime(n: u32) -> bool {
    (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// Follows a pointer to nothing, as a bug in a library of another language would.
#[expect(unsafe_code, reason = "only unsafe code has such faults")]
fn segfault() -> usize {
    // SAFETY: there is none, which is the point: the kernel ends the process at this read.
    unsafe { std::ptr::read_volatile(std::ptr::without_provenance(8)) }
}

async fn submit(pool: &Pool<Primes>, job: Job) -> Result<usize, PoolError> {
    pool.submit(job, Duration::from_secs(20)).await
}

fn main() -> Result<(), Box<dyn Error>> {
    let program = blackhole::program().pool::<Primes>().enter();
    program.block_on(async {
        let workers = ServiceSpec::pool::<Primes>(2);
        let node =
            program.node().in_temporary_directory().service("primes", workers).start().await?;
        let pool = node.pool::<Primes>("primes")?;

        // Good jobs and bad ones at the same time; each is told its own end.
        let (good, aborted, also_good, segfaulted) = tokio::join!(
            submit(&pool, Job::Below(10_000)),
            submit(&pool, Job::Abort),
            submit(&pool, Job::Below(100_000)),
            submit(&pool, Job::Segfault),
        );
        println!("below 10000: {}", good?);
        println!("below 100000: {}", also_good?);
        for outcome in [aborted, segfaulted] {
            if let Err(PoolError::WorkerDied { reason, .. }) = outcome {
                println!("a worker {reason}");
            }
        }
        if let Err(error) = submit(&pool, Job::Panic).await {
            println!("{error}");
        }
        if let Err(error) = pool.submit(Job::Hang, Duration::from_millis(200)).await {
            println!("{error}");
        }
        // One for which nobody waits any more keeps its worker, and leaves the other to the next job.
        let abandoned = pool.submit(Job::Hang, Duration::from_secs(2));
        if tokio::time::timeout(Duration::from_millis(200), abandoned).await.is_err() {
            println!("meanwhile: {}", submit(&pool, Job::Below(10)).await?);
        }

        pool.resize(4).await?;
        println!("{} workers: {}", pool.size(), submit(&pool, Job::Below(100)).await?);
        pool.resize(1).await?;
        println!("{} worker: {}", pool.size(), submit(&pool, Job::Below(1_000)).await?);
        node.stop().await?;
        Ok(())
    })
}
