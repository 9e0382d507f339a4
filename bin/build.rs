//! How the binary is linked.

/// A position-independent binary has 30,000 addresses to be corrected at each start. Packed, they are
/// 20 KiB and not 730, which the guardian and the node would each read, and keep, at every start. Needs
/// glibc 2.36 to run; a linker that does not know the option ignores it.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
