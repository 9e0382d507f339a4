//! Where the kernel's hierarchies are mounted, and where in them this process is.
//!
//! Read once from `self/mountinfo` and `self/cgroup`; nothing is opened or changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::Controller;

/// The hierarchies of this host. A v1 controller is in exactly one; what is not on v1 may be on v2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    pub(crate) unified: Option<Place>,
    pub(crate) legacy: BTreeMap<Controller, Place>,
}

/// A hierarchy and our group in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The topmost group that can be seen.
    pub(crate) top: PathBuf,
    /// The group of this process.
    pub(crate) own: PathBuf,
}

struct Mount<'a> {
    root: String,
    directory: String,
    kind: &'a str,
    options: &'a str,
}

impl Mounts {
    /// What `/proc` says; nothing where it cannot be read.
    pub fn detect() -> Self {
        Self::detect_at(Path::new("/proc"))
    }

    /// As [`Mounts::detect`], with `proc_root` in the place of `/proc`.
    pub fn detect_at(proc_root: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(proc_root.join(name)).unwrap_or_default();
        Self::of(&text("self/mountinfo"), &text("self/cgroup"))
    }

    fn of(mountinfo: &str, membership: &str) -> Self {
        let mut found = Self::default();
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            match mount.kind {
                "cgroup2" => found.unified = mount.place(own_path(membership, "")),
                "cgroup" => found.add_legacy(&mount, membership),
                _ => {}
            }
        }
        found
    }

    fn add_legacy(&mut self, mount: &Mount<'_>, membership: &str) {
        for controller in Controller::ALL {
            let name = controller.v1_name();
            if !mount.options.split(',').any(|option| option == name) {
                continue;
            }
            if let Some(place) = mount.place(own_path(membership, name)) {
                self.legacy.insert(controller, place);
            }
        }
    }
}

impl<'a> Mount<'a> {
    /// `man 5 proc_pid_mountinfo`: optional fields end with a lone dash.
    fn parse(line: &'a str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let mut back = back.split(' ');
        Some(Self {
            root: unescaped(front.next()?),
            directory: unescaped(front.next()?),
            kind: back.next()?,
            options: back.nth(1)?,
        })
    }

    /// In a container only a part of the hierarchy may be mounted; a process outside of that part
    /// is taken for one at its top.
    fn place(&self, own: Option<&str>) -> Option<Place> {
        let top = PathBuf::from(&self.directory);
        let below = Path::new(own?).strip_prefix(&self.root).unwrap_or(Path::new(""));
        Some(Place { own: top.join(below), top })
    }
}

/// Lines of `self/cgroup` are `number:controllers:path`; v2's has no controllers.
fn own_path<'a>(membership: &'a str, controller: &str) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let found = parts.next()?.split(',').any(|name| name == controller);
        found.then(|| parts.next())?
    })
}

/// The kernel writes blanks and the like in octal, `\040`.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v2_host_has_one_hierarchy() {
        let mounts = Mounts::of(
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
            "0::/system.slice/blackhole.service\n",
        );
        let own = PathBuf::from("/sys/fs/cgroup/system.slice/blackhole.service");
        assert_eq!(mounts.unified, Some(Place { top: "/sys/fs/cgroup".into(), own }));
        assert!(mounts.legacy.is_empty());
    }

    #[test]
    fn a_hybrid_host_has_one_per_v1_controller_and_v2_beside_them() {
        let mounts = Mounts::of(
            "31 24 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             32 24 0:28 / /cg/memory rw - cgroup cgroup rw,memory\n\
             33 24 0:29 / /cg/unified rw - cgroup2 cgroup2 rw\n",
            "2:memory:/jobs\n1:cpu,cpuacct:/\n0::/\n",
        );
        assert_eq!(mounts.legacy[&Controller::Memory].own, PathBuf::from("/cg/memory/jobs"));
        assert_eq!(mounts.legacy[&Controller::Cpu].own, PathBuf::from("/cg/cpu,cpuacct"));
        assert_eq!(mounts.legacy.len(), 2);
        assert_eq!(mounts.unified.unwrap().own, PathBuf::from("/cg/unified"));
    }

    #[test]
    fn a_container_sees_a_part_of_the_hierarchy() {
        let mounts = Mounts::of(
            "40 23 0:26 /docker/abc /sys/fs/cgroup\\040x ro - cgroup2 cgroup2 rw\n",
            "0::/docker/abc/inner\n",
        );
        assert_eq!(mounts.unified.unwrap().own, PathBuf::from("/sys/fs/cgroup x/inner"));
    }

    #[test]
    fn a_host_without_hierarchies_has_none() {
        assert_eq!(Mounts::of("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n", ""), Mounts::default());
    }
}
