//! Small disks that may be filled: memory file systems in a mount namespace of the run's own.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};

/// Set for the process that is inside.
const INSIDE: &str = "BLACKHOLE_CHAOS_SANDBOX";
/// Room for what the services keep, in bytes.
const DATA_SIZE: u64 = 160 << 20;
/// Room for log files, in bytes.
const LOGS_SIZE: u64 = 32 << 20;

/// Whether disks can be filled without harm to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// What is mounted is seen by nobody else.
    Own,
    /// This user may not have one: disks are not filled.
    Unavailable,
}

/// Starts this program again in a mount namespace of its own, where that is permitted. Returns inside,
/// and where it is not permitted.
pub fn enter_sandbox() -> Sandbox {
    match std::env::var_os(INSIDE) {
        Some(_) => Sandbox::Own,
        None => {
            let Ok(own) = std::env::current_exe() else { return Sandbox::Unavailable };
            let flags = namespace_flags();
            let allowed = Command::new("unshare").args(flags).arg("true").output();
            if allowed.is_ok_and(|done| done.status.success()) {
                // Comes back only when it failed, which the trial just now makes unlikely.
                let _ = Command::new("unshare")
                    .args(flags)
                    .arg(own)
                    .args(std::env::args_os().skip(1))
                    .env(INSIDE, "1")
                    .exec();
            }
            Sandbox::Unavailable
        }
    }
}

fn namespace_flags() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &["--mount", "--propagation", "private", "--"]
    } else {
        &["--user", "--map-root-user", "--mount", "--propagation", "private", "--"]
    }
}

/// The places where the subject writes.
#[derive(Debug)]
pub(super) struct Disks {
    mounted: Vec<PathBuf>,
}

impl Disks {
    /// Mounts small ones in a sandbox; else they are ordinary folders.
    pub(super) fn mount(sandbox: Sandbox, data: &Path, logs: &Path) -> Result<Self> {
        let mut disks = Self { mounted: Vec::new() };
        for (path, size) in [(data, DATA_SIZE), (logs, LOGS_SIZE)] {
            std::fs::create_dir(path)
                .with_context(|| format!("could not create `{}`", path.display()))?;
            if sandbox == Sandbox::Own {
                let options = format!("size={size},mode=700");
                run("mount", &["-t", "tmpfs", "-o", &options, "chaos"], path)?;
                disks.mounted.push(path.to_owned());
            }
        }
        Ok(disks)
    }

    pub(super) fn may_be_filled(&self) -> bool {
        !self.mounted.is_empty()
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for path in &self.mounted {
            // They end with the namespace, at the latest.
            let _ = run("umount", &["--lazy"], path);
        }
    }
}

fn run(program: &str, words: &[&str], path: &Path) -> Result<()> {
    let done = Command::new(program).args(words).arg(path).output();
    let done = done.with_context(|| format!("could not run `{program}`"))?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.success(), "{program} {}: {said}", path.display());
    Ok(())
}

/// Writes a file until there is no room, and removes it when dropped.
#[derive(Debug)]
pub(super) struct Filler(PathBuf);

impl Filler {
    /// Gives back how many bytes it took.
    pub(super) fn fill(directory: &Path) -> (Self, u64) {
        use std::io::Write;
        static FILLED: AtomicU32 = AtomicU32::new(0);
        let number = FILLED.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("filler-{number}"));
        let mut taken = 0;
        if let Ok(mut file) = std::fs::File::create(&path) {
            let mut block = &[0_u8; 64 << 10][..];
            while !block.is_empty() {
                match file.write(block) {
                    Ok(written) => taken += written as u64,
                    // The last bytes go in ever smaller pieces.
                    Err(_) => block = &block[..block.len() / 2],
                }
            }
        }
        (Self(path), taken)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // It vanishes with the disk, at the latest.
        let _ = std::fs::remove_file(&self.0);
    }
}
