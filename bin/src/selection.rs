//! `--services a,b`: the part of a file that is to run.

use std::collections::BTreeSet;

use blackhole_config::Config;
use blackhole_protocol::Name;

/// Leaves only the named services and groups enabled, with everything they depend on. What is left
/// out stays in the node's table, as disabled.
///
/// The error is a sentence with the unknown name and the known ones.
pub(crate) fn select(config: &mut Config, names: &[String]) -> Result<(), String> {
    let mut wanted = BTreeSet::new();
    let mut open = Vec::new();
    for name in names {
        open.extend(members(config, name.trim())?);
    }
    while let Some(name) = open.pop() {
        if wanted.insert(name.clone()) {
            open.extend(dependencies(config, &name));
        }
    }
    for service in config.services.values_mut() {
        service.enabled &= wanted.contains(&service.name);
    }
    Ok(())
}

/// The services that a name stands for.
fn members(config: &Config, name: &str) -> Result<Vec<Name>, String> {
    if let Some(service) = config.services.get(name) {
        return Ok(vec![service.name.clone()]);
    }
    let group = config.groups.iter().find(|group| group.name.as_str() == name);
    let group = group.ok_or_else(|| unknown(config, name))?;
    let inside = group.members.iter().map(|member| members(config, member.as_str()));
    inside.collect::<Result<Vec<_>, _>>().map(|names| names.concat())
}

fn dependencies(config: &Config, name: &Name) -> Vec<Name> {
    let service = config.services.get(name);
    let depends_on = service.map(|service| service.depends_on.as_slice()).unwrap_or_default();
    let meant = depends_on.iter().filter_map(|name| members(config, name.as_str()).ok());
    meant.flatten().collect()
}

fn unknown(config: &Config, name: &str) -> String {
    let services = config.services.keys().map(Name::as_str);
    let groups = config.groups.iter().map(|group| group.name.as_str());
    let known: Vec<_> = services.chain(groups).collect();
    format!("the file has no service or group `{name}`\nhint: known are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use blackhole_config::{HostFacts, Overrides, Source, load};

    use super::*;

    const FILE: &str = r#"
        [groups.web]
        services = ["cache", "api"]
        [services.db]
        command = ["/bin/sh"]
        [services.cache]
        command = ["/bin/sh"]
        [services.api]
        command = ["/bin/sh"]
        depends_on = ["db"]
        [services.worker]
        command = ["/bin/sh"]
        depends_on = ["web"]
        [services.off]
        command = ["/bin/sh"]
        enabled = false
    "#;

    /// The names of the services that are left.
    fn left(names: &[&str]) -> Result<Vec<String>, String> {
        let host =
            HostFacts { hostname: "h".into(), current_dir: "/".into(), ..Default::default() };
        let source = Source::Text { name: "test".into(), text: FILE.into(), folder: "/".into() };
        let loaded = load(source, &Overrides::default(), &host).expect("a file without mistakes");
        let mut config = loaded.config;
        select(&mut config, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        let enabled = config.services.values().filter(|service| service.enabled);
        Ok(enabled.map(|service| service.name.to_string()).collect())
    }

    #[test]
    fn a_service_brings_what_it_depends_on() {
        assert_eq!(left(&["db"]).expect("known"), ["db"]);
        assert_eq!(left(&["api"]).expect("known"), ["db", "api"]);
        assert_eq!(left(&["worker"]).expect("known"), ["db", "cache", "api", "worker"]);
    }

    #[test]
    fn a_group_is_all_its_members() {
        assert_eq!(left(&["web"]).expect("known"), ["db", "cache", "api"]);
    }

    #[test]
    fn what_the_file_disables_stays_disabled() {
        assert_eq!(left(&["off", "db"]).expect("known"), ["db"]);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let refused = left(&["dp"]).expect_err("unknown");
        assert!(refused.contains("`dp`") && refused.contains("db, cache, api"), "{refused}");
    }
}
