//! The named pipe on which children say when they began to run.
//!
//! It also tells when the last of them is gone: it has no writer then. Nothing here polls, so the
//! harness does not disturb what it measures.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, OFlags, mknodat},
};

use crate::clock;

/// A child that began to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) pid: i32,
    pub(crate) at: Duration,
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Stamps {
    path: PathBuf,
    pipe: File,
    /// Holds the pipe open while there are no children.
    writer: Option<File>,
    unread: Vec<u8>,
}

impl Stamps {
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<Self> {
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).context("making the pipe of stamps")?;
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits())?;
        let pipe = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path)?;
        let writer = Some(OpenOptions::new().write(true).open(&path)?);
        Ok(Self { path, pipe, writer, unread: Vec::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next stamp, or an error when none comes in time.
    pub(crate) fn next(&mut self, patience: Duration) -> anyhow::Result<Stamp> {
        match self.next_until(clock::now() + patience)? {
            Some(stamp) => Ok(stamp),
            None => bail!("no child began to run within {patience:?}"),
        }
    }

    /// So many stamps.
    pub(crate) fn take(&mut self, count: usize, patience: Duration) -> anyhow::Result<Vec<Stamp>> {
        let deadline = clock::now() + patience;
        let mut stamps = Vec::with_capacity(count);
        while stamps.len() < count {
            match self.next_until(deadline)? {
                Some(stamp) => stamps.push(stamp),
                None => bail!("{} of {count} began to run within {patience:?}", stamps.len()),
            }
        }
        Ok(stamps)
    }

    /// All stamps of a while.
    pub(crate) fn during(&mut self, duration: Duration) -> anyhow::Result<Vec<Stamp>> {
        let deadline = clock::now() + duration;
        let mut stamps = Vec::new();
        while let Some(stamp) = self.next_until(deadline)? {
            stamps.push(stamp);
        }
        Ok(stamps)
    }

    /// Waits until no child is left; `false` when some are after that time.
    pub(crate) fn all_gone(&mut self, patience: Duration) -> anyhow::Result<bool> {
        self.writer = None;
        let deadline = clock::now() + patience;
        loop {
            let mut buffer = [0; 4096];
            match self.pipe.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.readable_before(deadline)? {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn next_until(&mut self, deadline: Duration) -> anyhow::Result<Option<Stamp>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return parse(&line).map(Some);
            }
            if !self.readable_before(deadline)? {
                return Ok(None);
            }
            let mut buffer = [0; 4096];
            let length = self.pipe.read(&mut buffer)?;
            self.unread.extend_from_slice(&buffer[..length]);
        }
    }

    fn readable_before(&self, deadline: Duration) -> anyhow::Result<bool> {
        let left = deadline.saturating_sub(clock::now());
        let left = Timespec::try_from(left)?;
        let mut watched = [PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN)];
        Ok(poll(&mut watched, Some(&left))? > 0)
    }
}

fn parse(line: &[u8]) -> anyhow::Result<Stamp> {
    let text = std::str::from_utf8(line)?.trim_end();
    let (pid, at) = text.split_once(' ').with_context(|| format!("`{text}` is no stamp"))?;
    Ok(Stamp { pid: pid.parse()?, at: Duration::from_nanos(at.parse()?) })
}
