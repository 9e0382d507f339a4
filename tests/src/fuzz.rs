//! Every parser of ours of bytes from outside, as a function that takes any bytes and panics when a promise is
//! broken. `tests/fuzz` drives them with an engine that sees which code an input reaches;
//! `tests/tests/fuzz.rs` runs the corpus and what a few seconds of blind changes make of it.
//!
//! Not here: what others parse, HTTP/2 and protobuf on the way in and HTTP on port and probe (hyper and
//! prost), services' databases (redb); what needs a password or a key first; and what the kernel says.

mod mutation;
mod peers;
mod targets;

use std::{fs, io, path::PathBuf};

pub use mutation::Mutator;
pub use targets::{TARGETS, Target};

impl Target {
    /// The target with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Inputs that reach different code, small enough to read.
    pub fn corpus_dir(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }

    /// The committed inputs, in the order of their names.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn corpus(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut paths = fs::read_dir(self.corpus_dir())?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        paths.into_iter().map(|path| fs::read(&path).map(|bytes| (path, bytes))).collect()
    }
}
