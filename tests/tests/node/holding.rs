//! What a check says of a host, key by key, is what a start finds there.

use std::collections::BTreeMap;

use blackhole_tests::{TestNode, until};
use serde_json::Value;

/// Each with the keys of its resources. None of them need hold.
const LAX: [(&str, &str); 16] = [
    ("cpu", "cpu = 0.5"),
    ("weight", "cpu_weight = 50"),
    ("cpus-here", "cpus = \"0\""),
    ("cpus-nowhere", "cpus = \"900\""),
    ("cpus-some", "cpus = \"0,900\""),
    ("memory", "memory = \"64MiB\", memory_high = \"32MiB\""),
    ("swap", "memory = \"64MiB\", swap = \"64MiB\""),
    ("swap-alone", "swap = \"64MiB\""),
    ("tasks", "tasks_max = 40"),
    ("io-weight", "io_weight = 50"),
    ("io-in-memory", "io = { \"/dev/shm\" = { read_max = \"1MiB\" } }"),
    ("io-of-kernel", "io = { \"/proc\" = { write_max = \"1MiB\" } }"),
    ("realtime", "cpu = 0.5, scheduler = \"fifo:10\""),
    ("affinity", "affinity = \"0,900\""),
    ("priority", "io_priority = \"idle\", nice = 5, oom_score_adj = 300"),
    ("mask", "umask = \"0027\", rlimits = { memlock = \"64KiB\", cpu = \"1h\" }"),
];

fn file(enforce: &str) -> String {
    let services = LAX.map(|(name, keys)| {
        format!(
            "[services.{name}]\ncommand = [\"{{fixture}}\", \"--sleep\"]\nenforce = \"{enforce}\"\n\
             restarts_max = 0\nresources = {{ {keys} }}\n"
        )
    });
    services.concat()
}

/// For each service its keys, without the table that they are in, and what becomes of them.
fn foretold(node: &TestNode) -> BTreeMap<String, BTreeMap<String, String>> {
    let path = node.path("config.toml").display().to_string();
    let told = node.bh(&["check", &path, "--explain", "sandbox", "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{told:?}"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let keys = |section: &Value| {
        let keys = section["keys"].as_array().expect("keys").iter();
        keys.map(|key| {
            let name = text(&key["key"]);
            (name.rsplit('.').next().unwrap_or_default().to_owned(), text(&key["here"]))
        })
        .collect()
    };
    let sections = told.as_array().expect("sections").iter();
    let services = sections.filter_map(|section| {
        Some((text(&section["of"]).strip_prefix("service ")?.to_owned(), keys(section)))
    });
    services.collect()
}

#[test]
fn a_service_runs_without_exactly_what_the_check_said() {
    let node = TestNode::start_all(&file("best_effort"));
    let foretold = foretold(&node);
    for (name, _) in LAX {
        let service = node.until_state(name, "ready");
        let lacking = service["unenforced"].as_array().cloned().unwrap_or_default();
        let mut lacking: Vec<&str> = lacking
            .iter()
            .map(|lack| lack.as_str().and_then(|it| it.split(':').next()).expect("a key"))
            .collect();
        lacking.sort_unstable();
        lacking.dedup();
        let said = foretold[name].iter().filter(|(_, holds)| *holds != "enforced");
        let said: Vec<&str> = said.map(|(key, _)| key.as_str()).collect();
        assert_eq!(lacking, said, "{name}: {service}");
    }
    assert_eq!(foretold["mask"]["umask"], "enforced");
}

#[test]
fn where_limits_must_hold_what_the_check_refuses_is_not_started() {
    let node = TestNode::start(&file("strict"));
    let foretold = foretold(&node);
    for (name, _) in LAX {
        let refused = foretold[name].values().any(|holds| holds == "refused");
        node.until_state(name, if refused { "failed" } else { "ready" });
        if refused {
            // How often it was tried is not why it failed.
            let event = node.until_event(name, "failed");
            let message = event["message"].as_str().expect("a message");
            assert!(
                message.contains("; the last time: could not prepare what it may use"),
                "{event}"
            );
        }
    }
}

#[test]
fn a_service_that_would_begin_where_it_sees_nothing_is_told_of_before() {
    let node = TestNode::start(
        "[services.inside]\ncommand = [\"{fixture}\", \"--sleep\"]\n\
         working_directory = \"/tmp/blackhole-begins-here\"\nsandbox = { private_tmp = true }\n\
         [services.outside]\ncommand = [\"{fixture}\", \"--sleep\"]\n\
         working_directory = \"/\"\nsandbox = { private_tmp = true }\n",
    );
    let foretold = foretold(&node);
    assert_eq!(foretold["inside"]["private_tmp"], "refused");
    assert_ne!(foretold["outside"], foretold["inside"]);
}

#[test]
fn keys_that_hold_alone_and_not_together_are_told_of_before() {
    let node = TestNode::start(
        "[services.own]\ncommand = [\"sleep\", \"1000\"]\nworking_directory = \"/\"\nsandbox = \"strict\"\n\
         [services.unseen]\ncommand = [\"sleep\", \"1000\"]\nworking_directory = \"/\"\n\
         sandbox = { hidden = [\"/usr\"] }\n\
         [services.refused]\ncommand = [\"sleep\", \"1000\"]\nworking_directory = \"/\"\n\
         sandbox = { paths = { execute = [\"/srv\"] } }\n",
    );
    let path = node.path("config.toml").display().to_string();
    let below = ["--data-dir", "/tmp/blackhole-no-such/data"];
    let told = node.bh(&[&["check", &path], &below[..]].concat());
    let told = format!("{}{}", told.stdout, told.stderr);
    for key in ["own.sandbox.paths", "unseen.sandbox.hidden", "refused.sandbox.paths"] {
        let refused = format!("`services.{key}` stops the start on this host");
        assert!(told.contains(&refused), "{key}: {told}");
    }
    let told = [
        ("unseen", "the service does not see it, which has `hidden`"),
        ("refused", "no path of `paths.execute` holds it"),
    ];
    for (name, sentence) in told {
        let ends = until("it was tried", || node.history(name), |ends| !ends.is_empty());
        let message = ends[0]["message"].as_str().expect("a message");
        assert!(message.contains(sentence), "{message}");
        assert_eq!(ends[0]["stage"], "executing");
    }
}

#[test]
fn an_embedded_service_says_which_limits_it_is_not_held_by() {
    let node = TestNode::start_all(
        "[services.identity]\nmode = \"embedded\"\nresources = { memory = \"1GiB\", nice = 5 }\n",
    );
    let foretold = foretold(&node);
    let all = foretold["identity"].iter().map(|(key, holds)| (key.as_str(), holds.as_str()));
    assert_eq!(all.collect::<Vec<_>>(), [("memory", "downgraded"), ("nice", "downgraded")]);
    let service = node.service("identity");
    let lacking = service["unenforced"].as_array().expect("it says what does not hold");
    assert_eq!(lacking.len(), 2, "{service}");
}
