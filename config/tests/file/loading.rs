//! Files that load, and what they mean.

use std::path::{Path, PathBuf};

use blackhole_config::{Overrides, Source, load};

use crate::host::host;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries
        .map(|entry| entry.expect("an entry").path())
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
