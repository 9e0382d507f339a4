use crate::bh::{stdout, transcript};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn the_first_page_lists_the_commands_in_groups() {
    insta::assert_snapshot!(stdout(home().path(), &["--help"]));
}

#[test]
fn no_command_at_all_shows_the_same_page_as_a_usage_error() {
    let home = home();
    let shown = transcript(home.path(), &[]);
    let page = stdout(home.path(), &["--help"]);
    assert_eq!(shown, format!("exit code 2\n--- stderr\n{page}"));
}

#[test]
fn every_command_explains_itself() {
    const COMMANDS: [&str; 16] = [
        "run",
        "check",
        "init",
        "status",
        "top",
        "logs",
        "events",
        "history",
        "start",
        "stop",
        "restart",
        "scale",
        "completions",
        "man",
        "version",
        "exit-codes",
    ];
    let home = home();
    for command in COMMANDS {
        let help = stdout(home.path(), &[command, "--help"]);
        assert_eq!(help, stdout(home.path(), &["help", command]), "{command}");
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn the_exit_codes_have_a_page() {
    insta::assert_snapshot!(stdout(home().path(), &["exit-codes"]));
}
