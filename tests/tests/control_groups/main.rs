//! A node and its control groups, on whatever hierarchies this host has, as whoever runs the tests.
//!
//! The emulated machines of `tests/vm` run these with v2 alone and with v1 alone, as root and as an
//! ordinary user, with and without a group of their own.

mod enforced;
mod squeezed;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use blackhole_tests::{
    TestNode,
    control_groups::{groups_for, groups_of},
    pid, processes, send, skipped, until,
};
use rustix::process::Signal;

const LIMITED: &str = "resources = { tasks_max = 40 }\n";

fn members(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// A node with one service that has a limit; `None`, and a word to the reader, where nobody may set it.
fn limited(command: &str) -> Option<TestNode> {
    let node = TestNode::start_all(&format!("[services.web]\ncommand = {command}\n{LIMITED}"));
    let lacking = node.service("web")["unenforced"].clone();
    if lacking.as_array().is_some_and(|lacking| !lacking.is_empty()) {
        skipped("this host lets nobody limit tasks");
        return None;
    }
    Some(node)
}

#[test]
fn a_service_is_in_its_group_before_its_first_instruction() {
    let Some(node) = limited(r#"["sh", "-c", "cat /proc/self/cgroup; exec sleep 1000"]"#) else {
        return;
    };
    let printed = || node.bh(&["logs", "web"]).stdout;
    until("it has printed its group", printed, |text| text.contains("/web-1"));
    assert!(!groups_for("web-1", pid(&node.service("web"))).is_empty());
}

#[test]
fn what_ran_away_from_its_service_is_killed_when_it_is_stopped() {
    let runaways =
        r#"["sh", "-c", "for i in 1 2 3; do setsid -f sleep 1000; done; exec sleep 1000"]"#;
    let Some(node) = limited(runaways) else { return };
    let service = pid(&node.service("web"));
    let group = groups_for("web-1", service).into_iter().next().expect("a group");
    let all = until("they have run away", || members(&group), |all| all.len() == 4);
    assert_eq!(node.bh(&["stop", "web"]).code, 0);
    assert!(all.iter().all(|pid| !processes::lives(*pid)), "{all:?}");
}

#[test]
fn the_groups_go_with_the_node() {
    let Some(mut node) = limited(r#"["{fixture}", "--fork", "--sleep"]"#) else { return };
    let groups = groups_for("web-1", pid(&node.service("web")));
    let own = own_group(&node);
    node.signal(Signal::TERM);
    node.ended();
    for group in groups {
        assert!(!group.exists(), "{}", group.display());
        let root = group.parent().expect("the node's own directory");
        assert!(!root.exists(), "{}", root.display());
    }
    assert!(
        own.is_none_or(|leaf| is_as_before(&leaf)),
        "the node has made room, and not given it back"
    );
}

/// Where the node has moved to on v2, if it had to.
fn own_group(node: &TestNode) -> Option<PathBuf> {
    groups_of(node.node_pid()).into_iter().find(|it| it.ends_with("node"))
}

/// Whether the leaf is gone, and its parent hands nothing down.
fn is_as_before(leaf: &Path) -> bool {
    let control = leaf.parent().expect("a leaf is not the top").join("cgroup.subtree_control");
    !leaf.exists() && fs::read_to_string(control).is_ok_and(|text| text.trim().is_empty())
}

#[test]
fn a_killed_node_leaves_no_process_in_any_group() {
    let Some(mut node) = limited(r#"["sh", "-c", "setsid -f sleep 1000; exec sleep 1000"]"#) else {
        return;
    };
    let groups = groups_for("web-1", pid(&node.service("web")));
    let own = own_group(&node);
    send(node.node_pid(), Signal::KILL);
    node.ended();
    node.nothing_left();
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    assert!(own.is_none_or(|leaf| is_as_before(&leaf)), "the guardian has left the node's leaf");
}

#[test]
fn a_node_ends_what_its_predecessor_left_and_nobody_elses() {
    let file = format!("[services.web]\ncommand = [\"{{fixture}}\", \"--sleep\"]\n{LIMITED}");
    let Some(neighbour) = limited(r#"["{fixture}", "--sleep"]"#) else { return };
    let mut first = TestNode::start_all(&file);
    let left = pid(&first.service("web"));
    let groups = groups_for("web-1", left);
    // Both at once, so that nobody cleans up; the service dies with its parent, its group stays.
    let (guardian, node) = (first.guardian_pid(), first.node_pid());
    for pid in [guardian, node] {
        send(pid, Signal::STOP);
    }
    for pid in [guardian, node] {
        send(pid, Signal::KILL);
    }
    first.ended();
    until("the node is gone", || processes::lives(node), |lives| !lives);
    assert!(groups.iter().all(|group| group.exists()), "{groups:?}");
    let second = first.succeeded_by(&file);
    second.until_state("web", "ready");
    assert!(!processes::lives(left), "{left} is still alive");
    // Below a service manager's group of its own, which may be another one this time.
    let names = |groups: BTreeSet<PathBuf>| -> BTreeSet<_> {
        groups
            .iter()
            .map(|group| group.parent().and_then(Path::file_name).map(PathBuf::from))
            .collect()
    };
    let again = groups_for("web-1", pid(&second.service("web")));
    assert_eq!(names(groups), names(again), "the same node has groups of the same name");
    let calm = neighbour.service("web");
    assert_eq!((&calm["state"], &calm["restarts"]), (&"ready".into(), &0.into()), "{calm}");
}

#[test]
fn a_service_whose_group_somebody_removed_comes_back() {
    let Some(node) = limited(r#"["{fixture}", "--sleep"]"#) else { return };
    assert_eq!(node.bh(&["stop", "web"]).code, 0);
    assert_eq!(node.bh(&["start", "web"]).code, 0);
    let before = node.until_state("web", "ready");
    let groups = groups_for("web-1", pid(&before));
    // Removed while it is empty, between a stop and a start.
    assert_eq!(node.bh(&["stop", "web"]).code, 0);
    for group in groups.iter().filter(|group| group.exists()) {
        fs::remove_dir(group).expect("nobody is in it");
    }
    assert_eq!(node.bh(&["start", "web"]).code, 0);
    let after = node.until_state("web", "ready");
    assert_eq!(groups_for("web-1", pid(&after)), groups);
}

/// v2 hands controllers down only from a group without processes.
#[test]
fn the_node_moves_out_of_the_way_of_its_services() {
    let Some(node) = limited(r#"["{fixture}", "--sleep"]"#) else { return };
    let is_unified = |group: &PathBuf| group.join("cgroup.type").exists();
    let service = groups_for("web-1", pid(&node.service("web")));
    let Some(service) = service.into_iter().find(is_unified) else {
        return skipped("pids: the kernel offers none on v2");
    };
    let controllers = fs::read_to_string(service.join("cgroup.controllers")).expect("a group");
    if !controllers.contains("pids") {
        return skipped("pids: the kernel offers none on v2");
    }
    let own = groups_of(node.node_pid()).into_iter().find(is_unified);
    let Some(own) = own else { return skipped("the topmost group may keep its processes") };
    assert!(own.ends_with("node"), "{}", own.display());
    assert_eq!(own.parent(), service.parent().and_then(Path::parent));
}

#[test]
fn where_no_limit_can_be_set_the_service_runs_and_the_node_says_what_does_not_hold() {
    let node =
        TestNode::start_all(&format!("[services.web]\ncommand = [\"{{fixture}}\"]\n{LIMITED}"));
    node.until_state("web", "ready");
    if !groups_for("web-1", pid(&node.service("web"))).is_empty() {
        return skipped("this host lets us limit tasks");
    }
    until(
        "it is said",
        || node.output(),
        |output| output.contains("not enforced") && output.contains("tasks_max"),
    );
}
