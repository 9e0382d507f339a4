//! Memory that only the beginning of a process needed.
#![expect(unsafe_code, reason = "advice to the kernel and to the C library")]

use std::ffi::{c_int, c_void};
use std::ptr;

/// Has threads that are started from now on take their memory from the first one's heap. Of its own, each
/// would hold pages that it does not need, and grow by single pages, with a system call for each.
pub fn share_one_heap() {
    // SAFETY: takes integers; a parameter that is refused leaves things as they are.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back the free memory of the heap, in its middle as well as at its end: what a burst has needed.
/// The C library itself keeps it. Walks through the heap, so it is for when a burst is over.
pub fn let_go_of_free_memory() {
    // SAFETY: takes free memory only.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back what the process has touched so far and may not need again: free memory of its heap, and the
/// pages of its program and of its libraries that nothing has written to. They are read in again, a few at a
/// time and from the kernel's own cache, where they are used after all.
///
/// For a process that begins with much and then does little for long. Costs some microseconds now, and a few
/// for each part of the program that is used again.
pub fn let_go_of_the_beginning() {
    let_go_of_free_memory();
    // SAFETY: the callback has the right type and is passed nothing.
    unsafe { libc::dl_iterate_phdr(Some(let_go_of_object), ptr::null_mut()) };
}

/// The program or one of its libraries.
unsafe extern "C" fn let_go_of_object(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the caller, the C library, passes a description that is valid during the call.
    let object = unsafe { &*object };
    // SAFETY: it says so itself.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let is_read_only = |it: &&libc::Elf64_Phdr| {
        it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W == 0 && it.p_memsz > 0
    };
    for segment in headers.iter().filter(is_read_only) {
        let page = rustix::param::page_size() as u64;
        let start = (object.dlpi_addr + segment.p_vaddr) & !(page - 1);
        let length = object.dlpi_addr + segment.p_vaddr + segment.p_memsz - start;
        // SAFETY: the segment is mapped from a file, privately, and was never writable, so what is read in
        // again is what was there. Refused, as for the kernel's own object, it stays.
        let _refused =
            unsafe { libc::madvise(start as *mut c_void, length as usize, libc::MADV_DONTNEED) };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(what: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("a number of KiB")
    }

    #[test]
    fn pages_of_the_program_are_let_go_and_found_again() {
        let before = resident("RssFile:");
        let_go_of_the_beginning();
        let after = resident("RssFile:");
        // Other tests of this process read theirs in again meanwhile.
        assert!(after < before, "{before} KiB before, {after} KiB after");
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn free_memory_between_what_is_used_is_let_go() {
        const BLOCK: usize = 16 << 10;
        let mut blocks: Vec<Vec<u8>> = (0..1024).map(|_| vec![1; BLOCK]).collect();
        let kept: Vec<Vec<u8>> =
            (0..1024).step_by(64).map(|at| std::mem::take(&mut blocks[at])).collect();
        drop(blocks);
        let before = resident("RssAnon:");
        let_go_of_free_memory();
        let after = resident("RssAnon:");
        assert!(after + (8 << 10) < before, "{before} KiB before, {after} KiB after");
        drop(kept);
    }
}
