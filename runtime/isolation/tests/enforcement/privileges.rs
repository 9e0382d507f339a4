//! Users, limits of one process, priorities and capabilities.

use std::process::Command;

use blackhole_isolation::{
    Bound, Capabilities, Host, IoPriority, IsolationError, Priorities, PriorityError, Request,
    Resource, Rlimit, Scheduler, Umask, User, plan,
};

use crate::launch::{is_root, misbehave, run, status, stdout, told};

fn nobody() -> Request {
    let user =
        User { user: "65534".into(), group: Some("65534".into()), supplementary: Some(vec![]) };
    Request { user: Some(user), ..Request::default() }
}

#[test]
fn a_plan_of_nothing_changes_nothing() {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    for field in ["Uid", "Groups", "Umask", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"] {
        let line = own.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap();
        assert_eq!(status(&Request::default(), field), line.trim().replace('\t', " "));
    }
}

#[test]
fn the_user_the_group_and_no_other_groups_are_set_and_cannot_be_left() {
    if !is_root() {
        return;
    }
    assert_eq!(status(&nobody(), "Uid"), "65534 65534 65534 65534");
    assert_eq!(status(&nobody(), "Gid"), "65534 65534 65534 65534");
    assert_eq!(status(&nobody(), "Groups"), "");
    assert_eq!(status(&nobody(), "CapEff"), "0000000000000000");
    assert!(told(&nobody(), &["become-root"]).starts_with("refused: "));
    assert!(told(&nobody(), &["read", "/etc/shadow"]).starts_with("refused: "));
}

#[test]
fn supplementary_groups_are_those_named() {
    if !is_root() {
        return;
    }
    let mut request = nobody();
    request.user.as_mut().unwrap().supplementary = Some(vec!["4".into(), "3".into()]);
    assert_eq!(status(&request, "Groups"), "3 4");
}

#[test]
fn the_umask_is_set() {
    let request = Request { umask: Umask::new(0o027), ..Request::default() };
    assert_eq!(status(&request, "Umask"), "0027");
}

#[test]
fn a_descriptor_hog_stops_at_its_limit() {
    let limit = Rlimit::fixed(Resource::Files, Bound::At(20));
    let request = Request { rlimits: vec![limit], ..Request::default() };
    let told = told(&request, &["hog-files", "1000"]);
    let opened: u64 = told.strip_suffix(" files").unwrap().parse().unwrap();
    assert!((10..=17).contains(&opened), "{told}");
}

#[test]
fn every_limit_reaches_the_process_in_both_bounds() {
    let mut tried = 0;
    for resource in Resource::ALL {
        let limit = Rlimit { resource: *resource, soft: Bound::At(40), hard: Bound::At(41) };
        let request = Request { rlimits: vec![limit], ..Request::default() };
        // Too little of these, and the program that shows the limits cannot start.
        let vital = matches!(resource, Resource::AddressSpace | Resource::Data | Resource::Stack);
        let permitted = plan(&request, &Host::detect()).is_ok();
        if vital || !permitted {
            continue;
        }
        tried += 1;
        let mut cat = Command::new("/bin/cat");
        cat.arg("/proc/self/limits");
        let text = stdout(&run(&request, cat));
        let set = text.lines().filter(|line| line.contains(" 40 ") && line.contains(" 41 "));
        assert_eq!(set.count(), 1, "{resource}: {text}");
    }
    assert!(tried >= 8, "the node may set only {tried} limits");
}

#[test]
fn a_file_size_limit_stops_a_writer() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let limit = Rlimit::fixed(Resource::FileSize, Bound::At(0));
    let request = Request { rlimits: vec![limit], ..Request::default() };
    let output = run(&request, misbehave(&["write", file.to_str().unwrap()]));
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn priorities_are_set() {
    let priorities = Priorities {
        nice: Some(7),
        scheduler: Some(Scheduler::Batch),
        affinity: Some("0".parse().unwrap()),
        oom_score_adjust: Some(321),
        ..Priorities::default()
    };
    let request = Request { priorities, ..Request::default() };
    // Linux before 6.2 undoes an affinity when cpusets change above the process, as another test may do it now.
    let mut shown = (0..5).map(|_| status(&request, "Cpus_allowed_list"));
    assert!(shown.any(|list| list == "0"));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "cat /proc/self/oom_score_adj; cut -d' ' -f19,41 /proc/self/stat"]);
    assert_eq!(stdout(&run(&request, shell)), "321\n7 3");
}

#[test]
fn an_io_priority_is_set_where_a_disk_heeds_it_and_refused_elsewhere() {
    let priorities = Priorities { io: Some(IoPriority::BestEffort(6)), ..Priorities::default() };
    let request = Request { priorities, ..Request::default() };
    match plan(&request, &Host::detect()) {
        Ok(_) => {
            assert_eq!(stdout(&run(&request, Command::new("ionice"))), "best-effort: prio 6");
        }
        Err(error) => {
            let expected = matches!(error, IsolationError::Priority(PriorityError::NoHeed));
            assert!(expected, "{error}");
        }
    }
}

#[test]
fn no_new_privs_is_set() {
    let request = Request { no_new_privileges: true, ..Request::default() };
    assert_eq!(status(&request, "NoNewPrivs"), "1");
}

#[test]
fn root_without_capabilities_is_only_a_name() {
    if !is_root() {
        return;
    }
    let request = Request { capabilities: Some(Capabilities::NONE), ..Request::default() };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(&request, set), "0000000000000000", "{set}");
    }
    assert!(told(&request, &["raw-socket"]).starts_with("refused: "));
    assert!(told(&request, &["mount"]).starts_with("refused: "));
}

/// What executing a program as root gives is in the bounding set, which is not emptied then.
#[test]
fn with_no_new_privs_root_gets_nothing_back_by_executing() {
    if !is_root() {
        return;
    }
    let capabilities = Some(Capabilities::from_names(["net_raw"]).unwrap());
    let request = Request { capabilities, no_new_privileges: true, ..Request::default() };
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(&request, set), "0000000000002000", "{set}");
    }
    assert_eq!(told(&request, &["raw-socket"]), "opened");
    assert!(told(&request, &["mount"]).starts_with("refused: "));
}

/// Such as systemd's `AmbientCapabilities=CAP_SETUID CAP_SETGID` gives a node that is not root.
#[test]
fn a_service_of_another_user_does_not_inherit_the_nodes_right_to_change_users() {
    if !is_root() {
        return;
    }
    let capabilities = Some(Capabilities::from_names(["setuid", "setgid"]).unwrap());
    let node = Request { capabilities, ..nobody() };
    // The test itself once more, as such a node.
    let mut again = Command::new("/proc/self/exe");
    again.args(["--exact", "privileges::a_node_that_is_not_root", "--ignored", "--nocapture"]);
    let output = run(&node, again);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

#[test]
#[ignore = "a part of the test above, with its rights"]
fn a_node_that_is_not_root() {
    let other =
        User { user: "65533".into(), group: Some("65533".into()), supplementary: Some(vec![]) };
    let request = Request { user: Some(other), ..Request::default() };
    assert_eq!(status(&request, "Uid"), "65533 65533 65533 65533");
    assert_eq!(status(&request, "CapAmb"), "0000000000000000");
    assert_eq!(status(&request, "CapEff"), "0000000000000000");
}

#[test]
fn a_user_keeps_exactly_the_capability_that_it_was_given() {
    if !is_root() {
        return;
    }
    assert!(told(&nobody(), &["raw-socket"]).starts_with("refused: "));
    let capabilities = Some(Capabilities::from_names(["net_raw"]).unwrap());
    let request = Request { capabilities, ..nobody() };
    assert_eq!(told(&request, &["raw-socket"]), "opened");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(&request, set), "0000000000002000", "{set}");
    }
    assert!(told(&request, &["become-root"]).starts_with("refused: "));
}
