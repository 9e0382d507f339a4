//! What a process uses together with everything that it has started, from `/proc`.
//!
//! One pass over `/proc` serves all questions of one look. The processes of a tree are the
//! descendants of its first process and those of its session; a daemon that has left both is found
//! only where there is a group.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::param::page_size;

use super::{
    UsageError,
    connections::{Connections, sockets},
    descriptors, parse_stat, ticks,
};

/// All processes of this host at one moment.
#[derive(Debug)]
pub struct ProcessTable {
    proc_root: PathBuf,
    rows: BTreeMap<u32, Stat>,
    children: BTreeMap<u32, Vec<u32>>,
    sessions: BTreeMap<u32, Vec<u32>>,
    connections: Connections,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) parent: u32,
    pub(super) session: u32,
    /// Of the process.
    pub(super) cpu_ticks: u64,
    /// Of its children that have ended and were waited for.
    pub(super) ended_ticks: u64,
    pub(super) threads: u64,
    pub(super) start_ticks: u64,
    pub(super) resident_pages: u64,
}

/// What some processes use together. `None` is what the node may not look at, as with processes of
/// another user, or what this kernel does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeUsage {
    /// Resident memory; a page that two of them share counts twice.
    pub memory_bytes: u64,
    /// The sum of what each that still lives has had at most: together they may have had less.
    pub memory_peak_bytes: Option<u64>,
    /// CPU time, with that of children that have ended and were waited for.
    pub cpu: Duration,
    /// Bytes read from block devices, children that were waited for included.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices, children that were waited for included.
    pub io_written_bytes: Option<u64>,
    /// Processes.
    pub processes: u64,
    /// Threads, the main ones included.
    pub threads: u64,
    /// Open descriptors; one that two processes share counts twice.
    pub descriptors: Option<u64>,
    /// Established TCP connections and accepted Unix ones; one that two processes share counts once.
    pub connections: Option<u64>,
}

impl ProcessTable {
    /// Reads the table; blocks for some ten microseconds a process.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub fn read() -> Result<Self, UsageError> {
        Self::read_in(Path::new("/proc"))
    }

    fn read_in(proc_root: &Path) -> Result<Self, UsageError> {
        let refused = |source| UsageError::Read { path: proc_root.to_owned(), source };
        let entries = fs::read_dir(proc_root).map_err(refused)?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let rows: BTreeMap<u32, Stat> = pids
            .filter_map(|pid: u32| {
                // One that ends meanwhile is not there.
                let text = fs::read_to_string(proc_root.join(pid.to_string()).join("stat")).ok()?;
                Some((pid, parse_stat(&text)?))
            })
            .collect();
        let (mut children, mut sessions) =
            (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (pid, row) in &rows {
            children.entry(row.parent).or_default().push(*pid);
            sessions.entry(row.session).or_default().push(*pid);
        }
        let proc_root = proc_root.to_owned();
        let connections = Connections::new(proc_root.clone());
        Ok(Self { proc_root, rows, children, sessions, connections })
    }

    /// A process with its descendants and the other members of its session.
    pub fn tree(&self, first: u32) -> BTreeSet<u32> {
        let mut open = self.sessions.get(&first).cloned().unwrap_or_default();
        open.extend(self.rows.contains_key(&first).then_some(first));
        let mut found = BTreeSet::new();
        while let Some(pid) = open.pop() {
            if found.insert(pid) {
                open.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        found
    }

    /// Between boot and a process's start; with the pid this names it for good. `None` when it was
    /// not there.
    pub fn started(&self, pid: u32) -> Option<Duration> {
        self.rows.get(&pid).map(|row| ticks(row.start_ticks))
    }

    /// What some processes use together; those that are gone use nothing.
    pub fn usage(&mut self, pids: &BTreeSet<u32>) -> TreeUsage {
        let mut usage = TreeUsage {
            memory_peak_bytes: Some(0),
            io_read_bytes: Some(0),
            io_written_bytes: Some(0),
            descriptors: Some(0),
            ..TreeUsage::default()
        };
        let mut open_sockets = Some(BTreeSet::new());
        for (pid, row) in pids.iter().filter_map(|pid| Some((pid, self.rows.get(pid)?))) {
            let process = self.proc_root.join(pid.to_string());
            let status = fs::read_to_string(process.join("status")).unwrap_or_default();
            let io = fs::read_to_string(process.join("io")).ok();
            let io = |word| io.as_deref().and_then(|text| number_after(text, word));
            let resident = row.resident_pages * page_size() as u64;
            usage.memory_bytes += resident;
            // A process without memory, such as one that waits to be reaped, has no such line; one that has
            // executed another program since it was looked at begins anew.
            let peak = number_after(&status, "VmHWM:").unwrap_or(0) * 1024;
            usage.memory_peak_bytes = usage.memory_peak_bytes.map(|sum| sum + peak.max(resident));
            usage.cpu += ticks(row.cpu_ticks + row.ended_ticks);
            usage.io_read_bytes = sum(usage.io_read_bytes, io("read_bytes:"));
            usage.io_written_bytes = sum(usage.io_written_bytes, io("\nwrite_bytes:"));
            usage.processes += 1;
            usage.threads += row.threads;
            usage.descriptors = sum(usage.descriptors, descriptors(&process.join("fd")));
            match (&mut open_sockets, sockets(&process.join("fd"))) {
                (Some(all), Some(own)) => all.extend(own),
                (_, None) => open_sockets = None,
                (None, _) => {}
            }
        }
        let first = pids.iter().find(|pid| self.rows.contains_key(pid));
        usage.connections = first
            .zip(open_sockets)
            .and_then(|(pid, open_sockets)| self.connections.among(*pid, &open_sockets));
        usage
    }
}

/// One that cannot be told makes the sum unknown.
fn sum(sum: Option<u64>, next: Option<u64>) -> Option<u64> {
    sum.zip(next).map(|(sum, next)| sum + next)
}

/// The number that follows a word, in a file of lines `word number`.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::{TcpListener, TcpStream},
        process::{self, Command, Stdio},
    };

    use super::*;

    #[test]
    fn children_and_what_left_the_session_count() {
        // The grandchild is in a session of its own and still a descendant.
        let script = "setsid sh -c 'echo $$; sleep 1000; :' & wait";
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut table = ProcessTable::read().unwrap();
        let tree = table.tree(shell.id());
        let usage = table.usage(&tree);
        let alone = table.usage(&BTreeSet::from([shell.id()]));
        let session = format!("-{}", line.trim());
        Command::new("kill").args(["-9", "--", &session]).status().unwrap();
        shell.wait().unwrap();
        assert!(tree.len() >= 2 && tree.contains(&line.trim().parse().unwrap()), "{tree:?}");
        assert!(usage.processes >= 2 && usage.memory_bytes > alone.memory_bytes, "{usage:?}");
        assert!(usage.memory_peak_bytes >= Some(usage.memory_bytes), "{usage:?}");
        assert!(usage.descriptors > alone.descriptors, "{usage:?}");
    }

    #[test]
    fn connections_are_those_that_are_established() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = BTreeSet::from([process::id()]);
        let connections = || ProcessTable::read().unwrap().usage(&own).connections.unwrap();
        let before = connections();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap();
        // Other tests of this process may have connections as well.
        assert!(connections() >= before + 2, "{before}");
        drop((client, server));
    }

    #[test]
    fn what_was_written_is_counted() {
        let own = BTreeSet::from([process::id()]);
        let usage = ProcessTable::read().unwrap().usage(&own);
        assert!(usage.io_read_bytes.is_some() && usage.io_written_bytes.is_some(), "{usage:?}");
        assert_eq!(number_after("rchar: 1\nread_bytes: 77\n", "read_bytes:"), Some(77));
        let text = "read_bytes: 1\nwrite_bytes: 5\ncancelled_write_bytes: 9\n";
        assert_eq!(number_after(text, "\nwrite_bytes:"), Some(5));
    }

    #[test]
    fn a_process_that_is_gone_has_no_tree() {
        let mut table = ProcessTable::read().unwrap();
        assert_eq!(table.started(u32::MAX / 2), None);
        let tree = table.tree(u32::MAX / 2);
        assert!(tree.is_empty());
        assert_eq!(table.usage(&tree).processes, 0);
    }
}
