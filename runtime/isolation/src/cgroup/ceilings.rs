//! What the groups above this process permit it, read from the kernel's files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Controller, Mounts, mounts::Place};

/// The limits that the process's own group and those above it have, in CPUs or bytes. Those that
/// cannot be read are as good as none: the kernel enforces them all the same.
pub(crate) fn ceilings(mounts: &Mounts, controller: Controller) -> Vec<f64> {
    let limit: fn(&Path, Controller) -> Option<f64> = match mounts.legacy.get(&controller) {
        Some(_) => legacy_limit,
        None => unified_limit,
    };
    let place = mounts.legacy.get(&controller).or(mounts.unified.as_ref());
    let groups = place.into_iter().flat_map(upwards);
    groups.filter_map(|group| limit(&group, controller)).collect()
}

fn upwards(place: &Place) -> Vec<PathBuf> {
    let inside = |group: &&Path| group.starts_with(&place.top);
    place.own.ancestors().take_while(inside).map(Path::to_owned).collect()
}

fn unified_limit(group: &Path, controller: Controller) -> Option<f64> {
    match controller {
        Controller::Cpu => {
            let text = read(group, "cpu.max")?;
            let (quota, period) = text.split_once(' ')?;
            share(quota.parse().ok()?, period.parse().ok()?)
        }
        Controller::Memory => read(group, "memory.max")?.parse().ok(),
        Controller::Cpuset | Controller::Io | Controller::Tasks => None,
    }
}

/// v1 writes -1 for no quota, and for no memory limit a number beyond any memory.
fn legacy_limit(group: &Path, controller: Controller) -> Option<f64> {
    let number = |name| read(group, name)?.parse().ok();
    match controller {
        Controller::Cpu => share(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?),
        Controller::Memory => number("memory.limit_in_bytes"),
        Controller::Cpuset | Controller::Io | Controller::Tasks => None,
    }
}

fn share(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn read(group: &Path, name: &str) -> Option<String> {
    fs::read_to_string(group.join(name)).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, Place) {
        let top = tempfile::tempdir().expect("a directory");
        let own = top.path().join("outer/own");
        fs::create_dir_all(&own).expect("it is made");
        for (name, text) in files {
            fs::write(top.path().join(name), text).expect("it is written");
        }
        let place = Place { top: top.path().to_owned(), own };
        (top, place)
    }

    #[test]
    fn each_group_above_counts_on_v2() {
        let files = [
            ("outer/cpu.max", "150000 100000\n"),
            ("outer/own/cpu.max", "max 100000\n"),
            ("outer/own/memory.max", "1073741824\n"),
            ("outer/memory.max", "max\n"),
        ];
        let (_top, place) = group(&files);
        let mounts = Mounts { unified: Some(place), ..Mounts::default() };
        assert_eq!(ceilings(&mounts, Controller::Cpu), [1.5]);
        assert_eq!(ceilings(&mounts, Controller::Memory), [1_073_741_824.0]);
    }

    #[test]
    fn each_group_above_counts_on_v1() {
        let files = [
            ("outer/own/cpu.cfs_quota_us", "-1\n"),
            ("outer/own/cpu.cfs_period_us", "100000\n"),
            ("outer/cpu.cfs_quota_us", "50000\n"),
            ("outer/cpu.cfs_period_us", "100000\n"),
        ];
        let (_top, place) = group(&files);
        let mounts = Mounts { legacy: [(Controller::Cpu, place)].into(), ..Mounts::default() };
        assert_eq!(ceilings(&mounts, Controller::Cpu), [0.5]);
    }
}
