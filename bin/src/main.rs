//! The `bh` binary.

fn main() {}
