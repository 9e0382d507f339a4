//! Guardian and node, for real: whoever of them is killed, nothing is left.
//!
//! Called as `guardian node MODE MARK` this program is the guarded one; else it runs the tests. `MARK` is a
//! number that stands in the arguments or the environment of every process of one test.
#![expect(clippy::print_stdout, reason = "the guarded program tells the test by it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use blackhole_process::guardian::{self, Role};
use blackhole_process::{Launch, Lifeline, SpawnArguments, Spawned};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

const DEADLINE: Duration = Duration::from_secs(30);
const VARIABLE: &str = "TEST_GUARDIAN_FD";
/// What the node returns after it has lost its guardian.
const LOST: u8 = 9;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [role, mode, mark] if role == "node" => guarded(mode, mark),
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn guarded(mode: &str, mark: &str) -> ExitCode {
    let lifeline = match guardian::init(VARIABLE).expect("guardian") {
        Role::Guardian(outcome) => {
            assert_eq!(outcome.surviving, [0_i32; 0]);
            return ExitCode::from(outcome.exit_code());
        }
        Role::Node(lifeline) => lifeline,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    ExitCode::from(runtime.expect("runtime").block_on(node(lifeline, mode, mark)))
}

async fn node(lifeline: Lifeline, mode: &str, mark: &str) -> u8 {
    let mut terminate = signal(SignalKind::terminate()).expect("signal");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signal");
    let _children: Vec<Spawned> = scripts(mode, mark).iter().map(|it| start(it, mark)).collect();
    if mode == "code" {
        return 42;
    }
    println!("node {} guardian {}", std::process::id(), lifeline.guardian_pid());
    let mut asked = 0;
    loop {
        tokio::select! {
            lost = lifeline.lost() => {
                lost.expect("lifeline");
                let surviving = blackhole_process::kill_everything().await.expect("kill");
                assert_eq!(surviving, [0_i32; 0]);
                return LOST;
            }
            _ = terminate.recv() => return 0,
            _ = interrupt.recv() => {
                asked += 1;
                println!("interrupted {asked}");
            }
        }
    }
}

fn start(script: &str, mark: &str) -> Spawned {
    let launch = Launch::builder(["sh", "-c", script]).token_variable("TEST_MARK").build();
    let arguments = SpawnArguments { token: Some(mark), ..SpawnArguments::default() };
    launch.expect("launch").spawn(&arguments).expect("spawn")
}

/// What a node's children do, from the tame to the wild.
fn scripts(mode: &str, mark: &str) -> Vec<String> {
    let tame = "sleep 1000 & wait".to_owned();
    let deaf = "trap '' TERM HUP INT; while :; do sleep 1000; done".to_owned();
    let daemon = "(setsid sh -c '(setsid sh -c \"sleep 1000; true\" &); true' &); true".to_owned();
    let anonymous = format!("(env -i setsid sleep 1000.{mark} &); exec sleep 1000");
    // Each incarnation starts the next in a session of its own and ends; the count ends them all.
    let hop = r#"N=$((N+1)); [ $N -lt 3000 ] && (setsid sh -c 'eval "$HOP"' &); true"#;
    let forker = format!("export N=0 HOP='{}'; eval \"$HOP\"", hop.replace('\'', r"'\''"));
    let forker = forker.replace("N=$((N+1))", "export N=$((N+1))");
    match mode {
        "tame" => vec![tame],
        "daemons" => vec![tame, deaf, daemon, anonymous],
        "forker" => vec![forker.clone(), forker],
        _ => Vec::new(),
    }
}

/// A guarded program and what it says.
struct Guarded {
    mark: String,
    guardian: Child,
    node: Pid,
    output: BufReader<ChildStdout>,
}

impl Guarded {
    fn start(mode: &str) -> Self {
        let nanoseconds = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("clock").as_nanos();
        let mark = format!("{}{}", std::process::id(), nanoseconds % 1_000_000_000);
        let mut command = Command::new(std::env::current_exe().expect("exe"));
        command.args(["node", mode, &mark]).stdout(Stdio::piped());
        let mut guardian = command.spawn().expect("spawn");
        let output = BufReader::new(guardian.stdout.take().expect("piped"));
        let mut guarded = Self { mark, guardian, node: Pid::INIT, output };
        let words = guarded.line();
        let words: Vec<_> = words.split(' ').collect();
        assert_eq!(words[3], guarded.guardian.id().to_string());
        guarded.node = Pid::from_raw(words[1].parse().expect("pid")).expect("pid");
        guarded
    }

    fn line(&mut self) -> String {
        if self.output.buffer().is_empty() {
            let mut pipe = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
            let timeout = DEADLINE.try_into().expect("a few seconds");
            assert_eq!(poll(&mut pipe, Some(&timeout)), Ok(1), "{:?}", marked(&self.mark));
        }
        let mut line = String::new();
        self.output.read_line(&mut line).expect("output");
        line.trim_end().to_owned()
    }

    fn guardian_pid(&self) -> Pid {
        Pid::from_child(&self.guardian)
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.guardian.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < deadline, "still there: {:?}", marked(&self.mark));
            std::thread::yield_now();
        }
    }

    /// Both daemons have left everything that could hold them, and stand below the node.
    fn has_daemons(&self) {
        let deadline = Instant::now() + DEADLINE;
        let below_node = |pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|it| it.split(' ').nth(1));
            parent == Some(&self.node.to_string())
        };
        // Two children that stay, and two daemons.
        while marked(&self.mark).keys().filter(|pid| below_node(pid)).count() < 4 {
            assert!(Instant::now() < deadline, "no daemons: {:?}", marked(&self.mark));
            std::thread::yield_now();
        }
    }

    fn is_gone(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = marked(&self.mark);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        for pid in marked(&self.mark).keys() {
            let _gone = Pid::from_raw(*pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        let _status = self.guardian.wait();
    }
}

/// Living processes that carry the mark.
fn marked(mark: &str) -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else { continue };
        let text = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let command = text("cmdline");
        if command.contains(mark) || text("environ").contains(mark) {
            found.insert(pid, command);
        }
    }
    found
}

fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    };
    vec![
        trial("the_guardian_returns_the_node_s_exit_code", || {
            let status = Command::new(std::env::current_exe().expect("exe"))
                .args(["node", "code", "0"])
                .status();
            assert_eq!(status.expect("status").code(), Some(42));
        }),
        trial("killing_the_node_leaves_nothing", || {
            killing_the_node_leaves_nothing("daemons", Guarded::has_daemons);
        }),
        trial("killing_the_node_at_once_leaves_nothing", || {
            killing_the_node_leaves_nothing("daemons", |_| ());
        }),
        trial("killing_the_node_ends_runaway_forkers", || {
            killing_the_node_leaves_nothing("forker", |_| ());
        }),
        trial("killing_the_guardian_ends_the_node_and_leaves_nothing", || {
            let mut guarded = Guarded::start("daemons");
            guarded.has_daemons();
            kill_process(guarded.guardian_pid(), Signal::KILL).expect("kill");
            assert_eq!(guarded.wait().signal(), Some(libc::SIGKILL));
            guarded.is_gone();
        }),
        trial("killing_both_at_once_ends_direct_children", killing_both_ends_direct_children),
        trial("signals_are_handed_on_once", || {
            let mut guarded = Guarded::start("tame");
            for asked in 1..=2 {
                kill_process(guarded.guardian_pid(), Signal::INT).expect("kill");
                assert_eq!(guarded.line(), format!("interrupted {asked}"));
            }
            kill_process(guarded.guardian_pid(), Signal::TERM).expect("kill");
            assert_eq!(guarded.wait().code(), Some(0));
            assert_eq!(guarded.line(), "");
            guarded.is_gone();
        }),
        trial("guardian_and_node_leave_no_core_dumps_and_their_children_may", only_children_dump),
        trial("a_stopped_guardian_goes_on_where_it_was", || {
            let mut guarded = Guarded::start("tame");
            kill_process(guarded.guardian_pid(), Signal::TSTP).expect("kill");
            kill_process(guarded.guardian_pid(), Signal::TERM).expect("kill");
            kill_process(guarded.guardian_pid(), Signal::CONT).expect("kill");
            assert_eq!(guarded.wait().code(), Some(0));
            guarded.is_gone();
        }),
        trial("a_false_lifeline_is_refused_with_a_hint", || {
            let mut command = Command::new(std::env::current_exe().expect("exe"));
            let output = command.args(["node", "tame", "0"]).env(VARIABLE, "1").output();
            let text = String::from_utf8(output.expect("output").stderr).expect("text");
            assert!(text.contains("NoLifeline"), "{text}");
        }),
    ]
}

fn only_children_dump() {
    let mut guarded = Guarded::start("tame");
    let (guardian, node) = (guarded.guardian_pid(), guarded.node);
    let own = core_dump_max(rustix::process::getpid());
    let refused = if own.1 == "0" { "0" } else { "1" };
    for pid in [guardian, node] {
        assert_eq!(core_dump_max(pid), (refused.to_owned(), own.1.clone()));
    }
    let shell = |(_, command): &(i32, String)| command.starts_with("sh ");
    let deadline = Instant::now() + DEADLINE;
    let child = loop {
        if let Some((pid, _)) = marked(&guarded.mark).into_iter().find(shell) {
            break Pid::from_raw(pid).expect("a pid");
        }
        assert!(Instant::now() < deadline, "no child");
        std::thread::yield_now();
    };
    assert_eq!(core_dump_max(child), own);
    kill_process(guardian, Signal::TERM).expect("kill");
    assert_eq!(guarded.wait().code(), Some(0));
}

/// Soft and hard.
fn core_dump_max(pid: Pid) -> (String, String) {
    let limits = format!("/proc/{}/limits", pid.as_raw_pid());
    let limits = std::fs::read_to_string(limits).expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let mut words = line.expect("a line").split_whitespace().map(str::to_owned);
    (words.next().expect("soft"), words.next().expect("hard"))
}

fn killing_the_node_leaves_nothing(mode: &str, ready: fn(&Guarded)) {
    let mut guarded = Guarded::start(mode);
    ready(&guarded);
    kill_process(guarded.node, Signal::KILL).expect("kill");
    assert_eq!(guarded.wait().code(), Some(128 + 9));
    // The guardian is gone only after everything else. One look could miss what hops from pid to pid.
    for _ in 0..20 {
        assert_eq!(marked(&guarded.mark), BTreeMap::new());
    }
}

fn killing_both_ends_direct_children() {
    let mut guarded = Guarded::start("tame");
    let (guardian, node) = (guarded.guardian_pid(), guarded.node);
    kill_process(guardian, Signal::STOP).expect("kill");
    kill_process(node, Signal::KILL).expect("kill");
    kill_process(guardian, Signal::KILL).expect("kill");
    guarded.wait();
    let deadline = Instant::now() + DEADLINE;
    let shell = |(_, command): &(i32, String)| command.starts_with("sh ");
    while let Some(left) = marked(&guarded.mark).into_iter().find(shell) {
        assert!(Instant::now() < deadline, "left behind: {left:?}");
        std::thread::yield_now();
    }
}
