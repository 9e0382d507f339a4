//! The terminal as a page that is drawn again and again: entered, and left as it was found.
//!
//! Keys arrive one by one and without an echo. Whatever ends the page (a key, a signal, an error, a
//! panic) gives the terminal back; only SIGKILL cannot be helped, and `reset` helps then. It knows
//! nothing of what is drawn.

use std::{
    io::{self, IsTerminal, Read, Write},
    os::fd::{AsFd, OwnedFd},
    panic, thread,
    time::Duration,
};

use anstream::adapter::strip_str;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::output;

/// Keys that were pressed and not looked at yet; what is more is dropped.
const KEYS_WAITING_MAX: usize = 64;

/// To another page, without its cursor, where lines that are too long do not wrap.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l";
/// Back to the page before, with its cursor and colours.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// How large it is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// A key, as far as pages know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Character(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Escape,
    /// Ctrl-C, which is a key here and no signal.
    Interrupt,
}

/// What a page waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Key(Key),
    Resized,
    /// The moment that was waited for has come.
    Due,
    /// Somebody asks this program to end.
    Terminated,
}

/// Whether people sit before the standard input and output.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The page, until it is dropped.
pub(crate) struct Page {
    _restored: Restored,
    keys: mpsc::Receiver<Key>,
    resized: Signal,
    terminated: Signal,
    hung_up: Signal,
}

impl Page {
    /// Takes the terminal; must be called inside a runtime.
    pub(crate) fn enter() -> io::Result<Self> {
        let resized = signal(SignalKind::window_change())?;
        let (terminated, hung_up) =
            (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let restored = Restored::enter(io::stdout().as_fd().try_clone_to_owned()?)?;
        give_back_before_a_panic_speaks()?;
        Ok(Self { _restored: restored, keys: keys()?, resized, terminated, hung_up })
    }

    /// How large it is now.
    pub(crate) fn size(&self) -> Size {
        let size = tcgetwinsize(io::stdout());
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row));
        // A terminal that does not know says 0.
        let or = |number: u16, usual: usize| if number == 0 { usual } else { number.into() };
        Size { columns: or(columns, 80), rows: or(rows, 24) }
    }

    /// Shows these lines from the top; what does not fit below is left out.
    pub(crate) fn draw(&self, text: &str) -> io::Result<()> {
        let rows = self.size().rows;
        let lines: Vec<&str> = text.lines().take(rows).collect();
        let plain = !output::is_coloured();
        let shown = |line: &str| if plain { strip_str(line).to_string() } else { line.to_owned() };
        let lines: Vec<String> = lines.into_iter().map(|line| shown(line) + "\x1b[K").collect();
        // Between the first and the last sequence a terminal that can shows nothing, so that it
        // does not flicker.
        let frame = format!("\x1b[?2026h\x1b[H{}\x1b[J\x1b[?2026l", lines.join("\r\n"));
        let mut stdout = io::stdout().lock();
        stdout.write_all(frame.as_bytes())?;
        stdout.flush()
    }

    /// The next thing that happens, at the latest `due`.
    pub(crate) async fn input(&mut self, due: Instant) -> Input {
        tokio::select! {
            Some(key) = self.keys.recv() => Input::Key(key),
            _ = self.resized.recv() => Input::Resized,
            _ = self.terminated.recv() => Input::Terminated,
            _ = self.hung_up.recv() => Input::Terminated,
            () = sleep_until(due) => Input::Due,
        }
    }
}

/// A terminal that is given back when this value goes.
struct Restored {
    terminal: OwnedFd,
    before: Termios,
}

impl Restored {
    fn enter(terminal: OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Flush, &raw)?;
        let restored = Self { terminal, before };
        rustix::io::write(&restored.terminal, ENTER)?;
        Ok(restored)
    }

    fn give_back(&self) {
        // A terminal that is gone need not be given back.
        let _ = rustix::io::write(&self.terminal, LEAVE);
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What a panic says would vanish with the page.
fn give_back_before_a_panic_speaks() -> io::Result<()> {
    // The terminal is raw by now, and so is not asked how it was before.
    let tell = panic::take_hook();
    let terminal = io::stdout().as_fd().try_clone_to_owned()?;
    panic::set_hook(Box::new(move |info| {
        let _ = rustix::io::write(&terminal, LEAVE);
        tell(info);
    }));
    Ok(())
}

/// Keys, from a thread that reads until the program ends: reading a terminal cannot be given up.
fn keys() -> io::Result<mpsc::Receiver<Key>> {
    let (pressed, keys) = mpsc::channel(KEYS_WAITING_MAX);
    let read = move || {
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = io::stdin().lock().read(&mut bytes) {
            for key in parse(&bytes[..count]) {
                // A page that is busy or gone loses keys.
                let _ = pressed.try_send(key);
            }
        }
    };
    thread::Builder::new().name("bh-keys".into()).spawn(read)?;
    Ok(keys)
}

/// The keys in one read: a terminal sends the sequence of a key at once.
fn parse(mut bytes: &[u8]) -> Vec<Key> {
    const SEQUENCES: [(&[u8], Key); 14] = [
        (b"\x1b[A", Key::Up),
        (b"\x1bOA", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1bOB", Key::Down),
        (b"\x1b[C", Key::Right),
        (b"\x1bOC", Key::Right),
        (b"\x1b[D", Key::Left),
        (b"\x1bOD", Key::Left),
        (b"\x1b[5~", Key::PageUp),
        (b"\x1b[6~", Key::PageDown),
        (b"\x1b[H", Key::Home),
        (b"\x1b[1~", Key::Home),
        (b"\x1b[F", Key::End),
        (b"\x1b[4~", Key::End),
    ];
    let mut keys = Vec::new();
    while let Some(&first) = bytes.first() {
        let known = SEQUENCES.iter().find(|(sequence, _)| bytes.starts_with(sequence));
        let (length, key) = match (known, first) {
            (Some((sequence, key)), _) => (sequence.len(), Some(*key)),
            (None, b'\x1b') if bytes.len() == 1 => (1, Some(Key::Escape)),
            // A sequence that no page knows.
            (None, b'\x1b') => (bytes.len(), None),
            (None, 3) => (1, Some(Key::Interrupt)),
            (None, first) => (1, first.is_ascii().then(|| Key::Character(first.into()))),
        };
        keys.extend(key);
        bytes = &bytes[length..];
    }
    keys
}

/// The moment so long from now.
pub(crate) fn after(interval: Duration) -> Instant {
    Instant::now() + interval
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::{
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        termios::LocalModes,
    };

    use super::*;

    #[test]
    fn keys_are_told_from_their_sequences() {
        assert_eq!(parse(b"q"), [Key::Character('q')]);
        assert_eq!(parse(b"\x1b[A\x1bOBx"), [Key::Up, Key::Down, Key::Character('x')]);
        assert_eq!(parse(b"\x1b"), [Key::Escape]);
        assert_eq!(parse(b"\x03"), [Key::Interrupt]);
        assert_eq!(parse(b"\x1b[<0;3;4M"), []);
        assert_eq!(parse("ä".as_bytes()), []);
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let path = name.to_str().expect("a path").to_owned();
        let terminal = File::options().read(true).write(true).open(path).expect("its other end");
        let echoes = || {
            let modes = tcgetattr(&terminal).expect("a terminal").local_modes;
            modes.contains(LocalModes::ECHO | LocalModes::ISIG)
        };
        assert!(echoes());
        let descriptor = terminal.try_clone().expect("a second handle").into();
        let page = panic::AssertUnwindSafe(|| {
            let _restored = Restored::enter(descriptor).expect("it is entered");
            assert!(!echoes(), "the page has begun");
            panic!("a bug");
        });
        panic::catch_unwind(page).expect_err("it panics");
        assert!(echoes());
        let mut written = [0; 256];
        let count = rustix::io::read(&master, &mut written).expect("what was written");
        assert!(written[..count].starts_with(ENTER), "{written:?}");
    }
}
