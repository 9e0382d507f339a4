use std::{fs, process::Command};

use crate::{
    bh::{bh, stdout, transcript},
    fake_node::FakeNode,
};

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

/// What a shell that has read the script offers for this line.
fn offered(home: &std::path::Path, line: &str) -> String {
    let program = bh(home).get_program().to_owned();
    let script = format!(
        r#"source bh.bash
        COMP_LINE="$LINE"; COMP_POINT=${{#LINE}}; COMP_WORDS=($LINE)
        case "$LINE" in *' ') COMP_WORDS+=('') ;; esac
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        bh() {{ '{}' "$@"; }}
        compopt() {{ :; }}
        _bh_with_names bh "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        echo "${{COMPREPLY[*]}}""#,
        program.display()
    );
    let mut shell = Command::new("bash");
    for (name, value) in bh(home).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let done = shell.args(["-c", &script]).env("LINE", line).current_dir(home).output();
    let done = done.expect("bash runs");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).expect("text").trim_end().to_owned()
}

#[test]
fn bash_offers_the_names_of_what_runs() {
    let home = home();
    let _node = FakeNode::listen(home.path());
    fs::write(home.path().join("bh.bash"), stdout(home.path(), &["completions", "bash"]))
        .expect("written");
    assert_eq!(offered(home.path(), "bh stop "), "api cron identity web");
    assert_eq!(offered(home.path(), "bh logs -f i"), "identity");
    assert_eq!(offered(home.path(), "bh scale a"), "api=");
    assert!(offered(home.path(), "bh stop --a").contains("--all"));
    assert!(!offered(home.path(), "bh logs --tail ").contains("api"));
}

#[test]
fn zsh_and_fish_ask_for_names_where_they_may_stand() {
    let home = home();
    let zsh = stdout(home.path(), &["completions", "zsh"]);
    assert_eq!(zsh.matches(":_bh_names'").count(), 9, "{zsh}");
    let fish = stdout(home.path(), &["completions", "fish"]);
    assert!(fish.contains("stop restart scale\" -f -a \"(__fish_bh_names)\""), "{fish}");
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
