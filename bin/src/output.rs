//! The standard output: coloured when that is wanted, and whole lines of JSON.
//!
//! Every write reports its error; the edge decides that a closed pipe is no failure.

use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use serde::Serialize;

/// The locked standard output, which drops colours where they are not wanted.
pub(crate) type Output = AutoStream<io::StdoutLock<'static>>;

/// Locks the standard output.
pub(crate) fn stdout() -> Output {
    anstream::stdout().lock()
}

/// Makes `--color` hold for everything that is printed from here on.
pub(crate) fn set_color(choice: clap::ColorChoice) {
    let choice = match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Which of two forms a listing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

impl Form {
    /// For listings that are text until JSON is asked for.
    pub(crate) fn asked(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// For streams of records: text on a terminal, JSON lines for programs.
    pub(crate) fn for_reader(json: bool) -> Self {
        Self::asked(json || !io::stdout().is_terminal())
    }
}

/// One value, one line, at once: whoever reads a stream of them waits for none.
pub(crate) fn write_json_line(output: &mut Output, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

/// How many columns the terminal has; `None` when the standard output is none.
pub(crate) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether colours are wanted on the standard output.
pub(crate) fn is_coloured() -> bool {
    AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}
