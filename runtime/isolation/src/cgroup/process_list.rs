//! Which processes are in a directory of a hierarchy, and how they are made to end.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal},
};

use super::{GroupError, file};

/// The directory and all below it, the deepest first.
pub(super) fn tree(top: &Path) -> Result<Vec<PathBuf>, GroupError> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(GroupError::Read { path: directory, source }),
        };
        found.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found.reverse();
    Ok(found)
}

/// Of the directory and all below it.
pub(super) fn processes(top: &Path) -> Result<Vec<Pid>, GroupError> {
    let mut pids = Vec::new();
    for directory in tree(top)? {
        let path = directory.join("cgroup.procs");
        let text = file::read_if_there(&path)?.unwrap_or_default();
        // A process of another pid namespace is shown as 0.
        let raw = text.lines().filter_map(|line| line.parse().ok());
        pids.extend(raw.filter_map(Pid::from_raw));
    }
    Ok(pids)
}

/// So many are held at once, if there are descriptors for them.
const HELD_MAX: usize = 64;

/// One signal to each that is still there when it is looked at again: a number may meanwhile be that
/// of a stranger, and a handle that was taken before the second look is not. A process that has ended
/// is no error; one that may not be killed is found by whoever waits for the end.
pub(super) fn kill_each(
    pids: &[Pid],
    look_again: impl Fn() -> Result<Vec<Pid>, GroupError>,
) -> Result<(), GroupError> {
    let mut left = pids;
    while !left.is_empty() {
        let (held, others) = hold(left)?;
        let still: BTreeSet<i32> = look_again()?.into_iter().map(Pid::as_raw_pid).collect();
        for (_, handle) in held.iter().filter(|(pid, _)| still.contains(&pid.as_raw_pid())) {
            let _gone_or_refused = pidfd_send_signal(handle, Signal::KILL);
        }
        left = others;
    }
    Ok(())
}

/// Processes whose numbers stay theirs.
type Held = Vec<(Pid, OwnedFd)>;

/// Handles of those that are there, and the others: it holds as many as there are descriptors for, but one
/// to look again with, which is an error when there are none.
fn hold(pids: &[Pid]) -> Result<(Held, &[Pid]), GroupError> {
    let handle_of = |pid: Pid| pidfd_open(pid, PidfdFlags::empty());
    let short = |pid: Pid, error: Errno| {
        let path = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
        GroupError::Open { path, source: error.into() }
    };
    let own = getpid();
    let _to_look_again = handle_of(own).map_err(|error| short(own, error))?;
    let some = pids.len().min(HELD_MAX);
    let mut held = Held::with_capacity(some);
    for (at, pid) in pids[..some].iter().enumerate() {
        match handle_of(*pid) {
            Ok(handle) => held.push((*pid, handle)),
            Err(Errno::SRCH) => {}
            Err(_) if !held.is_empty() => return Ok((held, &pids[at..])),
            Err(error) => return Err(short(*pid, error)),
        }
    }
    Ok((held, &pids[some..]))
}

/// Until all have ended or the time is up.
pub(super) fn wait_for_end(pids: &[Pid], deadline: Instant) {
    for pid in pids {
        let Ok(handle) = pidfd_open(*pid, PidfdFlags::empty()) else { continue };
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut waited = [PollFd::new(&handle, PollFlags::IN)];
        if poll(&mut waited, Some(&timeout)).is_err() || left == Duration::ZERO {
            return;
        }
    }
}

/// The directory and all below it; none of them has processes.
pub(super) fn remove(top: &Path) -> Result<(), GroupError> {
    remove_by(top, Instant::now())
}

/// As [`remove`], trying again until then: for a moment after its last process has ended, a group may
/// still count as busy.
pub(super) fn remove_by(top: &Path, deadline: Instant) -> Result<(), GroupError> {
    const PAUSE: Duration = Duration::from_millis(1);
    for directory in tree(top)? {
        loop {
            match fs::remove_dir(&directory) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) if is_busy(&error) && Instant::now() < deadline => thread::sleep(PAUSE),
                Err(source) => return Err(GroupError::Remove { path: directory, source }),
            }
        }
    }
    Ok(())
}

fn is_busy(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BUSY.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{fd::AsRawFd, unix::process::ExitStatusExt},
        process::{Child, Command},
    };

    use rustix::process::{Resource, Rlimit, getrlimit, kill_process, setrlimit};

    use super::*;

    #[test]
    fn who_is_not_in_the_group_any_more_is_not_killed() {
        let sleeper = || Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let (mut member, mut stranger) = (sleeper(), sleeper());
        let pid = |child: &Child| Pid::from_child(child);
        let listed = [pid(&member), pid(&stranger)];
        kill_each(&listed, || Ok(vec![pid(&member)])).unwrap();
        assert!(!member.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn many_are_killed_with_few_descriptors() {
        // The test itself once more: only a process of its own can be short of them alone.
        let mut again = Command::new("/proc/self/exe");
        let name = "cgroup::process_list::tests::with_few_free_descriptors";
        again.args(["--exact", name, "--ignored", "--nocapture"]);
        let output = again.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
    }

    /// One for a handle, one to look again with, and more.
    #[test]
    #[ignore = "a part of the test above"]
    fn with_few_free_descriptors() {
        let enough = getrlimit(Resource::Nofile);
        for free in 2..7 {
            let sleeper = || Command::new("/bin/sleep").arg("1000").spawn().unwrap();
            let mut sleepers = [(); 4].map(|()| sleeper());
            let pids = sleepers.each_ref().map(Pid::from_child);
            // The kernel gives out the lowest numbers first.
            let files: Vec<_> = (0..free).map(|_| File::open("/").unwrap()).collect();
            let end = files.iter().map(|file| file.as_raw_fd().unsigned_abs() + 1).max();
            drop(files);
            let few = Rlimit { current: end.map(u64::from), ..enough };
            setrlimit(Resource::Nofile, few).unwrap();
            let look = || file::read("/proc/self/stat".into()).map(|_| pids.to_vec());
            let killed = kill_each(&pids, look);
            setrlimit(Resource::Nofile, enough).unwrap();
            // Whoever is left would outlive the test.
            for sleeper in &sleepers {
                kill_process(Pid::from_child(sleeper), Signal::TERM).unwrap();
            }
            killed.unwrap_or_else(|error| panic!("{free} free descriptors: {error}"));
            for sleeper in &mut sleepers {
                assert_eq!(sleeper.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
            }
        }
    }
}
