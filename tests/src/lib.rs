//! End-to-end tests: real binaries, real processes.
