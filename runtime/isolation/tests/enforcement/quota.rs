//! What a directory may hold, where its file system counts that.

use std::{env, fs, io::ErrorKind, path::PathBuf, process::Command};

use blackhole_isolation::{ProjectQuota, ProjectQuotaError};

use crate::launch::{is_root, say};

const LIMIT: u64 = 4 << 20;

/// On the disk that the emulated machines have for this, or where programs are built.
fn directory() -> tempfile::TempDir {
    let disk = env::var_os("BLACKHOLE_TEST_DISK").map(PathBuf::from);
    tempfile::tempdir_in(disk.unwrap_or(env!("CARGO_TARGET_TMPDIR").into())).expect("a directory")
}

fn limit(directory: &tempfile::TempDir) -> Option<ProjectQuota> {
    match ProjectQuota::limit(directory.path(), LIMIT) {
        Ok(quota) => Some(quota),
        Err(ProjectQuotaError::NotOffered { .. }) => {
            say("skipped: no project quotas here");
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// As a user: the kernel holds nobody who may exceed all resources.
fn write_as_user(directory: &tempfile::TempDir, mebibytes: u32) -> bool {
    let file = directory.path().join("file");
    let mut writer = Command::new("setpriv");
    writer.args(["--reuid=1000", "--regid=1000", "--clear-groups", "dd", "if=/dev/zero", "bs=1M"]);
    writer.arg(format!("of={}", file.display())).arg(format!("count={mebibytes}"));
    writer.output().expect("it starts").status.success()
}

#[test]
fn a_writer_is_refused_beyond_the_quota_and_what_it_holds_is_counted() {
    if !is_root() {
        return;
    }
    let directory = directory();
    let Some(quota) = limit(&directory) else { return };
    std::os::unix::fs::chown(directory.path(), Some(1000), Some(1000)).expect("it is ours");
    assert!(!write_as_user(&directory, 8), "it wrote twice its quota");
    let used = quota.used().expect("it is counted");
    assert!((LIMIT / 2..=LIMIT).contains(&used), "{used}");

    // The same again finds its own project; lifted, it holds nobody.
    let again = limit(&directory).expect("it is ours already");
    assert_eq!(again.used().expect("it is counted"), used);
    ProjectQuota::lift(directory.path()).expect("it is lifted");
    assert!(write_as_user(&directory, 8), "nothing limits it any more");
}

#[test]
fn what_was_there_before_is_not_taken_for_nothing() {
    if !is_root() {
        return;
    }
    let directory = directory();
    fs::write(directory.path().join("old"), "data").expect("a file");
    match ProjectQuota::limit(directory.path(), LIMIT) {
        Err(ProjectQuotaError::NotEmpty { .. }) => {}
        Err(ProjectQuotaError::NotOffered { .. }) => say("skipped: no project quotas here"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_that_is_not_there_has_nothing_to_lift() {
    let directory = directory();
    ProjectQuota::lift(&directory.path().join("missing")).expect("there is nothing");
    let missing = ProjectQuota::limit(&directory.path().join("missing"), LIMIT);
    let Err(ProjectQuotaError::Kernel { source, .. }) = missing else { panic!("{missing:?}") };
    assert_eq!(source.kind(), ErrorKind::NotFound);
}
