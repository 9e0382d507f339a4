//! The node's budget, guarantees, tiers, and rules that scale.

use std::time::Duration;

use blackhole_config::{Config, Overrides, explain};
use blackhole_policy::{
    budget::{Amount, Tier},
    scaling::Thresholds,
};

use crate::host::{read, read_with};

const FILE: &str = r#"
[resources]
memory = "2GiB"

[services.db]
command = ["true"]
tier = "critical"
guarantee = { cpu = 0.5, memory = "1GiB" }

[services.api]
command = ["true"]
guarantee = { memory = "256MiB" }
scale = { min = 2, max = 4, cpu_above = 0.8, memory_above = "400MiB", memory_below = "100MiB" }
"#;

fn config(text: &str) -> Config {
    read(text).unwrap_or_else(|rejected| panic!("{rejected}")).config
}

#[test]
fn what_is_written_is_what_is_meant() {
    let config = config(FILE);
    let budget = config.budget.expect("there is one");
    assert_eq!((budget.cpu_millis, budget.memory_bytes), (None, Some(2 << 30)));
    assert_eq!((budget.every, budget.window), (Duration::from_secs(10), Duration::from_secs(300)));
    let [db, api] = [&config.services["db"], &config.services["api"]];
    assert_eq!((db.tier, api.tier), (Tier::Critical, Tier::Standard));
    assert_eq!(db.guarantee, Amount { cpu_millis: 500, memory_bytes: 1 << 30 });
    let scale = api.scale.expect("it scales");
    assert_eq!((scale.instances_min, scale.instances_max, api.instances.get()), (2, 4, 2));
    assert_eq!(scale.cpu, Some(Thresholds { above: 800, below: 400 }));
    assert_eq!(scale.memory, Some(Thresholds { above: 400 << 20, below: 100 << 20 }));
    assert_eq!(scale.up_cooldown, Duration::from_secs(60));
}

#[test]
fn without_a_budget_guarantees_are_said_to_have_no_effect() {
    let loaded = read("[services.a]\ncommand = [\"true\"]\ntier = \"core\"\n").expect("it loads");
    assert_eq!(loaded.config.budget, None);
    let warning = loaded.render_warnings(blackhole_config::Color::Never);
    assert!(
        warning.contains("`services.a.tier` has no effect: the node has no budget"),
        "{warning}"
    );
}

#[test]
fn guarantees_that_scaling_cannot_reach_are_said_to_be_out_of_reach() {
    let text = FILE.replace("max = 4", "max = 9");
    let loaded = read(&text).unwrap_or_else(|rejected| panic!("{rejected}"));
    let warning = loaded.render_warnings(blackhole_config::Color::Never);
    let sum = "3.25 GiB = db 1 GiB + api 9 × 256 MiB; they will not get there";
    assert!(warning.contains(sum), "{warning}");
}

#[test]
fn defaults_are_explained() {
    let loaded = read_with(FILE, &Overrides::default()).expect("it loads");
    let told = |key| explain(&loaded, key).map(|explained| explained.to_string());
    let story = [
        ("services.api.instances", "2  (default)"),
        ("services.api.tier", "\"standard\"  (default)"),
        ("services.api.scale.cpu_below", "0.4  (default)"),
        ("services.api.scale.down_cooldown", "\"5m\"  (default)"),
        ("resources.reserve", "0.1  (default)"),
        ("resources.cpu", "not set  (default)"),
    ];
    for (key, expected) in story {
        assert_eq!(told(key), Ok(format!("{key} = {expected}")));
    }
}
