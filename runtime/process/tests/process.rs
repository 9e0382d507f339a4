//! One process, for real: started, watched, signalled, and nothing left of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "a descriptor is made inheritable on purpose")]

use std::future::Future;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blackhole_isolation::{Host, PathRules, Request, User, plan};
use blackhole_process::{ExitStatus, Launch, Signal, SpawnArguments, Spawned, Stage};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;

const DEADLINE: Duration = Duration::from_secs(60);

fn run<T>(test: impl Future<Output = T>) -> T {
    blackhole_process::prepare().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("deadline") })
}

/// Not by `eprintln!`, which the harness keeps to itself when the test passes.
fn skipped(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

fn shell(script: &str) -> Launch {
    Launch::builder(["sh", "-c", script]).token_variable("TEST_TOKEN").build().unwrap()
}

fn start(launch: &Launch) -> Spawned {
    loop {
        match launch.spawn(&SpawnArguments::default()) {
            Err(error) if error.source.raw_os_error() == Some(libc::ETXTBSY) => {}
            result => return result.unwrap(),
        }
    }
}

/// Starts with a token, which is what finds those who left the session.
fn start_marked(launch: &Launch, token: &str) -> Spawned {
    launch.spawn(&SpawnArguments { token: Some(token), ..SpawnArguments::default() }).unwrap()
}

async fn text(output: OwnedFd) -> String {
    let mut text = String::new();
    let mut pipe = Receiver::from_owned_fd(output).unwrap();
    pipe.read_to_string(&mut text).await.unwrap();
    text
}

async fn line(output: OwnedFd) -> String {
    let mut line = String::new();
    let mut pipe = BufReader::new(Receiver::from_owned_fd(output).unwrap());
    pipe.read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

async fn output_of(launch: &Launch) -> String {
    let spawned = start(launch);
    let (out, error) = (text(spawned.stdout).await, text(spawned.stderr).await);
    assert_eq!(error, "");
    assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
    out
}

fn exists(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

fn file(directory: &TempDir, name: &str, mode: u32, content: &str) -> String {
    let path = directory.path().join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
    path.display().to_string()
}

fn refusal(launch: &Launch) -> (Stage, String) {
    loop {
        let error = launch.spawn(&SpawnArguments::default()).unwrap_err();
        // A file that this process has just written may still be open in the child of another test.
        if error.source.raw_os_error() != Some(libc::ETXTBSY) {
            return (error.stage, error.to_string());
        }
    }
}

#[test]
fn a_start_that_fails_names_its_stage_and_what_can_be_seen() {
    run(async {
        let directory = TempDir::new().unwrap();
        let launch = |path: &str| Launch::builder([path]).build().unwrap();

        let (stage, text) = refusal(&launch("no-such-program-anywhere"));
        assert_eq!(stage, Stage::Lookup);
        assert!(text.starts_with("looking up the program `no-such-program-anywhere`"), "{text}");
        assert!(text.contains("hint: install it"), "{text}");

        let path = file(&directory, "plain", 0o644, "#!/bin/sh\n");
        let (stage, text) = refusal(&launch(&path));
        assert_eq!(stage, Stage::Execute);
        assert!(text.contains("it is mode 0644, owned by "), "{text}");
        assert!(text.ends_with(&format!("hint: chmod +x {path}")), "{text}");

        let path = file(&directory, "orphan", 0o755, "#!/no/such/interpreter -x\n");
        let (stage, text) = refusal(&launch(&path));
        assert_eq!(stage, Stage::Execute);
        assert!(text.ends_with("its interpreter `/no/such/interpreter` does not exist"), "{text}");

        let path = file(&directory, "noise", 0o755, "neither\n");
        let (_, text) = refusal(&launch(&path));
        assert!(text.contains("neither a binary nor a script\nhint: "), "{text}");

        let (_, text) = refusal(&launch(&directory.path().display().to_string()));
        assert!(text.ends_with("it is a directory"), "{text}");

        let (stage, text) = refusal(&launch("/no/such/file"));
        assert_eq!(stage, Stage::Execute);
        assert_eq!(text, "executing `/no/such/file`\nhint: check the path of the program");

        let nowhere = Launch::builder(["true"]).working_directory("/no/such/place").build();
        let (stage, text) = refusal(&nowhere.unwrap());
        assert_eq!(stage, Stage::Directory);
        assert!(text.starts_with("changing directory to `/no/such/place`\nhint: create"), "{text}");
    });
}

#[test]
fn a_failed_start_leaves_no_process_and_no_descriptor_behind() {
    run(async {
        let launch = Launch::builder(["true"]).working_directory("/no/such/place").build().unwrap();
        let error = launch.spawn(&SpawnArguments::default()).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
        // Whatever it was, `waitid` must find nothing of it; a sweep of another process would hang.
        let spawned = start(&shell("exit 0"));
        spawned.process.exited().await;
        assert!(spawned.process.sweep().await.unwrap().is_empty());
    });
}

#[test]
fn an_exit_tells_its_code_or_its_signal() {
    run(async {
        let spawned = start(&shell("exit 42"));
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(42));
        assert_eq!(spawned.process.exit_status(), Some(ExitStatus::Code(42)));
        // Asked again, it is told again.
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(42));

        let spawned = start(&shell("kill -USR1 $$"));
        let status = spawned.process.exited().await;
        assert_eq!(status.to_string(), "killed by SIGUSR1");
        assert_eq!(status.shell_code(), Some(128 + 10));

        let error = spawned.process.signal_group(Signal::TERM).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    });
}

#[test]
fn a_signal_reaches_the_whole_group() {
    run(async {
        let spawned = start(&shell("sleep 1000 & echo $!; wait"));
        let sleeper = line(spawned.stdout).await;
        spawned.process.signal_group(Signal::TERM).unwrap();
        assert_eq!(spawned.process.exited().await.to_string(), "killed by SIGTERM");
        assert!(spawned.process.sweep().await.unwrap().surviving.is_empty());
        assert!(!exists(&sleeper), "{sleeper}");
    });
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_with_its_group() {
    run(async {
        let script = "trap '' TERM; sleep 1000 & echo $!; while :; do wait; done";
        let spawned = start(&shell(script));
        let sleeper = line(spawned.stdout).await;
        spawned.process.signal_group(Signal::TERM).unwrap();
        spawned.process.kill_group().unwrap();
        assert_eq!(spawned.process.exited().await.to_string(), "killed by SIGKILL");
        assert!(spawned.process.sweep().await.unwrap().surviving.is_empty());
        assert!(!exists(&sleeper), "{sleeper}");
    });
}

#[test]
fn what_the_main_process_leaves_in_its_group_is_killed_and_reported() {
    run(async {
        let spawned = start(&shell("sleep 1000 & echo $!"));
        let sleeper = line(spawned.stdout).await;
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
        let swept = spawned.process.sweep().await.unwrap();
        assert!(!exists(&sleeper), "{sleeper}");
        let pids: Vec<_> = swept.killed.iter().map(|it| it.pid.to_string()).collect();
        assert_eq!(pids, [sleeper], "{swept:?}");
    });
}

#[test]
fn a_daemon_that_forked_twice_and_left_the_session_is_swept() {
    run(async {
        // The trailing command keeps each shell from executing its last one in its own place.
        let script =
            "setsid sh -c '(setsid sh -c \"echo \\$\\$; exec sleep 1000\" &) ; true'; true";
        let spawned = start_marked(&shell(script), "daemon-1");
        let daemon = line(spawned.stdout).await;
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
        assert!(exists(&daemon), "the daemon must have escaped for this test to mean anything");
        let swept = spawned.process.sweep().await.unwrap();
        assert_eq!(swept.killed.len(), 1, "{swept:?}");
        assert_eq!(swept.killed[0].pid.to_string(), daemon);
        assert!(!exists(&daemon), "{daemon}");
    });
}

#[test]
fn the_daemon_of_another_process_is_left_alone() {
    run(async {
        let script = "(setsid sh -c 'echo $$; exec sleep 1000' &); read forever";
        let script = format!("{script} < /proc/self/fd/9 9<>/dev/null; exec sleep 1000");
        let other = start_marked(&shell(&script), "other");
        let daemon = line(other.stdout).await;

        let spawned = start_marked(&shell("exit 0"), "mine");
        spawned.process.exited().await;
        assert!(spawned.process.sweep().await.unwrap().is_empty());
        assert!(exists(&daemon));

        other.process.kill_group().unwrap();
        other.process.exited().await;
        other.process.sweep().await.unwrap();
        assert!(!exists(&daemon));
    });
}

#[test]
fn a_daemon_that_dies_while_its_service_lives_is_reaped() {
    run(async {
        let reaper = tokio::spawn(blackhole_process::reap_orphans());
        let script = "(setsid sh -c 'echo $$; exec sleep 1000' &); exec sleep 1000";
        let spawned = start_marked(&shell(script), "zombie");
        let daemon = line(spawned.stdout).await;
        let pid = rustix::process::Pid::from_raw(daemon.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        while exists(&daemon) {
            tokio::task::yield_now().await;
        }
        assert_eq!(spawned.process.exit_status(), None);
        reaper.abort();
    });
}

#[test]
fn dropping_a_process_kills_its_group() {
    run(async {
        let spawned = start(&shell("sleep 1000 & echo $!; wait"));
        let sleeper = line(spawned.stdout).await;
        let exited = spawned.process.exited();
        drop(spawned.process);
        assert_eq!(exited.await.to_string(), "killed by SIGKILL");
        // Nobody sweeps; an orphan that died must not stay.
        let reaper = tokio::spawn(blackhole_process::reap_orphans());
        while exists(&sleeper) {
            tokio::task::yield_now().await;
        }
        reaper.abort();
    });
}

#[test]
fn a_child_gets_the_descriptors_passed_to_it_and_no_other() {
    run(async {
        let leaky = std::fs::File::open("/dev/zero").unwrap();
        // SAFETY: changes a flag of a descriptor that this test owns.
        assert_eq!(unsafe { libc::fcntl(leaky.as_raw_fd(), libc::F_SETFD, 0) }, 0);
        let address = "127.0.0.1:0".parse().unwrap();
        let tcp = Arc::new(blackhole_process::sockets::listen_tcp(address).unwrap());
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("s");
        let unix = Arc::new(blackhole_process::sockets::listen_unix(&path).unwrap());
        let (_node, child) = blackhole_process::sockets::link_pair().unwrap();
        // `exec` so that the shell opens nothing of its own; the listing's own descriptor comes last.
        let script = "for fd in /proc/self/fd/*; do echo ${fd##*/} $(readlink /proc/$$/fd/${fd##*/}); done; \
                      echo $LISTEN_PID=$$ $LISTEN_FDS $LISTEN_FDNAMES $LINK";
        let launch = Launch::builder(["sh", "-c", script])
            .socket("web", tcp)
            .socket("local", unix)
            .link_variable("LINK")
            .build()
            .unwrap();
        let link = std::os::fd::AsFd::as_fd(&child);
        let arguments = SpawnArguments { link: Some(link), ..SpawnArguments::default() };
        let spawned = launch.spawn(&arguments).unwrap();
        let pid = spawned.process.pid();
        let output = text(spawned.stdout).await;
        let kinds: Vec<_> = output.lines().map(|it| it.split(':').next().unwrap()).collect();
        let expected = [
            "0 /dev/null".to_owned(),
            "1 pipe".to_owned(),
            "2 pipe".to_owned(),
            "3 socket".to_owned(),
            "4 socket".to_owned(),
            "5 socket".to_owned(),
        ];
        assert_eq!(kinds[..6], expected, "{output}");
        let last = output.lines().last().unwrap();
        assert_eq!(last, format!("{pid}={pid} 2 web:local 5"));
        // The shell's own directory listing may stand there, and resolves to nothing by then.
        assert!(kinds.len() <= 8, "{output}");
        assert!(!output.contains("zero"), "{output}");
        assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
    });
}

#[test]
fn a_child_starts_with_default_signals_in_a_session_of_its_own() {
    run(async {
        let launch = Launch::builder(["cat", "/proc/self/status", "/proc/self/stat"]).build();
        let spawned = start(&launch.unwrap());
        let pid = spawned.process.pid();
        let status = text(spawned.stdout).await;
        for mask in ["SigBlk", "SigIgn", "SigCgt"] {
            let mask = format!("{mask}:\t0000000000000000");
            assert!(status.contains(&mask), "{mask} in {status}");
        }
        let stat = status.lines().last().unwrap();
        let ids: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').skip(2).take(2).collect();
        assert_eq!(ids, [pid.to_string(), pid.to_string()]);
        spawned.process.exited().await;
    });
}

#[test]
fn variables_of_the_generation_go_before_own_ones_and_those_before_inherited_ones() {
    run(async {
        let launch = Launch::builder(["env"])
            .clear_environment()
            .variable("A", "own")
            .variable("B", "own")
            .variable("PATH", std::env::var_os("PATH").unwrap())
            .token_variable("TOKEN")
            .build()
            .unwrap();
        let variables = [("A", "generation")];
        let arguments = SpawnArguments { variables: &variables, token: Some("t"), link: None };
        let spawned = launch.spawn(&arguments).unwrap();
        let output = text(spawned.stdout).await;
        let path = std::env::var("PATH").unwrap();
        assert_eq!(output, format!("A=generation\nTOKEN=t\nB=own\nPATH={path}\n"));
        spawned.process.exited().await;

        let inherited = Launch::builder(["env"]).variable("HOME", "/mine").build().unwrap();
        let output = output_of(&inherited).await;
        assert_eq!(output.matches("\nHOME=").count() + output.starts_with("HOME=") as usize, 1);
        assert!(output.contains("HOME=/mine"), "{output}");
        assert!(output.contains(&format!("PATH={path}")), "{output}");
    });
}

#[test]
fn a_program_is_found_where_the_child_s_own_path_says_and_again_after_it_moved() {
    run(async {
        let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let path = format!("{}:{}:/bin", first.path().display(), second.path().display());
        let launch = Launch::builder(["mine"]).variable("PATH", path).build().unwrap();
        let old = file(&first, "mine", 0o755, "#!/bin/sh\necho first\n");
        assert_eq!(output_of(&launch).await, "first\n");
        std::fs::remove_file(old).unwrap();
        file(&second, "mine", 0o755, "#!/bin/sh\necho second\n");
        assert_eq!(output_of(&launch).await, "second\n");
    });
}

#[test]
fn a_relative_program_is_found_from_the_working_directory() {
    run(async {
        let directory = TempDir::new().unwrap();
        file(&directory, "here", 0o755, "#!/bin/sh\npwd\n");
        let launch = Launch::builder(["./here"]).working_directory(directory.path()).build();
        let expected = directory.path().canonicalize().unwrap();
        assert_eq!(output_of(&launch.unwrap()).await.trim(), expected.display().to_string());
    });
}

/// What the parent may enter says nothing: a server that knows no root may refuse it, and let the user in.
#[test]
fn the_working_directory_is_entered_as_the_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    run(async {
        let directory = TempDir::new().unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let inside = directory.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::set_permissions(&inside, PermissionsExt::from_mode(0o700)).unwrap();
        let (name, group) = ("65534".to_owned(), Some("65534".to_owned()));
        let user = User { user: name, group, ..User::default() };
        let request = Request { user: Some(user), ..Request::default() };
        let plan = Arc::new(blackhole_isolation::plan(&request, &Host::detect()).unwrap());
        let launch = Launch::builder(["/bin/pwd"]).isolation(plan).working_directory(&inside);
        let launch = launch.build().unwrap();

        let (stage, text) = refusal(&launch);
        assert_eq!(stage, Stage::Directory);
        let facts =
            "it is mode 0700, owned by 0:0\nhint: the service's user must be able to enter it";
        assert!(text.contains(facts), "{text}");

        std::os::unix::fs::chown(&inside, Some(65534), None).unwrap();
        assert_eq!(output_of(&launch).await.trim(), inside.display().to_string());
    });
}

#[test]
fn a_command_that_cannot_be_one_is_refused_before_it_is_started() {
    let refused =
        |launch: blackhole_process::LaunchBuilder| launch.build().unwrap_err().to_string();
    let nothing: [&str; 0] = [];
    assert!(refused(Launch::builder(nothing)).starts_with("the command is empty\nhint: "));
    assert_eq!(refused(Launch::builder(["a\0b"])), "the command contains a zero byte");
    let launch = Launch::builder(["true"]).variable("A=B", "c");
    assert!(refused(launch).contains("`A=B` cannot be the name"));
}

/// In a container a session usually has its leader outside of it, and the kernel calls it 0 there.
#[test]
fn processes_are_told_apart_where_the_own_session_began_outside_the_pid_namespace() {
    let inside = std::process::Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_daemon_that_forked_twice_and_left_the_session_is_swept"])
        .output();
    match inside {
        Ok(inside) if inside.stderr.starts_with(b"unshare:") => {
            skipped(&String::from_utf8_lossy(&inside.stderr));
        }
        Ok(inside) => {
            assert!(inside.status.success(), "{}", String::from_utf8_lossy(&inside.stdout))
        }
        Err(error) => skipped(&format!("unshare: {error}")),
    }
}

/// A user who has no other processes.
const STRANGER: u32 = 61_234;

#[test]
fn a_child_that_its_user_stops_before_it_executes_holds_nobody_up() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can start a child as another user");
    }
    let stops_everybody = || {
        let mut command = std::process::Command::new("sh");
        std::os::unix::process::CommandExt::uid(&mut command, STRANGER);
        command.args(["-c", "while :; do kill -STOP -1; done"]).spawn().unwrap()
    };
    run(async {
        let id = STRANGER.to_string();
        let user = User { user: id.clone(), group: Some(id), supplementary: Some(Vec::new()) };
        let request = Request { user: Some(user), ..Request::default() };
        let plan = blackhole_isolation::plan(&request, &Host::detect()).unwrap();
        let launch = Launch::builder(["true"]).isolation(Arc::new(plan)).build().unwrap();
        let mut hostile = stops_everybody();
        let caught = (0..3000).find_map(|_| {
            let began = std::time::Instant::now();
            let spawned = start(&launch);
            (began.elapsed() > Duration::from_secs(1)).then_some(spawned)
        });
        hostile.kill().unwrap();
        hostile.wait().unwrap();
        match caught {
            None => skipped("no child was stopped in the moment that counts"),
            Some(caught) => {
                let exit = caught.process.exited().await;
                assert_eq!(exit, ExitStatus::Signal { signal: Signal::KILL, core_dumped: false });
            }
        }
    });
}

/// In a process of its own, whose limit it lowers.
#[test]
fn what_was_left_behind_is_found_without_any_descriptor() {
    const NAME: &str = "what_was_left_behind_is_found_without_any_descriptor";
    const INSIDE: &str = "BLACKHOLE_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(INSIDE).is_none() {
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        let output = test.args(["--exact", NAME]).env(INSIDE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    run(async {
        let script = "setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000";
        let spawned = start_marked(&shell(script), "spare");
        let left: i32 = line(spawned.stdout).await.parse().unwrap();
        let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        assert!(!all.is_empty());
        spawned.process.signal(Signal::KILL).unwrap();
        spawned.process.exited().await;
        let swept = spawned.process.sweep().await.unwrap();
        drop(all);
        assert_eq!(swept.killed.iter().map(|it| it.pid).collect::<Vec<_>>(), [left]);
    });
}

/// The rules are made known to the kernel once; a directory that is made again has only its name.
#[test]
fn path_rules_hold_for_every_generation_and_follow_a_path_that_leads_elsewhere() {
    run(async {
        let host = Host::detect();
        let directory = TempDir::new().unwrap();
        let [data, other] = ["data", "other"].map(|name| directory.path().join(name));
        for path in [&data, &other] {
            std::fs::create_dir(path).unwrap();
        }
        let paths = PathRules {
            execute: vec!["/".into()],
            write: vec![data.clone(), "/dev/null".into()],
            ..PathRules::default()
        };
        let Ok(plan) = plan(&Request { paths: Some(paths), ..Request::default() }, &host) else {
            return skipped("this kernel has no landlock");
        };
        let script = r#"echo 1 >"$0/f" && ! (echo 1 >"$1/f") 2>/dev/null && ls /proc/self/fd"#;
        let words = [data.to_str().unwrap(), other.to_str().unwrap()];
        let launch = Launch::builder(["sh", "-c", script, words[0], words[1]]);
        let launch = launch.isolation(Arc::new(plan)).build().unwrap();
        for generation in 1..=3 {
            let spawned = start(&launch);
            // The last is that of the directory that is listed.
            assert_eq!(text(spawned.stdout).await, "0\n1\n2\n3\n", "generation {generation}");
            assert_eq!(spawned.process.exited().await, ExitStatus::Code(0));
            std::fs::rename(&data, directory.path().join(generation.to_string())).unwrap();
            std::fs::create_dir(&data).unwrap();
        }
    });
}
