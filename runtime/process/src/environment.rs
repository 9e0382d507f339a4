//! The environment of a child, put together once and reused for every generation.

use std::ffi::OsString;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::OnceLock;

/// What speaks of the process that holds it; a child must not take it for its own.
const NEVER_INHERITED: [&str; 7] = [
    "CREDENTIALS_DIRECTORY",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What children may inherit of this process's variables, as they were at the first use; all launches share
/// them.
fn of_this_process() -> &'static [CString] {
    static VARIABLES: OnceLock<Vec<CString>> = OnceLock::new();
    VARIABLES.get_or_init(|| {
        let entry = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            if NEVER_INHERITED.iter().any(|never| *never == name) {
                return None;
            }
            let mut bytes = name.into_vec();
            bytes.push(b'=');
            bytes.extend(value.into_vec());
            CString::new(bytes).ok()
        };
        std::env::vars_os().filter_map(entry).collect()
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inherit {
    Everything,
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Environment {
    inherited: Vec<&'static CStr>,
    own: Vec<CString>,
}

impl Environment {
    pub(crate) fn new(inherit: Inherit, withheld: &[OsString], own: Vec<CString>) -> Self {
        let wanted = |entry: &&'static CStr| {
            let name = name_of(entry.to_bytes());
            inherit == Inherit::Everything
                && !withheld.iter().any(|never| never.as_bytes() == name)
                && !own.iter().any(|mine| has_name(mine.to_bytes(), name))
        };
        let inherited = of_this_process().iter().map(CString::as_c_str).filter(wanted).collect();
        Self { inherited, own }
    }

    /// The value of a variable, as the child will see it.
    pub(crate) fn value(&self, name: &str) -> Option<&[u8]> {
        let all = self.own.iter().map(CString::as_c_str).chain(self.inherited.iter().copied());
        all.map(CStr::to_bytes)
            .find(|entry| has_name(entry, name.as_bytes()))
            .map(|entry| &entry[name.len() + 1..])
    }

    /// Pointers for `execve`, where `generation` goes before what it repeats; ends with a null pointer.
    pub(crate) fn block(&self, generation: &[&CStr]) -> Vec<*const c_char> {
        let repeated = |entry: &&CStr| {
            let name = name_of(entry.to_bytes());
            generation.iter().any(|mine| has_name(mine.to_bytes(), name))
        };
        let base = self.own.iter().map(CString::as_c_str).chain(self.inherited.iter().copied());
        let base = base.filter(|entry| !repeated(entry)).map(CStr::as_ptr);
        let mine = generation.iter().map(|entry| entry.as_ptr());
        let mut block = Vec::with_capacity(self.own.len() + self.inherited.len() + 8);
        block.extend(mine.chain(base));
        block.push(std::ptr::null());
        block
    }
}

/// Cheap where the names differ, which is nearly always.
fn has_name(entry: &[u8], name: &[u8]) -> bool {
    entry.get(name.len()) == Some(&b'=') && entry.starts_with(name)
}

fn name_of(entry: &[u8]) -> &[u8] {
    let end = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
    &entry[..end]
}
