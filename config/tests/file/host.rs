//! A host that is the same on every machine.

use blackhole_config::{HostFacts, Loaded, Overrides, Rejected, Source, load};

/// A user's machine with the two native services.
pub(crate) fn host() -> HostFacts {
    HostFacts {
        hostname: "test-host".into(),
        uid: 1000,
        current_dir: "/".into(),
        home: Some("/home/ada".into()),
        path: Some("/usr/bin:/bin".into()),
        native_services: vec!["identity".into(), "storage".into()],
        ..HostFacts::default()
    }
}

/// Reads a text as the file `test.toml` of `/etc/blackhole`.
pub(crate) fn read(text: &str) -> Result<Loaded, Rejected> {
    read_with(text, &Overrides::default())
}

/// The same with flags and variables.
pub(crate) fn read_with(text: &str, overrides: &Overrides) -> Result<Loaded, Rejected> {
    let source = Source::Text {
        name: "test.toml".into(),
        text: text.into(),
        folder: "/etc/blackhole".into(),
    };
    load(source, overrides, &host())
}

/// The messages of the errors.
pub(crate) fn messages(rejected: &Rejected) -> Vec<&str> {
    rejected.problems.iter().map(|problem| problem.message.as_str()).collect()
}
