//! Which of a process's sockets are connections.
//!
//! The kernel tells of sockets by network namespace, and of a process's sockets by their inodes; a
//! namespace's table is read once for all processes in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The connections of every network namespace that was asked about.
#[derive(Debug)]
pub(super) struct Connections {
    proc_root: PathBuf,
    by_namespace: BTreeMap<PathBuf, BTreeSet<u64>>,
}

impl Connections {
    pub(super) fn new(proc_root: PathBuf) -> Self {
        Self { proc_root, by_namespace: BTreeMap::new() }
    }

    /// How many of these sockets of a process are connections; `None` when it is gone or belongs
    /// to somebody else.
    pub(super) fn among(&mut self, pid: u32, sockets: &BTreeSet<u64>) -> Option<u64> {
        if sockets.is_empty() {
            return Some(0);
        }
        let process = self.proc_root.join(pid.to_string());
        let namespace = fs::read_link(process.join("ns/net")).ok()?;
        let established =
            self.by_namespace.entry(namespace).or_insert_with(|| established(&process.join("net")));
        Some(sockets.intersection(established).count() as u64)
    }
}

/// The inodes of the sockets among a process's descriptors; `None` when the node may not look.
pub(super) fn sockets(directory: &Path) -> Option<BTreeSet<u64>> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let inode = |target: PathBuf| {
        let number = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        number.parse().ok()
    };
    Some(entries.filter_map(|entry| inode(fs::read_link(entry.path()).ok()?)).collect())
}

/// A protocol that this kernel does not have has no table.
fn established(directory: &Path) -> BTreeSet<u64> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let tables = [(read("tcp"), tcp as Row), (read("tcp6"), tcp), (read("unix"), unix)];
    tables.iter().flat_map(|(text, row)| text.lines().skip(1).filter_map(row)).collect()
}

/// The inode of a line that is a connection.
type Row = fn(&str) -> Option<u64>;

/// `man 5 proc_pid_net`: state 01 is established.
fn tcp(line: &str) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    (fields.nth(3)? == "01").then(|| fields.nth(5)?.parse().ok())?
}

/// A stream (type 1) that is connected (state 3) and has a path was accepted from a listener; a
/// client's end and a pair of sockets have none.
fn unix(line: &str) -> Option<u64> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let is_accepted = fields.get(4..6)? == ["0001", "03"] && fields.len() > 7;
    is_accepted.then(|| fields[6].parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_established_counts() {
        let established = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4 30 10 -1";
        assert_eq!(tcp(established), Some(4711));
        assert_eq!(tcp(&established.replace(" 01 ", " 0A ")), None);
        assert_eq!(tcp("sl"), None);
    }

    #[test]
    fn a_unix_connection_counts_on_the_side_that_accepted_it() {
        let accepted = "ffff: 00000003 00000000 00000000 0001 03 815 /run/x.sock";
        assert_eq!(unix(accepted), Some(815));
        assert_eq!(unix("ffff: 00000003 00000000 00000000 0001 03 815"), None);
        assert_eq!(unix("ffff: 00000002 00000000 00010000 0001 01 815 /run/x.sock"), None);
    }
}
