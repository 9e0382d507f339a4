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
