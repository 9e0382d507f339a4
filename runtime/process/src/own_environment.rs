//! This process's own variables, taken away where others can read them.
//!
//! `/proc/PID/environ` is the memory in which the kernel handed the variables over. What is removed from
//! the environment stays there: it has to be overwritten.
#![expect(
    unsafe_code,
    reason = "the C library's list of variables, and the memory that it points to"
)]

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU8, Ordering};

unsafe extern "C" {
    static environ: *const *mut c_char;
}

/// The value of a variable, which from now on is empty for this process, for those that it starts, and for
/// whoever looks at it in `/proc`. `None` where there is none.
pub fn take_variable(name: &OsStr) -> Option<OsString> {
    let value = std::env::var_os(name);
    blank_variable(name);
    value
}

/// Overwrites the value of a variable.
pub(crate) fn blank_variable(name: &OsStr) {
    // SAFETY: the C library's list, which ends with a null pointer, of texts that end with a zero; Rust
    // changes it only under a lock that no code of ours takes for writing once threads have been started.
    unsafe {
        let mut entry = environ;
        while let Some(text) = entry.as_ref().copied().filter(|text| !text.is_null()) {
            let bytes = CStr::from_ptr(text).to_bytes();
            let value = bytes.strip_prefix(name.as_bytes()).and_then(|it| it.strip_prefix(b"="));
            if let Some(value) = value {
                blank(text.add(bytes.len() - value.len()), value.len());
            }
            entry = entry.add(1);
        }
    }
}

/// From the front: whoever reads it meanwhile finds an empty text or the whole.
///
/// # Safety
/// `length` bytes from `start` on are memory that may be written.
unsafe fn blank(start: *mut c_char, length: usize) {
    for offset in 0..length {
        // SAFETY: within what the caller vouches for; a byte is always aligned.
        let byte = unsafe { AtomicU8::from_ptr(start.add(offset).cast()) };
        byte.store(0, Ordering::Relaxed);
    }
}
