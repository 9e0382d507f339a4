//! Presets: privileges, system calls, paths and view in one word.
//!
//! | | `standard` | `strict` |
//! |---|---|---|
//! | capabilities | none | none |
//! | no_new_privs | yes | yes |
//! | seccomp | `default` | `strict` |
//! | /tmp, /var/tmp | the host's | its own |
//! | files | as its user may | read and executed as its user may, written only where it is told |

use std::path::{Path, PathBuf};

use crate::{Capabilities, PathRules, Request, Seccomp, Temporary};

/// How much a process is shut off. What a request says itself always wins over the preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// No more power than an ordinary user's; the file system is untouched.
    Standard,
    /// Moreover it writes only to its own directories.
    Strict,
}

/// What even a program that may write nowhere writes to, where it is there.
const WRITABLE_ALWAYS: [&str; 8] =
    ["/tmp", "/var/tmp", "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/pts", "/dev/shm"];

/// Whether every strict service has a rule for this path.
pub(crate) fn is_common(path: &Path) -> bool {
    path == Path::new("/") || WRITABLE_ALWAYS.iter().any(|it| path == Path::new(it))
}

impl Request {
    /// The request with a preset under it. `writable` are the service's own directories (data,
    /// sockets); they must exist.
    #[must_use]
    pub fn sandboxed(mut self, sandbox: Sandbox, writable: &[PathBuf]) -> Self {
        self.no_new_privileges = true;
        self.capabilities.get_or_insert(Capabilities::NONE);
        match sandbox {
            Sandbox::Standard => drop(self.seccomp.get_or_insert(Seccomp::Default)),
            Sandbox::Strict => {
                self.seccomp.get_or_insert(Seccomp::Strict);
                self.view.temporary = Temporary::Private;
                self.paths.get_or_insert_with(|| PathRules::writing_to(writable));
            }
        }
        self
    }
}

impl PathRules {
    /// Everything may be read and executed; written are only these, and what even a program that
    /// may write nowhere writes to: /tmp, /dev/null and their like.
    pub fn writing_to(writable: &[PathBuf]) -> Self {
        let always = WRITABLE_ALWAYS.iter().map(Path::new).filter(|path| path.exists());
        let write = writable.iter().cloned().chain(always.map(PathBuf::from)).collect();
        Self { execute: vec!["/".into()], write, ..Self::default() }
    }
}
