//! Where the kernel keeps a process's control groups, on whatever hierarchies this host has.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The directories of a process's groups, one in each hierarchy that is mounted as a whole.
pub fn groups_of(pid: i32) -> BTreeSet<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is there");
    let membership = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let own = |options: &str, kind: &str| {
        let of = |line: &str| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let found = match kind {
                "cgroup2" => controllers.is_empty(),
                _ => controllers.split(',').any(|name| options.split(',').any(|it| it == name)),
            };
            (found && !controllers.starts_with("name="))
                .then(|| path.trim_start_matches('/').to_owned())
        };
        membership.lines().find_map(of)
    };
    let place = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let (kind, rest) = back.split_once(' ')?;
        let top = Path::new(front.split(' ').nth(4)?);
        let known = kind == "cgroup" || kind == "cgroup2";
        Some(top.join(own(rest.split(' ').nth(1)?, kind).filter(|_| known)?))
    };
    mounts.lines().filter_map(place).collect()
}

/// Those of a process's groups that were made for an instance.
pub fn groups_for(instance: &str, pid: i32) -> BTreeSet<PathBuf> {
    groups_of(pid).into_iter().filter(|group| group.ends_with(instance)).collect()
}

/// The first of these files that an instance's groups have: the names that v2 and v1 give to the same
/// thing.
pub fn group_file(instance: &str, pid: i32, names: &[&str]) -> Option<PathBuf> {
    let groups = groups_for(instance, pid);
    let files = names.iter().flat_map(|name| groups.iter().map(move |group| group.join(name)));
    files.into_iter().find(|file| file.exists())
}

/// The one number in such a file; more than any memory where there is no limit.
///
/// # Panics
/// When the file is gone.
pub fn number(file: &Path) -> u64 {
    let text = fs::read_to_string(file).expect("the kernel's file is there");
    text.trim().parse().unwrap_or(u64::MAX)
}

/// The number beside a name in such a file.
pub fn counter(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
