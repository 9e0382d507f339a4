//! Where a value came from.

use blackhole_config::{Loaded, Overrides, explain};

use crate::host::read_with;

fn loaded() -> Loaded {
    let text = "[node]\nname = \"dev\"\n\n[services.api]\ncommand = [\"true\"]\n\
                backoff = { max = \"5s\" }\n\n[services.identity]\n";
    let mut overrides = Overrides::from_environment([("BLACKHOLE_SERVICES__API__INSTANCES", "3")]);
    overrides.set("supervisor.restarts_max=7");
    read_with(text, &overrides).unwrap_or_else(|rejected| panic!("{rejected}"))
}

#[test]
fn every_origin_is_named() {
    let loaded = loaded();
    let told = |key| match explain(&loaded, key) {
        Ok(explained) => explained.to_string(),
        Err(unknown) => unknown.to_string(),
    };
    let story = [
        ("services.api.backoff.max", "\"5s\"  (test.toml:6:19)"),
        ("services.api.instances", "3  (environment BLACKHOLE_SERVICES__API__INSTANCES)"),
        ("supervisor.restarts_max", "7  (flag --set supervisor.restarts_max=7)"),
        ("services.api.restarts_max", "7  (default)"),
        ("services.api.backoff.initial", "\"200ms\"  (default)"),
        ("services.api.stop.grace", "\"10s\"  (default)"),
        ("services.api.ready", "\"spawned\"  (default)"),
        ("services.identity.ready", "\"native\"  (default)"),
        ("services.api.user", "not set  (default)"),
        ("node.data_dir", "\"/home/ada/.local/share/blackhole/dev\"  (default)"),
        ("logs.retention", "\"7d\"  (default)"),
    ];
    for (key, expected) in story {
        assert_eq!(told(key), format!("{key} = {expected}"));
    }
}

#[test]
fn unknown_keys_get_a_suggestion() {
    let loaded = loaded();
    let told = |key| explain(&loaded, key).expect_err(key).to_string();
    assert_eq!(
        told("services.apy.ready"),
        "`services.apy.ready` is not a key\nhint: did you mean `api`?"
    );
    assert_eq!(
        told("services.api.redy"),
        "`services.api.redy` is not a key\nhint: did you mean `ready`?"
    );
    assert_eq!(told("nod.name"), "`nod.name` is not a key\nhint: did you mean `node`?");
}
