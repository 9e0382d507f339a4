//! A child in a namespace of processes of its own: what it sees, how it ends, and what ends with it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use blackhole_isolation::{Host, Part, Plan, Processes, Request, View, plan};
use blackhole_process::{ExitStatus, Launch, Signal, SpawnArguments, SpawnError, Spawned};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;

const DEADLINE: Duration = Duration::from_secs(60);

/// Does nothing, and says so, where nobody may make such a namespace.
fn run<T>(test: impl Future<Output = T>) {
    let unshare = "unshare --user --map-current-user --pid --fork --mount-proc true";
    if !Command::new("sh").args(["-c", unshare]).status().unwrap().success() {
        // Past the test runner, which keeps to itself what a test that passes prints.
        let _ = writeln!(std::io::stderr(), "skipped: this host lets nobody make such namespaces");
        return;
    }
    blackhole_process::prepare().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("deadline") });
}

fn start(command: &[&str]) -> Spawned {
    let view = View { processes: Processes::Private, ..View::default() };
    let plan = plan(&Request { view, ..Request::default() }, &Host::detect()).unwrap();
    start_as_planned(command, &Arc::new(plan)).unwrap()
}

fn start_as_planned(command: &[&str], plan: &Arc<Plan>) -> Result<Spawned, SpawnError> {
    let launch = Launch::builder(command).token_variable("TEST_TOKEN").isolation(plan.clone());
    let arguments = SpawnArguments { token: Some("namespace"), ..SpawnArguments::default() };
    launch.build().unwrap().spawn(&arguments)
}

async fn text(output: OwnedFd) -> String {
    let mut text = String::new();
    Receiver::from_owned_fd(output).unwrap().read_to_string(&mut text).await.unwrap();
    text
}

async fn line(output: OwnedFd) -> String {
    let mut line = String::new();
    BufReader::new(Receiver::from_owned_fd(output).unwrap()).read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

/// The numbers on the host of all processes that are in the namespace of one of them, beside itself.
fn beside(pid: i32) -> Vec<i32> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(&pid.to_string()).unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().map(|it| it.unwrap().file_name());
    let pids = processes.filter_map(|name| name.to_str()?.parse().ok());
    pids.filter(|other: &i32| *other != pid && namespace(&other.to_string()).as_ref() == Some(&own))
        .collect()
}

fn exists(pid: i32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

#[test]
fn it_sees_itself_and_the_first_process_only() {
    run(async {
        let script = "echo $$ /proc/[0-9]*; read name </proc/1/comm; echo $name; \
                      tr '\\0' '\\n' </proc/1/environ 2>/dev/null | grep -c . || true";
        let spawned = start(&["sh", "-c", script]);
        assert!(exists(spawned.process.pid()), "its number is the host's");
        assert_eq!(text(spawned.stdout).await, "2 /proc/1 /proc/2\nbh-init\n0\n");
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
        assert!(spawned.process.sweep().await.unwrap().is_empty());
    });
}

/// Where the tests run as root, as an ordinary user, whose namespaces of users are what is to be tried.
#[test]
fn the_first_process_cannot_be_looked_into() {
    const NAME: &str = "the_first_process_cannot_be_looked_into";
    if rustix::process::geteuid().is_root() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = directory.path().join("test");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let mut test = Command::new(program);
        let output = test.args(["--exact", NAME]).uid(65_534).gid(65_534).output().unwrap();
        std::io::stderr().write_all(&output.stderr).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    run(async {
        let script = "grep -E 'Cap(Prm|Eff)|NoNewPrivs' /proc/1/status; \
                      cat /proc/1/root/etc/passwd /proc/1/maps 2>&1 | grep -v denied";
        let spawned = start(&["sh", "-c", script]);
        let none = "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n";
        assert_eq!(text(spawned.stdout).await, none);
    });
}

#[test]
fn its_exit_and_signals_are_those_of_any_other_process() {
    run(async {
        let spawned = start(&["sh", "-c", "exit 7"]);
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(7));
        // Number 1 of a namespace would not hear a signal for which it has no handler.
        let spawned = start(&["sleep", "1000"]);
        spawned.process.signal_group(Signal::TERM).unwrap();
        let signal = Signal::TERM;
        assert_eq!(
            spawned.process.exited().await,
            ExitStatus::Signal { signal, core_dumped: false }
        );
    });
}

#[test]
fn the_first_process_cannot_be_killed_from_within_and_ends_with_the_service() {
    run(async {
        let script = "kill -9 1; kill -15 1; echo tried; exec sleep 1000";
        let spawned = start(&["sh", "-c", script]);
        assert_eq!(line(spawned.stdout).await, "tried");
        let others = beside(spawned.process.pid());
        assert_eq!(others.len(), 1, "{others:?}");
        spawned.process.kill_group().unwrap();
        spawned.process.exited().await;
        assert!(spawned.process.sweep().await.unwrap().is_empty());
        assert!(!exists(others[0]));
    });
}

/// Neither its session nor its environment tells whose it was.
#[test]
fn a_daemon_that_left_everything_ends_with_the_namespace() {
    run(async {
        let script = "env -i setsid sleep 1000 & \
                      until grep -q sleep /proc/$!/comm; do :; done; echo there; exec sleep 1000";
        let spawned = start(&["sh", "-c", script]);
        assert_eq!(line(spawned.stdout).await, "there");
        let others = beside(spawned.process.pid());
        assert_eq!(others.len(), 2, "{others:?}");
        spawned.process.signal(Signal::KILL).unwrap();
        spawned.process.exited().await;
        spawned.process.sweep().await.unwrap();
        assert!(others.iter().all(|pid| !exists(*pid)));
    });
}

#[test]
fn orphans_are_reaped_where_they_are() {
    run(async {
        let script = "orphan=$(sh -c 'sleep 0.1 >/dev/null & echo $!'); \
                      while [ -d /proc/$orphan ]; do :; done; echo gone";
        let spawned = start(&["sh", "-c", script]);
        assert_eq!(text(spawned.stdout).await, "gone\n");
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
    });
}

/// As in most containers, where a part of /proc is covered: the kernel mounts no other one there.
#[test]
fn where_no_proc_may_be_mounted_it_goes_on_with_the_rest_if_it_may() {
    const NAME: &str = "where_no_proc_may_be_mounted_it_goes_on_with_the_rest_if_it_may";
    const INSIDE: &str = "BLACKHOLE_TEST_COVERED_PROC";
    if std::env::var_os(INSIDE).is_none() {
        return run(async {
            // A process in a nested namespace cannot uncover what is covered.
            const WITHIN: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];
            let script = format!(
                "mount -t tmpfs none /proc/sys && exec {} \"$0\" --exact \"$1\"",
                WITHIN.join(" ")
            );
            let mut covered = Command::new(WITHIN[0]);
            covered.args(&WITHIN[1..]).args(["sh", "-c", &script]);
            let covered = covered.arg(std::env::current_exe().unwrap()).arg(NAME);
            let output = covered.env(INSIDE, "1").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        });
    }
    blackhole_process::prepare().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let hidden = directory.path().join("hidden");
        std::fs::create_dir_all(hidden.join("secret")).unwrap();
        let view =
            View { processes: Processes::Private, hidden: vec![hidden.clone()], ..View::default() };
        let required = Request { view, ..Request::default() };
        let optional = Request { optional: [Part::PrivatePids].into(), ..required.clone() };
        let host = Host::detect();
        let command = ["ls", hidden.to_str().unwrap()];
        let refused = start_as_planned(&command, &Arc::new(plan(&required, &host).unwrap()));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("mounting a /proc of its own processes"), "{refused}");
        let optional = Arc::new(plan(&optional, &host).unwrap());
        for _generation in 1..=2 {
            let spawned = start_as_planned(&command, &optional).unwrap();
            assert_eq!(text(spawned.stdout).await, "", "what is hidden is seen");
            assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
            assert_eq!(optional.skipped().collect::<Vec<_>>(), [Part::PrivatePids]);
        }
    });
}

#[test]
fn a_start_that_fails_leaves_no_first_process_behind() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("program").display().to_string();
        let view = View { processes: Processes::Private, ..View::default() };
        let plan = plan(&Request { view, ..Request::default() }, &Host::detect()).unwrap();
        let launch = Launch::builder([missing]).isolation(Arc::new(plan)).build().unwrap();
        let error = launch.spawn(&SpawnArguments::default()).unwrap_err();
        assert!(error.to_string().starts_with("executing `"), "{error}");
        // What is left would be a child of this thread.
        let own = rustix::thread::gettid().as_raw_pid();
        let children = std::fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap();
        assert_eq!(children, "");
    });
}
