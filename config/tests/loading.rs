//! Files that load, and what they mean.

use std::path::{Path, PathBuf};

use blackhole_config::{HostFacts, Overrides, Source, load};

fn host() -> HostFacts {
    HostFacts {
        hostname: "box".into(),
        uid: 1000,
        current_dir: "/work-dir".into(),
        home: Some("/home/u".into()),
        xdg_runtime_dir: Some("/run/user/1000".into()),
        native_services: vec!["identity".into(), "storage".into()],
        ..HostFacts::default()
    }
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect()
}

#[test]
fn every_example_loads_without_a_warning() {
    assert!(examples().len() >= 3);
    for path in examples() {
        match load(Source::Path(path.clone()), &Overrides::default(), &host()) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{}", path.display()),
            Err(rejected) => panic!("{rejected}"),
        }
    }
}
