//! Five hundred starts, one after the other and at once, leave no descriptor and no zombie.
//! Alone in its binary: it counts what belongs to the whole process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use blackhole_process::{ExitStatus, Launch, SpawnArguments};

const STARTS: usize = 500;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn children() -> String {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok()).collect()
}

#[test]
fn five_hundred_starts_leave_no_descriptor_and_no_zombie() {
    blackhole_process::prepare().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let reaper = tokio::spawn(blackhole_process::reap_orphans());
        let launch = Launch::builder(["true"]).build().unwrap();
        let failing =
            Launch::builder(["true"]).working_directory("/no/such/place").build().unwrap();
        one(&launch).await;
        let before = descriptors();
        for _ in 0..STARTS {
            one(&launch).await;
            failing.spawn(&SpawnArguments::default()).unwrap_err();
        }
        assert_eq!(descriptors(), before);
        assert_eq!(children(), "");

        let sleeper = Launch::builder(["sleep", "1000"]).build().unwrap();
        let start = |_| sleeper.spawn(&SpawnArguments::default()).unwrap();
        let all: Vec<_> = (0..STARTS).map(start).collect();
        assert_eq!(descriptors(), before + 3 * STARTS);
        let exits: Vec<_> = all.iter().map(|spawned| spawned.process.exited()).collect();
        drop(all);
        for exit in exits {
            assert_eq!(exit.await.to_string(), "killed by SIGKILL");
        }
        assert_eq!(descriptors(), before);
        assert_eq!(children(), "");

        // Dropped, and nobody waits for the exit.
        drop((0..STARTS).map(start).collect::<Vec<_>>());
        while !children().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(descriptors(), before);
        reaper.abort();
    });
}

async fn one(launch: &Launch) {
    let spawned = launch.spawn(&SpawnArguments::default()).unwrap();
    assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
    assert!(spawned.process.sweep().await.unwrap().is_empty());
}
