//! A host that is the same on every machine.

use blackhole_config::HostFacts;

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
