//! The services that this binary contains.

use std::{ffi::OsString, process::ExitCode};

use blackhole::native::{Contained, ContainedServices};

use crate::error::Error;

/// All of them. The node starts each as `bh service --name NAME`, from the very file that it runs.
pub(crate) fn contained() -> ContainedServices {
    ContainedServices::new(
        [
            Contained::of::<blackhole_identity::Identity>(),
            Contained::of::<blackhole_storage::Storage>(),
        ],
        |name| ["/proc/self/exe", "service", "--name", name].map(OsString::from).to_vec(),
    )
}

/// Runs one of them in this process, until it has ended.
pub(crate) fn serve(name: &str) -> Result<ExitCode, Error> {
    let contained = contained();
    let unknown = || {
        let known = contained.names().join(", ");
        Error::Usage(format!("there is no native service `{name}`\nhint: known are {known}"))
    };
    Ok(contained.find(name).ok_or_else(unknown)?.serve().into())
}
