//! What a directory and all below it may hold, where the file system counts that: by a project of its own,
//! with the kernel's hard limit (ext4 with the features `quota` and `project`, xfs; mounted with
//! `prjquota`). Who writes beyond it is refused by the kernel.
//!
//! New files take the project of the directory that they are made in, so the directory must be given its
//! project while it is empty; files that were there before would not be counted, and are not looked for.
//! Where the file system counts no projects somebody else must measure.

mod kernel;

use std::{
    fs,
    io::{self, ErrorKind},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};

/// Projects of ours are so many from the first on; people and their tools number theirs from 1.
const PROJECTS: u32 = 1 << 20;
const FIRST_PROJECT: u32 = 0x6268_0000;
/// So many projects in a row that others have are one too many.
const TRIES_MAX: u32 = 16;
/// The kernel counts limits in these, in bytes.
const BLOCK: u64 = 1024;

/// A directory whose file system holds it to a limit.
#[derive(Debug)]
pub struct ProjectQuota {
    directory: OwnedFd,
    project: u32,
}

/// Why the file system does not hold a directory to a limit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectQuotaError {
    /// It has no such thing, or does not have it switched on.
    #[error("the file system of `{}` has no project quotas switched on", path.display())]
    NotOffered {
        /// The directory.
        path: PathBuf,
    },
    /// The node is not root.
    #[error("setting a project quota on `{}` takes CAP_SYS_ADMIN, or root", path.display())]
    NotPermitted {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody manages it already.
    #[error("`{}` belongs to project {project}, which the node did not give to it", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its project.
        project: u32,
    },
    /// They would not be counted.
    #[error("`{}` held files before it was limited, which a quota would not count", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// All that the directory's path leads to.
    #[error("no project is free for `{}`: others use the {TRIES_MAX} that it could have", path.display())]
    NoneFree {
        /// The directory.
        path: PathBuf,
    },
    /// Anything else.
    #[error("could not set the project quota of `{}`", path.display())]
    Kernel {
        /// The directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl ProjectQuota {
    /// Holds a directory to so many bytes from now on, for good: also after the node.
    ///
    /// # Errors
    /// When it is not held; nothing has been changed then but, at most, its project.
    pub fn limit(path: &Path, bytes: u64) -> Result<Self, ProjectQuotaError> {
        let failed = |errno| error(path, errno);
        let directory = open_directory(path).map_err(failed)?;
        if !kernel::is_enforced(&directory).map_err(failed)? {
            return Err(ProjectQuotaError::NotOffered { path: path.to_owned() });
        }
        let attributes = kernel::attributes(&directory).map_err(failed)?;
        let project = match attributes.project {
            0 => {
                let project = free_project(&directory, path)?;
                if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
                    return Err(ProjectQuotaError::NotEmpty { path: path.to_owned() });
                }
                kernel::set_project(&directory, attributes, project).map_err(failed)?;
                project
            }
            project if candidates(path).any(|it| it == project) => project,
            project => return Err(ProjectQuotaError::Foreign { path: path.to_owned(), project }),
        };
        let blocks = bytes.div_ceil(BLOCK);
        if kernel::quota(&directory, project).map_err(failed)?.blocks_max != blocks {
            kernel::set_blocks_max(&directory, project, blocks).map_err(failed)?;
        }
        Ok(Self { directory, project })
    }

    /// Bytes that the directory and all below it occupy.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn used(&self) -> io::Result<u64> {
        Ok(kernel::quota(&self.directory, self.project)?.bytes)
    }

    /// Ends what [`ProjectQuota::limit`] began; nothing where it never did.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lift(path: &Path) -> Result<(), ProjectQuotaError> {
        let lifted = (|| {
            let directory = open_directory(path)?;
            let project = kernel::attributes(&directory)?.project;
            let is_ours = candidates(path).any(|it| it == project);
            match is_ours && kernel::quota(&directory, project)?.blocks_max > 0 {
                true => kernel::set_blocks_max(&directory, project, 0),
                false => Ok(()),
            }
        })();
        match lifted {
            Err(errno) if errno != Errno::NOENT && !is_lacking(errno) => Err(error(path, errno)),
            _ => Ok(()),
        }
    }

    /// Whether a directory could be held to a limit here; it need not be there yet. Changes nothing.
    ///
    /// # Errors
    /// What [`ProjectQuota::limit`] would say of its file system.
    pub fn offered(path: &Path) -> Result<(), ProjectQuotaError> {
        let there = path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let directory = open_directory(there).map_err(|errno| error(path, errno))?;
        match kernel::is_enforced(&directory) {
            Ok(true) if !rustix::process::geteuid().is_root() => {
                Err(ProjectQuotaError::NotPermitted { path: path.to_owned() })
            }
            Ok(true) => Ok(()),
            Ok(false) => Err(ProjectQuotaError::NotOffered { path: path.to_owned() }),
            Err(errno) => Err(error(path, errno)),
        }
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty())
}

/// The projects that the node gives to a path. Whoever owns a directory can give it another one, that of
/// somebody else's directory too, and must not move that one's limit by it.
fn candidates(path: &Path) -> impl Iterator<Item = u32> {
    let first = hash(path);
    (0..TRIES_MAX).map(move |step| FIRST_PROJECT + first.wrapping_add(step) % PROJECTS)
}

/// The same for a path each time, unless somebody else keeps something under it.
fn free_project(directory: &OwnedFd, path: &Path) -> Result<u32, ProjectQuotaError> {
    for project in candidates(path) {
        if kernel::quota(directory, project).map_err(|errno| error(path, errno))?.files == 0 {
            return Ok(project);
        }
    }
    Err(ProjectQuotaError::NoneFree { path: path.to_owned() })
}

/// FNV-1a, which will be the same in every version.
fn hash(path: &Path) -> u32 {
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The kernel has no such call, the file system no such thing, or it is not switched on.
fn is_lacking(errno: Errno) -> bool {
    [Errno::NOSYS, Errno::NOTTY, Errno::OPNOTSUPP, Errno::SRCH, Errno::INVAL, Errno::NOTBLK]
        .contains(&errno)
}

fn error(path: &Path, errno: Errno) -> ProjectQuotaError {
    let path = path.to_owned();
    let source = io::Error::from(errno);
    match source.kind() {
        _ if is_lacking(errno) => ProjectQuotaError::NotOffered { path },
        ErrorKind::PermissionDenied => ProjectQuotaError::NotPermitted { path },
        _ => ProjectQuotaError::Kernel { path, source },
    }
}
