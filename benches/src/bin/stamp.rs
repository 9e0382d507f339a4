//! The child that every supervisor starts: it says when it began to run, and waits to be ended.
//!
//! Without the standard library's runtime and, as `run` builds it, without a dynamic linker: what is
//! measured is the supervisor, and each microsecond of the child's own would flatter the ratio. For
//! the same reason it is told what to do by its environment: then it can itself be the `run` file
//! that some supervisors want, with no shell between.
//!
//! `BENCH_STAMPS` is the named pipe for `PID NANOSECONDS` (of `CLOCK_MONOTONIC`), which stays open as
//! long as it lives; with `BENCH_EXIT` it exits with 1 at once, with `BENCH_LINES` it first prints so many
//! lines in each of two seconds. `BENCH_READY` is the descriptor of a supervisor that wants to hear that it is ready, which comes last.
#![no_main]
#![expect(unsafe_code, reason = "the C library and nothing else")]

use std::ffi::{c_char, c_int, c_long, c_void};

const WRITE_ONLY: c_int = 1;
const MONOTONIC: c_int = 1;
const ABSOLUTE: c_int = 1;
const NANOSECONDS: c_long = 1_000_000_000;
/// Between two times of printing.
const TICK: c_long = 10_000_000;
const TICKS_PER_SECOND: c_long = NANOSECONDS / TICK;
const PRINT_SECONDS: c_long = 2;
const LINE_LENGTH_MAX: usize = 48;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

// Declared here, so that `rustc` alone builds this file.
unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn clock_nanosleep(
        clock: c_int,
        flags: c_int,
        until: *const Timespec,
        left: *mut Timespec,
    ) -> c_int;
    fn atol(text: *const c_char) -> c_long;
    fn getenv(name: *const c_char) -> *const c_char;
    fn getpid() -> c_int;
    fn open(path: *const c_char, flags: c_int) -> c_int;
    fn write(descriptor: c_int, bytes: *const c_void, length: usize) -> isize;
    fn pause() -> c_int;
    fn _exit(code: c_int) -> !;
}

#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    let mut line = Line { bytes: [0; LINE_LENGTH_MAX], length: 0 };
    // SAFETY: a string of this process's environment, which nobody changes.
    unsafe { print_lines(getenv(c"BENCH_LINES".as_ptr())) };
    // SAFETY: every pointer is to a live local or a literal that ends with a zero byte, but for the
    // path, which `getenv` gave and nobody changes.
    unsafe {
        clock_gettime(MONOTONIC, &raw mut now);
        let path = getenv(c"BENCH_STAMPS".as_ptr());
        if path.is_null() {
            _exit(64);
        }
        line.push(i64::from(getpid()), b' ');
        line.push(now.seconds * NANOSECONDS + now.nanoseconds, b'\n');
        let pipe = open(path, WRITE_ONLY);
        if write(pipe, line.bytes.as_ptr().cast(), line.length) < 0 {
            _exit(74);
        }
        if !getenv(c"BENCH_EXIT".as_ptr()).is_null() {
            _exit(1);
        }
        let ready = getenv(c"BENCH_READY".as_ptr());
        if !ready.is_null() {
            write(atol(ready) as c_int, c"\n".as_ptr().cast(), 1);
        }
        loop {
            pause();
        }
    }
}

/// Before the stamp, so that all lines are in the pipe when it comes. At a pace, since a node drops what a flood has
/// beyond its queue.
unsafe fn print_lines(per_second: *const c_char) {
    const LINE: &[u8] = b"INFO a request was answered within the time that was asked for\n";
    if per_second.is_null() {
        return;
    }
    let mut next = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the text ends with a zero byte; a literal is written; the time is a local.
    unsafe {
        clock_gettime(MONOTONIC, &raw mut next);
        let per_tick = atol(per_second) / TICKS_PER_SECOND;
        for _ in 0..PRINT_SECONDS * TICKS_PER_SECOND {
            for _ in 0..per_tick {
                if write(1, LINE.as_ptr().cast(), LINE.len()) < 0 {
                    _exit(74);
                }
            }
            next.advance(TICK);
            clock_nanosleep(MONOTONIC, ABSOLUTE, &raw const next, std::ptr::null_mut());
        }
    }
}

impl Timespec {
    /// By less than a second.
    fn advance(&mut self, nanoseconds: c_long) {
        self.nanoseconds += nanoseconds;
        self.seconds += self.nanoseconds / NANOSECONDS;
        self.nanoseconds %= NANOSECONDS;
    }
}

struct Line {
    bytes: [u8; LINE_LENGTH_MAX],
    length: usize,
}

impl Line {
    /// A positive number in decimal digits, and what ends it.
    fn push(&mut self, number: i64, end: u8) {
        let digits = number.max(1).ilog10() as usize + 1;
        let mut rest = number;
        for digit in self.bytes[self.length..self.length + digits].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.bytes[self.length + digits] = end;
        self.length += digits + 1;
    }
}
