//! Lines of an instance's log files, forward or backward, a block at a time.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt as _, path::PathBuf};

use blackhole_protocol::InstanceId;
use memchr::{memchr, memrchr};

use super::{
    history::ReadError,
    listing::{self, FileId, LogFile},
};

/// A longer line is none of ours: what was read of it is forgotten.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Opens an instance's files and finds those again that were renamed.
struct Opener {
    directory: PathBuf,
    instance: InstanceId,
}

impl Opener {
    /// Reads into the buffer; `None` when the file is no more.
    fn read_at(
        &self,
        file: &mut LogFile,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<Option<usize>, ReadError> {
        if let Some(opened) = open_if_same(file)? {
            let length = opened.read_at(buffer, offset);
            return length.map(Some).map_err(|error| ReadError::File(file.path.clone(), error));
        }
        let files = listing::list(&self.directory, |instance| *instance == self.instance)
            .map_err(|error| ReadError::List(self.directory.clone(), error))?;
        let renamed = files.into_values().flatten().find(|found| found.id == file.id);
        let Some(renamed) = renamed else { return Ok(None) };
        file.path = renamed.path;
        let Some(opened) = open_if_same(file)? else { return Ok(None) };
        let length = opened.read_at(buffer, offset);
        length.map(Some).map_err(|error| ReadError::File(file.path.clone(), error))
    }
}

fn open_if_same(file: &LogFile) -> Result<Option<File>, ReadError> {
    let failed = |error| ReadError::File(file.path.clone(), error);
    let opened = match File::open(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let metadata = opened.metadata().map_err(failed)?;
    Ok((FileId::of(&metadata) == file.id).then_some(opened))
}

/// Lines from the oldest to the newest.
pub(crate) struct Forward {
    opener: Opener,
    files: VecDeque<(LogFile, u64)>,
    block: usize,
    buffer: Vec<u8>,
    consumed: usize,
}

impl Forward {
    /// Files with the offsets to begin at, the oldest first.
    pub(crate) fn new(
        directory: PathBuf,
        instance: InstanceId,
        files: impl Iterator<Item = (LogFile, u64)>,
        block: usize,
    ) -> Self {
        let opener = Opener { directory, instance };
        Self { opener, files: files.collect(), block, buffer: Vec::new(), consumed: 0 }
    }

    /// The next complete line, without its line feed.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, ReadError> {
        let mut searched = self.consumed;
        loop {
            if let Some(found) = memchr(b'\n', &self.buffer[searched..]) {
                let (start, end) = (self.consumed, searched + found);
                self.consumed = end + 1;
                return Ok(Some(&self.buffer[start..end]));
            }
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
            if self.buffer.len() > LINE_BYTES_MAX {
                self.buffer.clear();
            }
            searched = self.buffer.len();
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Appends a block; at the end of a file forgets its torn line and goes on with the next file.
    fn fill(&mut self) -> Result<bool, ReadError> {
        let Some((file, offset)) = self.files.front_mut() else { return Ok(false) };
        let wanted = file.length.saturating_sub(*offset).min(self.block as u64);
        let held = self.buffer.len();
        self.buffer.resize(held + usize::try_from(wanted).expect("at most a block"), 0);
        let read = self.opener.read_at(file, &mut self.buffer[held..], *offset)?.unwrap_or(0);
        self.buffer.truncate(held + read);
        *offset += read as u64;
        if read == 0 {
            self.files.pop_front();
            // Keeps a torn line from being joined to the next file's first.
            self.buffer.push(b'\n');
        }
        Ok(true)
    }
}

/// Lines from the newest to the oldest.
pub(crate) struct Backward {
    opener: Opener,
    files: Vec<LogFile>,
    block: usize,
    /// The beginning of what is unread in the newest file; lines are taken from its end.
    buffer: Vec<u8>,
    unread: usize,
    current: Option<LogFile>,
}

impl Backward {
    /// Files, the oldest first.
    pub(crate) fn new(
        directory: PathBuf,
        instance: InstanceId,
        files: Vec<LogFile>,
        block: usize,
    ) -> Self {
        let opener = Opener { directory, instance };
        Self { opener, files, block, buffer: Vec::new(), unread: 0, current: None }
    }

    /// The line before, without its line feed. A torn last line of a file comes as it is.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, ReadError> {
        loop {
            if let Some(found) = memrchr(b'\n', &self.buffer[..self.unread]) {
                let end = self.unread;
                self.unread = found;
                return Ok(Some(&self.buffer[found + 1..end]));
            }
            let at_start = self.current.as_ref().is_none_or(|file| file.length == 0);
            if at_start && self.unread > 0 {
                let end = std::mem::take(&mut self.unread);
                return Ok(Some(&self.buffer[..end]));
            }
            if at_start {
                self.current = self.files.pop();
                if self.current.is_none() {
                    return Ok(None);
                }
            }
            self.fill()?;
        }
    }

    /// Puts the block before what is held. The length of the current file is what is unread of it.
    fn fill(&mut self) -> Result<(), ReadError> {
        let Some(file) = &mut self.current else { return Ok(()) };
        self.buffer.truncate(self.unread);
        if self.buffer.len() > LINE_BYTES_MAX {
            self.buffer.clear();
        }
        let wanted = file.length.min(self.block as u64);
        let offset = file.length - wanted;
        let mut block = vec![0; usize::try_from(wanted).expect("at most a block")];
        let read = self.opener.read_at(file, &mut block, offset)?.unwrap_or(0);
        if read < block.len() {
            // It was removed or cut meanwhile: there is nothing before it that would fit.
            file.length = 0;
            self.buffer.clear();
        } else {
            file.length = offset;
        }
        block.truncate(read);
        block.append(&mut self.buffer);
        self.buffer = block;
        self.unread = self.buffer.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::UNIX_EPOCH};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::logs::captured::testing::instance;

    fn written(text: &str) -> (TempDir, Vec<LogFile>) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let web = instance("web");
        fs::write(directory.path().join(listing::current_name(&web)), text).expect("room");
        let mut files = listing::list(directory.path(), |_| true).expect("readable");
        (directory, files.remove(&web).expect("just written"))
    }

    fn forward(directory: &TempDir, files: Vec<LogFile>, block: usize) -> Vec<String> {
        let (directory, files) = (directory.path().to_owned(), files.into_iter());
        let files = files.map(|file| (file, 0));
        let mut lines = Forward::new(directory, instance("web"), files, block);
        let mut read = Vec::new();
        while let Some(line) = lines.next_line().expect("readable") {
            read.push(String::from_utf8(line.to_vec()).expect("UTF-8"));
        }
        read
    }

    fn backward(directory: &TempDir, files: Vec<LogFile>, block: usize) -> Vec<String> {
        let directory = directory.path().to_owned();
        let mut lines = Backward::new(directory, instance("web"), files, block);
        let mut read = Vec::new();
        while let Some(line) = lines.next_line().expect("readable") {
            read.push(String::from_utf8(line.to_vec()).expect("UTF-8"));
        }
        read.reverse();
        read
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn both_ways_give_the_same_lines(text in "([a-c]{1,5}\n){0,9}[a-c]{0,5}", block in 1..9_usize) {
            let (directory, files) = written(&text);
            let expected: Vec<_> = text.lines().collect();
            let without_empty = |lines: Vec<String>| {
                lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>()
            };
            prop_assert_eq!(without_empty(forward(&directory, files.clone(), block)), &*expected);
            prop_assert_eq!(without_empty(backward(&directory, files, block)), expected);
        }
    }

    #[test]
    fn a_file_that_was_renamed_is_read_and_one_that_was_removed_passed_over() {
        let (directory, files) = written("one\ntwo\n");
        let path = files[0].path.clone();
        let renamed = directory.path().join(listing::rotated_name(&instance("web"), UNIX_EPOCH));
        fs::rename(&path, &renamed).expect("ours");
        fs::write(&path, "other\n").expect("room");
        assert_eq!(forward(&directory, files.clone(), 64), ["one", "two", ""]);
        assert_eq!(backward(&directory, files.clone(), 64), ["one", "two", ""]);
        // Its number must not be given to another file.
        let _held = File::open(&renamed).expect("ours");
        fs::remove_file(&renamed).expect("ours");
        assert_eq!(forward(&directory, files.clone(), 64), [""]);
        assert_eq!(backward(&directory, files, 64), [""; 0]);
    }
}
