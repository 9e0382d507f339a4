//! `bh top` and `bh status --watch` on a real terminal: the screen that people see, its keys, and the
//! terminal that is left.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use blackhole_tests::{TestNode, bh, is_installed, pid, send, until};
use rustix::process::Signal;

const BUSY: &str = r#"
[services.idle]
command = ["{fixture}", "--sleep"]
[services.busy]
command = ["sh", "-c", "while :; do :; done"]
resources = { nice = 10 }
"#;

/// A terminal multiplexer of the test's own, which ends with it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Runs a line of shell on a screen of this size.
    fn start(node: &TestNode, line: &str, (columns, rows): (u16, u16)) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        // A server that has been told to end may still hold its socket.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: node.path(&format!("tmux-{number}")) };
        let size = ["-x", &columns.to_string(), "-y", &rows.to_string()];
        let words = ["-f", "/dev/null", "new-session", "-d", size[0], size[1], size[2], size[3]];
        let started = terminal.tmux(&[&words[..], &[line]].concat());
        assert!(started.status.success(), "{started:?}");
        terminal
    }

    fn tmux(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(words).env("TERM", "xterm-256color");
        command.output().expect("tmux runs")
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// With the colours.
    fn styled_screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-e"]).stdout).into_owned()
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// `bh top`, and afterwards what became of the terminal.
fn line(node: &TestNode) -> String {
    format!(
        "{} top --interval 200ms --runtime-dir {}; echo ended $?; stty -a | grep -ow -e '-*echo' -e '-*icanon'; exec sleep 1000",
        bh().get_program().display(),
        node.path("run").display()
    )
}

#[test]
fn the_table_is_live_and_the_terminal_is_given_back() {
    if !is_installed("tmux") {
        return;
    }
    let node = TestNode::start_all(BUSY);
    let terminal = Terminal::start(&node, &line(&node), (110, 12));
    let first = |screen: &String| screen.lines().nth(4).unwrap_or_default().to_owned();
    let screen = until(
        "the busy one is first",
        || terminal.screen(),
        |screen| first(screen).starts_with("busy") && screen.contains('█'),
    );
    assert!(screen.contains("CPU▼") && screen.contains("2 instances, 2 ready"), "{screen}");
    terminal.press("n");
    terminal.press("R");
    until(
        "names are backwards",
        || terminal.screen(),
        |screen| screen.contains("SERVICE▲") && first(screen).starts_with("idle"),
    );
    terminal.tmux(&["resize-window", "-x", "50", "-y", "8"]);
    until(
        "it fits the smaller window",
        || terminal.screen(),
        |screen| !screen.contains("WRITE/S") && screen.contains("MEMORY"),
    );
    terminal.press("q");
    until(
        "the shell has its terminal back",
        || terminal.screen(),
        |screen| {
            screen.starts_with("ended 0\n")
                && screen.contains("\necho\n")
                && screen.contains("icanon")
                && !screen.contains("-icanon")
        },
    );
}

/// The listing that stays, with a variable set or unset for it.
fn watched(node: &TestNode, variable: &str) -> Terminal {
    let program = bh().get_program().display().to_string();
    let place = node.path("run");
    let line = format!("env {variable} {program} status --watch --runtime-dir {}", place.display());
    Terminal::start(node, &line, (100, 12))
}

#[test]
fn a_watched_status_follows_what_happens_on_a_terminal_of_any_width() {
    if !is_installed("tmux") {
        return;
    }
    let node = TestNode::start_all(BUSY);
    let terminal = watched(&node, "-u NO_COLOR");
    let shows = |number: i32| move |screen: &String| screen.contains(&number.to_string());
    let before = node.service("idle");
    until("its process is shown", || terminal.screen(), shows(pid(&before)));
    assert!(terminal.styled_screen().contains("\u{1b}[32mready"), "states have colours");
    send(pid(&before), Signal::KILL);
    let after = node.until_reborn(&before);
    let screen = until("its successor is shown", || terminal.screen(), shows(pid(&after)));
    assert!(screen.contains("signal SIGKILL"), "{screen}");

    terminal.tmux(&["resize-window", "-x", "34", "-y", "8"]);
    let narrow = |screen: &String| screen.contains("STATE") && !screen.contains("LAST EXIT");
    let screen = until("it fits a narrow one", || terminal.screen(), narrow);
    let rows = screen.lines().filter(|line| line.contains("ready")).count();
    assert_eq!(rows, 2, "no line is broken: {screen}");
}

#[test]
fn no_colours_are_printed_where_none_are_wanted() {
    if !is_installed("tmux") {
        return;
    }
    let node = TestNode::start_all(BUSY);
    let terminal = watched(&node, "NO_COLOR=1");
    until("it is there", || terminal.screen(), |screen| screen.contains("busy"));
    assert!(!terminal.styled_screen().contains('\u{1b}'), "{:?}", terminal.styled_screen());
}

#[test]
fn ctrl_c_ends_it_and_the_end_of_the_node_too() {
    if !is_installed("tmux") {
        return;
    }
    let node = TestNode::start_all(BUSY);
    {
        let terminal = Terminal::start(&node, &line(&node), (100, 12));
        until("it is there", || terminal.screen(), |screen| screen.contains("CPU▼"));
        terminal.press("C-c");
        until("it has ended", || terminal.screen(), |screen| screen.starts_with("ended 0\n"));
    }
    let terminal = Terminal::start(&node, &line(&node), (100, 12));
    until("it is there", || terminal.screen(), |screen| screen.contains("CPU▼"));
    assert_eq!(node.bh(&["stop", "--all"]).code, 0);
    until("it says why it ended", || terminal.screen(), |screen| screen.contains("ended 69"));
}
