//! Rules of the house that no compiler knows: layers, lints, what may appear where.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

/// The layers of ARCHITECTURE.md, lowest first. A package may depend on packages of lower layers,
/// never on a sibling.
const LAYERS: &[&[&str]] = &[
    &["blackhole-derive"],
    &["blackhole-protocol", "blackhole-policy", "blackhole-isolation"],
    &["blackhole-config", "blackhole-actors", "blackhole-process", "blackhole-mesh"],
    &["blackhole-node", "blackhole-sdk"],
    &["blackhole", "blackhole-identity", "blackhole-storage"],
    &["bh"],
    &["blackhole-tests", "blackhole-benches"],
];

/// Third-party crates that only the named packages may use directly.
const CONFINED: &[(&str, &[&str])] = &[
    (
        "ractor",
        &[
            "blackhole-actors",
            "blackhole-node",
            "blackhole-sdk",
            "blackhole",
            "blackhole-identity",
            "blackhole-benches",
            "blackhole-tests",
        ],
    ),
    ("bincode", &["blackhole-protocol", "blackhole-benches"]),
    ("redb", &["blackhole-identity"]),
    ("toml_edit", &["blackhole-config"]),
    ("clap", &["bh", "blackhole-tests", "blackhole-benches"]),
    ("anyhow", &["bh", "blackhole-tests", "blackhole-benches"]),
];

#[test]
fn dependencies_point_down_the_layers() {
    let packages = packages();
    for package in packages.values() {
        let own = layer(&package.name);
        for dependency in package.normal.iter().filter(|name| packages.contains_key(*name)) {
            assert!(
                layer(dependency) < own,
                "{} (layer {own}) must not depend on {dependency} (layer {})",
                package.name,
                layer(dependency),
            );
        }
    }
}

#[test]
fn the_policy_crate_depends_on_nothing() {
    assert_eq!(packages()["blackhole-policy"].normal, Vec::<String>::new());
}

#[test]
fn third_party_crates_stay_where_they_belong() {
    for package in packages().values() {
        for (crate_name, allowed) in CONFINED {
            assert!(
                !package.normal.iter().any(|name| name == crate_name)
                    || allowed.contains(&package.name.as_str()),
                "{} must not use {crate_name} directly: only {allowed:?} may",
                package.name,
            );
        }
    }
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    for package in packages().values() {
        let manifest = std::fs::read_to_string(&package.manifest).expect("the manifest is there");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not say `[lints] workspace = true`",
            package.manifest,
        );
    }
}

#[test]
fn unsafe_code_lives_where_processes_are_made() {
    // One example is of a fault that only unsafe code has.
    let example = "runtime/examples/pool.rs";
    let allowed = ["runtime/process/", "runtime/isolation/", "benches/", example];
    for (path, text) in sources() {
        if allowed.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let offence = text.lines().position(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["{", "fn", "impl"].iter().any(|what| code.contains(&["unsafe", what].join(" ")))
        });
        assert_eq!(offence, None, "{path} has unsafe code (line index)");
    }
}

#[test]
fn there_is_no_mod_rs_and_no_drawer_for_everything() {
    let forbidden = ["mod.rs", "utils.rs", "helpers.rs", "common.rs", "manager.rs", "types.rs"];
    for (path, _) in sources() {
        let name = path.rsplit('/').next().unwrap_or_default();
        assert!(!forbidden.contains(&name), "{path}: find the noun that it is about");
    }
}

struct Package {
    name: String,
    manifest: String,
    normal: Vec<String>,
}

fn layer(name: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&name))
        .unwrap_or_else(|| panic!("{name} is in no layer: add it to LAYERS and to ARCHITECTURE.md"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests have a parent folder")
}

fn packages() -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let package = |value: &Value| Package {
        name: text(&value["name"]),
        manifest: text(&value["manifest_path"]),
        normal: value["dependencies"]
            .as_array()
            .expect("a list of dependencies")
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    };
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(package)
        .map(|package| (package.name.clone(), package))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Every Rust source of ours, with its path relative to the repository, generated code left out.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let skipped = ["target", "generated"].contains(&name.as_str()) || name.starts_with('.');
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).expect("below the root");
                let text = std::fs::read_to_string(&path).expect("a readable source");
                found.push((relative.to_string_lossy().into_owned(), text));
            }
        }
    }
    found
}
