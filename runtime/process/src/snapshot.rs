//! State that outlives a process: a file in memory that the node holds and each incarnation is passed.
//!
//! The file has a fixed size and two places, which are written in turn: whatever ends a process in the
//! middle of a write, the snapshot before is whole and is what the next incarnation finds. Nothing passes
//! through the node, which only keeps the descriptor.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::{Mutex, PoisonError},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// The largest snapshot, in bytes.
pub const SNAPSHOT_LENGTH_MAX: usize = 512 << 10;

/// Sequence, length and checksum, each eight bytes.
const HEADER_LENGTH: usize = 24;
const PLACE_LENGTH: u64 = (HEADER_LENGTH + SNAPSHOT_LENGTH_MAX) as u64;
const PLACES: u64 = 2;

/// A snapshot was not kept; the one before is.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is too much of it.
    #[error("a snapshot of {length} bytes is too large: at most {SNAPSHOT_LENGTH_MAX} are kept")]
    TooLarge {
        /// In bytes.
        length: usize,
    },
    /// The memory is not there.
    #[error("could not keep the snapshot")]
    Write(#[source] io::Error),
}

/// An empty file of the size that two snapshots need, which nobody can make larger or smaller. Pages
/// are taken from memory when they are first written.
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, PLACES * PLACE_LENGTH)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

/// A process's side of its memory file.
#[derive(Debug)]
pub struct SnapshotFile {
    file: File,
    /// Of the last whole snapshot.
    sequence: Mutex<u64>,
}

impl SnapshotFile {
    /// The file that the node passed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let file = File::from(file);
        let sequence = newest(&file)?.map_or(0, |(sequence, _)| sequence);
        Ok(Self { file, sequence: Mutex::new(sequence) })
    }

    /// What was kept last; nothing before the first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(newest(&self.file)?.map(|(_, snapshot)| snapshot))
    }

    /// Keeps a snapshot in place of the one before. When this returns, the death of the process loses
    /// nothing of it.
    ///
    /// # Errors
    /// When it is larger than [`SNAPSHOT_LENGTH_MAX`], or there is no memory for it.
    pub fn write(&self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        if snapshot.len() > SNAPSHOT_LENGTH_MAX {
            return Err(SnapshotError::TooLarge { length: snapshot.len() });
        }
        let mut sequence = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let next = *sequence + 1;
        let place = (next % PLACES) * PLACE_LENGTH;
        let length = snapshot.len() as u64;
        let header = [next, length, checksum(next, snapshot)].map(u64::to_le_bytes).concat();
        self.file
            .write_all_at(snapshot, place + HEADER_LENGTH as u64)
            .and_then(|()| self.file.write_all_at(&header, place))
            .map_err(SnapshotError::Write)?;
        *sequence = next;
        Ok(())
    }
}

/// A second descriptor of the same file, for an incarnation inside the node's process.
pub fn shared(file: &impl AsFd) -> io::Result<OwnedFd> {
    file.as_fd().try_clone_to_owned()
}

/// The whole snapshot that was written last, and its sequence.
fn newest(file: &File) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut newest: Option<(u64, Vec<u8>)> = None;
    for place in 0..PLACES {
        let found = whole(file, place * PLACE_LENGTH)?;
        if let Some((sequence, _)) = &found
            && newest.as_ref().is_none_or(|(known, _)| known < sequence)
        {
            newest = found;
        }
    }
    Ok(newest)
}

fn whole(file: &File, place: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut header = [0; HEADER_LENGTH];
    file.read_exact_at(&mut header, place)?;
    let number = |at: usize| {
        u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes are eight bytes"))
    };
    let (sequence, length, sum) = (number(0), number(8), number(16));
    if sequence == 0 || length > SNAPSHOT_LENGTH_MAX as u64 {
        return Ok(None);
    }
    let mut snapshot = vec![0; usize::try_from(length).unwrap_or(SNAPSHOT_LENGTH_MAX)];
    file.read_exact_at(&mut snapshot, place + HEADER_LENGTH as u64)?;
    Ok((checksum(sequence, &snapshot) == sum).then_some((sequence, snapshot)))
}

/// FNV-1a: it detects a write that was cut short; it is no protection against an attacker.
fn checksum(sequence: u64, snapshot: &[u8]) -> u64 {
    let bytes = sequence.to_le_bytes();
    bytes.iter().chain(snapshot).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(file: &OwnedFd) -> SnapshotFile {
        SnapshotFile::open(shared(file).expect("a descriptor")).expect("it can be read")
    }

    #[test]
    fn the_next_incarnation_finds_what_was_kept_last() {
        let held = memory_file("test").expect("memory");
        let first = opened(&held);
        assert_eq!(first.read().expect("readable"), None);
        for snapshot in ["one", "two", "three"] {
            first.write(snapshot.as_bytes()).expect("it is kept");
        }
        drop(first);
        let second = opened(&held);
        assert_eq!(second.read().expect("readable").as_deref(), Some(&b"three"[..]));
        second.write(b"").expect("it is kept");
        assert_eq!(opened(&held).read().expect("readable").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_the_snapshot_before() {
        let held = memory_file("test").expect("memory");
        let snapshots = opened(&held);
        snapshots.write(b"whole").expect("it is kept");
        snapshots.write(b"newer").expect("it is kept");
        // The third goes where the first was, and its process ends before the header is written.
        let torn = File::from(shared(&held).expect("a descriptor"));
        torn.write_all_at(b"torn!", PLACE_LENGTH + HEADER_LENGTH as u64).expect("it is written");
        assert_eq!(opened(&held).read().expect("readable").as_deref(), Some(&b"newer"[..]));
        let again = opened(&held);
        again.write(b"again").expect("it is kept");
        assert_eq!(opened(&held).read().expect("readable").as_deref(), Some(&b"again"[..]));
    }

    #[test]
    fn too_much_is_refused_and_nobody_makes_the_file_larger() {
        let held = memory_file("test").expect("memory");
        let snapshots = opened(&held);
        snapshots.write(b"small").expect("it is kept");
        let refused = snapshots.write(&vec![7; SNAPSHOT_LENGTH_MAX + 1]).expect_err("too large");
        assert_eq!(
            refused.to_string(),
            "a snapshot of 524289 bytes is too large: at most 524288 are kept"
        );
        snapshots.write(&vec![7; SNAPSHOT_LENGTH_MAX]).expect("just right");
        rustix::fs::ftruncate(&held, 1 << 30).expect_err("its size is sealed");
    }
}
