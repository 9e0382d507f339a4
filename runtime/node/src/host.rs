//! What the checks of a file want to know of this machine and this process.

use std::{env, io};

use blackhole_config::HostFacts;

/// The facts as they are now, for a program that contains these native services.
///
/// # Errors
/// When the current directory is gone.
pub fn facts(native_services: Vec<String>) -> io::Result<HostFacts> {
    let facts = HostFacts {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        uid: rustix::process::geteuid().as_raw(),
        current_dir: env::current_dir()?,
        native_services,
        ..HostFacts::default()
    };
    Ok(facts.with_environment(|name| env::var(name).ok()))
}
