//! Whatever the file is, it is read or refused; never a panic, never a hang.

use std::{fs, path::Path, time::Instant};

use blackhole_config::{DEFAULT, FILE_SIZE_MAX, Overrides, STARTER, Source, load};
use proptest::prelude::*;

use crate::host::{host, messages, read};

fn refusal(path: &Path) -> String {
    let rejected = load(Source::Path(path.to_owned()), &Overrides::default(), &host())
        .expect_err("it is refused");
    assert!(rejected.to_string().contains(&rejected.problems[0].message));
    messages(&rejected).join("\n")
}

#[test]
fn what_is_no_file_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let huge = folder.path().join("huge.toml");
    fs::File::create(&huge)
        .and_then(|file| file.set_len(FILE_SIZE_MAX + 1))
        .expect("a sparse file");
    assert_eq!(refusal(&folder.path().join("none.toml")), "there is no such file");
    assert_eq!(refusal(folder.path()), "is a directory, not a file");
    assert_eq!(refusal(&huge), "the file is larger than 4 MiB");
    assert_eq!(refusal(&huge.join("below")), "cannot be read: not a directory");
}

#[test]
fn deep_nesting_is_refused() {
    for text in
        ["x = ".to_owned() + &"[".repeat(1_000_000), "[a".to_owned() + &".a".repeat(1_000_000)]
    {
        assert!(read(&text).is_err());
    }
}

#[test]
fn ten_thousand_services_are_read_in_a_moment() {
    let service = |n: usize| {
        format!("[services.s{n}]\ncommand = [\"true\"]\ndepends_on = [\"s{}\"]\n", n + 1)
    };
    let last = "[services.s10000]\ncommand = [\"true\"]\n";
    let text: String = (0..10_000).map(service).chain([last.to_owned()]).collect();
    let start = Instant::now();
    let loaded = read(&text).unwrap_or_else(|rejected| panic!("{rejected}"));
    assert_eq!(loaded.config.supervisor.members[0].as_str(), "s10000");
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn ten_thousand_mistakes_are_all_reported_in_a_moment() {
    let service =
        |n: usize| format!("[services.s{n}]\ncomand = [\"true\"]\ndepends_on = [\"x{n}\"]\n");
    let text: String = (0..10_000).map(service).collect();
    let start = Instant::now();
    assert_eq!(read(&text).expect_err("it is wrong").problems.len(), 20_000);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

fn survives(text: &str) {
    match read(text) {
        Ok(loaded) => drop(loaded.render_warnings(blackhole_config::Color::Always)),
        Err(rejected) => {
            assert!(!rejected.problems.is_empty());
            assert!(!rejected.to_string().is_empty());
            assert!(rejected.to_json()["problems"].is_array());
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("any.toml");
        fs::write(&path, bytes).expect("a file");
        if let Err(rejected) = load(Source::Path(path), &Overrides::default(), &host()) {
            prop_assert!(!rejected.to_string().is_empty());
        }
    }

    #[test]
    fn any_toml_like_text_is_read_or_refused(
        lines in prop::collection::vec(
            prop_oneof![
                "\\[(services|groups|node|logs)\\.[a-z\"é]{0,3}\\]?",
                "(command|ready|live|listen|depends_on|services|stop|é) = [\\[{\"a-zé0-9=,. ]{0,12}[\\]}\"]{0,2}",
            ],
            0..20,
        )
    ) {
        survives(&lines.join("\n"));
    }

    #[test]
    fn a_good_file_with_a_part_cut_out_is_read_or_refused(
        starter in any::<bool>(), start in any::<prop::sample::Index>(), length in 0usize..60,
    ) {
        let text = if starter { STARTER } else { DEFAULT };
        let characters: Vec<char> = text.chars().collect();
        let start = start.index(characters.len());
        let end = (start + length).min(characters.len());
        let cut: String = characters[..start].iter().chain(&characters[end..]).collect();
        survives(&cut);
    }
}
