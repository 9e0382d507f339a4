use std::{fs, path::Path};

use crate::bh::{bh, show, stdout, transcript};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(home: &Path, text: &str) {
    fs::write(home.join("config.toml"), text).expect("written");
}

#[test]
fn the_file_to_begin_with_passes_its_own_check() {
    let home = home();
    insta::assert_snapshot!(stdout(home.path(), &["init"]), @"wrote config.toml; next: `bh run config.toml`");
    insta::assert_snapshot!(stdout(home.path(), &["check", "config.toml"]), @"ok: 3 services");
    let printed = stdout(home.path(), &["init", "-"]);
    assert_eq!(printed, fs::read_to_string(home.path().join("config.toml")).expect("written"));
}

#[test]
fn a_file_that_exists_is_replaced_only_by_force() {
    let home = home();
    write(home.path(), "# mine\n");
    insta::assert_snapshot!(transcript(home.path(), &["init"]));
    let text = || fs::read_to_string(home.path().join("config.toml")).expect("it exists");
    assert_eq!(text(), "# mine\n");
    stdout(home.path(), &["init", "--force"]);
    assert_ne!(text(), "# mine\n");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let home = home();
    write(
        home.path(),
        "[services.api]\ncomand = [\"sh\"]\ninstances = \"two\"\ndepends_on = [\"dp\"]\n\n\
         [services.db]\ncommand = [\"sh\"]\n",
    );
    insta::assert_snapshot!(transcript(home.path(), &["check", "config.toml"]));
}

#[test]
fn programs_get_the_mistakes_as_json() {
    let home = home();
    write(home.path(), "[services.api]\ncommand = \"sh\"\nrestart = \"allways\"\n");
    let output = bh(home.path()).args(["check", "config.toml", "--json"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(78), "{}", show(home.path(), &output));
    assert!(output.stderr.is_empty(), "{}", show(home.path(), &output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ok"], false);
    assert!(!report["problems"].as_array().expect("a list").is_empty());
}

#[test]
fn a_missing_file_is_told_apart_from_a_bad_one() {
    insta::assert_snapshot!(transcript(home().path(), &["check", "nowhere.toml"]));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let home = home();
    write(home.path(), "[services.api]\ncommand = [\"/bin/sh\"]\ninstances = 2\n");
    let explain = ["check", "config.toml", "--explain", "services.api.instances"];
    let explained = |arguments: &[&str], variable: Option<&str>| {
        let mut command = bh(home.path());
        command.args(explain).args(arguments);
        variable.map(|value| command.env("BLACKHOLE_SERVICES__API__INSTANCES", value));
        show(home.path(), &command.output().expect("bh runs"))
    };
    let told = [
        explained(&[], None),
        explained(&[], Some("3")),
        explained(&["--set", "services.api.instances=4"], Some("3")),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_variable_that_is_almost_ours_is_mentioned() {
    let home = home();
    stdout(home.path(), &["init"]);
    let mut command = bh(home.path());
    command.args(["check", "config.toml"]).env("BLACKHOLE_RUNTIMEDIR", "/run/x");
    insta::assert_snapshot!(show(home.path(), &command.output().expect("bh runs")));
}

#[test]
fn a_key_that_does_not_exist_cannot_be_explained() {
    let home = home();
    stdout(home.path(), &["init"]);
    let explain = ["check", "config.toml", "--explain", "services.clock.backof"];
    insta::assert_snapshot!(transcript(home.path(), &explain));
}

#[test]
fn the_schema_is_one() {
    let text = stdout(home().path(), &["check", "--schema"]);
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(schema["properties"]["services"].is_object(), "{text}");
}

#[test]
fn run_says_the_same_about_a_bad_file_as_check() {
    let home = home();
    write(home.path(), "[services.api]\ncomand = [\"sh\"]\n");
    let run = transcript(home.path(), &["run", "config.toml"]);
    assert!(run.starts_with("exit code 78\n"), "{run}");
    assert_eq!(run, transcript(home.path(), &["check", "config.toml"]));
}

#[test]
fn a_missing_file_is_not_run() {
    insta::assert_snapshot!(transcript(home().path(), &["run", "nowhere.toml"]));
}

#[test]
fn a_service_that_is_not_in_the_file_cannot_be_chosen() {
    let home = home();
    write(home.path(), "[services.api]\ncommand = [\"/bin/sh\"]\n");
    let run = ["run", "config.toml", "--services", "apo"];
    insta::assert_snapshot!(transcript(home.path(), &run));
}

#[test]
fn a_native_service_that_is_none_is_refused_with_the_known_ones() {
    insta::assert_snapshot!(transcript(home().path(), &["service", "--name", "nothing"]), @r"
    exit code 2
    --- stderr
    error: there is no native service `nothing`
    hint: known are identity, storage
    ");
}

#[test]
fn what_would_hold_on_this_host_is_explained_and_noted() {
    let home = home();
    write(
        home.path(),
        "[services.api]\ncommand = [\"sh\"]\nresources = { files_max = 1_073_741_816, nice = 5 }\n\
         [services.db]\ncommand = [\"sh\"]\nenforce = \"strict\"\nsandbox = \"standard\"\n\
         resources = { files_max = 1_073_741_816 }\n",
    );
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let table = stdout(home.path(), &["check", "config.toml", "--explain", "sandbox"]);
    let lines: Vec<String> = table.lines().map(words).collect();
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    assert!(has("preset standard") && has("preset strict") && has("service api"), "{table}");
    assert!(has("resources.files_max 1073741816 downgraded"), "{table}");
    assert!(has("resources.files_max 1073741816 refused"), "{table}");
    assert!(has("resources.nice 5 enforced"), "{table}");
    assert!(has("sandbox.seccomp \"standard\" enforced"), "{table}");

    let explain = ["check", "config.toml", "--explain", "services.db.sandbox", "--json"];
    let json: serde_json::Value =
        serde_json::from_str(&stdout(home.path(), &explain)).expect("JSON");
    let here = json["here"].as_array().expect("verdicts");
    let seccomp = here.iter().find(|verdict| verdict["key"] == "sandbox.seccomp").expect("seccomp");
    assert_eq!(seccomp["here"], "enforced", "{json}");

    let output = bh(home.path()).args(["check", "config.toml"]).output().expect("runs");
    assert!(output.status.success(), "a note is no mistake");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("note: `services.api.resources.files_max` does not hold"), "{said}");
    assert!(said.contains("note: `services.db.resources.files_max` stops the start"), "{said}");
    assert!(said.contains("config.toml:3:"), "{said}");
}
