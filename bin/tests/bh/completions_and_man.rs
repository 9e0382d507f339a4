use std::{fs, process::Command};

use crate::bh::{bh, stdout, transcript};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn each_shell_gets_a_script_that_knows_the_commands() {
    let home = home();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(home.path(), &["completions", shell]);
        for command in ["status", "history", "scale"] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn bash_accepts_its_script() {
    let home = home();
    let path = home.path().join("bh.bash");
    fs::write(&path, stdout(home.path(), &["completions", "bash"])).expect("written");
    let status = Command::new("bash").arg("-n").arg(&path).status().expect("bash runs");
    assert!(status.success());
}

#[test]
fn an_unknown_shell_is_refused_with_the_known_ones() {
    insta::assert_snapshot!(transcript(home().path(), &["completions", "tcsh"]));
}

#[test]
fn each_command_gets_a_manual_page_with_the_exit_codes() {
    let home = home();
    stdout(home.path(), &["man", "--out", "pages"]);
    let mut names = Vec::new();
    for page in fs::read_dir(home.path().join("pages")).expect("the directory was created") {
        let page = page.expect("readable");
        names.push(page.file_name().into_string().expect("text"));
        let text = fs::read_to_string(page.path()).expect("text");
        assert!(text.contains("EXIT STATUS"), "{:?}", page.path());
    }
    names.sort();
    insta::assert_snapshot!(names.join(" "));
}

#[test]
fn a_directory_that_cannot_be_created_is_named() {
    insta::assert_snapshot!(transcript(home().path(), &["man", "--out", "/proc/pages"]));
}

#[test]
fn the_version_is_told_to_people_and_programs() {
    let home = home();
    insta::assert_snapshot!(stdout(home.path(), &["version"]), @r#"bh 0.1.0 (control API blackhole.control.v1, link 2)"#);
    insta::assert_snapshot!(stdout(home.path(), &["version", "--json"]), @r#"{"version":"0.1.0","control_api":"blackhole.control.v1","link":2}"#);
    insta::assert_snapshot!(stdout(home.path(), &["--version"]), @r#"bh 0.1.0"#);
    let output = bh(home.path()).args(["version", "--verbose"]).output().expect("bh runs");
    assert_eq!(output.status.code(), Some(2));
}
