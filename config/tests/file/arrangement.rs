//! Who waits for whom: lists, `depends_on`, and edges lifted to siblings.

use blackhole_config::Config;

use crate::host::read;

fn config(text: &str) -> Config {
    read(text).unwrap_or_else(|rejected| panic!("{rejected}")).config
}

fn after(config: &Config, name: &str) -> Vec<String> {
    let services = config.services.iter().map(|(name, service)| (name, &service.after));
    let groups = config.groups.iter().map(|group| (&group.name, &group.after));
    let (_, after) =
        services.chain(groups).find(|(known, _)| known.as_str() == name).expect("it is there");
    after.iter().map(ToString::to_string).collect()
}

/// `[services.x]` with a command for each line `x`, or `x: its dependencies`.
fn services(lines: &[&str]) -> String {
    let service = |line: &&str| {
        let (name, needs) = line.split_once(':').unwrap_or((line, ""));
        let needs: Vec<String> = needs.split_whitespace().map(|name| format!("{name:?}")).collect();
        format!("[services.{name}]\ncommand = [\"true\"]\ndepends_on = [{}]\n", needs.join(", "))
    };
    lines.iter().map(service).collect()
}

#[test]
fn members_of_an_ordered_group_wait_for_the_one_before() {
    for strategy in ["rest_for_one", "one_for_all"] {
        let group =
            format!("[groups.g]\nstrategy = {strategy:?}\nservices = [\"c\", \"a\", \"b\"]\n");
        let config = config(&(group + &services(&["a", "b", "c"])));
        assert_eq!(after(&config, "c"), Vec::<String>::new());
        assert_eq!(after(&config, "a"), ["c"]);
        assert_eq!(after(&config, "b"), ["a"]);
        assert_eq!(config.groups[0].members.len(), 3);
    }
}

#[test]
fn members_of_a_one_for_one_group_start_side_by_side() {
    let group = "[groups.g]\nservices = [\"a\", \"b\", \"c\"]\n".to_owned();
    let config = config(&(group + &services(&["a", "b: c", "c"])));
    assert_eq!(after(&config, "a"), Vec::<String>::new());
    assert_eq!(after(&config, "b"), ["c"]);
    assert_eq!(after(&config, "c"), Vec::<String>::new());
}

#[test]
fn a_dependency_out_of_a_group_is_lifted_to_the_siblings() {
    let groups = "[groups.outer]\nservices = [\"inner\", \"x\"]\n\
                  [groups.inner]\nservices = [\"a\"]\n\
                  [groups.data]\nservices = [\"db\"]\n";
    let config = config(&(groups.to_owned() + &services(&["a: db x", "x", "db"])));
    assert_eq!(after(&config, "a"), Vec::<String>::new());
    assert_eq!(after(&config, "inner"), ["x"]);
    assert_eq!(after(&config, "outer"), ["data"]);
    let a = &config.services["a"];
    assert_eq!(a.depends_on.len(), 2, "as written");
    assert_eq!(a.group.as_ref().map(|group| group.as_str()), Some("inner"));
    assert_eq!(config.groups[1].parent.as_ref().map(|group| group.as_str()), Some("outer"));
}

#[test]
fn a_disabled_member_is_waited_for_by_nobody() {
    let text = "[groups.g]\nstrategy = \"rest_for_one\"\nservices = [\"a\", \"b\", \"c\"]\n"
        .to_owned()
        + &services(&["a", "c"])
        + "[services.b]\ncommand = [\"true\"]\nenabled = false\ndepends_on = [\"a\"]\n";
    let config = config(&text);
    assert_eq!(after(&config, "c"), ["a"]);
    assert_eq!(after(&config, "b"), Vec::<String>::new());
}

#[test]
fn the_root_starts_in_the_order_of_the_file_but_never_before_a_dependency() {
    let text = "[services.late]\ncommand = [\"true\"]\ndepends_on = [\"early\"]\n\
                [groups.g]\nservices = [\"m\"]\n\
                [services.m]\ncommand = [\"true\"]\n\
                [services.early]\ncommand = [\"true\"]\n";
    let names = |config: &Config| {
        config.supervisor.members.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&config(text)), ["g", "early", "late"]);
    let ordered = config(&format!("{text}\n[supervisor]\nstrategy = \"rest_for_one\"\n"));
    assert_eq!(after(&ordered, "early"), ["g"]);
    assert_eq!(after(&ordered, "late"), ["early"]);
}
