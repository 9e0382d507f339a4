//! `bh events --record` and `--replay`: what supervisors decided, kept and decided again.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use blackhole_node::incident::replay;

use crate::{cli::Global, client::Client, error::Error, output};

/// Writes until the node ends or Ctrl-C is pressed; a line is on its way to the disk at once, so that
/// whatever ends the recording ends it with a whole line.
pub(super) async fn record(file: &Path, global: &Global) -> Result<(), Error> {
    let failed = |source| Error::Recording { doing: "write", path: file.to_owned(), source };
    let mut client = Client::connect(&global.address()).await?;
    let mut lines = client.record().await?;
    let mut written = BufWriter::new(File::create(file).map_err(failed)?);
    while let Some(line) = lines.next().await? {
        writeln!(written, "{}", line.line).and_then(|()| written.flush()).map_err(failed)?;
    }
    Ok(())
}

/// Says that all decisions are the same, or fails at the first that is not.
pub(super) fn replay(file: &Path) -> Result<(), Error> {
    let failed = |source| Error::Recording { doing: "read", path: file.to_owned(), source };
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let replayed = replay::replay(text.lines());
    let replayed = replayed.map_err(|source| Error::Replay { path: file.to_owned(), source })?;
    writeln!(output::stdout(), "{replayed}")?;
    Ok(())
}
