//! Programs that are run to ask.

use std::{fs, path::Path, time::Duration};

use blackhole_config::{Check, Probe};
use blackhole_node::probe::{Assumed, ExecContext};

use super::{eventually, probe, text, watch, watch_in};

fn exec(command: &[&str]) -> Probe {
    probe(Check::Exec(command.iter().map(|word| text(word)).collect()))
}

fn shell(script: &str) -> Probe {
    exec(&["sh", "-c", &script.replace('{', "{{").replace('}', "}}")])
}

#[tokio::test]
async fn a_program_that_exits_with_0_is_healthy_whatever_it_writes() {
    watch(&exec(&["true"]), Assumed::Unhealthy).becomes_healthy().await;
    let noisy = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2");
    watch(&noisy, Assumed::Unhealthy).becomes_healthy().await;
}

#[tokio::test]
async fn a_failure_is_told_with_the_last_line_that_the_program_wrote() {
    let mut story = Vec::new();
    for probe in [
        exec(&["sh", "-c", "echo one >&2; echo two >&2; exit 3"]),
        exec(&["sh", "-c", "echo only on stdout; exit 1"]),
        exec(&["false"]),
        exec(&["sh", "-c", "kill -9 $$"]),
        exec(&["no-such-program", "ping"]),
        exec(&["/etc/passwd"]),
        exec(&["sh", "-c", "(sleep 1000 & echo still here >&2); exit 1"]),
    ] {
        story.push(watch(&probe, Assumed::Healthy).becomes_unhealthy().await);
    }
    let path = std::env::var("PATH").unwrap();
    insta::assert_snapshot!(story.join("\n").replace(&path, "[PATH]"), @"
    `sh -c echo one >&2; echo two >&2; exit 3` exited with 3: two
    `sh -c echo only on stdout; exit 1` exited with 1: only on stdout
    `false` exited with 1
    `sh -c kill -9 $$` was killed by SIGKILL
    could not run `no-such-program ping`: looking up the program `no-such-program`: it is in none of [PATH]: No such file or directory (os error 2) (hint: install it, or write its full path)
    could not run `/etc/passwd`: executing `/etc/passwd`: it is mode 0644, owned by 0:0: Permission denied (os error 13) (hint: chmod +x /etc/passwd)
    `sh -c (sleep 1000 & echo still here >&2); exit 1` exited with 1: still here
    ");
}

#[tokio::test]
async fn a_program_runs_where_and_in_the_environment_that_its_service_has() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().canonicalize().unwrap();
    let here = directory.clone();
    let context = ExecContext::new(move |launch| {
        launch.clear_environment().variable("COLOUR", "green").working_directory(&here)
    });
    let probe = exec(&["/bin/sh", "-c", "echo $COLOUR $HOME $(pwd); exit 1"]);
    let reason = watch_in(&probe, Assumed::Healthy, &context).becomes_unhealthy().await;
    assert!(reason.ends_with(&format!(": green {}", directory.display())), "{reason}");
}

const HANG_TIMEOUT: Duration = Duration::from_secs(3);

/// Forks a child in its group and a daemon in a session of its own, notes their pids, and hangs.
fn hang(pids: &Path) -> Probe {
    let mut probe = shell(&format!(
        "sleep 1000 & echo $! >> {0}; setsid sh -c 'echo $$ >> {0}; exec sleep 1000' & \
         echo $$ >> {0}; trap '' TERM; \
         while [ $(wc -l < {0}) -lt 3 ]; do :; done; echo done >> {0}; wait",
        pids.display()
    ));
    // Long enough for it to come so far, on a busy host too.
    probe.timeout = HANG_TIMEOUT;
    probe.every = super::NEVER;
    probe.every_starting = super::NEVER;
    probe
}

fn still_there(pids: &Path) -> Vec<String> {
    let pids = fs::read_to_string(pids).unwrap();
    let there = |pid: &&str| Path::new(&format!("/proc/{pid}")).exists();
    pids.lines().filter(there).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_and_reaped_with_everything_it_started() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let mut hang = hang(&pids);
    // Assumed to be unhealthy, so that it is tried at once; the second try never comes.
    let watched = watch(&hang, Assumed::Unhealthy);
    eventually(|| {
        let last = watched.prober.last_failure();
        (last.as_deref() == Some("timed out after 3s"), last)
    })
    .await;
    assert_eq!(fs::read_to_string(&pids).unwrap().lines().count(), 4, "it did not come to hang");
    assert_eq!(still_there(&pids), Vec::<String>::new());

    fs::write(&pids, "").unwrap();
    hang.timeout = super::NEVER;
    let watched = watch(&hang, Assumed::Unhealthy);
    eventually(|| {
        let text = fs::read_to_string(&pids).unwrap();
        (text.contains("done"), text)
    })
    .await;
    drop(watched);
    eventually(|| {
        let left = still_there(&pids);
        (left.is_empty(), left)
    })
    .await;
}
