//! What cannot be run is refused before anything starts, with the line that said it.

use std::time::Duration;

use blackhole::{GroupSpec, Node, Restart, ServiceSpec, StartError, Strategy};

#[tokio::test]
async fn every_mistake_is_told_with_its_key_and_its_line() {
    let first = line!() + 3;
    let refused = Node::builder()
        .embedded()
        .service("api", ServiceSpec::command(["true"]).instances(0).depends_on("cach"))
        .service("cache", ServiceSpec::command(["true"]).restart(Restart::Transient))
        .start()
        .await;
    let Err(StartError::Rejected(rejected)) = refused else { panic!("it was accepted") };
    let told: Vec<(&str, usize)> =
        rejected.problems.iter().map(|problem| (problem.key_path.as_str(), problem.line)).collect();
    let first = first as usize;
    assert_eq!(told, [("services.api.instances", first), ("services.api.depends_on[0]", first)]);
    let text = rejected.to_string();
    assert!(text.contains("did you mean `cache`?"), "{text}");
    assert!(text.contains("describing.rs"), "{text}");
}

#[test]
fn a_name_is_given_once() {
    let sleeping = || ServiceSpec::command(["sleep", "1000"]);
    let group = GroupSpec::new(Strategy::OneForAll).service("api", sleeping());
    let refused = Node::builder().embedded().service("api", sleeping()).group("web", group).check();
    let refused = refused.expect_err("there are two").to_string();
    assert!(refused.contains("`services.api` is defined twice"), "{refused}");
    assert!(
        refused.contains("it is there already: runtime/tests/library/describing.rs:"),
        "{refused}"
    );
}

#[test]
fn a_child_that_the_program_would_not_recognise_is_refused() {
    use crate::steering::Echo;
    let refused = Node::builder().service("left", ServiceSpec::native::<Echo>()).check();
    let refused = refused.expect_err("nobody announced it").to_string();
    assert!(refused.contains("`left` runs `echo` in a child process"), "{refused}");
    let embedded = ServiceSpec::native::<Echo>().embedded();
    Node::builder().service("left", embedded).check().expect("it needs no process");
}

#[test]
fn code_wins_over_a_file() {
    let file = "[services.api]\ncommand = [\"sleep\", \"1000\"]\nrestarts_window = \"5m\"\n";
    let builder = || Node::builder().embedded().toml(file);
    builder().check().expect("the file is right");
    let worker = ServiceSpec::command(["true"]).depends_on("api");
    builder().service("worker", worker).check().expect("both together are right");
    let api = ServiceSpec::command(["true"]).restarts(5, Duration::ZERO);
    let refused = builder().service("api", api).check().expect_err("the window is empty");
    assert!(refused.to_string().contains("restarts_window` must be longer than 0"), "{refused}");
}

#[test]
fn a_file_is_taken_with_the_paths_in_it_and_named_in_its_problems() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.toml");
    let written = |variables: &str, settings: &str| {
        let file = "[services.api]\ncommand = [\"true\"]\nenvironment_files = [\"api.env\"]\n";
        std::fs::write(folder.path().join("api.env"), variables).expect("the folder takes files");
        std::fs::write(&path, format!("{file}{settings}")).expect("the folder takes files");
        Node::builder().in_temporary_directory().file(&path).check()
    };
    written("KEY=value\n", "").expect("the variables are found beside the file");
    let refused = written("KEY=value\n", "instances = 0\n").expect_err("none is too few");
    let StartError::Rejected(rejected) = refused else { panic!("{refused}") };
    let [problem] = &rejected.problems[..] else { panic!("{rejected}") };
    assert_eq!(problem.key_path, "services.api.instances");
    assert_eq!((problem.file.as_str(), problem.line), (&*path.display().to_string(), 4));
    std::fs::remove_file(folder.path().join("api.env")).expect("it is there");
    let gone = Node::builder().in_temporary_directory().file(&path).check();
    let gone = gone.expect_err("its variables are gone").to_string();
    assert!(gone.contains("api.env"), "{gone}");
    let absent = folder.path().join("absent.toml");
    let absent = Node::builder().in_temporary_directory().file(absent).check();
    let absent = absent.expect_err("there is no such file").to_string();
    assert!(absent.contains("absent.toml"), "{absent}");
}
