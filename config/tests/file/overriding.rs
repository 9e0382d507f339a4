//! Flags over variables over the file.

use std::path::Path;

use blackhole_config::{Overrides, misspelt_variable};

use crate::host::{messages, read_with};

const FILE: &str =
    "[node]\nname = \"file\"\n[services.web-api]\ncommand = [\"true\"]\ninstances = 1\n";

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let mut overrides = Overrides::from_environment([
        ("BLACKHOLE_NODE", "variable"),
        ("BLACKHOLE_RUNTIME_DIR", "relative/run"),
        ("BLACKHOLE_SERVICES__WEB_API__INSTANCES", "2"),
        ("BLACKHOLE_SERVICES__WEB_API__BACKOFF__MAX", "5s"),
    ]);
    let loaded = read_with(FILE, &overrides).expect("it loads");
    assert_eq!(loaded.config.node.name, "variable");
    assert_eq!(loaded.config.node.runtime_dir, Path::new("/relative/run"));
    assert_eq!(loaded.config.services[0].instances.get(), 2);
    assert_eq!(loaded.config.services[0].backoff.max.as_secs(), 5);

    overrides.flag("--node", "node.name", "flag");
    overrides.set("services.web-api.instances=3");
    overrides.set("services.web-api.command=[\"sleep\", \"1\"]");
    let loaded = read_with(FILE, &overrides).expect("it loads");
    assert_eq!(loaded.config.node.name, "flag");
    assert_eq!(loaded.config.services[0].instances.get(), 3);
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    let mut overrides = Overrides::default();
    overrides.set("node.name=123");
    overrides.set("services.web-api.environment.PORT=8000");
    let config = read_with(FILE, &overrides).expect("it loads").config;
    assert_eq!(config.node.name, "123");
    assert_eq!(config.services[0].environment.inline["PORT"].to_string(), "8000");
}

#[test]
fn wrong_overrides_are_all_reported_with_their_name() {
    let mut overrides =
        Overrides::from_environment([("BLACKHOLE_SERVICES__WEB_API__INSTANCES", "lots")]);
    overrides.set("services.web-apy.instances=3");
    overrides.set("nothing");
    overrides.set("services.web-api.instancs=3");
    overrides.set("services.web-api.command.x=3");
    let rejected = read_with(FILE, &overrides).expect_err("it is wrong");
    assert_eq!(
        messages(&rejected),
        [
            "`services.web-api.instances` must be an integer, not a text",
            "`services.web-apy` is not in the file",
            "has no `=`",
            "`services.web-api.instancs` is not a known key",
            "`services.web-api.command` has no key `x`: it is not a table",
        ]
    );
    let report = rejected.to_string();
    assert!(report.contains("--> BLACKHOLE_SERVICES__WEB_API__INSTANCES=lots"), "{report}");
    assert!(report.contains("--> --set services.web-apy.instances=3"), "{report}");
    assert!(report.contains("did you mean `web-api`?"), "{report}");
    assert_eq!(rejected.problems[0].file, "environment BLACKHOLE_SERVICES__WEB_API__INSTANCES");
}

#[test]
fn what_a_node_tells_its_children_is_not_a_key() {
    let overrides = Overrides::from_environment([
        ("BLACKHOLE_SERVICE", "x"),
        ("BLACKHOLE_TOKEN", "x"),
        ("BLACKHOLE_LINK_FD", "3"),
        ("PATH", "/bin"),
    ]);
    assert_eq!(read_with(FILE, &overrides).expect("it loads").config.node.name, "file");
    assert_eq!(misspelt_variable("BLACKHOLE_SERVICE"), None);
    assert_eq!(misspelt_variable("BLACKHOLE_RUNTIMEDIR"), Some("BLACKHOLE_RUNTIME_DIR"));
}
