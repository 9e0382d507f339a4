//! What the disks of a host heed, as the kernel tells below `/sys`: nothing is asked of a disk itself.

use std::{fs, path::PathBuf};

/// The disks of a host.
#[derive(Debug)]
pub(crate) struct Disks {
    sys: PathBuf,
}

/// Schedulers by which one process's requests go before another's. `none` and `kyber` ignore both.
const HEED_WEIGHT: [&str; 1] = ["bfq"];
const HEED_PRIORITY: [&str; 2] = ["bfq", "mq-deadline"];

impl Disks {
    pub(crate) fn of_this_host() -> Self {
        Self { sys: "/sys".into() }
    }

    /// Whether a device is one whose requests can be counted: what lies in memory or on the network has
    /// a number, and no disk. Where the kernel's list is not to be seen, any may be.
    pub(crate) fn has(&self, (major, minor): (u32, u32)) -> bool {
        let all = self.sys.join("dev/block");
        !all.is_dir() || all.join(format!("{major}:{minor}")).exists()
    }

    /// Whether one has a scheduler that shares it by weight.
    pub(crate) fn heed_weight(&self) -> bool {
        self.has_scheduler(&HEED_WEIGHT)
    }

    /// Whether one has a scheduler that knows of priorities.
    pub(crate) fn heed_priority(&self) -> bool {
        self.has_scheduler(&HEED_PRIORITY)
    }

    /// The kernel lists all that it has, and the one in use in brackets.
    fn has_scheduler(&self, wanted: &[&str]) -> bool {
        let disks = fs::read_dir(self.sys.join("block")).into_iter().flatten().flatten();
        let mut lists =
            disks.filter_map(|disk| fs::read_to_string(disk.path().join("queue/scheduler")).ok());
        lists.any(|list| wanted.iter().any(|name| list.contains(&format!("[{name}]"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disks(scheduler: &str) -> (tempfile::TempDir, Disks) {
        let sys = tempfile::tempdir().expect("a directory");
        for directory in ["block/vda/queue", "dev/block/8:0"] {
            fs::create_dir_all(sys.path().join(directory)).expect("it is made");
        }
        fs::write(sys.path().join("block/vda/queue/scheduler"), scheduler).expect("it is written");
        let disks = Disks { sys: sys.path().to_owned() };
        (sys, disks)
    }

    #[test]
    fn only_the_scheduler_in_use_counts() {
        let cases = [
            ("none mq-deadline kyber [bfq]\n", true, true),
            ("none [mq-deadline] kyber bfq\n", false, true),
            ("none mq-deadline [kyber] bfq\n", false, false),
            ("[none] mq-deadline kyber bfq\n", false, false),
        ];
        for (list, weight, priority) in cases {
            let (_sys, disks) = disks(list);
            assert_eq!((disks.heed_weight(), disks.heed_priority()), (weight, priority), "{list}");
        }
    }

    #[test]
    fn what_is_on_no_disk_is_known_where_the_kernel_lists_them() {
        let (sys, disks) = disks("[none]");
        assert!(disks.has((8, 0)) && !disks.has((0, 39)));
        fs::remove_dir_all(sys.path().join("dev")).expect("it is removed");
        assert!(disks.has((0, 39)));
    }
}
