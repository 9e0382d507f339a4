//! A child that behaves, or misbehaves, as its flags say. Flags are carried out in order.
//!
//! ```text
//! fixture-service [--print TEXT] [--print-error TEXT] [--flood LINES] [--binary] [--no-newline BYTES]
//!                 [--ignore-term] [--close-output] [--fork] [--daemon PIDFILE] [--listen PATH]
//!                 [--touch FILE] [--append FILE TEXT] [--notify TEXT]
//!                 [--hold MIB FILE] [--spin-until FILE]
//!                 [--exit CODE | --abort | --segfault | --sleep | --wait-for FILE]
//! ```
//! Without a last word it sleeps until it is told to go.

use std::{
    env,
    io::{self, Write},
    os::unix::net::{UnixDatagram, UnixListener},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// From one look for a file to the next: nobody tells of what a test writes.
const LOOK_EVERY: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--print" => print(&mut io::stdout(), &value()),
            "--print-error" => print(&mut io::stderr(), &value()),
            "--flood" => flood(value().parse().expect("a number of lines")),
            "--binary" => binary(),
            "--no-newline" => no_newline(value().parse().expect("a number of bytes")),
            "--ignore-term" => ignore_term(),
            "--close-output" => close_output(),
            "--fork" => fork_child(),
            "--daemon" => daemon(&value()),
            "--listen" => listen(&value()),
            "--touch" => std::fs::write(value(), "").expect("the file is written"),
            "--append" => append(&value(), &words.next().expect("--append needs a text")),
            "--notify" => notify(&value()),
            "--hold" => {
                let mebibytes = value().parse().expect("a number of MiB");
                hold(mebibytes, Path::new(&words.next().expect("--hold needs a file")));
            }
            "--spin-until" => spin_until(Path::new(&value())),
            "--exit" => return ExitCode::from(value().parse::<u8>().expect("an exit code")),
            "--abort" => std::process::abort(),
            "--segfault" => segfault(),
            "--sleep" => sleep(),
            "--wait-for" => wait_for(Path::new(&value())),
            unknown => panic!("unknown flag {unknown}"),
        }
    }
    sleep()
}

fn print(stream: &mut impl Write, text: &str) {
    writeln!(stream, "{text}").expect("the node reads");
    stream.flush().expect("the node reads");
}

fn flood(lines: u64) {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in 0..lines {
        writeln!(out, "line {line} of a child that does not stop talking").expect("the node reads");
    }
}

fn binary() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    io::stdout().write_all(&bytes).expect("the node reads");
    io::stdout().flush().expect("the node reads");
}

fn no_newline(length: usize) {
    io::stdout().write_all(&vec![b'x'; length]).expect("the node reads");
    io::stdout().flush().expect("the node reads");
}

fn ignore_term() {
    signal_hook::flag::register(signal_hook::consts::SIGTERM, std::sync::Arc::default())
        .expect("SIGTERM can be ignored");
}

/// Replaces both outputs by `/dev/null` and lives on.
fn close_output() {
    let null = std::fs::File::options().write(true).open("/dev/null").expect("/dev/null");
    rustix::stdio::dup2_stdout(&null).expect("stdout is replaced");
    rustix::stdio::dup2_stderr(&null).expect("stderr is replaced");
}

/// A child in the same process group that sleeps for ever.
#[expect(clippy::zombie_processes, reason = "to leave it behind is what this is for")]
fn fork_child() {
    let program = env::current_exe().expect("own path");
    std::process::Command::new(program).arg("--sleep").spawn().expect("a child");
}

/// Forks twice and calls setsid in between, as daemons do; the daemon writes its pid and stays.
fn daemon(pid_file: &str) {
    let program = env::current_exe().expect("own path");
    let script =
        format!("setsid {} --append {pid_file} \"$$\" --sleep & exit 0", program.display());
    let script = script.replace("\"$$\"", "self");
    let status = std::process::Command::new("sh").args(["-c", &script]).status();
    assert!(status.expect("sh runs").success());
}

fn append(path: &str, text: &str) {
    let text = if text == "self" { std::process::id().to_string() } else { text.to_owned() };
    let mut file =
        std::fs::File::options().create(true).append(true).open(path).expect("the file opens");
    writeln!(file, "{text}").expect("the line is written");
}

fn listen(path: &str) {
    let listener = UnixListener::bind(path).expect("the socket is free");
    thread::spawn(move || listener.incoming().for_each(drop));
}

fn notify(text: &str) {
    let socket = env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET is set");
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.send_to(text.replace("\\n", "\n").as_bytes(), socket).expect("the node listens");
}

/// Memory that is in use until the file is there.
fn hold(mebibytes: usize, until: &Path) {
    let block = vec![1_u8; mebibytes << 20];
    wait_for(until);
    drop(std::hint::black_box(block));
}

/// One busy CPU until the file is there.
fn spin_until(path: &Path) {
    while !path.exists() {
        (0..1_000_000_u32).for_each(|turn| {
            std::hint::black_box(turn);
        });
    }
}

fn segfault() -> ! {
    let own = Pid::from_raw(std::process::id().cast_signed()).expect("a pid");
    kill_process(own, Signal::SEGV).expect("the signal is sent");
    sleep()
}

fn wait_for(path: &Path) {
    while !path.exists() {
        thread::sleep(LOOK_EVERY);
    }
}

fn sleep() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
