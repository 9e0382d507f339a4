//! The defaults that `default.toml` tells are those that are used.

use blackhole_config::{DEFAULT, STARTER, schema};

use crate::host::read;

#[test]
fn writing_every_default_changes_nothing() {
    let written = read(DEFAULT).unwrap_or_else(|rejected| panic!("{rejected}"));
    let absent = read(
        "[groups.examples]\nservices = [\"example\"]\n\
         [services.example]\ncommand = [\"sleep\", \"infinity\"]\n",
    )
    .unwrap_or_else(|rejected| panic!("{rejected}"));
    assert_eq!(format!("{:#?}", written.config), format!("{:#?}", absent.config));
}

/// Keys that `default.toml` shows as comments have their default there as well: as text.
#[test]
fn every_default_in_a_comment_is_the_one_that_is_used() {
    let shown: Vec<&str> = DEFAULT
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            ["restarts_max =", "restarts_window =", "on_failed ="]
                .iter()
                .any(|key| line.starts_with(key))
        })
        .collect();
    assert_eq!(shown.len(), 3);
    let minimal = "[services.example]\ncommand = [\"sleep\", \"infinity\"]\n";
    let absent = read(minimal).expect("it loads").config;
    let written = read(&format!("{minimal}{}\n", shown.join("\n"))).expect("it loads").config;
    assert_eq!(format!("{written:#?}"), format!("{absent:#?}"));
}

#[test]
fn the_default_file_shows_every_key_of_the_schema() {
    let schema = schema();
    let tables = &schema["properties"];
    let service = &tables["services"]["additionalProperties"]["properties"];
    let probe = &service["startup"]["properties"];
    let shown = [
        &tables["node"]["properties"],
        &tables["supervisor"]["properties"],
        &tables["http"]["properties"],
        &tables["logs"]["properties"],
        &tables["resources"]["properties"],
        &tables["groups"]["additionalProperties"]["properties"],
        service,
        &service["backoff"]["properties"],
        &service["stop"]["properties"],
        &service["resources"]["properties"],
        &service["resources"]["properties"]["io"]["additionalProperties"]["properties"],
        &service["resources"]["properties"]["rlimits"]["properties"],
        &service["sandbox"]["anyOf"][1]["properties"],
        &service["secrets"]["additionalProperties"]["properties"],
        &service["sandbox"]["anyOf"][1]["properties"]["paths"]["properties"],
        &service["guarantee"]["properties"],
        &service["scale"]["properties"],
        probe,
        &probe["tls"]["properties"],
    ];
    for key in shown.iter().flat_map(|table| table.as_object().expect("a table").keys()) {
        assert!(DEFAULT.contains(key.as_str()), "default.toml does not show `{key}`");
    }
}

#[test]
fn the_schema_describes_every_key() {
    fn check(path: &str, schema: &serde_json::Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            assert!(property["description"].is_string(), "{path} has no description");
            check(&path, property);
            check(&path, &property["additionalProperties"]);
        }
    }
    check("", &schema());
    assert_eq!(schema()["additionalProperties"], false);
}

#[test]
fn the_starter_file_loads_without_a_warning() {
    assert_eq!(read(STARTER).expect("it loads").warnings, []);
}
