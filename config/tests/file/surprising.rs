//! Files that are accepted with a warning, and what is read beside the file.

use std::{fs, os::unix::fs::PermissionsExt as _};

use blackhole_config::{Color, HostFacts, Loaded, Overrides, Severity, Source, load};

use crate::host::{host, read};

fn warnings(loaded: &Loaded) -> Vec<&str> {
    assert!(loaded.warnings.iter().all(|warning| warning.severity == Severity::Warning));
    loaded.warnings.iter().map(|warning| warning.message.as_str()).collect()
}

#[test]
fn programs_and_folders_that_cannot_be_used_are_seen_before_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("run.sh");
    fs::write(&script, "#!/bin/sh\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).expect("permissions");
    let text = "[services.typo]\ncommand = [\"slep\", \"1\"]\n\
                [services.script]\ncommand = [\"./run.sh\"]\nworking_directory = \".\"\n\
                [services.gone]\ncommand = [\"/no/such/program\"]\n\
                [services.nowhere]\ncommand = [\"sh\"]\nworking_directory = \"sub\"\n\
                [services.off]\ncommand = [\"slep\"]\nenabled = false\n\
                [services.late]\ncommand = [\"{data_dir}/program\"]\n\
                [services.own_path]\ncommand = [\"sh\"]\nenvironment = { PATH = \"/nowhere\" }\n";
    let path = folder.path().join("file.toml");
    fs::write(&path, text).expect("a file");
    let loaded =
        load(Source::Path(path), &Overrides::default(), &host()).unwrap_or_else(|r| panic!("{r}"));
    assert_eq!(
        warnings(&loaded),
        [
            "`services.typo.command[0]` is not found in PATH",
            "`services.script.command[0]` has no execute permission",
            "`services.gone.command[0]` cannot be started: there is no such file",
            "`services.nowhere.working_directory` is a folder that is not there",
            "`services.own_path.command[0]` is not found in PATH",
        ]
    );
    let report = loaded.render_warnings(Color::Never);
    assert!(report.starts_with("warning: `services.typo.command[0]`"), "{report}");
    assert!(report.contains("hint: `chmod +x "), "{report}");
}

#[test]
fn keys_that_a_group_or_the_node_overrules_are_told() {
    let text = "[groups.g]\nstrategy = \"one_for_all\"\nservices = [\"a\", \"identity\"]\n\
                [services.a]\ncommand = [\"sh\"]\nrestarts_max = 3\nrestart = \"temporary\"\n\
                [services.identity]\nmode = \"embedded\"\nresources = { memory = \"1GiB\" }\n\
                [services.b]\ncommand = [\"sh\"]\nuser = \"www-data\"\n";
    let loaded = read(text).unwrap_or_else(|rejected| panic!("{rejected}"));
    assert_eq!(
        warnings(&loaded),
        [
            "`services.a.restarts_max` has no effect: restarts count for the whole group `g`",
            "`services.a.restart` means that it is stopped, and not started again, when `g` \
             restarts its members",
            "`services.identity.resources` has no effect with `mode = \"embedded\"`: it runs inside \
             the node's process",
            "`services.b.user` needs root: the node runs as another user and cannot change to it",
        ]
    );
}

#[test]
fn what_an_embedded_service_must_be_held_by_is_refused() {
    let refused = |keys: &str| {
        let text = format!("[services.identity]\nmode = \"embedded\"\n{keys}\n");
        read(&text).expect_err("it cannot hold").to_string()
    };
    for (key, keys) in [
        ("sandbox", "sandbox = \"standard\""),
        ("user", "user = \"www-data\""),
        ("resources", "enforce = \"strict\"\nresources = { memory = \"1GiB\" }"),
    ] {
        let told = refused(keys);
        let rule = format!("`services.identity.{key}` cannot hold with `mode = \"embedded\"`");
        assert!(told.contains(&rule), "{told}");
    }
}

#[test]
fn files_of_variables_are_read_in_order_and_relative_to_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("one.env"), "# first\nA=1\nB='two words'\n").expect("a file");
    fs::write(folder.path().join("two.env"), "A=2\n").expect("a file");
    let text = "[services.a]\ncommand = [\"sh\"]\n\
                environment_files = [\"one.env\", \"-none.env\", \"two.env\"]\n";
    let source =
        Source::Text { name: "x".into(), text: text.into(), folder: folder.path().to_owned() };
    let loaded = load(source, &Overrides::default(), &host()).unwrap_or_else(|r| panic!("{r}"));
    let read = &loaded.config.services[0].environment.from_files;
    let read: Vec<(&str, &str)> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(read, [("A", "1"), ("B", "two words"), ("A", "2")]);
}

#[test]
fn a_node_of_root_is_placed_in_the_system_folders_and_a_users_by_xdg() {
    let source = || Source::Text { name: "x".into(), text: String::new(), folder: "/".into() };
    let node = |host: &HostFacts| {
        let loaded = load(source(), &Overrides::default(), host).unwrap_or_else(|r| panic!("{r}"));
        let node = loaded.config.node;
        [node.runtime_dir, node.data_dir, node.log_dir].map(|path| path.display().to_string())
    };
    let root = HostFacts { uid: 0, ..host() };
    assert_eq!(
        node(&root),
        [
            "/run/blackhole/test-host",
            "/var/lib/blackhole/test-host",
            "/var/log/blackhole/test-host"
        ]
    );
    let variable = |name: &str| match name {
        "XDG_RUNTIME_DIR" => Some("/run/user/1000".to_owned()),
        "XDG_DATA_HOME" => Some("/d".to_owned()),
        "XDG_STATE_HOME" => Some("relative, so ignored".to_owned()),
        "HOME" => Some("/home/ada".to_owned()),
        _ => None,
    };
    assert_eq!(
        node(&host().with_environment(variable)),
        [
            "/run/user/1000/blackhole/test-host",
            "/d/blackhole/test-host",
            "/home/ada/.local/state/blackhole/test-host/log",
        ]
    );
}
