//! sd_notify from real programs.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    time::Duration,
};

use blackhole_node::notify::{Change, Notification, NotifyAccess, NotifyError, NotifySocket};
use blackhole_process::{Launch, SpawnArguments, Spawned};
use blackhole_protocol::environment;

const TOKEN: &str = "7-token-of-the-test";

/// A program that is told of the socket, and who may speak for it.
struct Instance {
    socket: NotifySocket,
    access: NotifyAccess,
    spawned: Spawned,
    _folder: tempfile::TempDir,
}

fn start(command: &[&str]) -> Instance {
    let folder = tempfile::tempdir().unwrap();
    let socket = NotifySocket::bind(folder.path().join("api-1.sock")).unwrap();
    let launch = Launch::builder(command.iter().copied())
        .variable("NOTIFY_SOCKET", socket.path())
        .token_variable(environment::TOKEN)
        .build()
        .unwrap();
    let generation = SpawnArguments { token: Some(TOKEN), ..SpawnArguments::default() };
    let spawned = launch.spawn(&generation).unwrap();
    let access = NotifyAccess {
        main: spawned.process.pid().unsigned_abs(),
        uid: rustix::process::geteuid().as_raw(),
        token: Some(TOKEN.to_owned()),
        cgroup: None,
    };
    Instance { socket, access, spawned, _folder: folder }
}

fn python(body: &str) -> Instance {
    let script = format!(
        "import array, os, socket, sys, time\n\
         s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         s.connect(os.environ['NOTIFY_SOCKET'])\n\
         def barrier():\n\
        \x20   ours, theirs = os.pipe()\n\
        \x20   fds = array.array('i', [theirs])\n\
        \x20   s.sendmsg([b'BARRIER=1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])\n\
        \x20   os.close(theirs)\n\
        \x20   os.read(ours, 1)\n\
         {body}"
    );
    start(&["python3", "-c", &script])
}

impl Instance {
    async fn next(&mut self) -> Notification {
        tokio::time::timeout(super::DEADLINE, self.socket.next(&self.access))
            .await
            .expect("a notification in time")
            .expect("a socket that works")
    }

    async fn changes(&mut self) -> Vec<Change> {
        match self.next().await {
            Notification::Accepted { changes, refused, .. } => {
                assert_eq!(refused, []);
                changes
            }
            Notification::Refused(refused) => panic!("{refused}"),
        }
    }

    async fn exits_with_success(&self) {
        let exited = self.spawned.process.exited();
        let status = tokio::time::timeout(super::DEADLINE, exited).await.expect("an exit in time");
        assert!(status.is_success(), "{status}");
    }
}

#[tokio::test]
async fn what_a_python_service_says_is_heard_in_its_order() {
    let mut instance = python(
        "s.send(b'STATUS=opening the database\\nWATCHDOG_USEC=5000000')\n\
         s.send(b'READY=1\\nMAINPID=1\\nSTATUS=serving')\n\
         s.send(b'WATCHDOG=1')\n\
         sys.stdin.read(); time.sleep(1000)",
    );
    let opening = Change::Status("opening the database".to_owned());
    let timeout = Change::WatchdogTimeout(Duration::from_secs(5));
    assert_eq!(instance.changes().await, [opening, timeout]);
    let Notification::Accepted { pid, changes, refused } = instance.next().await else {
        panic!("it was refused")
    };
    assert_eq!(pid, instance.access.main);
    assert_eq!(changes, [Change::Ready, Change::Status("serving".to_owned())]);
    assert_eq!(
        refused[0].to_string(),
        "`MAINPID=1` is refused: the main process is the one that was started"
    );
    assert_eq!(instance.changes().await, [Change::WatchdogKicked]);
}

#[tokio::test]
async fn systemd_notify_in_a_shell_script_is_heard_and_not_kept_waiting() {
    let mut instance = start(&["sh", "-c", "systemd-notify --ready --status=up && echo ok"]);
    let changes = instance.changes().await;
    assert!(changes.contains(&Change::Ready), "{changes:?}");
    assert!(changes.contains(&Change::Status("up".to_owned())), "{changes:?}");
    // `BARRIER=1`: it goes when the descriptor that it sent is closed.
    assert_eq!(instance.changes().await, []);
    instance.exits_with_success().await;
}

#[tokio::test]
async fn descriptors_that_are_sent_along_are_closed() {
    let mut instance = python(
        "ours, theirs = os.pipe()\n\
         fds = array.array('i', [theirs] * 200)\n\
         s.sendmsg([b'READY=1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])\n\
         os.close(theirs)\n\
         sys.exit(len(os.read(ours, 1)))",
    );
    assert_eq!(instance.changes().await, [Change::Ready]);
    // Had one been kept, its `read` would wait for ever.
    instance.exits_with_success().await;
}

#[tokio::test]
async fn a_child_and_a_daemon_of_the_instance_may_speak_for_it() {
    let mut instance = python(
        "if os.fork() == 0:\n\
        \x20   s.send(b'STATUS=child')\n\
        \x20   barrier()\n\
        \x20   os.setsid()\n\
        \x20   parent = os.getpid()\n\
        \x20   if os.fork() == 0:\n\
        \x20       while os.getppid() == parent: pass\n\
        \x20       s.send(b'READY=1')\n\
        \x20       time.sleep(1000)\n\
        \x20   os._exit(0)\n\
         os.wait()\n\
         time.sleep(1000)",
    );
    let main = instance.access.main;
    for expected in [vec![Change::Status("child".to_owned())], vec![], vec![Change::Ready]] {
        match instance.next().await {
            Notification::Accepted { pid, changes, .. } => {
                assert_ne!(pid, main);
                assert_eq!(changes, expected);
            }
            Notification::Refused(refused) => panic!("{refused}"),
        }
    }
    // It has left the session, so that it is not in the group that dies with the instance.
    instance.spawned.process.kill_group().unwrap();
    instance.spawned.process.exited().await;
    instance.spawned.process.sweep().await.unwrap();
}

#[tokio::test]
async fn a_stranger_is_refused_and_so_is_what_is_too_long() {
    let mut instance = python("s.send(b'X' * 5000); time.sleep(1000)");
    let Notification::Refused(refused) = instance.next().await else { panic!("it was accepted") };
    let main = instance.access.main;
    assert_eq!(
        refused.to_string(),
        format!("a notification of process {main} is refused: it is longer than 4096 bytes")
    );
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.send_to(b"READY=1", instance.socket.path()).unwrap();
    let Notification::Refused(refused) = instance.next().await else { panic!("it was accepted") };
    let own = std::process::id();
    assert_eq!(
        refused.to_string(),
        format!("a notification of process {own} is refused: it is not a process of the instance")
    );
}

#[tokio::test]
async fn a_flood_is_read_at_a_bounded_pace_and_nothing_is_lost() {
    let mut instance = python("for _ in range(300): s.send(b'WATCHDOG=1')\ns.send(b'READY=1')");
    let begun = std::time::Instant::now();
    let mut heard = 0;
    while instance.changes().await == [Change::WatchdogKicked] {
        heard += 1;
    }
    assert_eq!(heard, 300);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    instance.exits_with_success().await;
}

#[tokio::test]
async fn the_socket_is_the_owners_alone_and_goes_with_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api-1.sock");
    let first = NotifySocket::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = NotifySocket::bind(&path).unwrap();
    drop(first);
    assert!(path.exists(), "the first one took the file of the second one away");
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_path_that_does_not_fit_or_does_not_exist_is_named() {
    let long = format!("/{}", "x".repeat(107));
    assert!(matches!(NotifySocket::bind(&long), Err(NotifyError::PathTooLong(_))));
    let error = NotifySocket::bind("/no/such/folder/a.sock").unwrap_err();
    assert_eq!(error.to_string(), "could not listen for notifications at `/no/such/folder/a.sock`");
}
