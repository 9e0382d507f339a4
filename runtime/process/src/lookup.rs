//! Which file a program's name means, searched as the child's own `PATH` says.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where to look when neither the child nor this process has a `PATH`.
const DIRECTORIES_DEFAULT: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A name with a slash is a path already; any other is searched for.
pub(crate) fn resolve(program: &OsStr, directories: Option<&[u8]>) -> Option<CString> {
    if program.as_bytes().contains(&b'/') {
        return CString::new(program.as_bytes()).ok();
    }
    let found: Vec<PathBuf> = candidates(program, directories).filter(|it| it.is_file()).collect();
    // One that may not be executed is better than none: the kernel then says what is wrong with it.
    let best = found.iter().find(|it| is_executable(it)).or(found.first());
    best.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok())
}

/// The directories searched, for the reader of an error.
pub(crate) fn searched(directories: Option<&[u8]>) -> String {
    String::from_utf8_lossy(directories.unwrap_or(DIRECTORIES_DEFAULT)).into_owned()
}

fn candidates<'a>(
    program: &'a OsStr,
    directories: Option<&'a [u8]>,
) -> impl Iterator<Item = PathBuf> + 'a {
    let directories = directories.unwrap_or(DIRECTORIES_DEFAULT).split(|byte| *byte == b':');
    directories.map(move |directory| match directory {
        b"" => Path::new(".").join(program),
        directory => Path::new(OsStr::from_bytes(directory)).join(program),
    })
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.permissions().mode() & 0o111 != 0)
}
