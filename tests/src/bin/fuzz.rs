//! One target under libFuzzer: `BLACKHOLE_FUZZ_TARGET` names it. `tests/fuzz` builds and runs this.

#![no_main]

use std::sync::LazyLock;

use blackhole_tests::fuzz::{TARGETS, Target};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("BLACKHOLE_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    Target::named(&name).unwrap_or_else(|| panic!("BLACKHOLE_FUZZ_TARGET is none of {names:?}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
