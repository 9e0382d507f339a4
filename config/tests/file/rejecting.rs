//! Files that are refused, and the text that the user reads. `BLESS=1` writes the texts anew: read
//! the difference.

use std::path::{Path, PathBuf};

use crate::host::host;
use blackhole_config::{HostFacts, Overrides, Source, load};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rejected")
}

#[test]
fn every_rejected_file_fails_with_the_text_beside_it() {
    let entries = std::fs::read_dir(folder()).expect("the folder is there");
    let mut names: Vec<PathBuf> = entries
        .map(|entry| PathBuf::from(entry.expect("an entry").file_name()))
        .filter(|name| name.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "only {} cases", names.len());
    let different: Vec<String> = names.iter().filter_map(|name| difference(name)).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn difference(name: &Path) -> Option<String> {
    let host = HostFacts { current_dir: folder(), ..host() };
    let text = match load(Source::Path(name.to_owned()), &Overrides::default(), &host) {
        Ok(_) => format!("{} was accepted\n", name.display()),
        Err(rejected) => format!("{rejected}\n"),
    };
    let text = text.replace(&folder().display().to_string(), "FOLDER");
    let beside = folder().join(name).with_extension("txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&beside, &text).expect("the text is written");
        return None;
    }
    let expected = std::fs::read_to_string(&beside).unwrap_or_default();
    (text != expected)
        .then(|| format!("{}: expected\n{expected}\nbut it is\n{text}", name.display()))
}
